//! How far the platform has read the ledger, durably: the ledger itself is the outbox, this is its cursor.

use std::io;
use std::path::{Path, PathBuf};

use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::disk;
use crate::ipc::LedgerCursor;

/// The cursor's file, in the agent's folder.
const FILE: &str = "outbox-cursor";

/// The last entry that the broker acknowledged, with all before it, and the ledger in which it counts.
#[derive(Debug)]
pub(super) struct Outbox {
    dir: PathBuf,
    acknowledged: Option<LedgerCursor>,
}

impl Outbox {
    /// Reads the cursor. Where it is absent or damaged everything is sent again: the platform knows each by its id.
    pub(super) fn open(dir: &Path) -> Self {
        let acknowledged = match disk::read_to_string(&dir.join(FILE)) {
            Ok(text) => {
                let cursor = parse(&text);
                if cursor.is_none() {
                    tracing::warn!("the outbox's cursor is damaged, or names no ledger: all events are sent again");
                }
                cursor
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, "the outbox's cursor cannot be read: all events are sent again");
                None
            }
        };
        Self { dir: dir.to_owned(), acknowledged }
    }

    pub(super) fn acknowledged(&self) -> Option<&LedgerCursor> {
        self.acknowledged.as_ref()
    }

    /// Moves the cursor. A cursor that cannot be written costs a repetition after the next start, never a loss.
    pub(super) fn acknowledge(&mut self, cursor: LedgerCursor) {
        let written = self.write(&cursor);
        self.acknowledged = Some(cursor);
        if let Err(error) = written {
            tracing::error!(%error, "the outbox's cursor cannot be written to {}", self.dir.display());
        }
    }

    /// The box was unbound: whoever it is bound to next is told nothing of before.
    pub(super) fn forget(&mut self) {
        self.acknowledged = None;
        if let Err(error) = atomic_file::remove(&self.dir.join(FILE)) {
            tracing::error!(%error, "the outbox's cursor cannot be deleted in {}", self.dir.display());
        }
    }

    fn write(&self, cursor: &LedgerCursor) -> io::Result<()> {
        if !disk::is_dir(&self.dir) {
            disk::create_dir(&self.dir, 0o777)?;
        }
        atomic_file::replace(&self.dir.join(FILE), line(cursor).as_bytes(), BY_UMASK, Durability::Synced)
    }
}

/// The file's content.
pub(super) fn line(cursor: &LedgerCursor) -> String {
    format!("{} {}\n", cursor.seq, cursor.ledger)
}

/// `NUMBER LEDGER`, the ledger as 64 hex digits.
pub(super) fn parse(text: &str) -> Option<LedgerCursor> {
    let (seq, ledger) = text.trim().split_once(' ')?;
    let whole = ledger.len() == 64 && ledger.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(LedgerCursor { seq: seq.parse().ok()?, ledger: ledger.to_owned() }).filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::power::{Possible, Run, Scenario};

    /// A cursor that stands further than the broker has acknowledged would lose events.
    #[test]
    fn a_power_cut_moves_the_cursor_at_most_back() {
        let dir = Path::new("/data/agent");
        let cursor = |seq: u64| Some(LedgerCursor { ledger: "0f".repeat(32), seq });
        let work = |run: &mut Run<Possible<Option<LedgerCursor>>>| {
            let mut outbox = Outbox::open(dir);
            for seq in 1..6 {
                run.note(|known| known.attempt(cursor(seq)));
                outbox.acknowledge(cursor(seq).unwrap());
            }
            // What is forgotten does not come back.
            run.note(|known| known.attempt(None));
            outbox.forget();
            run.note(Possible::settle);
        };
        let judge = |known: &Possible<_>| known.admit(&Outbox::open(dir).acknowledged);
        Scenario { name: "outbox", capacity: None, prepare: &|| {}, work: &work, recover: &|_| {}, judge: &judge }
            .try_all(1);
    }

    #[test]
    fn the_cursor_survives_and_damage_means_all_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path());
        assert_eq!(outbox.acknowledged(), None);
        let cursor = LedgerCursor { ledger: "0f".repeat(32), seq: 42 };
        outbox.acknowledge(cursor.clone());
        assert_eq!(Outbox::open(dir.path()).acknowledged(), Some(&cursor));
        outbox.forget();
        assert_eq!((outbox.acknowledged(), Outbox::open(dir.path()).acknowledged()), (None, None));
        // The last one is as it was written before ledgers had names.
        for damage in ["", "forty", "-1 0f", "99999999999999999999999 0f", "42 0f0f", "42"] {
            std::fs::write(dir.path().join(FILE), damage).unwrap();
            assert_eq!(Outbox::open(dir.path()).acknowledged(), None, "{damage:?}");
        }
    }
}
