//! The updater's own folder, which nobody else may look into: what is being installed, and how it ended. Each file is
//! whole and on disk before the next step is taken.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::disk::{self, File};
use crate::exit::Exit;

/// Longest file of ours, in bytes.
const MAX_BYTES: u64 = 4096;

/// What is being installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Pending {
    /// The guard's name for the attempt.
    pub(super) attempt: String,
    /// The version; empty: it was not known when the attempt failed.
    pub(super) version: String,
}

/// How an attempt ended, as the updater or `tallybox-upgrade` writes it: a word, and a sentence unless it is "good".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Good,
    /// The version was not to blame.
    Again(String),
    Failed(String),
}

impl Ending {
    fn parse(text: &str) -> Self {
        let text = text.trim_end();
        match text.split_once(' ') {
            None if text == "good" => Self::Good,
            Some(("again", why)) => Self::Again(why.to_owned()),
            Some(("failed", why)) => Self::Failed(why.to_owned()),
            Some(_) | None => Self::Failed(format!("the updater wrote something else than an ending: {text}")),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Good => "good\n".to_owned(),
            Self::Again(why) => format!("again {why}\n"),
            Self::Failed(why) => format!("failed {why}\n"),
        }
    }
}

/// The folder, locked: one updater at a time.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the folder where there is none.
    pub(super) fn open(dir: &Path) -> Result<Self, Exit> {
        let failed = |error: io::Error| Exit::io(format!("{}: {error}", dir.display()));
        match disk::create_dir(dir, 0o700) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        disk::set_mode(dir, 0o700).map_err(failed)?;
        let lock = File::append(&dir.join("lock"), PRIVATE).map_err(failed)?;
        lock.try_lock().map_err(|_| Exit::temporary("another updater is at work"))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    pub(super) fn package(&self) -> PathBuf {
        self.dir.join("new.deb")
    }

    /// Where `tallybox-upgrade` writes the ending.
    pub(super) fn result(&self) -> PathBuf {
        self.dir.join("result")
    }

    pub(super) fn pending(&self) -> Option<Pending> {
        serde_json::from_str(&self.read("pending")?).ok()
    }

    pub(super) fn set_pending(&self, pending: &Pending) -> io::Result<()> {
        self.write("pending", &serde_json::to_string(pending)?)
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.read("result").map(|text| Ending::parse(&text))
    }

    pub(super) fn set_ending(&self, ending: &Ending) -> io::Result<()> {
        self.write("result", &ending.written())
    }

    /// The highest serial that was installed, or tried: older releases are not taken, whatever the guard's files say.
    pub(super) fn serial(&self, channel: &str) -> u64 {
        let text = self.read("serial").unwrap_or_default();
        let known = text.trim_end().split_once(' ').filter(|(name, _)| *name == channel);
        known.and_then(|(_, serial)| serial.parse().ok()).unwrap_or(0)
    }

    pub(super) fn set_serial(&self, channel: &str, serial: u64) -> io::Result<()> {
        self.write("serial", &format!("{channel} {serial}\n"))
    }

    /// The attempt is over, and the guard knows how it ended.
    pub(super) fn clear(&self) -> io::Result<()> {
        // The ending last, also on the disk: an attempt without one would begin anew.
        [self.package(), self.dir.join("pending"), self.result()].iter().try_for_each(|file| atomic_file::remove(file))
    }

    fn read(&self, name: &str) -> Option<String> {
        let bytes = crate::untrusted_file::read(&self.dir.join(name), MAX_BYTES).ok()?;
        String::from_utf8(bytes).ok()
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        atomic_file::replace(&self.dir.join(name), text.as_bytes(), PRIVATE, Durability::Synced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::power::{Run, Scenario};

    /// Regression: what was removed last could be gone first after a power cut; the attempt then began anew.
    #[test]
    fn an_attempt_that_ended_does_not_begin_again() {
        let open = || Home::open(Path::new("/data/update")).unwrap();
        let work = |run: &mut Run<bool>| {
            let Ok(home) = Home::open(Path::new("/data/update")) else { return };
            let pending = Pending { attempt: "0".repeat(16), version: "0.2.0-1".to_owned() };
            if home.set_pending(&pending).is_ok() && home.set_ending(&Ending::Good).is_ok() {
                run.note(|has_ended| *has_ended = true);
                drop(home.clear());
            }
        };
        let judge = |has_ended: &bool| {
            let home = open();
            assert!(!has_ended || home.pending().is_none() || home.ending() == Some(Ending::Good));
            home.clear().unwrap();
            assert_eq!((home.pending(), home.ending()), (None, None));
        };
        // The folder was there before, as the unit makes it.
        let prepare = || drop(open());
        Scenario { name: "update", capacity: None, prepare: &prepare, work: &work, recover: &|_| {}, judge: &judge }
            .try_all(1);
    }
}
