//! How the agent leaves the platform of a box that was unbound: with the receipt as an event, and as an answer where a
//! command asked for it, but not for longer than a moment. Pure.

use std::time::Duration;

use monotonic::Monotonic;

use crate::ipc::{Fact, Status, StoredFact};

/// How long it stays at most, with a broker or without: the guard waits a minute for the helper that deletes
/// credentials, and signs the receipt after that.
const PARTING_TIMEOUT: Duration = Duration::from_secs(75);

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Parting {
    /// The receipt that the guard had while the box was bound: of an older erasure.
    former: Option<String>,
    /// It leaves by then. `None`: the box is bound, or nobody knows.
    until: Option<Monotonic>,
    /// The broker has the entry with the receipt.
    is_told: bool,
    /// Another configuration claimed the box meanwhile: whatever comes now is for the next platform.
    is_claimed: bool,
}

impl Parting {
    /// Takes the guard's word; `None`: it is out of reach.
    pub(super) fn note(&mut self, now: Monotonic, status: Option<&Status>) {
        match status {
            Some(status) if status.unbound => {
                self.until.get_or_insert_with(|| now.saturating_add(PARTING_TIMEOUT));
            }
            Some(_) if self.has_begun() => self.is_claimed = true,
            Some(status) => self.former.clone_from(&status.receipt),
            None => {}
        }
    }

    /// Whether the box was unbound since the agent started.
    pub(super) fn has_begun(&self) -> bool {
        self.until.is_some()
    }

    /// Whether the entry with the receipt is still to be sent.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        !self.is_told && !self.is_claimed && self.until.is_some_and(|until| now < until)
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_over(&self, now: Monotonic) -> bool {
        self.is_claimed || self.until.is_some_and(|until| now >= until)
    }

    /// When it is over at the latest.
    pub(super) fn until(&self) -> Option<Monotonic> {
        self.until
    }

    /// The broker has an entry.
    pub(super) fn accepted(&mut self, fact: &StoredFact) {
        if let StoredFact::Known(Fact::Unbound { receipt, .. } | Fact::ServiceEnded { receipt, .. }) = fact
            && (receipt.is_none() || *receipt != self.former)
        {
            self.is_told = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    fn status(unbound: bool, receipt: &str) -> Status {
        let receipt = Some(receipt.to_owned());
        Status { unbound, receipt, ..Status::idle(jiff::Timestamp::UNIX_EPOCH, "1") }
    }

    fn unbound(receipt: &str) -> StoredFact {
        StoredFact::Known(Fact::Unbound { files: 1, receipt: Some(receipt.to_owned()) })
    }

    #[test]
    fn it_ends_with_the_receipt_or_after_a_moment() {
        let mut parting = Parting::default();
        parting.note(at(0), None);
        parting.note(at(1), Some(&status(false, "old")));
        assert!(!parting.has_begun() && !parting.is_due(at(1)) && !parting.is_over(at(1000)));
        parting.note(at(10), Some(&status(true, "old")));
        parting.note(at(60), Some(&status(true, "old")));
        assert!(parting.is_due(at(84)) && !parting.is_over(at(84)));
        assert!(!parting.is_due(at(85)) && parting.is_over(at(85)), "a network that is away is not waited for");
        // The entry of the unbinding before, at the head of a backlog.
        parting.accepted(&unbound("old"));
        assert!(parting.is_due(at(20)));
        parting.accepted(&StoredFact::Known(Fact::Locked {}));
        assert!(parting.is_due(at(20)));
        parting.accepted(&unbound("new"));
        assert!(!parting.is_due(at(20)) && !parting.is_over(at(20)));
    }

    #[test]
    fn a_box_that_is_claimed_meanwhile_tells_the_former_platform_nothing_more() {
        let mut parting = Parting::default();
        parting.note(at(10), Some(&status(true, "new")));
        parting.note(at(11), None);
        assert!(parting.is_due(at(11)), "a guard that restarts has claimed nothing");
        parting.note(at(12), Some(&status(false, "new")));
        assert!(!parting.is_due(at(12)) && parting.is_over(at(12)));
    }
}
