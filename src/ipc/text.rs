//! Sanitises what arrives over a socket: texts that end in the ledger, at the platform and on a terminal, and numbers
//! that JSON cannot represent.

use serde::{Deserialize, Deserializer};

/// Longest name of an element or verb, in bytes.
const NAME: usize = 64;
/// Longest reason of a refusal, in bytes.
pub const WHY: usize = 200;
/// Longest reason of a capture's report, in bytes: a sentence of ours with a library's error text.
const REASON: usize = 500;
/// Longest message of a failed capture, in bytes.
pub const MESSAGE: usize = 1000;

/// Marks where a text was cut.
const CUT: &str = "…";

/// Whether nobody sees it: it has no width, or turns the direction of the text around it (Unicode's general category
/// Cf, as far as it is in use and not a sign before numbers, and fillers).
pub(crate) const fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}'
    )
}

/// `text` in one line, without what no terminal or person should see, and in at most `longest` bytes (of UTF-8).
pub fn clean(text: &str, longest: usize) -> String {
    let mut clean = String::new();
    for letter in text.chars() {
        let letter = match letter {
            letter if is_unseen(letter) => continue,
            '\u{2028}' | '\u{2029}' => ' ',
            letter if letter.is_control() => ' ',
            letter => letter,
        };
        if letter == ' ' && (clean.is_empty() || clean.ends_with(' ')) {
            continue;
        }
        if clean.len() + letter.len_utf8() > longest {
            while clean.len() + CUT.len() > longest && clean.pop().is_some() {}
            clean.push_str(CUT);
            return clean;
        }
        clean.push(letter);
    }
    clean.truncate(clean.trim_end().len());
    clean
}

fn taken<'de, D: Deserializer<'de>>(from: D, longest: usize) -> Result<String, D::Error> {
    Ok(clean(&String::deserialize(from)?, longest))
}

pub(super) fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    taken(from, NAME)
}

pub(super) fn why<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    taken(from, WHY)
}

pub(super) fn optional_why<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|text| clean(&text, WHY)))
}

pub(super) fn reason<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    taken(from, REASON)
}

pub(super) fn message<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    taken(from, MESSAGE)
}

pub(super) fn maybe_reason<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|text| clean(&text, REASON)))
}

/// A number that is not finite (1e300 as `f32`) counts as 0: JSON would have `null` for it, which no reader accepts.
pub(super) fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    let number = f32::deserialize(from)?;
    Ok(if number.is_finite() { number } else { 0.0 })
}

pub(super) fn maybe_finite<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
    Ok(Option::<f32>::deserialize(from)?.filter(|number| number.is_finite()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_cut_at_a_letter_and_stay_in_one_line() {
        assert_eq!(clean("it was\n\tunplugged\u{1b}[31m \u{202e}now\u{200b} ", 100), "it was unplugged [31m now");
        assert_eq!(clean("a\u{61c}b\u{180e}\u{fffa}\u{e0041}c\u{fffd}", 100), "abc\u{fffd}");
        assert_eq!(clean("ääää", 8), "ääää");
        assert_eq!(clean("äääää", 8), "ää…");
        assert_eq!(clean(&"x".repeat(70_000), MESSAGE).len(), MESSAGE);
        assert_eq!(clean("", 8), "");
    }

    proptest! {
        #[test]
        fn no_text_is_longer_or_dirtier_than_said(text in any::<String>(), longest in 3_usize..80) {
            let found = clean(&text, longest);
            prop_assert!(found.len() <= longest && !found.chars().any(char::is_control));
            prop_assert_eq!(clean(&found, longest), found.trim_end());
        }
    }
}
