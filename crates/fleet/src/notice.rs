//! What a signed note tells people: whom they may ask, by when they are answered, and texts in both languages. The same
//! for a policy and for the end of the service.

use std::path::{Path, PathBuf};

use notes::{Note, Role, SignerKey, Trust, TrustedKey};
use sha2::{Digest, Sha256};
use tallybox::exit::Exit;
use tallybox::ipc::{PolicyText, PolicyTexts};

use crate::{files, key};

/// Longest text that is hashed, in bytes.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;
/// Longest note, in bytes.
const MAX_NOTE_BYTES: u64 = 8 * 1024;

/// What people are told.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "notice")]
pub(crate) struct NoticeArgs {
    /// Whom people may ask, in a line of at most 200 bytes; up to four times.
    #[arg(long = "contact", value_name = "TEXT")]
    pub(crate) contacts: Vec<String>,
    /// Within how many days they are answered.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=365))]
    pub(crate) answer_days: Option<u16>,
    /// The Chinese text. The note has the text itself, of at most 2000 bytes; with --url-zh its SHA-256.
    #[arg(long, value_name = "FILE", requires = "text_en")]
    pub(crate) text_zh: Option<PathBuf>,
    /// The same in English.
    #[arg(long, value_name = "FILE", requires = "text_zh")]
    pub(crate) text_en: Option<PathBuf>,
    /// Where people read the Chinese text: an https address.
    #[arg(long, value_name = "URL", requires = "text_zh")]
    pub(crate) url_zh: Option<String>,
    /// The same in English.
    #[arg(long, value_name = "URL", requires = "text_en")]
    pub(crate) url_en: Option<String>,
}

impl NoticeArgs {
    /// The texts, if there are any.
    pub(crate) fn texts(&self) -> Result<Option<PolicyTexts>, Exit> {
        let (Some(zh), Some(en)) = (&self.text_zh, &self.text_en) else { return Ok(None) };
        let texts = PolicyTexts { zh: told(zh, self.url_zh.as_deref())?, en: told(en, self.url_en.as_deref())? };
        Ok(Some(texts))
    }
}

fn told(file: &Path, url: Option<&str>) -> Result<PolicyText, Exit> {
    if let Some(url) = url {
        return Ok(PolicyText { text: None, sha256: Some(sha256(file)?), url: Some(url.to_owned()) });
    }
    let text = files::read_text(file, MAX_TEXT_BYTES)?;
    Ok(PolicyText { text: Some(text.trim_end().to_owned()), sha256: None, url: None })
}

/// SHA-256 of a file, in hex.
pub(crate) fn sha256(file: &Path) -> Result<String, Exit> {
    Ok(tallybox::hex(&Sha256::digest(files::read(file, MAX_TEXT_BYTES)?)))
}

/// The keys in these files.
pub(crate) fn signers(keys: &[PathBuf]) -> Result<Vec<SignerKey>, Exit> {
    keys.iter().map(|file| key::load(file)).collect()
}

/// A note with this text, signed by all of these keys.
pub(crate) fn sign(text: &str, signers: &[SignerKey]) -> Result<String, Exit> {
    let note = Note::sign(text, &signers.iter().collect::<Vec<_>>());
    Ok(note.map_err(|error| Exit::data(format!("it cannot be signed: {error}")))?.to_string())
}

/// A box that trusts these keys with `role`: it reads what was signed before anybody else does.
pub(crate) fn trust(signers: &[SignerKey], role: Role) -> Trust {
    let keys = signers.iter().map(|signer| TrustedKey { key: signer.verifier_key(), may: vec![role] }).collect();
    Trust { keys, ..Trust::default() }
}

/// A note in a file, and its text.
pub(crate) fn read(file: &Path) -> Result<(String, Note), Exit> {
    let text = files::read_text(file, MAX_NOTE_BYTES)?;
    let note = Note::parse(text.as_bytes()).map_err(|error| Exit::data(format!("{}: {error}", file.display())))?;
    Ok((text, note))
}
