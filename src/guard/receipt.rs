//! The signed receipt of an erasure: what was destroyed, and what is kept for how long.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use notes::{Document, DocumentType};
use serde::Serialize;

use super::identity;
use crate::atomic_file::{self, Durability, PRIVATE};
use crate::ipc::Erasure;
use crate::untrusted_file;

/// In data-dir: the receipt of an unbinding from before its key is destroyed until the ledger has it.
pub(super) const STAGED: &str = "receipt.note";
/// Longest receipt that is read, in bytes; a real one has about 500.
const MAX_BYTES: u64 = 4096;

/// What a receipt says of the box, besides what was destroyed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiptContext<'a> {
    /// The box's configured name, if it has one.
    pub(super) id: Option<&'a str>,
    /// The name that the platform knows it by.
    pub(super) name: &'a str,
    pub(super) ledger_retention: Duration,
    pub(super) at: Timestamp,
}

/// The note's JSON.
#[derive(Serialize)]
pub(crate) struct Receipt<'a> {
    pub(crate) r#box: &'a str,
    pub(crate) what: &'static str,
    pub(crate) at: Timestamp,
    /// Files that were deleted, in the attempt that came to an end.
    pub(crate) files: u64,
    pub(crate) kept: Vec<Kept>,
}

/// What is kept, and until when.
#[derive(Serialize)]
pub(crate) struct Kept {
    pub(crate) what: &'static str,
    pub(crate) until: String,
}

/// Signs the receipt of an erasure. `None`: the box's key cannot be used; the log says why.
pub(super) fn sign(data_dir: &Path, context: &ReceiptContext<'_>, what: Erasure, files: u64) -> Option<String> {
    let retention = SignedDuration::try_from(context.ledger_retention).unwrap_or(SignedDuration::MAX);
    let ledger = context.at.checked_add(retention).unwrap_or(Timestamp::MAX);
    let mut kept = vec![Kept { what: "ledger", until: ledger.strftime("%Y-%m-%d").to_string() }];
    match what {
        Erasure::Erase => kept.push(Kept { what: "binding", until: "unbind".to_owned() }),
        Erasure::Unbind | Erasure::EndOfService => {}
    }
    let at = context.at.round(jiff::Unit::Second).unwrap_or(context.at);
    let receipt = Receipt { r#box: context.name, what: what.as_str(), at, files, kept };
    // Strings and numbers: cannot fail.
    let json = serde_json::to_string(&receipt).unwrap_or_default();
    let text = Document { kind: DocumentType::Receipt, json: &json }.text();
    match identity::sign(data_dir, context.id, &text) {
        Ok(note) => Some(note),
        Err(error) => {
            tracing::error!("no receipt: {error}");
            None
        }
    }
}

/// Keeps the receipt, durably, while the key that signed it is destroyed.
pub(super) fn stage(data_dir: &Path, receipt: &str) -> io::Result<()> {
    atomic_file::replace(&data_dir.join(STAGED), receipt.as_bytes(), PRIVATE, Durability::Synced)
}

/// The receipt that an attempt of before has staged.
pub(super) fn staged(data_dir: &Path) -> Option<String> {
    let bytes = untrusted_file::read(&data_dir.join(STAGED), MAX_BYTES).ok()?;
    String::from_utf8(bytes).ok()
}

/// The ledger has it.
pub(super) fn discard(data_dir: &Path) {
    if let Err(error) = atomic_file::ignore_missing(std::fs::remove_file(data_dir.join(STAGED))) {
        tracing::error!(%error, "{STAGED} cannot be deleted");
    }
}
