//! How far the platform has read the ledger, durably: the ledger itself is the outbox, this is its cursor.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The cursor's file, in the agent's folder.
const FILE: &str = "outbox-cursor";

/// The number of the last entry that the broker acknowledged, with all before it.
#[derive(Debug)]
pub(super) struct Outbox {
    dir: PathBuf,
    acknowledged: u64,
}

impl Outbox {
    /// Reads the cursor. Where it is absent or damaged everything is sent again: the platform knows each by its id.
    pub(super) fn open(dir: &Path) -> Self {
        let acknowledged = match std::fs::read_to_string(dir.join(FILE)) {
            Ok(text) => text.trim().parse().unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox's cursor is damaged: all events are sent again");
                0
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                tracing::warn!(%error, "the outbox's cursor cannot be read: all events are sent again");
                0
            }
        };
        Self { dir: dir.to_owned(), acknowledged }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Moves the cursor. A cursor that cannot be written costs a repetition after the next start, never a loss.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        self.acknowledged = seq;
        if let Err(error) = self.write() {
            tracing::error!(%error, "the outbox's cursor cannot be written to {}", self.dir.display());
        }
    }

    fn write(&self) -> io::Result<()> {
        if !self.dir.is_dir() {
            std::fs::create_dir(&self.dir)?;
        }
        let (new, path) = (self.dir.join("outbox-cursor.new"), self.dir.join(FILE));
        let mut file = File::create(&new)?;
        writeln!(file, "{}", self.acknowledged)?;
        file.sync_all()?;
        std::fs::rename(new, path)?;
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_survives_and_damage_means_all_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path());
        assert_eq!(outbox.acknowledged(), 0);
        outbox.acknowledge(42);
        assert_eq!(Outbox::open(dir.path()).acknowledged(), 42);
        for damage in ["", "forty", "-1", "99999999999999999999999"] {
            std::fs::write(dir.path().join(FILE), damage).unwrap();
            assert_eq!(Outbox::open(dir.path()).acknowledged(), 0, "{damage:?}");
        }
    }
}
