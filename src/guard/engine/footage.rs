//! Footage that is kept for the operator, in the engine: written down when its session has ended, and deleted when it
//! has to go.

use super::Engine;
use crate::clock;
use crate::guard::erasure;
use crate::guard::footage::{self, Overdue, StoredFootage};
use crate::ipc::Fact;
use consent::{Event, Reason};

impl Engine {
    /// What capture left of a session that has ended. Footage that the ledger does not know is destroyed at the next
    /// look: nothing is kept without an entry.
    pub(super) fn note_footage(&mut self, session: u64, reason: Reason) -> Result<(), Event> {
        self.look_for_footage();
        let Some(found) = self.footage.sessions.get(&session) else { return Ok(()) };
        if !footage::may_keep(&self.config) || !may_outlive(reason) {
            return Ok(());
        }
        let (files, bytes) = (found.names.len() as u64, found.bytes);
        self.footage_marks.keep(session, bytes, Some(clock::read()));
        self.append(Fact::FootageKept { session, files, bytes })
    }

    /// Deletes what has to go. What cannot be deleted is tried again.
    pub(super) fn enforce_footage_retention(&mut self) -> Result<(), Event> {
        self.look_for_footage();
        let data_dir = self.config.device.data_dir.clone();
        let current = self.machine.session().map(|session| session.0);
        let free = footage::free_bytes(&data_dir);
        let overdue = self.footage.overdue(&self.footage_marks, current, &self.config, free, &clock::read());
        let mut result = Ok(());
        for Overdue { session, names, why } in overdue {
            match erasure::erase_files(&data_dir, &names) {
                Ok(files) => {
                    self.footage_marks.destroy(Some(session));
                    let fact = Fact::FootageDestroyed { files, why: Some(why), session: Some(session) };
                    result = result.and(self.append(fact));
                }
                Err(error) => tracing::error!("footage of session {session} cannot be deleted: {error}"),
            }
        }
        self.look_for_footage();
        result
    }

    /// Looks at what is stored.
    pub(super) fn look_for_footage(&mut self) {
        match StoredFootage::find(&self.config.device.data_dir) {
            Ok(found) => self.footage = found,
            Err(error) => tracing::error!("whether footage is kept cannot be seen: {error}"),
        }
    }
}

/// Whether footage of a session that ended so may be kept: not where consent was withdrawn.
const fn may_outlive(reason: Reason) -> bool {
    match reason {
        Reason::Lock
        | Reason::Unbind
        | Reason::EndOfService
        | Reason::Erase
        | Reason::Guardian
        | Reason::IngestNotAllowed
        | Reason::Probed => false,
        Reason::Press
        | Reason::Remote
        | Reason::MaxSession
        | Reason::Policy
        | Reason::Agreement
        | Reason::Fault(_)
        | Reason::MeteredLink
        | Reason::ReconnectWindow
        | Reason::CameraLost
        | Reason::MicrophoneLost
        | Reason::Shutdown
        | Reason::CaptureFailed
        | Reason::CaptureDied
        | Reason::MuteUnconfirmed
        | Reason::NeverStarted
        | Reason::RequestTimeout
        | Reason::Declined => true,
    }
}
