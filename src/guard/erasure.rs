//! Deletes footage, keys and credentials: files are unlinked, and the directory is synced before the ledger has the
//! entry.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::ipc::Fact;

/// Unsent footage, in data-dir.
const FOOTAGE: &str = "footage";
/// Keys and credentials, in data-dir; the guard's alone.
pub(super) const CREDENTIALS: &str = "credentials";
/// The agent's folder in data-dir, where the agent's user writes too: how far the platform has read the ledger, and the
/// broker's remarks.
const AGENT: &str = "agent";
/// Depth of nested folders: each takes a descriptor while it is emptied.
const DEEPEST: usize = 16;
/// Files and folders per attempt: some tenths of a second on an SD card, far below the lease.
const MOST: u32 = 5_000;

/// Deletions that are due. One that fails stays due, and is tried again until it is done.
#[derive(Debug, Default)]
pub(super) struct PendingErasure {
    footage: bool,
    /// Footage, keys and credentials.
    binding: bool,
}

/// What one attempt came to.
#[derive(Debug, Default)]
pub(super) struct Erased {
    /// What was deleted, for the ledger.
    pub(super) facts: Vec<Fact>,
    /// What could not be deleted; it is tried again.
    pub(super) error: Option<String>,
}

impl PendingErasure {
    /// Unsent footage has to go.
    pub(super) fn add_footage(&mut self) {
        self.footage = true;
    }

    /// Footage, keys, credentials and all that the agent wrote have to go.
    pub(super) fn add_binding(&mut self) {
        self.binding = true;
    }

    /// Deletes what is due.
    pub(super) fn run(&mut self, data_dir: &Path) -> Erased {
        let mut erased = Erased::default();
        let mut settle = |is_due: &mut bool, result: io::Result<u64>, fact: fn(u64) -> Fact| match result {
            Ok(files) => {
                *is_due = false;
                erased.facts.push(fact(files));
            }
            Err(error) => {
                let dir = data_dir.display();
                erased.error = Some(format!("files in {dir} cannot be deleted: {error}; it is tried again"));
            }
        };
        if self.footage {
            settle(&mut self.footage, erase_footage(data_dir), |files| Fact::FootageDestroyed { files });
        }
        if self.binding {
            settle(&mut self.binding, erase_binding(data_dir), |files| Fact::Unbound { files });
        }
        erased
    }
}

/// Destroys unsent footage. Returns how many files there were.
fn erase_footage(data_dir: &Path) -> io::Result<u64> {
    let root = OwnedFd::from(File::open(data_dir)?);
    let mut sweep = Sweep::default();
    sweep.remove(&root, FOOTAGE, DEEPEST);
    sweep.end(&root)
}

/// Destroys footage, keys, credentials and all that the agent wrote. Returns how many files there were.
fn erase_binding(data_dir: &Path) -> io::Result<u64> {
    let root = OwnedFd::from(File::open(data_dir)?);
    let mut sweep = Sweep::default();
    sweep.remove(&root, FOOTAGE, DEEPEST);
    sweep.remove(&root, CREDENTIALS, DEEPEST);
    // The folder itself stays: the guard does not make it.
    match folder(&root, AGENT) {
        Err(Errno::NOENT) => {}
        Err(error) => sweep.fail(error.into()),
        Ok(agent) => {
            if let Err(error) = sweep.empty(&agent, DEEPEST) {
                sweep.fail(error);
            }
        }
    }
    sweep.end(&root)
}

/// One attempt. It skips what cannot be deleted, and its size is bounded: a process that writes in a folder meanwhile
/// must not keep the guard busy.
///
/// Every step uses the descriptor of an open folder, never a path: a symbolic link put in place of a folder could lead
/// to the ledger.
#[derive(Debug, Default)]
struct Sweep {
    files: u64,
    seen: u32,
    failed: Option<io::Error>,
}

impl Sweep {
    fn fail(&mut self, error: io::Error) {
        self.failed.get_or_insert(error);
    }

    /// Removes a file, or a folder with all that is in it, from `dir`.
    fn remove<P: rustix::path::Arg + Copy>(&mut self, dir: &OwnedFd, name: P, depth: usize) {
        if let Err(error) = self.try_to_remove(dir, name, depth) {
            self.fail(error);
        }
    }

    fn try_to_remove<P: rustix::path::Arg + Copy>(&mut self, dir: &OwnedFd, name: P, depth: usize) -> io::Result<()> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) => {
                self.files += 1;
                return Ok(());
            }
            // What is gone already is as good as deleted.
            Err(Errno::NOENT) => return Ok(()),
            // A folder.
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(io::Error::other("folders lie too deep in each other"));
        };
        self.empty(&folder(dir, name)?, depth)?;
        match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all that is in `dir`.
    fn empty(&mut self, dir: &OwnedFd, depth: usize) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.seen += 1;
            if self.seen > MOST {
                return Err(io::Error::other("there are too many for one attempt"));
            }
            self.remove(dir, name, depth);
        }
        Ok(rustix::fs::fsync(dir)?)
    }

    /// Syncs the folder, and returns how many files were deleted.
    fn end(self, root: &OwnedFd) -> io::Result<u64> {
        rustix::fs::fsync(root)?;
        self.failed.map_or(Ok(self.files), Err)
    }
}

/// Opens a folder in `dir`; a symbolic link is none.
fn folder<P: rustix::path::Arg>(dir: &OwnedFd, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests;
