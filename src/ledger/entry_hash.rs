//! How an entry is hashed, with what stands before it. Pure.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::clock::ClockReading;
use crate::ipc::{Fact, LedgerEntry, StoredFact};

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A clock reading as stored.
#[derive(Clone, Debug)]
pub(super) struct StoredReading {
    pub(super) clock: String,
    pub(super) synchronised: bool,
    pub(super) boot: String,
    pub(super) monotonic_ms: u64,
}

impl StoredReading {
    pub(super) fn new(reading: &ClockReading) -> Self {
        Self {
            clock: reading.utc.to_string(),
            synchronised: reading.synchronised,
            boot: reading.boot.to_string(),
            monotonic_ms: reading.monotonic_ms,
        }
    }
}

/// SHA-256 over the parts of an entry with a line feed between them. The first line names the format; that of older
/// versions, without a reading, began with the hash before.
pub(super) fn digest(prev: &str, seq: u64, at: &str, reading: Option<&StoredReading>, fact: &str) -> String {
    let text = match reading {
        None => format!("{prev}\n{seq}\n{at}\n{fact}"),
        Some(StoredReading { clock, synchronised, boot, monotonic_ms }) => {
            format!("tallybox/entry/v2\n{prev}\n{seq}\n{at}\n{clock}\n{synchronised}\n{boot}\n{monotonic_ms}\n{fact}")
        }
    };
    crate::hex(&Sha256::digest(text))
}

/// The entry that follows `last`, the number and hash of the one before; `None`: it is the first.
pub fn following(
    last: Option<(u64, &str)>,
    at: Timestamp,
    reading: &ClockReading,
    fact: Fact,
) -> serde_json::Result<LedgerEntry> {
    let (seq, prev) = last.map_or((1, GENESIS), |(seq, hash)| (seq + 1, hash));
    let text = serde_json::to_string(&fact)?;
    let hash = digest(prev, seq, &at.to_string(), Some(&StoredReading::new(reading)), &text);
    Ok(LedgerEntry {
        seq,
        at,
        clock: Some(reading.utc),
        synchronised: Some(reading.synchronised),
        boot: Some(reading.boot.to_string()),
        monotonic_ms: Some(reading.monotonic_ms),
        fact: StoredFact::Known(fact),
        prev: prev.to_owned(),
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn entries_that_follow_one_another_verify() {
        let mut lines = String::new();
        let mut last: Option<LedgerEntry> = None;
        for _ in 0..3 {
            let reading = clock::read();
            let before = last.as_ref().map(|entry| (entry.seq, entry.hash.as_str()));
            let entry = following(before, reading.utc, &reading, Fact::Unlocked {}).unwrap();
            lines += &(serde_json::to_string(&entry).unwrap() + "\n");
            last = Some(entry);
        }
        let proof = super::super::verify_export(lines.as_bytes()).unwrap();
        assert_eq!((proof.entries, proof.before.as_str(), Some(proof.hash)), (3, GENESIS, last.map(|last| last.hash)));
        assert!(super::super::verify_export(lines.replacen("unlocked", "locked", 1).as_bytes()).is_err());
    }
}
