//! An open file.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use super::Metadata;
use super::simulate;
#[cfg(feature = "sim")]
use super::simulated::{Mode, OpenFile};

/// An open file. A write is on the disk once a sync after it has returned.
#[derive(Debug)]
pub(crate) struct File(Inner);

#[derive(Debug)]
enum Inner {
    Real(std::fs::File),
    #[cfg(feature = "sim")]
    Simulated(OpenFile),
}

/// One operation on whichever file it is.
macro_rules! on {
    ($file:expr, $inner:ident => $real:expr, $simulated:expr) => {
        match $file {
            Inner::Real($inner) => $real,
            #[cfg(feature = "sim")]
            Inner::Simulated($inner) => Ok($simulated?),
        }
    };
}

impl File {
    pub(super) fn of(file: std::fs::File) -> Self {
        Self(Inner::Real(file))
    }

    #[cfg(feature = "sim")]
    pub(super) fn simulated(file: OpenFile) -> Self {
        Self(Inner::Simulated(file))
    }

    /// Opens a file to read it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        simulate!(disk => disk.open(path, Mode::Existing).map(Self::simulated));
        std::fs::File::open(path).map(Self::of)
    }

    /// The same for a place where somebody else writes: no link is followed, and no pipe waited for.
    pub(crate) fn open_untrusted(path: &Path) -> io::Result<Self> {
        simulate!(disk => disk.open(path, Mode::Existing).map(Self::simulated));
        OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)?).open(path).map(Self::of)
    }

    /// Makes a file that is not there yet, with `mode` less the umask.
    pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<Self> {
        simulate!(disk => disk.open(path, Mode::New(mode)).map(Self::simulated));
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map(Self::of)
    }

    /// Makes a file, or empties the one that is there.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        simulate!(disk => disk.open(path, Mode::Empty(mode)).map(Self::simulated));
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path).map(Self::of)
    }

    /// Opens a file to read it and to write at its end; makes it where there is none. No link is followed.
    pub(crate) fn append(path: &Path, mode: u32) -> io::Result<Self> {
        simulate!(disk => disk.open(path, Mode::Append(mode)).map(Self::simulated));
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(mode).custom_flags(flags(OFlags::NOFOLLOW)?);
        options.open(path).map(Self::of)
    }

    /// Writes all of `bytes`.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        on!(&self.0, file => (&mut &*file).write_all(bytes), file.write_all(bytes))
    }

    /// Cuts the file, or fills it up with zeros.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        on!(&self.0, file => file.set_len(len), file.set_len(len))
    }

    /// Sets blocks of the disk aside for the first `len` bytes, which are zeros then; `EOPNOTSUPP`: this file system
    /// cannot.
    pub(crate) fn allocate(&self, len: u64) -> Result<(), Errno> {
        on!(&self.0, file => rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len), file.allocate(len))
    }

    /// Content and length are on the disk when this returns.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        on!(&self.0, file => file.sync_all(), file.sync())
    }

    /// The same without what only says when the file was written.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        on!(&self.0, file => file.sync_data(), file.sync())
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        on!(&self.0, file => file.metadata().map(Metadata::from), file.metadata())
    }

    /// Gives it these owners and permission bits.
    pub(crate) fn set_rights(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        let real = |file: &std::fs::File| {
            std::os::unix::fs::fchown(file, Some(uid), Some(gid))?;
            file.set_permissions(Permissions::from_mode(mode))
        };
        on!(&self.0, file => real(file), file.set_rights((uid, gid), mode))
    }

    /// Holds others off who lock it too, until it is dropped; an error where somebody holds it.
    pub(crate) fn try_lock(&self) -> io::Result<()> {
        on!(&self.0, file => file.try_lock().map_err(io::Error::from), file.try_lock())
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        on!(&mut self.0, file => file.read(into), file.read(into))
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        on!(&mut self.0, file => file.write(bytes), file.write_all(bytes).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        on!(&mut self.0, file => file.flush(), file.metadata().map(drop))
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        on!(&mut self.0, file => file.seek(to), file.seek(to))
    }
}

fn flags(flags: OFlags) -> io::Result<i32> {
    i32::try_from(flags.bits()).map_err(io::Error::other)
}
