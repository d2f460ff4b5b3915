//! Receipts that boxes signed for what they destroyed, kept in a file: a line of JSON for each, on disk before the next
//! message is looked at.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use notes::{DocumentType, Note};
use serde::Serialize;
use tallybox::clock;
use tallybox::exit::Exit;

/// Where receipts are kept; nowhere without a file.
#[derive(Debug)]
pub(crate) struct Receipts(Option<(PathBuf, File)>);

/// One line. The fields are stable: docs/fleet.md has them.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    /// When it came here.
    received: String,
    receipt: &'a str,
}

impl Receipts {
    /// Opens the file before anything is destroyed: one that cannot be written is found out in time.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Exit> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.map_err(|error| Exit::io(format!("{}: {error}", path.display())))?;
        Ok(Self(Some((path.to_owned(), file))))
    }

    /// Keeps a receipt.
    pub(crate) fn keep(&mut self, id: &str, receipt: &str) -> Result<(), Exit> {
        let Some((path, file)) = &mut self.0 else { return Ok(()) };
        let line = Line { id, received: clock::utc_now().to_string(), receipt };
        let line = serde_json::to_string(&line).map_err(|error| Exit::software(error.to_string()))?;
        let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| Exit::io(format!("{}: {error}; the receipt is {line}", path.display())))
    }
}

/// A receipt as it came; `None` where it is none. Whose signature it carries, whoever has the box's key verifies.
pub(crate) fn checked(text: &str) -> Option<&str> {
    let note = Note::parse(text.as_bytes()).ok()?;
    let document = notes::document(note.text()).ok()?;
    (document.kind == DocumentType::Receipt).then_some(text)
}
