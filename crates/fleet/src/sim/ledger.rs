//! A simulated box's ledger: a real hash chain, in memory.

use std::collections::VecDeque;

use jiff::Timestamp;
use notes::SignerKey;
use tallybox::clock::{self, ClockReading};
use tallybox::ipc::{Fact, LedgerCursor, LedgerEntry};
use tallybox::ledger::{self, LedgerState};
use tlog::{Checkpoint, CompactRange, SignedCheckpoint, leaf_hash};

/// Entries that are kept, some 2 MB of one box: more than its agent is behind after a day without a broker.
const KEPT: usize = 4096;

/// The chain, and its newest entries.
#[derive(Debug, Default)]
pub(super) struct SimLedger {
    /// The hash of the very first entry; empty before it.
    id: String,
    entries: VecDeque<LedgerEntry>,
    tree: CompactRange,
    /// The newest one that was signed.
    checkpoint: Option<String>,
    /// What a guard knows from it when it comes up.
    state: LedgerState,
    /// Entries that were dropped although the agent may not have had them.
    lost: u64,
}

impl SimLedger {
    /// Appends a fact now.
    pub(super) fn append(&mut self, fact: Fact) {
        let reading = clock::read();
        let at = self.ordered(&reading);
        let last = self.entries.back().map(|entry| (entry.seq, entry.hash.as_str()));
        // A fact is strings, numbers and flags: it can always be written.
        let Ok(entry) = ledger::following(last, at, &reading, fact) else { return };
        if self.id.is_empty() {
            self.id.clone_from(&entry.hash);
        }
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.lost += 1;
        }
        self.state.apply(&entry);
        self.tree.append(leaf_hash(entry.line().as_bytes()));
        self.entries.push_back(entry);
    }

    /// Signs a checkpoint of all entries.
    pub(super) fn sign(&mut self, key: &SignerKey) {
        let checkpoint = Checkpoint::new(key.verifier_key().name(), &self.tree);
        self.checkpoint = SignedCheckpoint::sign(checkpoint, key).ok().map(|signed| signed.to_string());
    }

    /// The newest checkpoint that was signed.
    pub(super) fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// No entry is older than the one before.
    fn ordered(&self, reading: &ClockReading) -> Timestamp {
        self.entries.back().map_or(reading.utc, |last| last.at.max(reading.utc))
    }

    /// The ledger's id, once it has an entry.
    pub(super) fn id(&self) -> Option<&str> {
        (!self.id.is_empty()).then_some(self.id.as_str())
    }

    /// The first entry behind `after`, or the oldest where that is of another ledger.
    pub(super) fn next(&self, after: Option<&LedgerCursor>) -> Option<&LedgerEntry> {
        let first = self.entries.front()?.seq;
        let seq = after.filter(|cursor| cursor.ledger == self.id).map_or(0, |cursor| cursor.seq);
        let index = usize::try_from(seq.saturating_add(1).saturating_sub(first)).ok()?;
        self.entries.get(index)
    }

    /// Number and hash of the last entry.
    pub(super) fn last(&self) -> Option<(u64, &str)> {
        self.entries.back().map(|entry| (entry.seq, entry.hash.as_str()))
    }

    /// What a guard knows from it when it comes up.
    pub(super) fn state(&self) -> &LedgerState {
        &self.state
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_each_entry_once_and_a_foreign_cursor_gets_all() {
        let mut ledger = SimLedger::default();
        assert!(ledger.next(None).is_none() && ledger.id().is_none());
        for _ in 0..KEPT + 10 {
            ledger.append(Fact::Unlocked {});
        }
        let id = ledger.id().unwrap().to_owned();
        let (mut cursor, mut lines, mut read) = (None, String::new(), 0_u64);
        while let Some(entry) = ledger.next(cursor.as_ref()) {
            lines += &(serde_json::to_string(entry).unwrap() + "\n");
            cursor = Some(LedgerCursor { ledger: id.clone(), seq: entry.seq });
            read += 1;
        }
        assert_eq!((read, ledger.lost()), (u64::try_from(KEPT).unwrap(), 10));
        assert_eq!(ledger::verify_export(lines.as_bytes()).unwrap().last, ledger.last().unwrap().0);
        let foreign = LedgerCursor { ledger: "0".repeat(64), seq: u64::MAX - 1 };
        assert_eq!(ledger.next(Some(&foreign)).unwrap().seq, 11);
    }
}
