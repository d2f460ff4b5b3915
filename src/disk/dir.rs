//! An open folder: a name is looked up in it whatever somebody puts in its place meanwhile, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File as StdFile;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{File, Metadata};

/// An open folder.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

/// The names in a folder, read as they are asked for.
pub(crate) struct Names(rustix::fs::Dir);

impl Dir {
    /// Opens the folder that `path` leads to.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(StdFile::open(path)?.into()))
    }

    /// Opens a folder in this one; a symbolic link is none.
    pub(crate) fn open_dir(&self, name: &OsStr) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::empty()).map(Self)
    }

    /// Opens a file in it to overwrite what it has. Waits for no pipe.
    pub(crate) fn open_to_write(&self, name: &OsStr) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::empty()).map(|file| File::of(file.into()))
    }

    /// What lies there under this name; a link is one.
    pub(crate) fn metadata(&self, name: &OsStr) -> Result<Metadata, Errno> {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).map(Metadata::from)
    }

    /// The names in it, without `.` and `..`.
    pub(crate) fn names(&self) -> Result<Names, Errno> {
        rustix::fs::Dir::read_from(&self.0).map(Names)
    }

    /// Takes the name of what is no folder away; `EISDIR` where it is one.
    pub(crate) fn remove_file(&self, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty())
    }

    /// Removes an empty folder.
    pub(crate) fn remove_dir(&self, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)
    }

    /// Holds others off who lock it too, until it is dropped; `EWOULDBLOCK` where somebody holds it.
    pub(crate) fn try_lock(&self) -> Result<(), Errno> {
        rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive)
    }

    /// The names in it are on the disk when this returns.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.0)
    }
}

impl Iterator for Names {
    type Item = Result<OsString, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name = match self.0.next()? {
                Err(error) => return Some(Err(error)),
                Ok(entry) => entry.file_name().to_bytes().to_vec(),
            };
            if name != b"." && name != b".." {
                return Some(Ok(OsString::from_vec(name)));
            }
        }
    }
}
