//! Files that a command replaces in one step: written beside the old one first, renamed over it, the old one kept as
//! `.bak`. What a process that was killed leaves behind is the old file or the new one, never a part.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::atomic_file::{self, Durability, PRIVATE, ignore_missing, sync_parent};
use crate::disk::{self, Dir};
use crate::exit::Exit;

/// Whom a file belongs to, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Permission bits.
    pub(super) mode: u32,
}

impl Rights {
    /// Those of a file or folder that is there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let data = disk::metadata(path)?;
        // A unit may be forbidden to set any other bits.
        Ok(Self { uid: data.uid, gid: data.gid, mode: data.mode & 0o777 })
    }
}

/// Holds off whoever else changes the configuration in `dir` until the folder is dropped: what is judged is judged
/// against what is there.
pub(super) fn lock(dir: &Path) -> Result<Dir, Exit> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let folder = Dir::open(dir).map_err(|error| Exit::io(format!("{}: {error}", dir.display())))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(Errno::WOULDBLOCK) => {
            Err(Exit::temporary("another configuration is being taken; try again when it is done"))
        }
        Err(error) => Err(Exit::io(format!("{}: {error}", dir.display()))),
    }
}

/// Makes a folder if it is missing, as open as `rights` say whatever this process's mask is: the roles look into it.
pub(super) fn make_dir(dir: &Path, rights: Rights) -> io::Result<()> {
    match disk::create_dir(dir, 0o777) {
        Ok(()) => {
            disk::set_rights(dir, rights.uid, rights.gid, rights.mode)?;
            sync_parent(dir)
        }
        // Whoever made it may not have got to the sync.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync_parent(dir),
        Err(error) => Err(error),
    }
}

/// One file that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BackedUpFile(PathBuf);

impl BackedUpFile {
    pub(super) fn new(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    pub(super) fn file(&self) -> &Path {
        &self.0
    }

    /// What was there before. Not read as configuration, because its name does not end in `.toml`.
    pub(super) fn backup(&self) -> PathBuf {
        atomic_file::beside(&self.0, ".bak")
    }

    /// Writes the new content beside the old one, on the disk when this returns.
    pub(super) fn stage(&self, content: &[u8], rights: Rights) -> io::Result<()> {
        let file = atomic_file::stage(&self.0, content, PRIVATE)?;
        file.set_rights(rights.uid, rights.gid, rights.mode)?;
        file.sync_all()
    }

    /// Makes `.bak` the file that is there now. Returns whether there is one; without one no `.bak` is left either.
    pub(super) fn back_up(&self) -> io::Result<bool> {
        ignore_missing(disk::remove_file(&self.backup()))?;
        match disk::hard_link(&self.0, &self.backup()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The staged content takes the file's place.
    pub(super) fn commit(&self) -> io::Result<()> {
        atomic_file::commit(&self.0, Durability::Synced)
    }

    /// Puts back what was there before; where `former` says that nothing was, the file goes. Can be done twice.
    pub(super) fn roll_back(&self, former: bool) -> io::Result<()> {
        if former {
            ignore_missing(disk::rename(&self.backup(), &self.0))?;
        } else {
            ignore_missing(disk::remove_file(&self.0))?;
        }
        self.sync()
    }

    /// Takes a staged content away that will not be used.
    pub(super) fn discard(&self) -> io::Result<()> {
        atomic_file::discard(&self.0)
    }

    /// The folder, so that names are on the disk too.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_parent(&self.0)
    }
}
