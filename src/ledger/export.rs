//! Verifies an exported ledger: lines of JSON, as `ledger export` prints them or as events arrived over MQTT.

use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tlog::{Checkpoint, CompactRange, Hash, leaf_hash};

use super::entry_hash::{GENESIS, StoredReading, digest};
use crate::ipc::{LedgerEntry, WHY, clean};

/// Longest line in bytes: an entry has some hundred.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The first line of an export that does not begin with the ledger's first entry: the Merkle tree of those before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Beginning {
    pruned: Pruned,
}

/// See [`Beginning`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Pruned {
    /// How many entries there were before.
    size: u64,
    /// The roots of the whole subtrees of their tree, largest first, in base 64.
    tree: Vec<String>,
}

/// How the first line begins.
const BEGINNING: &str = "{\"pruned\":";

/// The first line of an export of what comes after these entries, without its newline.
pub fn beginning(before: &CompactRange) -> String {
    let tree = before.hashes().iter().map(ToString::to_string).collect();
    // A number and texts: cannot fail.
    serde_json::to_string(&Beginning { pruned: Pruned { size: before.size(), tree } }).unwrap_or_default()
}

fn read_beginning(line: &str) -> Option<CompactRange> {
    let Beginning { pruned: Pruned { size, tree } } = serde_json::from_str(line).ok()?;
    let hashes = tree.iter().map(|hash| hash.parse().ok()).collect::<Option<Vec<Hash>>>()?;
    // Strict: no other spelling of the same is read.
    CompactRange::new(size, hashes).filter(|range| beginning(range) == line)
}

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
    /// The Merkle tree up to the last. `None`: it begins in the middle of a ledger, and says nothing about the tree
    /// before.
    pub tree: Option<CompactRange>,
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
    /// It is not what the box signed.
    #[error("{0}")]
    Checkpoint(String),
}

/// Follows the chain through all lines; empty ones are skipped.
pub fn verify(lines: impl BufRead) -> Result<VerifiedExport, ExportError> {
    follow_lines(lines, |_| {})
}

/// The same, and whether the entries are those of a checkpoint, whose signature the caller has verified.
pub fn verify_with(lines: impl BufRead, checkpoint: &Checkpoint) -> Result<VerifiedExport, ExportError> {
    let mut root = None;
    let proof = follow_lines(lines, |tree| {
        if tree.size() == checkpoint.size {
            root = Some(tree.root());
        }
    })?;
    judge(proof.tree.is_some().then_some(proof.first - 1), proof.last, root, checkpoint)
        .map_err(ExportError::Checkpoint)?;
    Ok(proof)
}

/// Whether a ledger has what a checkpoint says. `before`: how many entries went before its first one, if their tree is
/// known; `root`: that of its first [`Checkpoint::size`] entries, if it has so many.
pub fn judge(before: Option<u64>, last: u64, root: Option<Hash>, checkpoint: &Checkpoint) -> Result<(), String> {
    let Checkpoint { size, root: signed, .. } = checkpoint;
    let Some(before) = before else {
        return Err("it begins in the middle of a ledger and does not say what stands before: a checkpoint is of all \
                    entries from the first on"
            .to_owned());
    };
    match root {
        Some(root) if root == *signed => Ok(()),
        Some(_) => Err(format!("its first {size} entries are not those that the checkpoint is of")),
        None if *size > last => Err(format!("it ends with entry {last}, and the checkpoint is of {size} entries")),
        None => Err(format!(
            "the checkpoint is of {size} entries, and those up to number {before} are not in it: take a newer checkpoint"
        )),
    }
}

/// Follows the chain; `seen` gets the tree at the beginning and after each entry.
fn follow_lines(mut lines: impl BufRead, mut seen: impl FnMut(&CompactRange)) -> Result<VerifiedExport, ExportError> {
    let mut proof: Option<VerifiedExport> = None;
    let mut before: Option<CompactRange> = None;
    let mut ledger = None;
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
        if text.starts_with(BEGINNING) && proof.is_none() && before.is_none() {
            let read = read_beginning(text.strip_suffix('\n').unwrap_or(&text));
            before = Some(read.ok_or_else(|| invalid("it is not what an export begins with".to_owned()))?);
            continue;
        }
        let entry = read(&text, &mut ledger).map_err(invalid)?;
        let is_first = proof.is_none();
        proof = Some(follow(proof, &entry, before.take()).map_err(invalid)?);
        if let Some(tree) = proof.as_mut().and_then(|proof| proof.tree.as_mut()) {
            if is_first {
                seen(tree);
            }
            tree.append(leaf_hash(entry.line().as_bytes()));
            seen(tree);
        }
    }
}

/// What the ids of events say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum EventIds {
    /// They are of this ledger.
    Of(String),
    /// They have another form.
    Other,
}

/// Parses an entry, which has to be written exactly as a box writes it. An event over MQTT has an `id` in addition,
/// which ends with the name of the `ledger` and the number; where the first one has, all have.
fn read(text: &str, ledger: &mut Option<EventIds>) -> Result<LedgerEntry, String> {
    // It repeats words of the line.
    let no_entry = |error: serde_json::Error| format!("it is no entry of a ledger: {}", clean(&error.to_string(), WHY));
    let mut value: Value = serde_json::from_str(text).map_err(no_entry)?;
    let id = value.as_object_mut().and_then(|fields| fields.shift_remove("id"));
    let written = match &id {
        None => text.strip_suffix('\n').unwrap_or(text).to_owned(),
        Some(_) => value.to_string(),
    };
    let entry: LedgerEntry = serde_json::from_value(value).map_err(no_entry)?;
    if entry.line() != written {
        return Err(format!("entry {} is not written as a box writes it", entry.seq));
    }
    if let Some(id) = id {
        let ids = ledger_of(&id, entry.seq).map_or(EventIds::Other, EventIds::Of);
        if *ledger.get_or_insert_with(|| ids.clone()) != ids {
            return Err(format!("entry {} has the id of another number or ledger", entry.seq));
        }
    }
    Ok(entry)
}

/// The ledger that an event's id names: `<box>-<16 hex digits>-<number>`.
fn ledger_of(id: &Value, seq: u64) -> Option<String> {
    let (_, ledger) = id.as_str()?.strip_suffix(&format!("-{seq}"))?.rsplit_once('-')?;
    let is_name = ledger.len() == 16 && ledger.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_name.then(|| ledger.to_owned())
}

fn follow(
    proof: Option<VerifiedExport>,
    entry: &LedgerEntry,
    before: Option<CompactRange>,
) -> Result<VerifiedExport, String> {
    let LedgerEntry { seq, at, fact, prev, hash, .. } = entry;
    let seq = *seq;
    let reading = entry.reading().map(|reading| StoredReading::new(&reading));
    let fact = serde_json::to_string(fact).map_err(|error| error.to_string())?;
    if *hash != digest(prev, seq, &at.to_string(), reading.as_ref(), &fact) {
        return Err(format!("entry {seq} is not what was written: its hash does not fit what it says"));
    }
    let Some(proof) = proof else {
        if seq == 0 || (seq == 1) != (prev == GENESIS) || before.as_ref().is_some_and(|before| before.size() + 1 != seq)
        {
            return Err(format!("entry {seq} does not follow what it says that it follows"));
        }
        let tree = before.or_else(|| (seq == 1).then(CompactRange::default));
        let (before, hash) = (prev.clone(), hash.clone());
        return Ok(VerifiedExport { entries: 1, first: seq, before, last: seq, hash, tree });
    };
    if proof.last.checked_add(1) != Some(seq) {
        return Err(format!("entry {seq} stands behind entry {}: one was left out, put in or moved", proof.last));
    }
    if *prev != proof.hash {
        return Err(format!("entry {seq} does not follow entry {}: one of them is of another ledger", proof.last));
    }
    Ok(VerifiedExport { entries: proof.entries + 1, last: seq, hash: hash.clone(), ..proof })
}
