//! A note: text and its signatures, read from exact bytes and written as exactly those.

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::key::{SignerKey, VerifierKey, is_name};

/// Longest note, in bytes, signatures included: what a command, a desired configuration or a release index needs, and
/// what a box can always hold.
pub const MAX_BYTES: usize = 8 * 1024;
/// Most signatures: old and new keys of a whole group of operators.
pub const MAX_SIGNATURES: usize = 16;
/// How a signature line begins: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// Bytes of a signature in front of its own: the key's id.
const ID_BYTES: usize = 4;

/// Why bytes are no note, or text cannot become one; with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_BYTES`].
    #[error("the note has more than {MAX_BYTES} bytes: make it shorter")]
    TooLong,
    /// Not UTF-8.
    #[error("the note is not UTF-8: send its bytes unchanged")]
    NotUtf8,
    /// A control character that is no newline.
    #[error("the note has a control character: send its bytes unchanged, with no carriage returns")]
    ControlCharacter,
    /// Nothing before or after the empty line, or no empty line.
    #[error("the note has no signatures: text, an empty line and one signature line at least; sign it first")]
    NoSignatures,
    /// A line behind the empty line is no signature.
    #[error("line {line} of the signatures is not `— name base64` with a newline at its end: send its bytes unchanged")]
    SignatureLine {
        /// Counts from 1.
        line: usize,
    },
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures: sign with fewer keys")]
    TooManySignatures,
    /// The text to sign has no newline at its end.
    #[error("the text has to end with a newline")]
    NoNewline,
    /// Nobody signs, or one key signs twice.
    #[error("a note is signed by one key at least, and once by each")]
    Signers,
    /// Not two lines: a type, and one line of JSON.
    #[error("the text is not two lines, its type and one line of JSON: write the JSON without line breaks")]
    NotTwoLines,
    /// A type that nobody here knows.
    #[error("the first line is none of {}", crate::kind::names())]
    UnknownType,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// Text with signatures, of which none is verified yet. `Display` gives exactly the bytes that were parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note; says nothing about its signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_BYTES {
            return Err(NoteError::TooLong);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        if whole.chars().any(|letter| letter != '\n' && letter.is_control()) {
            return Err(NoteError::ControlCharacter);
        }
        // The last one: the text itself may have empty lines, signatures may not.
        let (text, _) = whole.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = whole.split_at(text.len() + 1);
        let lines = &lines[1..];
        if lines.is_empty() || text == "\n" {
            return Err(NoteError::NoSignatures);
        }
        let mut signatures = Vec::new();
        for (at, line) in lines.split_inclusive('\n').enumerate() {
            if at == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(read_signature(line).ok_or(NoteError::SignatureLine { line: at + 1 })?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Signs `text`, which ends with a newline.
    pub fn sign(text: &str, signers: &[&SignerKey]) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::NoNewline);
        }
        let of = |signer: &&SignerKey| {
            let key = signer.verifier_key();
            NoteSignature { name: key.name().to_owned(), id: key.id(), bytes: signer.sign(text).to_vec() }
        };
        let signatures: Vec<_> = signers.iter().map(of).collect();
        let is_twice = |(at, one): (usize, &NoteSignature)| signatures[..at].contains(one);
        if signatures.is_empty() || signatures.iter().enumerate().any(is_twice) {
            return Err(NoteError::Signers);
        }
        // Whatever is signed can be read again.
        Self::parse(Self { text: text.to_owned(), signatures }.to_string().as_bytes())
    }

    /// What is signed, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names and ids of the keys that are said to have signed.
    pub fn claimed_signers(&self) -> impl Iterator<Item = (&str, u32)> {
        self.signatures.iter().map(|signature| (signature.name.as_str(), signature.id))
    }

    /// Whether `key` signed this note. `None`: there is no signature by that name and id. `Some(false)`: there is one
    /// that is not the key's, beside others perhaps that are, and the note must be refused.
    pub fn is_signed_by(&self, key: &VerifierKey) -> Option<bool> {
        let own = self.signatures_of(key.name(), key.id());
        own.map(|signature| key.verifies(&self.text, signature)).reduce(|all, one| all && one)
    }

    /// The signatures by this name and id: the bytes behind the id.
    pub(crate) fn signatures_of(&self, name: &str, id: u32) -> impl Iterator<Item = &[u8]> {
        let own = self.signatures.iter().filter(move |signature| signature.name == name && signature.id == id);
        own.map(|signature| signature.bytes.as_slice())
    }

    /// The same note with one more signature, which replaces those by the same name and id.
    pub(crate) fn with_signature(&self, name: &str, id: u32, bytes: Vec<u8>) -> Result<Self, NoteError> {
        let mut note = self.clone();
        note.signatures.retain(|signature| signature.name != name || signature.id != id);
        note.signatures.push(NoteSignature { name: name.to_owned(), id, bytes });
        Self::parse(note.to_string().as_bytes())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, id, bytes } in &self.signatures {
            let blob = [&id.to_be_bytes(), bytes.as_slice()].concat();
            writeln!(f, "{DASH}{name} {}", Base64::encode_string(&blob))?;
        }
        Ok(())
    }
}

fn read_signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_suffix('\n')?.strip_prefix(DASH)?.split_once(' ')?;
    // Strict: no other spelling of the same bytes is read.
    let blob = Base64::decode_vec(blob).ok()?;
    let (id, bytes) = blob.split_first_chunk::<ID_BYTES>()?;
    if !is_name(name) || bytes.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
}
