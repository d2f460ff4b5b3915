//! How the engine writes into the ledger, and learns that it cannot.

use super::Engine;
use crate::ipc::Fact;
use consent::{Event, Fault};

impl Engine {
    pub(super) fn append(&mut self, fact: Fact) -> Result<(), Event> {
        // In the message itself: journalctl shows no fields.
        tracing::info!("ledger: {fact:?}");
        let written = self.ledger_writer.append(fact);
        self.as_ledger_fault(written)
    }

    /// The same for what takes effect only once it is on disk.
    pub(super) fn append_durably(&mut self, fact: Fact) -> Result<(), Event> {
        tracing::info!("ledger: {fact:?}");
        let written = self.ledger_writer.append_durably(fact);
        self.as_ledger_fault(written)
    }

    pub(super) fn as_ledger_fault(&mut self, written: Result<(), String>) -> Result<(), Event> {
        written.map_err(|text| {
            self.set_ledger_message(text);
            Event::FaultDetected(Fault::Ledger)
        })
    }

    pub(super) fn set_ledger_message(&mut self, text: String) {
        if self.messages.ledger.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.messages.ledger = Some(text);
        }
    }

    /// Sends the replies that waited for the ledger, and turns its error into a fault.
    pub(in crate::guard) fn check_ledger(&mut self) {
        let error = self.ledger_writer.error();
        self.replies.finish_written(self.clock.now(), &self.ledger_writer, error.is_some());
        if error != self.ledger_error {
            self.ledger_error.clone_from(&error);
            if let Some(text) = error.clone() {
                self.set_ledger_message(text);
            }
        }
        if error.is_some() && !self.machine.has_fault(Fault::Ledger) {
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
    }
}
