//! Every section and key of the configuration, from what it says about something unknown.

use std::fmt::Write as _;

use crate::config::Config;

/// The mistakes of a configuration with this text.
fn diagnostics(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).err().map_or_else(String::new, |error| error.to_string())
}

/// What stands behind `mark` in the line of `text` that has it.
fn behind<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.split_once(mark).map(|(_, rest)| rest))
}

/// The line above a key. User and password belong to a broker, so that there has to be one.
fn head(section: &str, key: &str) -> String {
    let broker = if section == "mqtt" && key != "url" { "url = \"mqtt://127.0.0.1\"\n" } else { "" };
    format!("[{section}]\n{broker}")
}

/// What `key` of `section` takes.
fn values(section: &str, key: &str) -> String {
    let with = |value: &str| diagnostics(&format!("{}{key} = {value}\n", head(section, key)));
    let wrong = with("1979-05-27");
    let kind = behind(&wrong, &format!("{key} must be ")).and_then(|rest| rest.split(", not ").next());
    let kind = kind.unwrap_or_else(|| panic!("[{section}] {key}: {wrong}"));
    let marks = ["choose one of: ", "write a whole number from ", "write a span from ", &format!("{key} has: ")];
    let tried = [r#""\u0001""#, r#""99999d""#, "99999999999", "{ - = 0 }"].map(with);
    let range = marks.iter().find_map(|mark| tried.iter().find_map(|wrong| behind(wrong, mark)));
    range.map_or_else(|| kind.to_owned(), |range| format!("{kind}: {range}"))
}

fn section(name: &str, lines: &mut String) {
    let has = format!("[{name}] has: ");
    let wrong = diagnostics(&format!("{}- = 0\n", head(name, "-")));
    let array = format!("{name} has: ");
    let Some(keys) = behind(&wrong, &has) else {
        let wrong = diagnostics(&format!("[[{name}]]\n- = 0\n"));
        writeln!(lines, "[[{name}]] {}", behind(&wrong, &array).unwrap_or_else(|| panic!("{name}: {wrong}"))).unwrap();
        return;
    };
    for key in keys.split(", ") {
        let inner = format!("{name}.{key}");
        if diagnostics(&format!("[{name}]\n{key} = 0\n")).contains(&format!("{inner} must be a section")) {
            section(&inner, lines);
        } else {
            writeln!(lines, "[{name}] {key}: {}", values(name, key)).unwrap();
        }
    }
}

#[test]
fn sections_keys_and_choices() {
    let wrong = diagnostics("[nothing]\n");
    let sections = behind(&wrong, "sections are: ").expect("a list of sections");
    let mut lines = String::new();
    for name in sections.split(", ") {
        section(name, &mut lines);
    }
    for (url, mark) in [
        ("srt://127.0.0.1:9?nothing=1", "an srt:// URL takes: "),
        ("nothing://127.0.0.1", "an ingest over nothing:// is not supported; "),
    ] {
        let wrong = diagnostics(&format!("[ingest]\nurl = \"{url}\"\n"));
        writeln!(lines, "{mark}{}", behind(&wrong, mark).unwrap_or_else(|| panic!("{wrong}"))).unwrap();
    }
    super::pin("configuration", &lines);
}
