//! Signed policies: which of them counts, and the file that keeps it.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use notes::{Refusal, Role, Trust};

use super::commands::rejection;
use super::notice;
use crate::atomic_file::{self, Durability, PRIVATE};
use crate::config::{is_policy_version, policy_follows};
use crate::ipc::{PolicyDocument, PolicyReason, Rejection, ReplyCode, WHY, clean};
use crate::untrusted_file;

/// The signed policy in force, in data-dir: the note's bytes as they came.
pub(crate) const POLICY_NOTE: &str = "policy.note";

/// A policy whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyNote {
    /// The note, with its signatures.
    pub note: String,
    /// What it says.
    pub document: PolicyDocument,
    /// The signed text: the same version with other text is another policy.
    text: String,
    /// The keys that signed it and may.
    signers: Vec<String>,
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
        let document = read(&verified.json).map_err(PolicyError::Document)?;
        Ok(Self { note: note.to_owned(), document, text: verified.text, signers: verified.signers })
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

    /// The keys that signed it and may.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// Keeps it, durably.
    pub fn store(&self, data_dir: &Path) -> io::Result<()> {
        atomic_file::replace(&data_dir.join(POLICY_NOTE), self.note.as_bytes(), PRIVATE, Durability::Synced)
    }
}

/// Reads what a policy's note says, whoever signed it.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn read(json: &str) -> Result<PolicyDocument, String> {
    let document =
        serde_json::from_str(json).map_err(|error| format!("no policy: {}", clean(&error.to_string(), WHY)))?;
    check(&document)?;
    Ok(document)
}

fn check(document: &PolicyDocument) -> Result<(), String> {
    let PolicyDocument { version, material, reasons, effective, texts, text_sha256, url, contacts, answer_days } =
        document;
    if !is_policy_version(version) {
        return Err("version is no day: write it as 2026-11-29".to_owned());
    }
    if effective.as_deref().is_some_and(|time| !is_policy_version(time) && time.parse::<Timestamp>().is_err()) {
        return Err("effective is no day and no time: write it as 2026-11-29 or 2026-11-29T00:00:00Z".to_owned());
    }
    check_reasons(*material, reasons.as_deref(), texts.is_some())?;
    if let Some(texts) = texts {
        notice::check_texts(texts)?;
        if text_sha256.is_some() || url.is_some() {
            return Err("text-sha256 and url are in texts, for each language: leave them out beside it".to_owned());
        }
    }
    if text_sha256.as_deref().is_some_and(|text| !notice::is_sha256(text)) {
        return Err("text-sha256 is no SHA-256: write 64 digits of 0-9 and a-f".to_owned());
    }
    if url.as_deref().is_some_and(|url| !notice::is_address(url)) {
        return Err("url is no https address of at most 200 bytes".to_owned());
    }
    notice::check_contacts(contacts, *answer_days)
}

/// A material change says what it is; one that says something is material. A note of before there were reasons has
/// neither them nor texts.
fn check_reasons(material: bool, reasons: Option<&[PolicyReason]>, has_texts: bool) -> Result<(), String> {
    let all = || PolicyReason::ALL.map(PolicyReason::as_str).join(", ");
    let named = reasons.unwrap_or_default();
    let is_twice = |reason: &PolicyReason| named.iter().filter(|other| *other == reason).count() > 1;
    if let Some(reason) = named.iter().find(|reason| is_twice(reason)) {
        return Err(format!("reasons has {} twice: write each once", reason.as_str()));
    }
    if !material && let Some(reason) = named.first() {
        let word = reason.as_str();
        return Err(format!(
            "reasons names {word}, and material is false: a change of {word} is material; write true, or take it out"
        ));
    }
    if material && named.is_empty() && (has_texts || reasons.is_some()) {
        return Err(format!("a material policy says what changes: write reasons, at least one of {}", all()));
    }
    Ok(())
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
    /// The keys that signed the last one, as far as they are known.
    pub keys: &'a [String],
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
        /// What changes materially: what the note says, and that somebody else signs.
        reasons: Vec<PolicyReason>,
    },
    /// It does not, and why.
    Refuse(String),
}

/// Judges a policy whose signatures count. Versions rise, and nothing lowers what staff have to acknowledge. A policy
/// that none of the former's keys signed comes from somebody else: staff are asked, whatever it says.
pub fn judge(wanted: &PolicyNote, history: PolicyHistory<'_>) -> Judgement {
    let PolicyHistory { in_force, note, noted, keys, acknowledged, is_pending } = history;
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
    let mut reasons = wanted.document.reasons.clone().unwrap_or_default();
    let has_new_owner = !keys.is_empty() && !wanted.signers.iter().any(|key| keys.contains(key));
    if has_new_owner && !reasons.contains(&PolicyReason::Ownership) {
        reasons.push(PolicyReason::Ownership);
    }
    let is_new = version != in_force;
    let asks = is_new && (wanted.document.material || has_new_owner) && acknowledged != Some(version);
    Judgement::Adopt { waits_for_staff: is_pending || asks, reasons }
}

#[cfg(test)]
mod tests;
