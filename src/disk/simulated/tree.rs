//! Files and folders in memory: as they are, and as a power cut would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use rustix::io::Errno;

use super::super::{Kind, Metadata};

/// The root folder's number.
const ROOT: u64 = 1;
/// What a process may not set when it makes a file.
const UMASK: u32 = 0o022;

/// What a file has in it. Bytes that were never written are zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Vec<u8>,
    len: u64,
}

/// A change of a file that no sync has confirmed yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Length(u64),
}

/// A change of names: each is one of a folder, and what it stands for from now on. All of it happens, or nothing.
#[derive(Clone, Debug)]
pub(super) struct NameChange(pub(super) Vec<(u64, OsString, Option<u64>)>);

#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    now: Content,
    pub(super) durable: Content,
    pub(super) pending: Vec<Change>,
    /// Changes so far.
    changes: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) now: BTreeMap<OsString, u64>,
    pub(super) durable: BTreeMap<OsString, u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Data),
    Dir(Entries),
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) node: Node,
}

/// All of a disk.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Which disk it is.
    pub(super) device: u64,
    pub(super) inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// What no sync has confirmed yet, in order.
    pub(super) names: Vec<NameChange>,
    /// Bytes that fit.
    pub(super) capacity: u64,
}

pub(super) fn size(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl Content {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { at, bytes } => {
                let (from, to) = (size(*at), size(*at) + bytes.len());
                if self.bytes.len() < to {
                    self.bytes.resize(to, 0);
                }
                self.bytes[from..to].copy_from_slice(bytes);
                self.len = self.len.max(to as u64);
            }
            Change::Length(len) => {
                self.bytes.truncate(size(*len));
                self.len = *len;
            }
        }
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> usize {
        let length = into.len().min(size(self.len.saturating_sub(at)));
        let (from, into) = (size(at).min(self.bytes.len()), &mut into[..length]);
        let known = length.min(self.bytes.len() - from);
        into[..known].copy_from_slice(&self.bytes[from..from + known]);
        into[known..].fill(0);
        length
    }
}

impl Data {
    fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.pending.push(change);
        self.changes += 1;
    }

    /// What survives with these changes.
    pub(super) fn settled(durable: Content) -> Self {
        Self { now: durable.clone(), durable, pending: Vec::new(), changes: 0 }
    }
}

impl Tree {
    /// An empty one.
    pub(super) fn new(device: u64, capacity: u64) -> Self {
        let root = Inode { mode: 0o755, owner: (0, 0), node: Node::Dir(Entries::default()) };
        Self { device, inodes: [(ROOT, root)].into(), next: ROOT + 1, names: Vec::new(), capacity }
    }

    pub(super) fn find(&self, path: &Path) -> Result<u64, Errno> {
        let mut found = ROOT;
        for part in path.components() {
            match part {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => found = self.entry(found, name)?,
                Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL),
            }
        }
        Ok(found)
    }

    /// The folder that a path's last name is in, and that name.
    pub(super) fn place(&self, path: &Path) -> Result<(u64, OsString), Errno> {
        let name = path.file_name().ok_or(Errno::ISDIR)?;
        Ok((self.find(path.parent().unwrap_or(Path::new("/")))?, name.to_owned()))
    }

    pub(super) fn entry(&self, dir: u64, name: &OsStr) -> Result<u64, Errno> {
        self.entries(dir)?.now.get(name).copied().ok_or(Errno::NOENT)
    }

    pub(super) fn entries(&self, dir: u64) -> Result<&Entries, Errno> {
        match self.inodes.get(&dir).map(|inode| &inode.node) {
            Some(Node::Dir(entries)) => Ok(entries),
            Some(Node::File(_)) => Err(Errno::NOTDIR),
            None => Err(Errno::NOENT),
        }
    }

    fn data(&mut self, file: u64) -> Result<&mut Data, Errno> {
        match self.inodes.get_mut(&file).map(|inode| &mut inode.node) {
            Some(Node::File(data)) => Ok(data),
            Some(Node::Dir(_)) => Err(Errno::ISDIR),
            None => Err(Errno::NOENT),
        }
    }

    pub(super) fn metadata(&self, number: u64) -> Result<Metadata, Errno> {
        let inode = self.inodes.get(&number).ok_or(Errno::NOENT)?;
        let (kind, len) = match &inode.node {
            Node::File(data) => (Kind::File, data.now.len),
            Node::Dir(_) => (Kind::Dir, 0),
        };
        let links = self.named().filter(|named| *named == number).count() as u64;
        let (uid, gid) = inode.owner;
        Ok(Metadata { kind, len, mode: inode.mode, uid, gid, links, id: (self.device, number) })
    }

    /// Tells contents apart: the file's number and how often it was changed. Each new file has a higher number.
    pub(super) fn version(&self, number: u64) -> Result<(u64, u64), Errno> {
        match self.inodes.get(&number).map(|inode| &inode.node) {
            Some(Node::File(data)) => Ok((number, data.changes)),
            Some(Node::Dir(_)) => Ok((number, 0)),
            None => Err(Errno::NOENT),
        }
    }

    fn named(&self) -> impl Iterator<Item = u64> {
        self.inodes.values().flat_map(|inode| match &inode.node {
            Node::Dir(entries) => entries.now.values().copied().collect(),
            Node::File(_) => Vec::new(),
        })
    }

    /// Bytes that still fit.
    pub(super) fn free(&self) -> u64 {
        let named: BTreeSet<u64> = self.named().collect();
        let used = named.iter().map(|number| match self.inodes.get(number).map(|inode| &inode.node) {
            Some(Node::File(data)) => data.now.len,
            Some(Node::Dir(_)) | None => 0,
        });
        let used = used.sum();
        self.capacity.saturating_sub(used)
    }

    pub(super) fn make(&mut self, dir: u64, name: OsString, node: Node, mode: u32) -> Result<u64, Errno> {
        if self.entries(dir)?.now.contains_key(&name) {
            return Err(Errno::EXIST);
        }
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, Inode { mode: mode & !UMASK, owner: (0, 0), node });
        self.rename_all(vec![(dir, name, Some(number))]);
        Ok(number)
    }

    /// Changes names, which have to be of folders.
    fn rename_all(&mut self, changes: Vec<(u64, OsString, Option<u64>)>) {
        for (dir, name, to) in &changes {
            let Some(Inode { node: Node::Dir(entries), .. }) = self.inodes.get_mut(dir) else { continue };
            match to {
                Some(number) => drop(entries.now.insert(name.clone(), *number)),
                None => drop(entries.now.remove(name)),
            }
        }
        self.names.push(NameChange(changes));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Errno> {
        let ((from_dir, from), (to_dir, to)) = (self.place(from)?, self.place(to)?);
        let number = self.entry(from_dir, &from)?;
        if let Ok(former) = self.entry(to_dir, &to) {
            match (self.metadata(former)?.kind, self.metadata(number)?.kind) {
                (Kind::Dir, Kind::Dir) if !self.entries(former)?.now.is_empty() => return Err(Errno::NOTEMPTY),
                (Kind::Dir, Kind::File) => return Err(Errno::ISDIR),
                (Kind::File, Kind::Dir) => return Err(Errno::NOTDIR),
                _ => {}
            }
        }
        self.rename_all(vec![(from_dir, from, None), (to_dir, to, Some(number))]);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> Result<(), Errno> {
        let number = self.find(from)?;
        let (dir, name) = self.place(to)?;
        if self.entry(dir, &name).is_ok() {
            return Err(Errno::EXIST);
        }
        self.rename_all(vec![(dir, name, Some(number))]);
        Ok(())
    }

    /// Takes a name away; `of` says of what it has to be.
    pub(super) fn remove(&mut self, dir: u64, name: &OsStr, of: Kind) -> Result<(), Errno> {
        let number = self.entry(dir, name)?;
        match (self.metadata(number)?.kind == Kind::Dir, of == Kind::Dir) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) if !self.entries(number)?.now.is_empty() => return Err(Errno::NOTEMPTY),
            (true, true) | (false, false) => {}
        }
        self.rename_all(vec![(dir, name.to_owned(), None)]);
        Ok(())
    }

    pub(super) fn read_at(&mut self, file: u64, into: &mut [u8], at: u64) -> Result<usize, Errno> {
        Ok(self.data(file)?.now.read_at(into, at))
    }

    pub(super) fn write_at(&mut self, file: u64, bytes: &[u8], at: u64) -> Result<(), Errno> {
        self.grow(file, at + bytes.len() as u64)?;
        self.data(file)?.change(Change::Write { at, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(super) fn set_len(&mut self, file: u64, len: u64) -> Result<(), Errno> {
        self.grow(file, len)?;
        self.data(file)?.change(Change::Length(len));
        Ok(())
    }

    fn grow(&mut self, file: u64, len: u64) -> Result<(), Errno> {
        let known = self.data(file)?.now.len;
        if len > known && len - known > self.free() { Err(Errno::NOSPC) } else { Ok(()) }
    }

    pub(super) fn len(&mut self, file: u64) -> Result<u64, Errno> {
        Ok(self.data(file)?.now.len)
    }

    /// What was written to the file is durable.
    pub(super) fn sync_file(&mut self, file: u64) -> Result<(), Errno> {
        let data = self.data(file)?;
        for change in std::mem::take(&mut data.pending) {
            data.durable.apply(&change);
        }
        Ok(())
    }

    /// The names in the folder are durable.
    pub(super) fn sync_dir(&mut self, dir: u64) -> Result<(), Errno> {
        self.entries(dir)?;
        let is_here = |change: &NameChange| change.0.iter().any(|(of, ..)| *of == dir);
        let (durable, pending) = std::mem::take(&mut self.names).into_iter().partition(is_here);
        self.names = pending;
        let durable: Vec<NameChange> = durable;
        self.settle(&durable);
        Ok(())
    }

    /// These changes of names survive.
    pub(super) fn settle(&mut self, changes: &[NameChange]) {
        for (dir, name, to) in changes.iter().flat_map(|change| &change.0) {
            let Some(Inode { node: Node::Dir(entries), .. }) = self.inodes.get_mut(dir) else { continue };
            match to {
                Some(number) => drop(entries.durable.insert(name.clone(), *number)),
                None => drop(entries.durable.remove(name)),
            }
        }
    }

    /// All that can be reached from the root.
    pub(super) fn reachable(&self) -> BTreeSet<u64> {
        let (mut reached, mut pending) = (BTreeSet::new(), vec![ROOT]);
        while let Some(number) = pending.pop() {
            if reached.insert(number) {
                pending.extend(self.entries(number).into_iter().flat_map(|entries| entries.now.values().copied()));
            }
        }
        reached
    }
}
