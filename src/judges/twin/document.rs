//! A desired configuration: what a note of the platform says, once its signature counts.

use notes::{Refusal, Role, Trust};
use sha2::{Digest, Sha256};

use crate::ipc::{MESSAGE, Values, clean};

/// Keys of one document: more than the table has.
const MAX_KEYS: usize = 64;
/// Bytes of one key, so that all can be reported.
const MAX_KEY: usize = 64;
/// The highest version: what every JSON reader takes as a whole number (RFC 8259, section 6).
const MAX_VERSION: u64 = (1 << 53) - 1;

/// One document that a trusted key signed for this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    /// Rises from document to document; at least 1.
    pub(super) version: u64,
    pub(super) values: Values,
    /// SHA-256 of the signed text, in hex.
    pub(super) digest: String,
    /// Who signed it.
    pub(super) keys: Vec<String>,
    /// The whole note, to be kept.
    pub(super) note: String,
}

/// Why a document does not count: a word for programs, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DocumentRefusal {
    pub(super) code: &'static str,
    pub(super) text: String,
}

impl DocumentRefusal {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        // It may repeat what the document says.
        Self { code, text: clean(&text.into(), MESSAGE) }
    }
}

impl From<Refusal> for DocumentRefusal {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::Malformed(_) | Refusal::WrongType { .. } => "malformed",
            Refusal::UnknownKey => "unsigned",
            Refusal::BadSignature { .. } => "bad-signature",
            Refusal::RoleMissing { .. } | Refusal::Threshold { .. } => "not-allowed",
        };
        Self::new(code, refusal.to_string())
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    pub(crate) r#box: String,
    pub(crate) version: u64,
    pub(crate) values: Values,
}

impl Desired {
    /// Reads a note, whose signature has to count under `trust`, for the box `id`.
    pub(super) fn read(note: &str, trust: &Trust, id: &str) -> Result<Self, DocumentRefusal> {
        if trust.is_empty() {
            let text = "this box trusts no key: the integrator writes one under [[trust]], with \"desired\" in may";
            return Err(DocumentRefusal::new("unsigned", text));
        }
        let verified = trust.verify(note.as_bytes(), Role::Desired)?;
        let malformed = |text: String| DocumentRefusal::new("malformed", text);
        let content: Content = serde_json::from_str(&verified.json)
            .map_err(|error| malformed(format!("it is not {{\"box\", \"version\", \"values\"}}: {error}")))?;
        if content.r#box != id {
            let text = format!("it is for the box {:?}, and this is {id:?}", content.r#box);
            return Err(DocumentRefusal::new("misaddressed", text));
        }
        if !(1..=MAX_VERSION).contains(&content.version) {
            return Err(malformed(format!("version {} is none; write 1 to {MAX_VERSION}", content.version)));
        }
        let is_key = |key: &str| key.len() <= MAX_KEY && key.chars().all(|letter| letter.is_ascii_graphic());
        if content.values.len() > MAX_KEYS || !content.values.iter().all(|(key, _)| is_key(key)) {
            return Err(malformed(format!("write at most {MAX_KEYS} keys, each of at most {MAX_KEY} plain letters")));
        }
        Ok(Self {
            version: content.version,
            values: content.values,
            digest: crate::hex(&Sha256::digest(verified.text.as_bytes())),
            keys: verified.signers,
            note: note.to_owned(),
        })
    }
}
