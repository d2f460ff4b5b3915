//! Verifies an exported ledger: lines of JSON, as `ledger export` prints them or as events arrived over MQTT.

use std::io::{BufRead, Read};

use serde_json::Value;

use super::entry_hash::{GENESIS, StoredReading, digest};
use crate::ipc::LedgerEntry;

/// Longest line in bytes: an entry has some hundred.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedExport {
    /// How many entries there are.
    pub entries: u64,
    /// Number of the first.
    pub first: u64,
    /// Hash of the entry before the first: 64 zeros where the ledger begins with it.
    pub before: String,
    /// Number of the last.
    pub last: u64,
    /// Hash of the last.
    pub hash: String,
}

impl VerifiedExport {
    /// Whether the export has the ledger from its very first entry on.
    pub fn is_whole(&self) -> bool {
        self.first == 1
    }
}

/// Why an export does not verify.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A line is none of a ledger, or not the one that was written.
    #[error("line {line}: {problem}")]
    Invalid {
        /// The line, from 1.
        line: u64,
        /// The problem.
        problem: String,
    },
    /// There is no entry in it.
    #[error("there is no entry in it")]
    Empty,
}

/// Follows the chain through all lines; empty ones are skipped.
pub fn verify(mut lines: impl BufRead) -> Result<VerifiedExport, ExportError> {
    let mut proof: Option<VerifiedExport> = None;
    let (mut text, mut line) = (String::new(), 0);
    loop {
        text.clear();
        line += 1;
        let invalid = |problem: String| ExportError::Invalid { line, problem };
        let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        if Read::take(&mut lines, most).read_line(&mut text)? == 0 {
            return proof.ok_or(ExportError::Empty);
        }
        if text.len() >= MAX_LINE_BYTES {
            return Err(invalid(format!("it is longer than {MAX_LINE_BYTES} bytes")));
        }
        if text.trim().is_empty() {
            continue;
        }
        let entry = read(&text).map_err(|error| invalid(format!("it is no entry of a ledger: {error}")))?;
        proof = Some(follow(proof, &entry).map_err(invalid)?);
    }
}

/// Parses an entry. An event over MQTT has an `id` in addition.
fn read(text: &str) -> serde_json::Result<LedgerEntry> {
    let mut value: Value = serde_json::from_str(text)?;
    if let Value::Object(fields) = &mut value {
        fields.shift_remove("id");
    }
    serde_json::from_value(value)
}

fn follow(proof: Option<VerifiedExport>, entry: &LedgerEntry) -> Result<VerifiedExport, String> {
    let LedgerEntry { seq, at, fact, prev, hash, .. } = entry;
    let seq = *seq;
    let reading = entry.reading().map(|reading| StoredReading::new(&reading));
    let fact = serde_json::to_string(fact).map_err(|error| error.to_string())?;
    if *hash != digest(prev, seq, &at.to_string(), reading.as_ref(), &fact) {
        return Err(format!("entry {seq} is not what was written: its hash does not fit what it says"));
    }
    let Some(proof) = proof else {
        if (seq == 1) != (prev == GENESIS) {
            return Err(format!("entry {seq} does not follow what it says that it follows"));
        }
        return Ok(VerifiedExport { entries: 1, first: seq, before: prev.clone(), last: seq, hash: hash.clone() });
    };
    if seq != proof.last + 1 {
        return Err(format!("entry {seq} stands behind entry {}: one was left out, put in or moved", proof.last));
    }
    if *prev != proof.hash {
        return Err(format!("entry {seq} does not follow entry {}: one of them is of another ledger", proof.last));
    }
    Ok(VerifiedExport { entries: proof.entries + 1, last: seq, hash: hash.clone(), ..proof })
}
