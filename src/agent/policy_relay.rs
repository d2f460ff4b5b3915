//! The platform's policy on its way to the guard: the newest one only, until the guard has judged it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::guard_client::GuardClient;
use crate::ipc::{Request, Response, SignedPayload};

/// A guard that cannot take a policy, because it restarts or its ledger is not open, is asked again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Hands policies on. It outlives connections.
#[derive(Debug, Default)]
pub(super) struct PolicyRelay {
    newest: Option<watch::Sender<SignedPayload>>,
    tasks: JoinSet<()>,
}

impl PolicyRelay {
    /// A policy came. One that came before and that the guard has not judged counts no more.
    pub(super) fn receive(&mut self, calls: &GuardClient, note: SignedPayload) {
        if let Some(newest) = &self.newest {
            newest.send_replace(note);
            return;
        }
        let (newest, notes) = watch::channel(note);
        self.newest = Some(newest);
        self.tasks.spawn(hand_on(calls.clone(), notes));
    }
}

async fn hand_on(calls: GuardClient, mut notes: watch::Receiver<SignedPayload>) {
    loop {
        let note = notes.borrow_and_update().clone();
        match calls.call(Request::Policy { note }).await {
            Response::Unavailable(_) => {
                // A newer one does not wait.
                let changed = tokio::time::timeout(RETRY_AFTER, notes.changed()).await;
                if matches!(changed, Ok(Err(_))) {
                    return;
                }
            }
            Response::Done
            | Response::Unwritten
            | Response::Rejected(_)
            | Response::Probed(_)
            | Response::Erased(_)
            | Response::Installing { .. } => {
                if notes.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}
