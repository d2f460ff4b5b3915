//! Signed policies: which of them counts, and the file that keeps it.

use std::io;
use std::path::Path;

use notes::{Note, Refusal, Role, Trust};

use super::commands::rejection;
use crate::atomic_file::{self, Durability, PRIVATE};
use crate::config::{is_policy_version, policy_follows};
use crate::ipc::{PolicyDocument, Rejection, ReplyCode, WHY, clean};
use crate::untrusted_file;

/// The signed policy in force, in data-dir: the note's bytes as they came.
pub(crate) const POLICY_NOTE: &str = "policy.note";

/// Longest address or contact, in bytes.
const MAX_TEXT: usize = 200;
/// Most contacts.
const MAX_CONTACTS: usize = 4;

/// A policy whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyNote {
    /// The note, with its signatures.
    pub note: String,
    /// What it says.
    pub document: PolicyDocument,
    /// The signed text: the same version with other text is another policy.
    text: String,
}

/// Why a note is no policy of this box.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Its signatures do not count.
    #[error("{0}")]
    Signature(#[from] Refusal),
    /// What it says is none.
    #[error("{0}")]
    Document(String),
}

impl From<PolicyError> for Rejection {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Signature(refusal) => rejection(&refusal),
            PolicyError::Document(why) => Self::new(ReplyCode::Malformed, why),
        }
    }
}

impl PolicyNote {
    /// Verifies signatures and document.
    pub fn verify(trust: &Trust, note: &str) -> Result<Self, PolicyError> {
        let verified = trust.verify(note.as_bytes(), Role::Policy)?;
        let document = serde_json::from_str(&verified.json)
            .map_err(|error| PolicyError::Document(format!("no policy: {}", clean(&error.to_string(), WHY))))?;
        check(&document).map_err(PolicyError::Document)?;
        let text = Note::parse(note.as_bytes()).map(|note| note.text().to_owned()).unwrap_or_default();
        Ok(Self { note: note.to_owned(), document, text })
    }

    /// The stored one, if it is whole and still trusted.
    pub fn load(data_dir: &Path, trust: &Trust) -> Option<Self> {
        let path = data_dir.join(POLICY_NOTE);
        let bytes = match untrusted_file::read(&path, notes::MAX_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!("{} cannot be read: {error}; the configuration's policy counts", path.display());
                return None;
            }
        };
        let note = String::from_utf8(bytes).map_err(|_| PolicyError::Document("it is no text".to_owned()));
        match note.and_then(|note| Self::verify(trust, &note)) {
            Ok(note) => Some(note),
            Err(error) => {
                tracing::error!("{} does not count: {error}; the configuration's policy does", path.display());
                None
            }
        }
    }

    /// Keeps it, durably.
    pub fn store(&self, data_dir: &Path) -> io::Result<()> {
        atomic_file::replace(&data_dir.join(POLICY_NOTE), self.note.as_bytes(), PRIVATE, Durability::Synced)
    }
}

fn check(document: &PolicyDocument) -> Result<(), String> {
    let PolicyDocument { version, material: _, effective, text_sha256, url, contacts, answer_days } = document;
    let is_line = |text: &str| text == clean(text, MAX_TEXT) && !text.is_empty();
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let wrong = if !is_policy_version(version) {
        "version is no day: write it as 2026-11-29"
    } else if effective.as_deref().is_some_and(|day| !is_policy_version(day)) {
        "effective is no day: write it as 2026-11-29"
    } else if text_sha256.as_deref().is_some_and(|text| !is_hash(text)) {
        "text-sha256 is no SHA-256: write 64 digits of 0-9 and a-f"
    } else if url.as_deref().is_some_and(|url| !url.starts_with("https://") || !is_line(url)) {
        "url is no https address of at most 200 bytes"
    } else if contacts.len() > MAX_CONTACTS || contacts.iter().any(|contact| !is_line(contact)) {
        "contacts are at most four, each in one line of at most 200 bytes"
    } else if answer_days.is_some_and(|days| !(1..=365).contains(&days)) {
        "answer-days is 1 to 365"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}

/// What the box knows when a policy comes.
#[derive(Clone, Copy, Debug)]
pub struct PolicyHistory<'a> {
    /// The version in force.
    pub in_force: &'a str,
    /// The signed policy in force, if it is one.
    pub note: Option<&'a PolicyNote>,
    /// The latest version of a signed policy, as the ledger has it.
    pub noted: Option<&'a str>,
    /// The version that staff acknowledged last.
    pub acknowledged: Option<&'a str>,
    /// A policy waits for staff.
    pub is_pending: bool,
}

/// What becomes of a policy that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is in force already.
    Known,
    /// It takes effect.
    Adopt {
        /// Staff have to acknowledge it before the next session.
        waits_for_staff: bool,
    },
    /// It does not, and why.
    Refuse(String),
}

/// Judges a policy whose signatures count. Versions rise, and nothing lowers what staff have to acknowledge.
pub fn judge(wanted: &PolicyNote, history: PolicyHistory<'_>) -> Judgement {
    let PolicyHistory { in_force, note, noted, acknowledged, is_pending } = history;
    let version = &wanted.document.version;
    if let Some(known) = note.filter(|known| known.document.version == *version) {
        return if known.text == wanted.text {
            Judgement::Known
        } else {
            Judgement::Refuse(format!("version {version} is in force with another text: give the new one a later day"))
        };
    }
    let is_older_than = |other: &str| version != other && !policy_follows(version, other);
    if let Some(later) = [Some(in_force), noted].into_iter().flatten().find(|other| is_older_than(other)) {
        return Judgement::Refuse(format!("version {version} is not later than {later}: versions only rise"));
    }
    let is_new = version != in_force;
    let asks = is_new && wanted.document.material && acknowledged != Some(version);
    Judgement::Adopt { waits_for_staff: is_pending || asks }
}

#[cfg(test)]
mod tests;
