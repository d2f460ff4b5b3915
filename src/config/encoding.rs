//! Files as editors leave them: UTF-8, or a mistake that says what was found, in which line, and how to save the file.

use std::path::Path;

use super::Diagnostic;
use super::address::odd_name;

/// What helps against all of it.
const SAVE: &str = "save the file as UTF-8";

/// The text of a file; a byte order mark at its beginning is left out.
///
/// # Errors
/// Where it is another encoding, or no text.
pub(super) fn text(file: &Path, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    let report =
        |at, message: String| Diagnostic { file: file.to_owned(), at: Some(at), message, help: SAVE.to_owned() };
    if let Some(name) = wide(&bytes) {
        return Err(report((1, 1), format!("is {name}, and not UTF-8")));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(report(place(&bytes, at), "has a byte 0 in it: it is no text".to_owned()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(ToOwned::to_owned).unwrap_or(text)),
        Err(error) => {
            let (at, bytes) = (error.utf8_error().valid_up_to(), error.into_bytes());
            let byte = bytes.get(at).copied().unwrap_or_default();
            let said = format!("the byte 0x{byte:02X} is not UTF-8: the file looks like {}", narrow(&bytes));
            Err(report(place(&bytes, at), said))
        }
    }
}

/// Line and column of a byte, both from 1; the column counts bytes, since they are no characters.
fn place(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = bytes.get(..at).unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (before.split(|byte| *byte == b'\n').count(), before.len() - start + 1)
}

/// Which encoding of two or four bytes a letter it is: by its byte order mark, or by the zeros in it.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("UTF-16 (what some editors call \"Unicode\")"),
        _ => {}
    }
    // ASCII in two bytes a letter has a zero in every second one.
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let half = bytes.len() / 2;
    let most = zeros(0).max(zeros(1));
    (half > 0 && most * 4 > half * 3).then_some("UTF-16 (what some editors call \"Unicode\")")
}

/// Which encoding of Chinese or of Western Europe it looks like: in GBK nearly all letters are pairs of high bytes.
fn narrow(bytes: &[u8]) -> &'static str {
    let runs = bytes.split(u8::is_ascii).filter(|run| !run.is_empty());
    let (even, odd) = runs.fold(
        (0, 0),
        |(even, odd), run| {
            if run.len().is_multiple_of(2) { (even + 1, odd) } else { (even, odd + 1) }
        },
    );
    if even > odd { "GBK or GB 18030" } else { "Latin-1 or Windows-1252" }
}

/// Letters that look like a space, like nothing, or like a quotation mark, where TOML takes none: outside of texts and
/// comments. Line and column, both from 1.
pub(super) fn odd_letters(text: &str) -> Vec<((usize, usize), String)> {
    let mut found = Vec::new();
    let mut within: Option<&str> = None;
    for (line, content) in text.lines().enumerate() {
        let mut rest = content;
        while let Some(letter) = rest.chars().next() {
            let opened = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
            let length = letter.len_utf8();
            let (skip, next) = match (within, opened) {
                (Some("\"" | "\"\"\""), _) if letter == '\\' => {
                    (length + rest.chars().nth(1).map_or(0, char::len_utf8), within)
                }
                (Some(quote), _) if rest.starts_with(quote) => (quote.len(), None),
                (Some(_), _) => (length, within),
                (None, _) if letter == '#' => break,
                (None, Some(quote)) => (quote.len(), Some(quote)),
                (None, None) => {
                    let column = content.chars().count() - rest.chars().count() + 1;
                    found.extend(odd(letter).map(|name| ((line + 1, column), name)));
                    (length, None)
                }
            };
            within = next;
            rest = rest.get(skip..).unwrap_or_default();
        }
        // Only these go on in the next line.
        within = within.filter(|quote| quote.len() == 3);
    }
    found
}

fn odd(letter: char) -> Option<String> {
    match letter {
        ' ' | '\t' | '\r' => None,
        '“' | '”' | '‘' | '’' | '„' | '＂' | '＇' => {
            Some(format!("a typographic quotation mark ({letter})"))
        }
        '＝' | '［' | '］' | '．' | '，' | '＃' => Some(format!("a full-width character ({letter})")),
        other => odd_name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        text(Path::new("a.toml"), bytes.to_vec()).unwrap_err().to_string()
    }

    #[test]
    fn encodings_are_told_apart() {
        let lines = "[overlay]\r\ntext = \"茶叶店\"\r\n";
        let wide = |order: fn(u16) -> [u8; 2]| lines.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for bytes in [
            [&[0xff, 0xfe][..], &wide(u16::to_le_bytes)].concat(),
            [&[0xfe, 0xff][..], &wide(u16::to_be_bytes)].concat(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ] {
            assert!(said(&bytes).starts_with("a.toml:1:1: is UTF-16"), "{}", said(&bytes));
            assert!(said(&bytes).ends_with("; save the file as UTF-8"));
        }
        // The same in GBK, and a café in Latin-1.
        let gbk = said(b"[overlay]\ntext = \"\xb2\xe8\xd2\xb6\xb5\xea\"\n");
        assert!(gbk.starts_with("a.toml:2:9: the byte 0xB2 is not UTF-8: the file looks like GBK"), "{gbk}");
        let latin = said(b"[overlay]\ntext = \"caf\xe9 M\xfcnchen\"\n");
        assert!(latin.starts_with("a.toml:2:12: the byte 0xE9 is not UTF-8: the file looks like Latin-1"), "{latin}");
        assert!(said(b"[video]\nfps\0 = 3\n").starts_with("a.toml:2:4: has a byte 0"));
        assert_eq!(text(Path::new("a"), b"\xef\xbb\xbf[video]\n".to_vec()).unwrap(), "[video]\n");
        assert_eq!(text(Path::new("a"), Vec::new()).unwrap(), "");
    }

    #[test]
    fn odd_letters_are_found_where_they_do_harm() {
        let found = |text: &str| odd_letters(text).into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(found("a\u{a0}= 1\nb = 2\u{feff}\n\u{3000}c = “x”\n"), [(1, 2), (2, 6), (3, 1), (3, 6), (3, 8)]);
        assert_eq!(found("a = \"\u{a0}\\\"\u{a0}\" # \u{a0}\nb = '\u{200b}'\nc = \"\"\"\n\u{a0}\n\"\"\"\n"), []);
        assert_eq!(found("\"unclosed\na\u{a0}= 1\n"), [(2, 2)]);
    }
}
