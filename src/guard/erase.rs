//! Really deletes: files are unlinked, and the directory is synced before the ledger says so.

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
/// The agent's folder in data-dir, where the agent's user writes too.
const AGENT: &str = "agent";
/// How far the platform has read the ledger, in the agent's folder; the second is what a power cut leaves of it.
const CURSOR: [&str; 2] = ["outbox-cursor", "outbox-cursor.new"];
/// So deep may folders lie in each other: each takes a descriptor while it is emptied.
const DEEPEST: usize = 16;

/// Deletions that are due. One that fails stays due, and is tried again until it is done.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Unsent footage.
    pub(super) footage: bool,
    /// Footage, keys and credentials.
    pub(super) binding: bool,
}

impl Due {
    /// Carries out what is due: what was done, and what went wrong.
    pub(super) fn carry_out(&mut self, data_dir: &Path) -> (Vec<Fact>, Option<String>) {
        let (mut done, mut wrong) = (Vec::new(), None);
        let mut settle = |due: &mut bool, result: io::Result<u64>, fact: fn(u64) -> Fact| match result {
            Ok(files) => {
                *due = false;
                done.push(fact(files));
            }
            Err(error) => {
                wrong = Some(format!("files in {} cannot be deleted: {error}; it is tried again", data_dir.display()));
            }
        };
        if self.footage {
            settle(&mut self.footage, footage(data_dir), |files| Fact::FootageDestroyed { files });
        }
        if self.binding {
            settle(&mut self.binding, binding(data_dir), |files| Fact::Unbound { files });
        }
        (done, wrong)
    }
}

/// Destroys unsent footage. Returns how many files there were.
fn footage(data_dir: &Path) -> io::Result<u64> {
    remove(data_dir, &[], FOOTAGE)
}

/// Destroys footage, keys and credentials. Returns how many files there were.
fn binding(data_dir: &Path) -> io::Result<u64> {
    let mut files = footage(data_dir)? + remove(data_dir, &[], CREDENTIALS)?;
    for name in CURSOR {
        files += remove(data_dir, &[AGENT], name)?;
    }
    Ok(files)
}

/// Removes `name`, a file or a folder with all that is in it, from the folder that `path` leads to below `root`, and
/// syncs that folder. Returns how many files there were.
fn remove(root: &Path, path: &[&str], name: &str) -> io::Result<u64> {
    let mut dir = OwnedFd::from(File::open(root)?);
    for part in path {
        match folder(&dir, *part) {
            Ok(inner) => dir = inner,
            Err(Errno::NOENT) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
    let files = remove_from(&dir, name, DEEPEST)?;
    rustix::fs::fsync(&dir)?;
    Ok(files)
}

/// Every step goes by the descriptor of a folder that is open, never by a path: others may write in some of them, and
/// a folder that they put a symbolic link in place of would lead to the ledger.
fn remove_from<P: rustix::path::Arg + Copy>(dir: &OwnedFd, name: P, depth: usize) -> io::Result<u64> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => return Ok(1),
        // What is gone already is as good as deleted.
        Err(Errno::NOENT) => return Ok(0),
        // A folder.
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other("folders lie too deep in each other"));
    };
    let inner = folder(dir, name)?;
    let mut files = 0;
    for entry in rustix::fs::Dir::read_from(&inner)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            files += remove_from(&inner, name, depth)?;
        }
    }
    rustix::fs::fsync(&inner)?;
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(files),
        Err(error) => Err(error.into()),
    }
}

/// Opens a folder in `dir`; a symbolic link is none.
fn folder<P: rustix::path::Arg>(dir: &OwnedFd, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

#[cfg(test)]
#[path = "erase_tests.rs"]
mod tests;
