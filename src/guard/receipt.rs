//! The signed receipt of an erasure: what was destroyed, and what is kept for how long.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use notes::{Document, DocumentType};
use serde::Serialize;

use super::erasure::CredentialsOutcome;
use super::identity::{self, KeySealer};
use crate::atomic_file::{self, Durability, PRIVATE};
use crate::ipc::{CredentialLeft, Erasure, ErasureReason, clean};
use crate::untrusted_file;
use monotonic::Monotonic;

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
    /// Hash of the configuration that is unbound.
    pub(super) configuration: &'a str,
    /// Whether a helper that runs as root deletes credentials.
    pub(super) has_helper: bool,
    pub(super) now: Monotonic,
    /// Opens the key that signs.
    pub(super) sealer: &'a KeySealer,
}

/// What was destroyed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destroyed<'a> {
    pub(super) what: Erasure,
    /// Why somebody asked for it, if they said so.
    pub(super) reason: Option<ErasureReason>,
    /// Files that were deleted, in the attempt that came to an end.
    pub(super) files: u64,
    /// Credentials under `/etc`, in an unbinding.
    pub(super) credentials: Option<&'a CredentialsOutcome>,
}

/// The note's JSON.
#[derive(Serialize)]
pub(crate) struct Receipt<'a> {
    pub(crate) r#box: &'a str,
    pub(crate) what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<ErasureReason>,
    pub(crate) at: Timestamp,
    /// Files that were deleted, in the attempt that came to an end.
    pub(crate) files: u64,
    pub(crate) kept: Vec<Kept>,
}

/// What is kept, until when, and why.
#[derive(Serialize)]
pub(crate) struct Kept {
    pub(crate) what: String,
    pub(crate) until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl Kept {
    fn new(what: &str, until: impl Into<String>, why: &str) -> Self {
        Self { what: what.to_owned(), until: until.into(), why: Some(why.to_owned()) }
    }
}

/// Why the ledger is kept.
pub(super) const LEDGER_BY_LAW: &str =
    "network and security logs are kept for six months by law, and it proves what happened before";
/// Until when a credential is kept that the box could not delete.
const BY_ROOT: &str = "root deletes it";
/// Files that a receipt names; more of them are counted. An event has room for them.
const MOST_NAMED: usize = 3;

/// What of the credentials under `/etc` stays.
fn kept_credentials(outcome: &CredentialsOutcome) -> Vec<Kept> {
    match outcome {
        CredentialsOutcome::NoHelper => {
            let what = "stream key, client key and certificate, where the configuration says";
            vec![Kept::new(what, BY_ROOT, "they are root's, and no helper confirmed that it deleted them")]
        }
        CredentialsOutcome::Confirmed(report) => {
            let named = report.left.iter().take(MOST_NAMED);
            let mut kept: Vec<_> = named
                .map(|CredentialLeft { what, why }| Kept::new(&clean(what, 80), BY_ROOT, &clean(why, 80)))
                .collect();
            let more = report.left.len().saturating_sub(MOST_NAMED);
            if more > 0 {
                kept.push(Kept::new(&format!("{more} more"), BY_ROOT, "see the log of tallybox-erasure.service"));
            }
            kept
        }
    }
}

/// Signs the receipt of an erasure. `None`: the box's key cannot be used; the log says why.
pub(super) fn sign(data_dir: &Path, context: &ReceiptContext<'_>, destroyed: &Destroyed<'_>) -> Option<String> {
    let Destroyed { what, reason, files, credentials } = *destroyed;
    let retention = SignedDuration::try_from(context.ledger_retention).unwrap_or(SignedDuration::MAX);
    let ledger = context.at.checked_add(retention).unwrap_or(Timestamp::MAX);
    let mut kept = vec![Kept::new("ledger", ledger.strftime("%Y-%m-%d").to_string(), LEDGER_BY_LAW)];
    match what {
        Erasure::Erase => kept.push(Kept { what: "binding".to_owned(), until: "unbind".to_owned(), why: None }),
        Erasure::Unbind | Erasure::EndOfService => {}
    }
    kept.extend(credentials.into_iter().flat_map(kept_credentials));
    let at = context.at.round(jiff::Unit::Second).unwrap_or(context.at);
    let receipt = Receipt { r#box: context.name, what: what.as_str(), reason, at, files, kept };
    // Strings and numbers: cannot fail.
    let json = serde_json::to_string(&receipt).unwrap_or_default();
    let text = Document { kind: DocumentType::Receipt, json: &json }.text();
    match identity::sign(data_dir, context.id, &text, context.sealer) {
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

/// The ledger has it. After a power cut it must not be there again: it would be taken for the next unbinding's.
pub(super) fn discard(data_dir: &Path) {
    if let Err(error) = atomic_file::remove(&data_dir.join(STAGED)) {
        tracing::error!(%error, "{STAGED} cannot be deleted");
    }
}
