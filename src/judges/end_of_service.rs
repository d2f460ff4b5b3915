//! The note that ends the platform's service at a box.

use notes::{DocumentType, Note, Role, Trust};
use sha2::{Digest, Sha256};

use super::commands::rejection;
use super::notice;
use crate::ipc::{EndOfServiceDocument, Rejection, ReplyCode, WHY, clean};

/// The name for each box that trusts the key.
const EACH: &str = "*";

/// A note whose signatures count, for this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOfService {
    /// What it says.
    pub document: EndOfServiceDocument,
    /// SHA-256 of its text, in hex.
    pub digest: String,
    /// The keys that signed it and may.
    pub signers: Vec<String>,
}

impl EndOfService {
    /// Whether `note` is meant to be one: whether it counts is another matter.
    pub fn is_one(note: &str) -> bool {
        Note::parse(note.as_bytes())
            .ok()
            .and_then(|note| notes::document(note.text()).ok().map(|document| document.kind))
            .is_some_and(|kind| kind == DocumentType::EndOfService)
    }

    /// Reads what the note says, whoever signed it.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn read(json: &str) -> Result<EndOfServiceDocument, String> {
        let document: EndOfServiceDocument = serde_json::from_str(json)
            .map_err(|error| format!("no end of service: {}", clean(&error.to_string(), WHY)))?;
        let EndOfServiceDocument { r#box: _, contacts, answer_days, texts } = &document;
        notice::check_contacts(contacts, *answer_days)?;
        texts.as_ref().map_or(Ok(()), notice::check_texts)?;
        Ok(document)
    }

    /// Verifies signatures, document, and that it is for the box called `box_id`. A shop that claims the box later
    /// trusts other keys; `former` is the digest of the note that ended a service here, which ends no second one.
    pub fn verify(trust: &Trust, note: &str, box_id: Option<&str>, former: Option<&str>) -> Result<Self, Rejection> {
        let verified = trust.verify(note.as_bytes(), Role::EndOfService).map_err(|refusal| rejection(&refusal))?;
        let malformed = |why: String| Rejection::new(ReplyCode::Malformed, why);
        let document = Self::read(&verified.json).map_err(malformed)?;
        let r#box = &document.r#box;
        if r#box != EACH && Some(r#box.as_str()) != box_id {
            let why = format!("it is for the box {:?}: sign one for this box, or for \"*\"", clean(r#box, WHY));
            return Err(Rejection::new(ReplyCode::Misaddressed, why));
        }
        let digest = crate::hex(&Sha256::digest(&verified.text));
        if former == Some(digest.as_str()) {
            let why = "this note ended a service here before, and the box was claimed since: sign a new one";
            return Err(Rejection::new(ReplyCode::Replayed, why));
        }
        Ok(Self { document, digest, signers: verified.signers })
    }
}

#[cfg(test)]
mod tests;
