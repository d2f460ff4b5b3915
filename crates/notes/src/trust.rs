//! Which keys count for what. The one place that decides whether a note may have an effect.

use crate::document::document;
use crate::key::VerifierKey;
use crate::kind::DocumentType;
use crate::note::{Note, NoteError};
use crate::role::Role;

/// A key and what it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: VerifierKey,
    /// Its roles.
    pub may: Vec<Role>,
}

/// All trusted keys. Without any nothing verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The keys; no two of them have one name or one key.
    pub keys: Vec<TrustedKey>,
    /// Keys that have to sign a policy, or the end of the service; at least 1.
    pub policy_threshold: u8,
    /// Keys that have to sign a release index; at least 1.
    pub release_threshold: u8,
}

impl Default for Trust {
    fn default() -> Self {
        Self { keys: Vec::new(), policy_threshold: 1, release_threshold: 1 }
    }
}

/// A document that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The note's text, both lines: what was signed.
    pub text: String,
    /// Its second line, without the newline.
    pub json: String,
    /// Names of the keys that signed and have the role; at least one.
    pub signers: Vec<String>,
}

/// Why a note does not count, with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no note, or its text no document.
    #[error("{0}")]
    Malformed(#[from] NoteError),
    /// Its type is not the one that belongs here.
    #[error("the note is a {}, and here belongs a {}: sign it anew with that type", got.as_str(), needed.as_str())]
    WrongType {
        /// What belongs here.
        needed: DocumentType,
        /// What it is.
        got: DocumentType,
    },
    /// Nobody who is trusted signed it.
    #[error("no trusted key signed it: sign it with a key that the box has under [[trust]]")]
    UnknownKey,
    /// A trusted key's signature is wrong: the text was changed, or the signature.
    #[error("the signature of {key} is wrong: the note was changed after it was signed; send its bytes unchanged")]
    BadSignature {
        /// The key's name.
        key: String,
    },
    /// Trusted keys signed, and none of them may sign this.
    #[error("the key {key} may not sign {role}: sign with a key whose `may` has it, or add it under [[trust]]")]
    RoleMissing {
        /// The first of these keys.
        key: String,
        /// What it lacks.
        role: Role,
    },
    /// Fewer keys with the role signed than have to.
    #[error("{got} of {needed} keys signed it that have to: let more of them sign the same text")]
    Threshold {
        /// The threshold.
        needed: u8,
        /// Keys that count.
        got: u8,
    },
}

impl Trust {
    /// Whether no key is trusted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that have to sign for `role`.
    pub fn threshold(&self, role: Role) -> u8 {
        match role.document() {
            DocumentType::Policy | DocumentType::EndOfService => self.policy_threshold,
            DocumentType::Release => self.release_threshold,
            DocumentType::Command | DocumentType::Desired | DocumentType::Receipt => 1,
        }
        .max(1)
    }

    /// Whether `bytes` are a note of the type that `role` signs, and enough keys with it signed.
    ///
    /// Signatures of unknown keys are ignored. Each signature that carries the name and id of a trusted key has to be
    /// right, whatever the key's roles and however many others are right. A key counts once, under whatever names.
    pub fn verify(&self, bytes: &[u8], role: Role) -> Result<Verified, Refusal> {
        let note = Note::parse(bytes)?;
        let document = document(note.text())?;
        let needed = role.document();
        if document.kind != needed {
            return Err(Refusal::WrongType { needed, got: document.kind });
        }
        let mut signed: Vec<&TrustedKey> = Vec::new();
        for trusted in &self.keys {
            match note.is_signed_by(&trusted.key) {
                None => {}
                Some(true) => signed.push(trusted),
                Some(false) => return Err(Refusal::BadSignature { key: trusted.key.name().to_owned() }),
            }
        }
        let first = signed.first().ok_or(Refusal::UnknownKey)?;
        let mut counted: Vec<&VerifierKey> = Vec::new();
        for trusted in signed.iter().filter(|trusted| trusted.may.contains(&role)) {
            if !counted.iter().any(|known| known.bytes() == trusted.key.bytes()) {
                counted.push(&trusted.key);
            }
        }
        let signers: Vec<_> = counted.iter().map(|key| key.name().to_owned()).collect();
        let (needed, got) = (self.threshold(role), u8::try_from(signers.len()).unwrap_or(u8::MAX));
        match got {
            0 => Err(Refusal::RoleMissing { key: first.key.name().to_owned(), role }),
            _ if got < needed => Err(Refusal::Threshold { needed, got }),
            _ => Ok(Verified { text: note.text().to_owned(), json: document.json.to_owned(), signers }),
        }
    }
}
