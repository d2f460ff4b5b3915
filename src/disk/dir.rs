//! An open folder: a name is looked up in it whatever somebody puts in its place meanwhile, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File as StdFile;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

#[cfg(feature = "sim")]
use super::Kind;
#[cfg(feature = "sim")]
use super::simulated::OpenDir;
use super::{File, Metadata, simulate};

/// An open folder.
#[derive(Debug)]
pub(crate) struct Dir(Inner);

#[derive(Debug)]
enum Inner {
    Real(OwnedFd),
    #[cfg(feature = "sim")]
    Simulated(OpenDir),
}

/// One operation on whichever folder it is.
macro_rules! on {
    ($dir:expr, $inner:ident => $real:expr, $simulated:expr) => {
        match $dir {
            Inner::Real($inner) => $real,
            #[cfg(feature = "sim")]
            Inner::Simulated($inner) => $simulated,
        }
    };
}

/// The names in a folder, read as they are asked for.
pub(crate) struct Names(Listing);

enum Listing {
    Real(rustix::fs::Dir),
    #[cfg(feature = "sim")]
    Simulated(std::vec::IntoIter<OsString>),
}

impl Dir {
    /// Opens the folder that `path` leads to.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        simulate!(disk => disk.open_dir(path).map(|dir| Self(Inner::Simulated(dir))));
        Ok(Self(Inner::Real(StdFile::open(path)?.into())))
    }

    /// Opens a folder in this one; a symbolic link is none.
    pub(crate) fn open_dir(&self, name: &OsStr) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        on!(&self.0, dir => rustix::fs::openat(dir, name, flags, Mode::empty()).map(|dir| Self(Inner::Real(dir))),
            dir.open_dir(name).map(|dir| Self(Inner::Simulated(dir))))
    }

    /// Opens a file in it to overwrite what it has. Waits for no pipe.
    pub(crate) fn open_to_write(&self, name: &OsStr) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        on!(&self.0, dir => rustix::fs::openat(dir, name, flags, Mode::empty()).map(|file| File::of(file.into())),
            dir.open_to_write(name).map(File::simulated))
    }

    /// What lies there under this name; a link is one.
    pub(crate) fn metadata(&self, name: &OsStr) -> Result<Metadata, Errno> {
        on!(&self.0, dir => rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(Metadata::from), dir.metadata(name))
    }

    /// The names in it, without `.` and `..`.
    pub(crate) fn names(&self) -> Result<Names, Errno> {
        on!(&self.0, dir => rustix::fs::Dir::read_from(dir).map(|dir| Names(Listing::Real(dir))),
            dir.names().map(|names| Names(Listing::Simulated(names.into_iter()))))
    }

    /// Takes the name of what is no folder away; `EISDIR` where it is one.
    pub(crate) fn remove_file(&self, name: &OsStr) -> Result<(), Errno> {
        on!(&self.0, dir => rustix::fs::unlinkat(dir, name, AtFlags::empty()), dir.remove(name, Kind::File))
    }

    /// Removes an empty folder.
    pub(crate) fn remove_dir(&self, name: &OsStr) -> Result<(), Errno> {
        on!(&self.0, dir => rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR), dir.remove(name, Kind::Dir))
    }

    /// Holds others off who lock it too, until it is dropped; `EWOULDBLOCK` where somebody holds it.
    pub(crate) fn try_lock(&self) -> Result<(), Errno> {
        on!(&self.0, dir => rustix::fs::flock(dir, FlockOperation::NonBlockingLockExclusive), dir.try_lock())
    }

    /// The names in it are on the disk when this returns.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        on!(&self.0, dir => rustix::fs::fsync(dir), dir.sync())
    }
}

impl Iterator for Names {
    type Item = Result<OsString, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        let listing = match &mut self.0 {
            Listing::Real(listing) => listing,
            #[cfg(feature = "sim")]
            Listing::Simulated(names) => return names.next().map(Ok),
        };
        loop {
            let name = match listing.next()? {
                Err(error) => return Some(Err(error)),
                Ok(entry) => entry.file_name().to_bytes().to_vec(),
            };
            if name != b"." && name != b".." {
                return Some(Ok(OsString::from_vec(name)));
            }
        }
    }
}
