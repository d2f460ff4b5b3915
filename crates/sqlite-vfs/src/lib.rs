//! SQLite on files that Rust code provides: a simulated disk runs the ledger's real SQLite, write-ahead log included.
//! A crate of its own because SQLite's interface needs `unsafe`, which tallybox forbids itself. `sqlite-plugin`, which
//! wraps the same interface, needs libclang to be built; `sqlite-vfs` of crates.io knows no shared memory.
//!
//! Locks and the shared memory of the write-ahead log live in this process: connections to one file exclude each other
//! as processes do.

mod locks;
mod raw;

use std::io;
use std::path::Path;

pub use raw::register;

/// A disk, of which a thread may have one of its own.
pub trait Disk: Send + Sync {
    /// Opens a file, which is made where `create` says so.
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;

    /// Takes a file's name away; with `sync_dir` that is on the disk when it returns.
    fn delete(&self, path: &Path, sync_dir: bool) -> io::Result<()>;

    /// Whether there is a file of this name.
    fn exists(&self, path: &Path) -> bool;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send {
    /// Which file it is: the same for each opening of one file, another one for every other file and disk.
    fn id(&self) -> (u64, u64);

    /// Reads at a position; fewer bytes than asked for only at the file's end.
    fn read_at(&mut self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at a position.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts the file.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Content and length are on the disk when it returns.
    fn sync(&mut self) -> io::Result<()>;

    /// The name of the file is on the disk when it returns.
    fn sync_dir(&mut self) -> io::Result<()>;

    /// Length in bytes.
    fn len(&mut self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&mut self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
}

#[cfg(test)]
mod tests;
