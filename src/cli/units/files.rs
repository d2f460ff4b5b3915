//! Unit files and their drop-ins, read as systemd reads them (systemd.syntax(7), systemd.unit(5)).

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::host::HostFiles;

/// Where unit files are, the administrator's own first.
const FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// One line `KEY=VALUE` of a unit file, whether or not systemd knows the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Assignment {
    /// The file.
    pub(in crate::cli) file: String,
    /// Its line, from 1.
    pub(in crate::cli) line: usize,
    /// The section, without its brackets.
    pub(in crate::cli) section: String,
    /// What stands before `=`.
    pub(in crate::cli) key: String,
    /// What stands behind it.
    pub(in crate::cli) value: String,
}

/// The assignments of the unit `name` in the order in which they count, and the files that they are from. `None`: there
/// is no such unit.
pub(super) fn read(machine: &HostFiles, name: &str) -> Option<(Vec<Assignment>, Vec<String>)> {
    // Masking puts a link to /dev/null before the unit's own file.
    let is_masked = |path: &String| machine.path(path).canonicalize().is_ok_and(|file| file == Path::new("/dev/null"));
    let mut fragments = FOLDERS.iter().map(|dir| format!("{dir}/{name}")).filter(|path| machine.has(path));
    let fragment = fragments.find(|path| !is_masked(path))?;
    let files: Vec<String> = std::iter::once(fragment).chain(drop_ins(machine, name)).collect();
    let lines = files.iter().flat_map(|file| parse(file, &machine.read(file).unwrap_or_default())).collect();
    Some((lines, files))
}

/// Drop-ins for `name` and for what its name begins with, in the order of their own names. One in a folder that comes
/// first hides those of the same name.
fn drop_ins(machine: &HostFiles, name: &str) -> Vec<String> {
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "service"));
    let prefixes = stem.match_indices('-').map(|(at, _)| format!("{}-.{kind}.d", &stem[..at]));
    let kinds: Vec<String> =
        std::iter::once(format!("{name}.d")).chain(prefixes).chain([format!("{kind}.d")]).collect();
    let mut found = BTreeMap::new();
    for dir in FOLDERS.iter().flat_map(|folder| kinds.iter().map(move |kind| format!("{folder}/{kind}"))) {
        for file in
            machine.names(&dir).into_iter().filter(|file| file.rsplit_once('.').is_some_and(|(_, end)| end == "conf"))
        {
            let path = format!("{dir}/{file}");
            found.entry(file).or_insert(path);
        }
    }
    found.into_values().collect()
}

/// The assignments of every file in a folder for drop-ins of tallybox that is not one of the `known`.
pub(super) fn strays(machine: &HostFiles, known: impl Fn(&str) -> bool) -> Vec<Assignment> {
    let mut lines = Vec::new();
    for folder in FOLDERS {
        let is_ours =
            |name: &String| name.starts_with("tallybox") && machine.path(&format!("{folder}/{name}")).is_dir();
        for dir in machine.names(folder).into_iter().filter(is_ours) {
            for file in machine.names(&format!("{folder}/{dir}")) {
                let path = format!("{folder}/{dir}/{file}");
                if !known(&path) {
                    lines.extend(parse(&path, &machine.read(&path).unwrap_or_default()));
                }
            }
        }
    }
    lines
}

/// A file's assignments. A line that ends with a backslash goes on in the next.
pub(super) fn parse(file: &str, text: &str) -> Vec<Assignment> {
    let (mut all, mut section, mut begun) = (Vec::new(), String::new(), None::<(usize, String)>);
    for (index, line) in text.lines().enumerate() {
        let comment = line.trim_start().starts_with(['#', ';']);
        if comment {
            continue;
        }
        let (number, mut whole) = begun.take().unwrap_or((index + 1, String::new()));
        if let Some(part) = line.trim_end().strip_suffix('\\') {
            whole.push_str(part);
            whole.push(' ');
            begun = Some((number, whole));
            continue;
        }
        whole.push_str(line);
        let whole = whole.trim();
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = whole.split_once('=') {
            let (file, section) = (file.to_owned(), section.clone());
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            all.push(Assignment { file, line: number, section, key, value });
        }
    }
    all
}

/// Takes a value apart at its blanks; quotes keep a word together.
pub(super) fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in value.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '"' || letter == '\'' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            Some(_) | None => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{drop_ins, parse, words};
    use crate::cli::host::HostFiles;

    #[test]
    fn lines_go_on_and_comments_do_not_count() {
        let text = "[Unit]\nA=1\n# B=2\n[Service]\nC = one \\\n# between\n  two\n ; D=3\nE=\n";
        let found: Vec<_> =
            parse("f", text).into_iter().map(|one| (one.line, one.section, one.key, one.value)).collect();
        let wanted = [(2, "Unit", "A", "1"), (5, "Service", "C", "one    two"), (9, "Service", "E", "")];
        let wanted =
            wanted.map(|(line, section, key, value)| (line, section.to_owned(), key.to_owned(), value.to_owned()));
        assert_eq!(found, wanted);
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(words("A=1 \"B=2 3\"  'c d'e \"\""), ["A=1", "B=2 3", "c de", ""]);
    }

    #[test]
    fn drop_ins_come_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "etc/systemd/system/tallybox-agent.service.d/20-b.conf",
            "usr/lib/systemd/system/tallybox-agent.service.d/20-b.conf",
            "usr/lib/systemd/system/tallybox-.service.d/30-c.conf",
            "run/systemd/system/service.d/10-a.conf",
            "etc/systemd/system/tallybox-agent.service.d/note.txt",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(
            drop_ins(&HostFiles::new(dir.path()), "tallybox-agent.service"),
            [
                "/run/systemd/system/service.d/10-a.conf",
                "/etc/systemd/system/tallybox-agent.service.d/20-b.conf",
                "/usr/lib/systemd/system/tallybox-.service.d/30-c.conf",
            ]
        );
    }
}
