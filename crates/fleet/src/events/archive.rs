//! Events on disk: a folder for each box, a file of JSON lines for each of its ledgers.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tallybox::exit::Exit;
use tallybox::ledger::verify_export;

use super::chain::Place;

/// The end of a file that is looked through for its last line, in bytes: more than the longest event.
const TAIL: u64 = 256 * 1024;

/// The archive's folder.
#[derive(Debug)]
pub(super) struct Archive {
    dir: PathBuf,
}

impl Archive {
    pub(super) fn open(dir: &Path) -> Result<Self, Exit> {
        std::fs::create_dir_all(dir).map_err(|error| Exit::io(format!("{}: {error}", dir.display())))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The folder of a box.
    pub(super) fn folder(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    fn file(&self, id: &str, ledger: &str) -> PathBuf {
        self.folder(id).join(format!("{ledger}.jsonl"))
    }

    /// The files of a box's ledgers.
    pub(super) fn ledgers(&self, id: &str) -> Result<Vec<PathBuf>, Exit> {
        let folder = self.folder(id);
        let failed = |error: std::io::Error| Exit::io(format!("{}: {error}", folder.display()));
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let paths =
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect::<Result<Vec<_>, _>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect())
    }

    /// The last entry that is there of a ledger. A line that was cut by a power failure is taken away.
    pub(super) fn last(&self, id: &str, ledger: &str) -> Result<Option<Place>, Exit> {
        let path = self.file(id, ledger);
        let failed = |error: std::io::Error| Exit::io(format!("{}: {error}", path.display()));
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let length = file.metadata().map_err(failed)?.len();
        let start = length.saturating_sub(TAIL);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut tail)).map_err(failed)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < tail.len() {
            file.set_len(start + whole as u64).map_err(failed)?;
        }
        let last = tail[..whole].split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty());
        let Some(last) = last else { return Ok(None) };
        match verify_export(last) {
            Ok(proof) => Ok(Some(Place { seq: proof.last, hash: proof.hash })),
            Err(error) => Err(Exit::data(format!(
                "{}: its last entry is damaged: {error}; move the file away, and start again",
                path.display()
            ))),
        }
    }

    /// Appends a line, durably: the broker is told after that.
    pub(super) fn append(&self, id: &str, ledger: &str, line: &str) -> Result<(), Exit> {
        let path = self.file(id, ledger);
        let write = || -> std::io::Result<()> {
            let mut file = match open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(self.dir.join(id))?;
                    open(&path)
                }
                other => other,
            }?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        };
        write().map_err(|error| Exit::io(format!("{}: {error}", path.display())))
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
