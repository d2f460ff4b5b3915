//! The retained `checkpoint`: what the ledger is bound to, told at each connection and whenever the guard signed a
//! newer one.

use std::time::Duration;

use super::context::{Agent, BrokerConnection};
use super::publisher::{Kind, PublishedCheckpoint};
use crate::ipc::Status;

/// After the broker refused it, it is tried again this much later.
const RETRY: Duration = Duration::from_secs(30);

impl Agent<'_> {
    /// Publishes the newest checkpoint if it is another one than before.
    pub(super) fn send_checkpoint(&mut self, line: &mut BrokerConnection) {
        let is_early = self.clock.now() < line.checkpoint.at;
        if !line.online || is_early || self.is_unbound() || line.publisher.is_under_way(Kind::Checkpoint) {
            return;
        }
        let newest = self.guard.state.borrow().status().and_then(|status: &Status| status.checkpoint.clone());
        let Some(note) = newest.filter(|newest| line.checkpoint.note.as_ref() != Some(newest)) else { return };
        line.checkpoint.note = Some(note.clone());
        self.publish(line, Kind::Checkpoint, note);
    }

    /// The broker did not take it.
    pub(super) fn on_checkpoint_refused(&self, line: &mut BrokerConnection) {
        line.checkpoint = PublishedCheckpoint { note: None, at: self.clock.now().saturating_add(RETRY) };
    }
}
