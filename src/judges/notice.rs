//! What signed notes tell people: texts in both languages, contacts, days until an answer. One set of bounds for a
//! policy and for the end of the service.

use sha2::{Digest, Sha256};

use crate::ipc::{PolicyText, PolicyTexts, clean};

/// Longest address or contact, in bytes.
const MAX_LINE: usize = 200;
/// Longest text that a note itself has, in bytes: two of them fit into a note.
const MAX_TEXT: usize = 2000;
/// Most contacts.
const MAX_CONTACTS: usize = 4;

/// Whether it is one line that can be shown.
fn is_line(text: &str) -> bool {
    text == clean(text, MAX_LINE) && !text.is_empty()
}

/// Whether it is an https address of one line.
pub(super) fn is_address(url: &str) -> bool {
    url.starts_with("https://") && is_line(url)
}

/// Whether it is a SHA-256 in hex.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks whom people may ask, and how long that takes.
pub(super) fn check_contacts(contacts: &[String], answer_days: Option<u16>) -> Result<(), String> {
    if contacts.len() > MAX_CONTACTS || contacts.iter().any(|contact| !is_line(contact)) {
        return Err("contacts are at most four, each in one line of at most 200 bytes".to_owned());
    }
    if answer_days.is_some_and(|days| !(1..=365).contains(&days)) {
        return Err("answer-days is 1 to 365".to_owned());
    }
    Ok(())
}

/// Checks the texts in both languages.
pub(super) fn check_texts(texts: &PolicyTexts) -> Result<(), String> {
    let PolicyTexts { zh, en } = texts;
    check_text("texts.zh", zh)?;
    check_text("texts.en", en)
}

fn check_text(name: &str, told: &PolicyText) -> Result<(), String> {
    let PolicyText { text, sha256, url } = told;
    if let Some(text) = text {
        let is_shown = |letter: char| !letter.is_control() || letter == '\n';
        if text.is_empty() || text.len() > MAX_TEXT || !text.chars().all(is_shown) {
            return Err(format!(
                "{name}.text has 1 to {MAX_TEXT} bytes and no control characters: write url and sha256"
            ));
        }
        let digest = crate::hex(&Sha256::digest(text));
        if sha256.as_ref().is_some_and(|told| *told != digest) {
            return Err(format!("{name}.sha256 is not that of its text: write {digest}, or leave it out"));
        }
    } else if sha256.is_none() || url.is_none() {
        return Err(format!("{name} needs the text, or sha256 and url: people have to be able to read it"));
    }
    if sha256.as_deref().is_some_and(|text| !is_sha256(text)) {
        return Err(format!("{name}.sha256 is no SHA-256: write 64 digits of 0-9 and a-f"));
    }
    if url.as_deref().is_some_and(|url| !is_address(url)) {
        return Err(format!("{name}.url is no https address of at most 200 bytes"));
    }
    Ok(())
}
