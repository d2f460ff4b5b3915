//! What staff were asked and did not agree to: written down, and not asked again until something changes.

use super::Engine;
use crate::ipc::{Fact, WHY, clean};
use crate::ledger::Refusals;
use consent::Event;

impl Engine {
    /// Staff did not agree to what they were asked.
    pub(super) fn note_refusal(&mut self, asks: &[String]) -> Result<(), Event> {
        let (asked, questions) = (clean(&asks.join("; "), WHY), Refusals::hashes(asks));
        self.refusals.add(&questions);
        self.append(Fact::AgreementRefused { asked, questions })
    }

    /// Staff acknowledged a policy: what they are asked now is asked anew.
    pub(super) fn forget_refusals(&mut self) {
        self.refusals.clear();
        self.twin.reconsider();
    }
}
