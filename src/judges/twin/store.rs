//! Where desired configurations survive a restart: the one in force, and one that waits for staff.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::disk::{self, File};

/// The document in force, in data-dir.
pub(crate) const NOTE: &str = "desired.note";
/// One that was received and is not in force yet, in data-dir.
pub(crate) const NEXT: &str = "desired-next.note";
/// Longest file that is read: what is longer is no note.
const LONGEST: u64 = 16 * 1024;

/// The two files.
#[derive(Debug)]
pub(super) struct NoteStore {
    note: PathBuf,
    next: PathBuf,
    /// What is in force lies where the next one will be kept.
    is_uncommitted: bool,
}

impl NoteStore {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { note: data_dir.join(NOTE), next: data_dir.join(NEXT), is_uncommitted: false }
    }

    /// What is there, the one in force first. A file that is missing has nothing; an error is one of the disk's.
    pub(super) fn read(&self) -> [io::Result<Option<String>>; 2] {
        [read(&self.note), read(&self.next)]
    }

    /// Keeps a note that is not in force yet.
    pub(super) fn store_next(&mut self, note: &str) -> io::Result<()> {
        if self.is_uncommitted {
            self.commit()?;
        }
        atomic_file::replace(&self.next, note.as_bytes(), PRIVATE, Durability::Synced)
    }

    /// The same text with other signatures, for the one in force.
    pub(super) fn store_signatures(&mut self, note: &str) -> io::Result<()> {
        atomic_file::replace(&self.note, note.as_bytes(), PRIVATE, Durability::Synced)?;
        self.is_uncommitted = false;
        Ok(())
    }

    /// What waited is in force from now on.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        let renamed = disk::rename(&self.next, &self.note);
        // One that is not there has nothing to lose.
        self.is_uncommitted = renamed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
        renamed?;
        atomic_file::sync_parent(&self.note)
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    // What is no text is no note either, and is found out when it is verified.
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::power::{HOME, Possible, Run, Scenario};

    /// The one in force, and the one that waits.
    type Both = [Option<String>; 2];

    #[test]
    fn a_power_cut_leaves_what_is_in_force_and_what_waits() {
        let note = |number: u32| Some(format!("{number:0>1500}"));
        let step = |run: &mut Run<Possible<Both>>, to: Both, how: &mut dyn FnMut() -> io::Result<()>| {
            run.note(|known| known.attempt(to));
            if how().is_ok() {
                run.note(Possible::settle);
            }
        };
        let work = |run: &mut Run<Possible<Both>>| {
            let mut store = NoteStore::new(Path::new(HOME));
            step(run, [None, note(1)], &mut || store.store_next(&note(1).unwrap()));
            step(run, [note(1), None], &mut || store.commit());
            step(run, [note(1), note(2)], &mut || store.store_next(&note(2).unwrap()));
            step(run, [note(1), note(3)], &mut || store.store_next(&note(3).unwrap()));
            step(run, [note(3), None], &mut || store.commit());
            step(run, [note(4), None], &mut || store.store_signatures(&note(4).unwrap()));
        };
        let found = || NoteStore::new(Path::new(HOME)).read().map(Result::unwrap);
        let judge = |known: &Possible<Both>| known.admit(&found());
        let recover = |_: &_| drop(NoteStore::new(Path::new(HOME)).read());
        let scenario = Scenario {
            name: "desired",
            capacity: None,
            prepare: &|| {},
            work: &work,
            recover: &recover,
            judge: &judge,
        };
        scenario.try_all(1);
    }
}
