//! An open file.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use super::Metadata;

/// An open file. A write is on the disk once a sync after it has returned.
#[derive(Debug)]
pub(crate) struct File(std::fs::File);

impl File {
    pub(super) fn of(file: std::fs::File) -> Self {
        Self(file)
    }

    /// Opens a file to read it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::File::open(path).map(Self)
    }

    /// The same for a place where somebody else writes: no link is followed, and no pipe waited for.
    pub(crate) fn open_untrusted(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)?).open(path).map(Self)
    }

    /// Makes a file that is not there yet, with `mode` less the umask.
    pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<Self> {
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map(Self)
    }

    /// Makes a file, or empties the one that is there.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path).map(Self)
    }

    /// Opens a file to read it and to write at its end; makes it where there is none. No link is followed.
    pub(crate) fn append(path: &Path, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(mode).custom_flags(flags(OFlags::NOFOLLOW)?);
        options.open(path).map(Self)
    }

    /// Writes all of `bytes`.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    /// Cuts the file, or fills it up with zeros.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    /// Sets blocks of the disk aside for the first `len` bytes, which are zeros then; `EOPNOTSUPP`: this file system
    /// cannot.
    pub(crate) fn allocate(&self, len: u64) -> Result<(), Errno> {
        rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len)
    }

    /// Content and length are on the disk when this returns.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// The same without what only says when the file was written.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata().map(Metadata::from)
    }

    /// Gives it these owners and permission bits.
    pub(crate) fn set_rights(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        std::os::unix::fs::fchown(&self.0, Some(uid), Some(gid))?;
        self.0.set_permissions(Permissions::from_mode(mode))
    }

    /// Holds others off who lock it too, until it is dropped; an error where somebody holds it.
    pub(crate) fn try_lock(&self) -> io::Result<()> {
        self.0.try_lock().map_err(io::Error::from)
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

fn flags(flags: OFlags) -> io::Result<i32> {
    i32::try_from(flags.bits()).map_err(io::Error::other)
}
