//! What staff are asked about documents. What was withdrawn was not agreed to, and is not asked again.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::document::DocumentRefusal;
use super::{Stage, Step, Twin, Waiting};
use crate::ipc::Fact;
use crate::ledger::Refusals;

/// What staff are asked where the box itself has a doubt: always, and of no document.
pub(super) const LOST: &str = "what an earlier document hid is not known any more";

impl Twin {
    /// Staff are asked.
    pub fn asked(&mut self) {
        self.open.clear();
        if let Some(waiting) = &mut self.waiting {
            waiting.stage = Stage::Asked;
            self.announced = waiting.desired.version;
        }
    }

    /// Staff agreed to what they were asked; returns that for the ledger. `None`: nothing of this was asked.
    pub fn agreed(&mut self) -> Option<Fact> {
        let lost = self.lost.take();
        match &mut self.waiting {
            Some(waiting) if waiting.stage == Stage::Asked => {
                waiting.stage = Stage::Agreed;
                Some(Fact::DesiredAgreed { version: waiting.desired.version })
            }
            Some(_) | None => lost.map(|version| Fact::DesiredAgreed { version }),
        }
    }

    /// The ledger has that staff did not agree to this.
    pub fn withdrawn(&mut self, asks: &[String]) {
        self.open.retain(|ask| !asks.contains(ask));
    }

    /// The document is not taken, as staff would be asked again what they did not agree to.
    pub fn declined(&mut self, why: &str) {
        let Some(Waiting { desired, .. }) = self.waiting.take() else { return };
        self.refusal = Some((DocumentRefusal::new("declined", why), Sha256::digest(desired.note.as_bytes()).into()));
        self.declined = Some(desired.digest);
    }

    /// Something changed, so that staff may be asked again: the broker's copy counts when it comes next.
    pub fn reconsider(&mut self) {
        if self.declined.take().is_some() {
            self.refusal = None;
        }
    }
}

/// What comes before staff are asked, where they were asked before: what is asked no more was not agreed to, and what
/// was not agreed to is not asked again. A question that is open stays so.
pub(super) fn refused_step(open: &BTreeSet<String>, asks: &[String], refusals: &Refusals) -> Option<Step> {
    let withdrawn: Vec<String> = open.iter().filter(|ask| !asks.contains(ask)).cloned().collect();
    if !withdrawn.is_empty() {
        return Some(Step::Withdraw(withdrawn));
    }
    let why = refusals.judge(asks.iter().filter(|ask| *ask != LOST && !open.contains(*ask))).err()?;
    let asks_nothing = asks.iter().all(|ask| ask == LOST || open.contains(ask));
    match (asks_nothing, open.is_empty()) {
        (true, _) => None,
        (false, false) => Some(Step::Withdraw(open.iter().cloned().collect())),
        (false, true) => Some(Step::Decline(why)),
    }
}
