//! The hash chain in the database, and the Merkle tree over the same entries: stored entries, and whether one follows
//! the entry before.

use jiff::Timestamp;
use rusqlite::Row;
use tlog::{CompactRange, leaf_hash};

use super::entry_hash::{GENESIS, StoredReading, digest};
use super::error::LedgerError;
use super::state::LedgerState;
use crate::ipc::LedgerEntry;

/// The columns of an entry that has its reading, in the order of [`StoredEntry::read`].
pub(super) const COLUMNS: &str = "seq, at, fact, hash, clock, synchronised, boot, monotonic";
/// The same for a ledger that no guard of this version has opened yet.
pub(super) const OLD_COLUMNS: &str = "seq, at, fact, hash, NULL, NULL, NULL, NULL";

/// Entries between two resume points: of a longer ledger at most so many are verified before it is used.
pub(super) const RESUME_INTERVAL: u64 = 256;

/// An entry exactly as stored: its hash covers these texts.
#[derive(Clone, Debug)]
pub(super) struct StoredEntry {
    pub(super) seq: u64,
    pub(super) at: String,
    pub(super) fact: String,
    pub(super) hash: String,
    /// Missing in entries of older versions, which are hashed without it.
    pub(super) reading: Option<StoredReading>,
}

fn invalid(seq: u64, problem: impl Into<String>) -> LedgerError {
    LedgerError::Invalid { seq, problem: problem.into() }
}

impl StoredEntry {
    /// From a row of [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self, LedgerError> {
        let seq: u64 = row.get(0)?;
        let text = |index: usize| row.get::<_, String>(index).map_err(|_| invalid(seq, "is not text"));
        let reading = match row.get::<_, Option<String>>(4).map_err(|_| invalid(seq, "its clock is not text"))? {
            None => None,
            Some(clock) => Some(StoredReading {
                clock,
                synchronised: row
                    .get(5)
                    .map_err(|_| invalid(seq, "says neither that its clock was kept nor that it was not"))?,
                boot: text(6)?,
                monotonic_ms: row.get(7).map_err(|_| invalid(seq, "its monotonic time is no number"))?,
            }),
        };
        Ok(Self { seq, at: text(1)?, fact: text(2)?, hash: text(3)?, reading })
    }

    /// The entry as its type; `prev` is the hash of the entry before.
    pub(super) fn entry(self, prev: String) -> Result<LedgerEntry, LedgerError> {
        let seq = self.seq;
        let time = |text: &str| {
            text.parse::<Timestamp>().map_err(|_| invalid(seq, format!("its time {text:?} cannot be read")))
        };
        let fact =
            serde_json::from_str(&self.fact).map_err(|error| invalid(seq, format!("it cannot be read: {error}")))?;
        let clock = self.reading.as_ref().map(|reading| time(&reading.clock)).transpose()?;
        let (synchronised, boot, monotonic_ms) = match self.reading {
            Some(reading) => (Some(reading.synchronised), Some(reading.boot), Some(reading.monotonic_ms)),
            None => (None, None, None),
        };
        let at = time(&self.at)?;
        Ok(LedgerEntry { seq, at, clock, synchronised, boot, monotonic_ms, fact, prev, hash: self.hash })
    }
}

/// The hashes of a tree, as text.
pub(super) fn hashes(tree: &CompactRange) -> Vec<String> {
    tree.hashes().iter().map(ToString::to_string).collect()
}

/// The tree of so many entries with these hashes.
pub(super) fn tree(size: u64, hashes: &[String]) -> Option<CompactRange> {
    CompactRange::new(size, hashes.iter().map(|hash| hash.parse().ok()).collect::<Option<_>>()?)
}

/// A position in the chain: the last verified entry, its hash, the tree up to it, and the state after it.
#[derive(Clone, Debug)]
pub(super) struct ChainPosition {
    pub(super) seq: u64,
    pub(super) hash: String,
    /// `None`: the ledger's beginning was pruned by a version that had no tree.
    pub(super) tree: Option<CompactRange>,
    pub(super) state: LedgerState,
}

impl ChainPosition {
    /// Before the first entry.
    pub(super) fn genesis() -> Self {
        let (tree, state) = (Some(CompactRange::default()), LedgerState::default());
        Self { seq: 0, hash: GENESIS.to_owned(), tree, state }
    }

    /// Advances to the next entry if it follows this position, and returns it.
    pub(super) fn follow(&mut self, stored: StoredEntry) -> Result<LedgerEntry, LedgerError> {
        let seq = stored.seq;
        if seq != self.seq + 1 {
            let problem =
                if seq <= self.seq { "is older than what was pruned" } else { "the entries before it are missing" };
            return Err(invalid(seq, problem));
        }
        if stored.hash != digest(&self.hash, seq, &stored.at, stored.reading.as_ref(), &stored.fact) {
            return Err(invalid(seq, "its hash does not fit what it says and what stands before it"));
        }
        let entry = stored.entry(std::mem::take(&mut self.hash))?;
        self.state.apply(&entry);
        if let Some(tree) = &mut self.tree {
            tree.append(leaf_hash(entry.line().as_bytes()));
        }
        (self.seq, self.hash) = (seq, entry.hash.clone());
        Ok(entry)
    }
}
