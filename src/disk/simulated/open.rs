//! Open files and folders of a simulated disk.

use std::ffi::{OsStr, OsString};
use std::io::SeekFrom;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use super::super::{Kind, Metadata};
use super::tree::{Data, Node, Tree};
use super::{SimulatedDisk, set_rights, shown};

/// An open file.
#[derive(Debug)]
pub(in crate::disk) struct OpenFile {
    pub(super) disk: SimulatedDisk,
    pub(super) number: u64,
    /// Where the next read or write begins.
    at: AtomicU64,
    appends: bool,
    lock: Lock,
}

/// A lock on a file or folder, given back when it is dropped.
#[derive(Debug)]
struct Lock {
    disk: SimulatedDisk,
    number: u64,
    is_held: AtomicBool,
}

impl Lock {
    fn of(disk: &SimulatedDisk, number: u64) -> Self {
        Self { disk: disk.clone(), number, is_held: AtomicBool::new(false) }
    }

    fn try_take(&self) -> Result<(), Errno> {
        if !self.is_held.load(Ordering::Relaxed) && !self.disk.lock(self.number) {
            return Err(Errno::WOULDBLOCK);
        }
        self.is_held.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if *self.is_held.get_mut() {
            self.disk.unlock(self.number);
        }
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::disk) enum Mode {
    /// It has to be there.
    Existing,
    /// It must not be there.
    New(u32),
    /// It is made, or emptied.
    Empty(u32),
    /// It is made where it is not there; written at its end.
    Append(u32),
}

/// An open folder.
#[derive(Debug)]
pub(in crate::disk) struct OpenDir {
    disk: SimulatedDisk,
    number: u64,
    lock: Lock,
}

impl SimulatedDisk {
    pub(in crate::disk) fn open(&self, path: &Path, mode: Mode) -> Result<OpenFile, Errno> {
        let found = self.look(|tree| Ok(tree.find(path)))?;
        let new = |permissions: u32| {
            let make = |tree: &mut Tree| {
                let (dir, name) = tree.place(path)?;
                tree.make(dir, name, Node::File(Data::default()), permissions)
            };
            self.change(|_| shown("create", path), make)
        };
        let number = match (mode, found) {
            (Mode::Existing, found) => found?,
            (Mode::New(_), Ok(_)) => return Err(Errno::EXIST),
            (Mode::New(mode) | Mode::Empty(mode) | Mode::Append(mode), Err(Errno::NOENT)) => new(mode)?,
            (Mode::Empty(_), Ok(number)) => {
                self.change(|_| shown("empty", path), |tree| tree.set_len(number, 0))?;
                number
            }
            (Mode::Append(_), Ok(number)) => number,
            (Mode::New(_) | Mode::Empty(_) | Mode::Append(_), Err(error)) => return Err(error),
        };
        Ok(self.opened(number, matches!(mode, Mode::Append(_))))
    }

    pub(super) fn opened(&self, number: u64, appends: bool) -> OpenFile {
        OpenFile { disk: self.clone(), number, at: AtomicU64::new(0), appends, lock: Lock::of(self, number) }
    }

    pub(in crate::disk) fn open_dir(&self, path: &Path) -> Result<OpenDir, Errno> {
        Ok(self.opened_dir(self.look(|tree| tree.find(path))?))
    }

    fn opened_dir(&self, number: u64) -> OpenDir {
        OpenDir { disk: self.clone(), number, lock: Lock::of(self, number) }
    }
}

/// A file's name for a trace, by its number.
fn named(tree: &Tree, verb: &str, number: u64) -> String {
    let names = tree.inodes.values().filter_map(|inode| match &inode.node {
        Node::Dir(entries) => entries.now.iter().find(|(_, found)| **found == number).map(|(name, _)| name),
        Node::File(_) => None,
    });
    format!("{verb} {}", names.map(|name| name.to_string_lossy()).next().unwrap_or("a file without a name".into()))
}

impl OpenFile {
    pub(in crate::disk) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let length = self.read_at(into, self.at.load(Ordering::Relaxed))?;
        self.at.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }

    pub(super) fn read_at(&self, into: &mut [u8], at: u64) -> Result<usize, Errno> {
        self.disk.look(|tree| tree.read_at(self.number, into, at))
    }

    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), Errno> {
        let name = |tree: &Tree| named(tree, &format!("write {} bytes at {at} of", bytes.len()), self.number);
        self.disk.change(name, |tree| tree.write_at(self.number, bytes, at))
    }

    pub(in crate::disk) fn write_all(&self, bytes: &[u8]) -> Result<(), Errno> {
        let at = if self.appends { self.len()? } else { self.at.load(Ordering::Relaxed) };
        self.write_at(bytes, at)?;
        self.at.store(at + bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    pub(in crate::disk) fn seek(&self, to: SeekFrom) -> Result<u64, Errno> {
        let from = |base: u64, by: i64| base.checked_add_signed(by).ok_or(Errno::INVAL);
        let at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => from(self.len()?, by)?,
            SeekFrom::Current(by) => from(self.at.load(Ordering::Relaxed), by)?,
        };
        self.at.store(at, Ordering::Relaxed);
        Ok(at)
    }

    pub(super) fn len(&self) -> Result<u64, Errno> {
        self.disk.look(|tree| tree.len(self.number))
    }

    pub(in crate::disk) fn set_len(&self, len: u64) -> Result<(), Errno> {
        let name = |tree: &Tree| named(tree, &format!("set the length {len} of"), self.number);
        self.disk.change(name, |tree| tree.set_len(self.number, len))
    }

    pub(in crate::disk) fn allocate(&self, len: u64) -> Result<(), Errno> {
        self.set_len(len.max(self.len()?))
    }

    pub(in crate::disk) fn sync(&self) -> Result<(), Errno> {
        self.disk.change(|tree| named(tree, "sync", self.number), |tree| tree.sync_file(self.number))
    }

    pub(in crate::disk) fn metadata(&self) -> Result<Metadata, Errno> {
        self.disk.look(|tree| tree.metadata(self.number))
    }

    pub(in crate::disk) fn set_rights(&self, owner: (u32, u32), mode: u32) -> Result<(), Errno> {
        self.disk.look(|tree| set_rights(tree, self.number, Some(owner), Some(mode)))
    }

    pub(in crate::disk) fn try_lock(&self) -> Result<(), Errno> {
        self.lock.try_take()
    }
}

impl OpenDir {
    pub(in crate::disk) fn open_dir(&self, name: &OsStr) -> Result<Self, Errno> {
        let found = |tree: &mut Tree| {
            let number = tree.entry(self.number, name)?;
            tree.entries(number).map(|_| number)
        };
        Ok(self.disk.opened_dir(self.disk.look(found)?))
    }

    pub(in crate::disk) fn open_to_write(&self, name: &OsStr) -> Result<OpenFile, Errno> {
        let found = |tree: &mut Tree| {
            let number = tree.entry(self.number, name)?;
            if tree.metadata(number)?.kind == Kind::Dir { Err(Errno::ISDIR) } else { Ok(number) }
        };
        Ok(self.disk.opened(self.disk.look(found)?, false))
    }

    pub(in crate::disk) fn metadata(&self, name: &OsStr) -> Result<Metadata, Errno> {
        self.disk.look(|tree| tree.metadata(tree.entry(self.number, name)?))
    }

    pub(in crate::disk) fn names(&self) -> Result<Vec<OsString>, Errno> {
        self.disk.look(|tree| Ok(tree.entries(self.number)?.now.keys().cloned().collect()))
    }

    pub(in crate::disk) fn remove(&self, name: &OsStr, of: Kind) -> Result<(), Errno> {
        self.disk.change(|_| shown("remove", Path::new(name)), |tree| tree.remove(self.number, name, of))
    }

    pub(in crate::disk) fn try_lock(&self) -> Result<(), Errno> {
        self.lock.try_take()
    }

    pub(in crate::disk) fn sync(&self) -> Result<(), Errno> {
        self.disk.change(|tree| named(tree, "sync the folder", self.number), |tree| tree.sync_dir(self.number))
    }
}
