//! The disk: every operation on files below `data-dir`, and on the configuration that commands write, goes through
//! here. What the kernel and the package provide (`/proc`, `/sys`, `/usr`) and what lives in memory (`runtime-dir`) is
//! read and written where it is used.

mod dir;
mod file;
#[cfg(feature = "sim")]
pub mod simulated;

use std::ffi::OsString;
use std::io;
#[cfg(feature = "sim")]
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

#[cfg(feature = "box")]
use rusqlite::{Connection, OpenFlags};
use rustix::fs::FileType;

pub(crate) use dir::Dir;
pub(crate) use file::File;

/// Hands an operation to this thread's simulated disk, if it has one.
macro_rules! simulate {
    ($disk:ident => $operation:expr) => {
        #[cfg(feature = "sim")]
        if let Some($disk) = crate::disk::simulated::installed() {
            return Ok($operation?);
        }
    };
}
use simulate;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, where it is not followed.
    Link,
    /// A socket, a pipe, a device.
    Other,
}

/// What the disk knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) kind: Kind,
    /// Length in bytes.
    pub(crate) len: u64,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// How many names it has.
    pub(crate) links: u64,
    /// Device and inode: which file it is.
    pub(crate) id: (u64, u64),
}

impl Metadata {
    pub(crate) fn is_file(&self) -> bool {
        self.kind == Kind::File
    }
}

impl From<std::fs::Metadata> for Metadata {
    fn from(data: std::fs::Metadata) -> Self {
        let kind = match data.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Dir,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        let (mode, links, id) = (data.mode() & 0o7777, data.nlink(), (data.dev(), data.ino()));
        Self { kind, len: data.len(), mode, uid: data.uid(), gid: data.gid(), links, id }
    }
}

impl From<rustix::fs::Stat> for Metadata {
    fn from(data: rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(data.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        let (mode, len) = (data.st_mode & 0o7777, u64::try_from(data.st_size).unwrap_or(0));
        // The widths of these differ between machines.
        #[allow(clippy::useless_conversion)]
        let (links, id) = (data.st_nlink.into(), (data.st_dev, data.st_ino));
        Self { kind, len, mode, uid: data.st_uid, gid: data.st_gid, links, id }
    }
}

/// The content of a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(feature = "sim")]
    if simulated::installed().is_some() {
        let mut content = Vec::new();
        File::open(path)?.read_to_end(&mut content)?;
        return Ok(content);
    }
    std::fs::read(path)
}

/// The content of a file, which is text.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
}

/// What `path` leads to, links followed.
pub(crate) fn metadata(path: &Path) -> io::Result<Metadata> {
    simulate!(disk => disk.metadata(path));
    std::fs::metadata(path).map(Metadata::from)
}

/// What lies at `path`; a link is one.
pub(crate) fn symlink_metadata(path: &Path) -> io::Result<Metadata> {
    simulate!(disk => disk.metadata(path));
    std::fs::symlink_metadata(path).map(Metadata::from)
}

/// When the content of what `path` leads to was changed last.
pub(crate) fn modified(path: &Path) -> io::Result<SystemTime> {
    simulate!(disk => disk.modified(path));
    std::fs::metadata(path)?.modified()
}

/// Whether `path` leads to something.
pub(crate) fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// Whether `path` leads to a folder.
pub(crate) fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.kind == Kind::Dir)
}

/// The names in a folder.
pub(crate) fn names(path: &Path) -> io::Result<Vec<OsString>> {
    simulate!(disk => disk.names(path));
    std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Makes a folder, with `mode` less the umask.
pub(crate) fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    simulate!(disk => disk.create_dir(path, mode));
    std::fs::DirBuilder::new().mode(mode).create(path)
}

/// Gives what `path` leads to these owners and permission bits.
pub(crate) fn set_rights(path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    #[cfg(feature = "sim")]
    if let Some(disk) = simulated::installed() {
        disk.set_owner(path, (uid, gid))?;
        return set_mode(path, mode);
    }
    std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    set_mode(path, mode)
}

/// Gives what `path` leads to these permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    simulate!(disk => disk.set_mode(path, mode));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Gives a file another name, in place of what has that name.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    simulate!(disk => disk.rename(from, to));
    std::fs::rename(from, to)
}

/// Gives a file a second name, which nothing has yet.
pub(crate) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    simulate!(disk => disk.hard_link(from, to));
    std::fs::hard_link(from, to)
}

/// Takes a file's name away.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    simulate!(disk => disk.remove_file(path));
    std::fs::remove_file(path)
}

/// Bytes that a user who is not root may still write to the disk of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    simulate!(disk => disk.free_bytes());
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Opens a database of SQLite's.
#[cfg(feature = "box")]
pub(crate) fn open_database(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    #[cfg(feature = "sim")]
    if simulated::installed().is_some() {
        return Connection::open_with_flags_and_vfs(path, flags, simulated::vfs());
    }
    Connection::open_with_flags(path, flags)
}
