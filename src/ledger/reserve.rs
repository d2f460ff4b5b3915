//! Room that is kept for the ledger: a file beside it that holds blocks of the disk and nothing else. On a disk that is
//! full the file is removed, the ledger goes on, and nothing is recorded until there is room again.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::atomic_file::PRIVATE;
use crate::disk::{self, File};

/// What is kept: some days of what the ledger can grow at most.
pub(super) const RESERVE: u64 = 8 * 1024 * 1024;
/// With less than this the disk counts as full: the reserve is for what must be written, not for new sessions.
const FULL_BELOW: u64 = 2 * 1024 * 1024;
/// A full disk needs this much beside the reserve to count as one with room again.
const ROOM_FROM: u64 = 4 * 1024 * 1024;
/// Bytes per write where a file system cannot set blocks aside.
const CHUNK: usize = 64 * 1024;

/// The reserve of one ledger.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_held: bool,
    is_full: bool,
}

impl Reserve {
    /// Of the ledger at `ledger`. Nothing is taken before the first [`Reserve::look`].
    pub(super) fn of(ledger: &Path) -> Self {
        Self { path: ledger.with_extension("reserve"), is_held: false, is_full: false }
    }

    /// Whether nothing may be recorded for want of room.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Gives the room to the ledger, whose write had none. Returns whether there was any.
    pub(super) fn release(&mut self) -> bool {
        self.is_full = true;
        self.is_held = false;
        let removed = disk::remove_file(&self.path).is_ok();
        if removed {
            tracing::error!("the disk is full: the ledger goes on with the room that was kept for it");
        }
        removed
    }

    /// Looks how much room there is, and takes the reserve again as soon as it fits.
    pub(super) fn look(&mut self) {
        let Some(free) = self.path.parent().and_then(|dir| disk::free_bytes(dir).ok()) else { return };
        self.is_held = self.is_held || disk::metadata(&self.path).is_ok_and(|found| found.len == RESERVE);
        let needed = match (self.is_held, self.is_full) {
            (true, false) => FULL_BELOW,
            (true, true) => ROOM_FROM,
            (false, _) => RESERVE + ROOM_FROM,
        };
        self.is_full = free < needed;
        if self.is_held || self.is_full {
            return;
        }
        match self.take() {
            Ok(()) => self.is_held = true,
            Err(error) => {
                let _ = disk::remove_file(&self.path);
                self.is_full = error == Errno::NOSPC || error == Errno::DQUOT;
                if !self.is_full {
                    // The ledger's own writes say what is wrong with its folder.
                    tracing::warn!("no room can be kept for the ledger in {}: {error}", self.path.display());
                }
            }
        }
    }

    fn take(&self) -> Result<(), Errno> {
        let code = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let file = File::create(&self.path, PRIVATE).map_err(code)?;
        match file.allocate(RESERVE) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            done => return done,
        }
        let (chunk, mut left) = (vec![0; CHUNK], RESERVE);
        while left > 0 {
            let length = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
            file.write_all(&chunk[..length]).map_err(code)?;
            left -= length as u64;
        }
        file.sync_all().map_err(code)
    }
}
