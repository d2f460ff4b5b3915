//! The files: the main one and what overrides it, parsed with every syntax error at once.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::{ConfigError, Diagnostic, encoding};

/// The file in `conf.d` that holds what a stick brought: after what is shipped, before what an integrator may want to
/// have the last word. All other files are the box's own.
pub const STICK_FILE: &str = "50-usb.toml";

/// Whose word a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// Whoever may write under `/etc`.
    Integrator,
    /// Whoever brought a stick.
    Stick,
    /// The platform.
    Platform,
}

/// One file's text, or one that the platform sent.
#[derive(Clone)]
pub(crate) struct SourceFile {
    /// Where it is, for whoever reads about its mistakes.
    pub(super) path: PathBuf,
    pub(super) author: Author,
    /// What it is called among its neighbours.
    name: String,
    content: String,
}

/// Its content may have secrets in it.
impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl Author {
    fn of(name: &str) -> Self {
        if name == STICK_FILE { Self::Stick } else { Self::Integrator }
    }
}

impl SourceFile {
    pub(super) fn new(path: PathBuf, content: String) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let author = Author::of(&name);
        Self { path, author, name, content }
    }

    /// What the platform wants, as the text of a file that is called `name`.
    pub(super) fn of_platform(name: &str, content: String) -> Self {
        Self { path: name.into(), author: Author::Platform, name: name.to_owned(), content }
    }

    /// Its text, with all secrets that are written out in it.
    pub(super) fn content(&self) -> &str {
        &self.content
    }

    /// What it is called among its neighbours.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Line and column of a key in a section, both from 1, where it is in here.
    pub(super) fn find(&self, section: &str, key: &str) -> Option<(usize, usize)> {
        self.value(section, key).map(|(_, place)| place)
    }

    /// Line and column of a section or a list of tables, where it is in here.
    pub(super) fn section(&self, name: &str) -> Option<(usize, usize)> {
        let table = DeTable::parse_recoverable(&self.content).0.into_inner();
        let found = table.keys().find(|key| key.get_ref() == name)?;
        Some(place_at(&self.content, found.span().start))
    }

    /// The same of a key with its text; empty where it is something else.
    pub(super) fn value(&self, section: &str, key: &str) -> Option<(String, (usize, usize))> {
        let table = DeTable::parse_recoverable(&self.content).0.into_inner();
        let document = Document { path: &self.path, author: self.author, text: &self.content, table };
        let mut table = &document.table;
        for name in section.split('.') {
            table = table.get(name)?.get_ref().as_table()?;
        }
        let value = table.get(key)?;
        Some((value.get_ref().as_str().unwrap_or_default().to_owned(), document.place(value.span().start)))
    }
}

/// One parsed file.
pub(super) struct Document<'t> {
    pub(super) path: &'t Path,
    pub(super) author: Author,
    pub(super) text: &'t str,
    pub(super) table: DeTable<'t>,
}

impl Document<'_> {
    /// Line and column, both from 1, of a byte offset.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        place_at(self.text, offset)
    }
}

/// Line and column, both from 1, of a byte offset in `text`.
pub(crate) fn place_at(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let help = if error.kind() == std::io::ErrorKind::PermissionDenied {
        "call it as root, or as a user in the group tallybox; files for tallybox belong to that group, with mode 640"
    } else {
        "give the file's name with --config, or write it: only [ingest] url has no default"
    };
    let diagnostic = Diagnostic {
        file: path.to_owned(),
        at: None,
        message: format!("cannot be read: {error}"),
        help: help.to_owned(),
    };
    ConfigError { diagnostics: vec![diagnostic] }
}

/// Reads the main file and then `conf.d/*.toml` beside it in the order of their names.
pub(super) fn read(path: &Path) -> Result<Vec<SourceFile>, ConfigError> {
    let mut paths = vec![path.to_owned()];
    let overrides = path.parent().unwrap_or(Path::new(".")).join("conf.d");
    match std::fs::read_dir(&overrides) {
        Ok(entries) => {
            let mut found = Vec::new();
            for entry in entries {
                let file = entry.map_err(|error| unreadable(&overrides, &error))?.path();
                if file.extension().is_some_and(|extension| extension == "toml") {
                    found.push(file);
                }
            }
            found.sort();
            paths.extend(found);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&overrides, &error)),
    }
    let (mut texts, mut diagnostics) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        match encoding::text(&path, bytes) {
            Ok(text) => texts.push(SourceFile::new(path, text)),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if diagnostics.is_empty() { Ok(texts) } else { Err(ConfigError { diagnostics }) }
}

/// Where the configuration at `path` sets a key: the last of its files that does, line and column.
pub(crate) fn place_of(path: &Path, section: &str, key: &str) -> Option<(PathBuf, (usize, usize))> {
    let texts = read(path).ok()?;
    texts.iter().rev().find_map(|text| Some((text.path.clone(), text.find(section, key)?)))
}

/// Every file of the configuration at `path`.
pub(crate) fn files_of(path: &Path) -> Vec<PathBuf> {
    read(path).unwrap_or_default().into_iter().map(|text| text.path).collect()
}

/// Puts a text among those of `conf.d`, in the order of their names; one of the same name goes.
pub(super) fn insert_override(texts: &mut Vec<SourceFile>, name: &str, from: &Path, content: String) {
    let mut index = 0;
    texts.retain(|known| {
        index += 1;
        index == 1 || known.name != name
    });
    let place =
        texts.iter().skip(1).position(|known| known.name.as_str() > name).map_or(texts.len(), |found| found + 1);
    texts.insert(place, SourceFile { path: from.to_owned(), author: Author::of(name), name: name.to_owned(), content });
}

/// The texts of these authors.
pub(super) fn written_by(texts: &[SourceFile], authors: &[Author]) -> Vec<SourceFile> {
    texts.iter().filter(|text| authors.contains(&text.author)).cloned().collect()
}

/// SHA-256 over names and contents, each with its length before it.
pub(super) fn hash(texts: &[SourceFile]) -> String {
    let mut hash = Sha256::new();
    for part in texts.iter().flat_map(|text| [&text.name, &text.content]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    crate::hex(&hash.finalize())
}

/// Parses all files. Returns what could be read of each, and the mistakes of syntax.
pub(super) fn parse(texts: &[SourceFile]) -> (Vec<Document<'_>>, Vec<Diagnostic>) {
    let (mut documents, mut syntax) = (Vec::new(), Vec::new());
    for SourceFile { path, author, name: _, content: text } in texts {
        let (table, errors) = DeTable::parse_recoverable(text);
        let document = Document { path, author: *author, text, table: table.into_inner() };
        // An error of syntax in a line with such a letter is its doing, and says nothing about it.
        let odd = if errors.is_empty() { Vec::new() } else { encoding::odd_letters(text) };
        syntax.extend(odd.iter().map(|(at, what)| Diagnostic {
            file: path.clone(),
            at: Some(*at),
            message: format!("{what} stands where TOML takes none"),
            help: "replace it by what the keyboard gives, and save the file as UTF-8".to_owned(),
        }));
        let line = |error: &toml::de::Error| error.span().map(|span| document.place(span.start).0);
        let own = errors.into_iter().filter(|error| !odd.iter().any(|(at, _)| Some(at.0) == line(error)));
        syntax.extend(own.map(|error| {
            let at = error.span().map(|span| document.place(span.start));
            Diagnostic::new(path.clone(), at, error.message(), "")
        }));
        documents.push(document);
    }
    (documents, syntax)
}
