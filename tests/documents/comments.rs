//! No comment has a line that is longer than code may be, since rustfmt does not break them; and no file is too long.

use std::path::Path;

use super::{LONGEST, name, sources};

const DOCSTRING: &str = "\"\"\"";

/// How a comment begins in a file, if it can have comments.
fn comment_marks(path: &Path, text: &str) -> &'static [&'static str] {
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("rs" | "js" | "c" | "h" | "css") => &["//", "/*", "* "],
        Some("py" | "sh" | "toml" | "conf" | "service" | "socket" | "path" | "target" | "rules" | "acl" | "map") => {
            &["#", DOCSTRING]
        }
        Some("sysusers" | "tmpfiles") => &["#"],
        _ if text.starts_with("#!") => &["#", DOCSTRING],
        _ => &[],
    }
}

#[test]
fn no_comment_has_a_line_over_120_characters() {
    let (mut long, mut count) = (Vec::new(), 0);
    for path in sources() {
        // Pictures and footage are no text.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let marks = if path.ends_with("Makefile") { &["#"] } else { comment_marks(&path, &text) };
        // Whether the text between triple quotes that a line is in is a docstring: it begins a line.
        let mut quoted: Option<bool> = None;
        for (number, line) in text.lines().enumerate() {
            let begins = marks.iter().any(|mark| line.trim_start().starts_with(mark));
            let is_comment = quoted.unwrap_or(begins);
            if marks.contains(&DOCSTRING) && line.matches(DOCSTRING).count() == 1 {
                quoted = if quoted.is_some() { None } else { Some(begins) };
            }
            count += usize::from(is_comment);
            if is_comment && line.chars().count() > LONGEST {
                long.push(format!("{}:{}: {}", name(&path), number + 1, line.chars().count()));
            }
        }
    }
    assert!(long.is_empty() && count > 500, "{count} comments, and these are over {LONGEST} characters: {long:#?}");
}

/// A file that is longer than this has more than one subject.
const LONGEST_FILE: usize = 400;
/// One type that is one list: whatever the ledger may record, and nothing else.
const LISTS: [&str; 1] = ["src/ipc/ledger.rs"];

#[test]
fn no_file_of_code_is_over_400_lines() {
    let (mut long, mut count) = (Vec::new(), 0);
    for path in sources() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let is_code = text.starts_with("#!")
            || matches!(path.extension(), Some(kind) if ["rs", "py", "js", "c", "h"].map(std::ffi::OsStr::new).contains(&kind));
        count += usize::from(is_code);
        if is_code && text.lines().count() > LONGEST_FILE && !LISTS.contains(&name(&path).as_str()) {
            long.push(format!("{}: {}", name(&path), text.lines().count()));
        }
    }
    assert!(long.is_empty() && count > 300, "{count} files, and these are over {LONGEST_FILE} lines: {long:#?}");
}
