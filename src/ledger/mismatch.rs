//! A ledger that cannot be trusted takes no entry about that. A note beside it keeps what was found until a ledger has
//! the entry, across restarts.

use std::path::{Path, PathBuf};

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::disk;
use crate::ipc::{Fact, Incident, LedgerCheck, MESSAGE, clean};
use crate::untrusted_file;

/// The note's name ends so, beside the ledger.
const EXTENSION: &str = "mismatch";
/// Longest note, in bytes: a message of [`MESSAGE`] characters.
const MAX_BYTES: u64 = 4096;

/// The note beside one ledger.
#[derive(Debug)]
pub(super) struct MismatchNote {
    path: PathBuf,
}

impl MismatchNote {
    pub(super) fn of(ledger: &Path) -> Self {
        Self { path: ledger.with_extension(EXTENSION) }
    }

    /// What was found and is in no ledger yet.
    pub(super) fn read(&self) -> Option<String> {
        let bytes = untrusted_file::read(&self.path, MAX_BYTES).ok()?;
        Some(clean(String::from_utf8_lossy(&bytes).trim(), MESSAGE))
    }

    /// Keeps what was found first; what is found after it follows from that.
    pub(super) fn keep(&self, what: &str) {
        if disk::exists(&self.path) {
            return;
        }
        let line = format!("{}\n", clean(what, MESSAGE));
        if let Err(error) = atomic_file::replace(&self.path, line.as_bytes(), PRIVATE, Durability::Synced) {
            tracing::error!("{}: {error}: a restart forgets what is wrong with the ledger", self.path.display());
        }
    }

    /// A ledger that can be trusted has the entry.
    pub(super) fn discard(&self) {
        if let Err(error) = atomic_file::remove(&self.path) {
            tracing::error!("{}: {error}: the incident is told again at the next start", self.path.display());
        }
    }
}

/// Whether this is the entry about a ledger that cannot be trusted.
pub(super) fn is_entry(fact: &Fact) -> bool {
    matches!(fact, Fact::IncidentDetected { incident: Incident::LedgerMismatch, .. })
}

/// Why nothing is recorded when another file, or none, lies where the ledger was.
const REPLACED: &str = "ledger.db was removed or replaced while the guard writes it: put it back, or keep what lies \
                        there as evidence and restart the guard";

/// The file that is written, which need not be the one that lies at its path: whoever replaces that has entries
/// vanish at the next start.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    /// Device and inode of the file that was opened.
    own: Option<(u64, u64)>,
    /// The result of the verification while another file lies there.
    before: Option<LedgerCheck>,
}

impl LedgerFile {
    /// Not opened yet.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), own: None, before: None }
    }

    fn found(&self) -> Option<(u64, u64)> {
        disk::metadata(&self.path).ok().map(|found| found.id)
    }

    /// It was opened.
    pub(super) fn opened(&mut self) {
        (self.own, self.before) = (self.found(), None);
    }

    /// What has changed since the last look: the result of the verification from now on, and the error.
    pub(super) fn look(&mut self, check: LedgerCheck) -> Option<(LedgerCheck, Option<&'static str>)> {
        let is_own = self.own.is_none() || self.found() == self.own;
        if is_own {
            return self.before.take().map(|before| (before, None));
        }
        if self.before.is_some() {
            return None;
        }
        self.before = Some(check);
        Some((LedgerCheck::Bad, Some(REPLACED)))
    }

    /// Keeps the result of a verification for the time when the file is back; `false`: it is there.
    pub(super) fn defer(&mut self, check: LedgerCheck) -> bool {
        let is_away = self.before.is_some();
        if is_away {
            self.before = Some(check);
        }
        is_away
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::power::{Possible, Run, Scenario};

    #[test]
    fn the_first_finding_is_kept_until_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let note = MismatchNote::of(&dir.path().join("ledger.db"));
        assert_eq!(note.read(), None);
        note.keep("entry 5 of the ledger is bad\u{7}");
        note.keep("another");
        assert!(note.read().unwrap().starts_with("entry 5 of the ledger is bad"));
        note.keep(&"x".repeat(10_000));
        note.discard();
        assert_eq!(note.read(), None);
        note.discard();
        note.keep(&"账".repeat(10_000));
        assert!(note.read().is_some(), "the longest one can be read again");
    }

    #[test]
    fn a_power_cut_takes_no_note_and_brings_none_back() {
        let note = || MismatchNote::of(Path::new("/data/ledger.db"));
        let work = |run: &mut Run<Possible<Option<String>>>| {
            for what in ["one", "two"] {
                run.note(|known| known.attempt(Some(what.to_owned())));
                note().keep(what);
                run.note(|known| {
                    known.settle();
                    known.attempt(None);
                });
                note().discard();
                run.note(Possible::settle);
            }
        };
        let judge = |known: &Possible<_>| known.admit(&note().read());
        Scenario { name: "mismatch", capacity: None, prepare: &|| {}, work: &work, recover: &|_| {}, judge: &judge }
            .try_all(1);
    }

    #[test]
    fn another_file_is_bad_until_the_right_one_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("ledger.db"), dir.path().join("away"));
        let mut file = LedgerFile::at(&path);
        assert_eq!(file.look(LedgerCheck::Running), None, "nothing was opened");
        std::fs::write(&path, "one").unwrap();
        file.opened();
        assert_eq!(file.look(LedgerCheck::Running), None);
        std::fs::rename(&path, &away).unwrap();
        assert_eq!(file.look(LedgerCheck::Running), Some((LedgerCheck::Bad, Some(REPLACED))));
        std::fs::write(&path, "one").unwrap();
        assert_eq!(file.look(LedgerCheck::Bad), None, "it is told once");
        assert!(file.defer(LedgerCheck::Good));
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(file.look(LedgerCheck::Bad), Some((LedgerCheck::Good, None)));
        assert!(!file.defer(LedgerCheck::Bad) && file.look(LedgerCheck::Good).is_none());
    }
}
