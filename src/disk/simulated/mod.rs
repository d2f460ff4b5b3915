//! A disk in memory, which a thread has in the place of the machine's: it forgets at a power cut what no sync has
//! confirmed, and is full, faulty or slow when it is told to. Each change is numbered, so that a test can cut the power
//! at every one of them.

mod loss;
mod open;
#[cfg(test)]
pub(crate) mod power;
mod sqlite;
mod tree;

use std::cell::RefCell;
use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

pub use loss::Loss;
pub(super) use open::{Mode, OpenDir, OpenFile};
pub(super) use sqlite::vfs;

use super::{Kind, Metadata};
use crate::sync::unpoisoned;
use tree::{Entries, Node, Tree};

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The disk answers again.
    answers: Condvar,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    /// Files that somebody has locked.
    locked: Vec<u64>,
    /// Changes so far, those included that failed.
    changes: u64,
    cut_before: Option<u64>,
    /// Where the power was cut.
    cut_at: Option<String>,
    failing: Option<(Range<u64>, Errno)>,
    hangs: bool,
}

/// The disk counts in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed(Option<SimulatedDisk>);

thread_local! {
    static DISK: RefCell<Option<SimulatedDisk>> = const { RefCell::new(None) };
}

impl Drop for Installed {
    fn drop(&mut self) {
        DISK.with_borrow_mut(|disk| *disk = self.0.take());
    }
}

/// Each disk has another number, also the same one after a power cut.
fn next_device() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Nothing of this thread's gets to its disk any more: its process was killed.
pub(crate) fn kill() {
    let dead = SimulatedDisk::new(0);
    dead.cut();
    DISK.set(Some(dead));
}

/// This thread's; `None`: it has the machine's.
pub(crate) fn installed() -> Option<SimulatedDisk> {
    DISK.with_borrow(Clone::clone)
}

impl SimulatedDisk {
    /// An empty one, for so many bytes.
    pub fn new(capacity: u64) -> Self {
        Self::of(Tree::new(next_device(), capacity))
    }

    fn of(tree: Tree) -> Self {
        let state =
            State { tree, locked: Vec::new(), changes: 0, cut_before: None, cut_at: None, failing: None, hangs: false };
        Self(Arc::new(Shared { state: Mutex::new(state), answers: Condvar::new() }))
    }

    /// Puts it in the place of this thread's disk.
    pub fn install(&self) -> Installed {
        Installed(DISK.with_borrow_mut(|disk| disk.replace(self.clone())))
    }

    /// Changes so far: writes, syncs, names. Reading is none.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// The power is cut in front of this change, counted from 0: nothing works from then on.
    pub fn cut_before(&self, change: u64) {
        self.state().cut_before = Some(change);
    }

    /// The power is cut now.
    pub fn cut(&self) {
        self.state().cut_at.get_or_insert_with(|| "after all".to_owned());
    }

    /// Whether the power was cut, and in front of what.
    pub fn cut_at(&self) -> Option<String> {
        self.state().cut_at.clone()
    }

    /// What is there when the power is back.
    #[must_use]
    pub fn after_cut(&self, loss: Loss) -> Self {
        Self::of(self.state().tree.after_cut(loss, next_device()))
    }

    /// These changes, counted from 0, fail, and change nothing; `None`: none fails any more.
    pub fn fail(&self, failing: Option<(Range<u64>, Errno)>) {
        self.state().failing = failing;
    }

    /// What `look` finds while no change fails that [`SimulatedDisk::fail`] names. For whoever judges what is on the
    /// disk: opening a database changes it, and a judge neither meets the failures nor uses them up.
    pub fn without_failures<T>(&self, look: impl FnOnce() -> T) -> T {
        let (before, failing) = {
            let mut state = self.state();
            (state.changes, state.failing.take())
        };
        let found = look();
        let mut state = self.state();
        let made = state.changes - before;
        state.failing = failing.map(|(changes, error)| (changes.start + made..changes.end + made, error));
        found
    }

    /// Bytes that fit from now on. What is there stays.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().tree.capacity = bytes;
    }

    /// Whether it leaves all waiting who use it. A simulation in one thread asks first: nobody would wake it.
    pub fn set_hanging(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.0.answers.notify_all();
    }

    /// Whether it leaves all waiting who use it.
    pub fn is_hanging(&self) -> bool {
        self.state().hangs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.0.state.lock())
    }

    fn answering(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let state = unpoisoned(self.0.answers.wait_while(self.state(), |state| state.hangs && state.cut_at.is_none()));
        if state.cut_at.is_some() { Err(Errno::IO) } else { Ok(state) }
    }

    fn look<T>(&self, how: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        how(&mut self.answering()?.tree)
    }

    /// One change, which `what` names.
    fn change<T>(
        &self,
        what: impl FnOnce(&Tree) -> String,
        how: impl FnOnce(&mut Tree) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut state = self.answering()?;
        let number = state.changes;
        if state.cut_before == Some(number) {
            state.cut_at = Some(what(&state.tree));
            return Err(Errno::IO);
        }
        state.changes += 1;
        match &state.failing {
            Some((changes, error)) if changes.contains(&number) => Err(*error),
            Some(_) | None => how(&mut state.tree),
        }
    }

    /// Locks a file for whoever asks; `false`: somebody has it.
    fn lock(&self, number: u64) -> bool {
        let mut state = self.state();
        let is_free = !state.locked.contains(&number);
        if is_free {
            state.locked.push(number);
        }
        is_free
    }

    fn unlock(&self, number: u64) {
        self.state().locked.retain(|locked| *locked != number);
    }
}

fn shown(verb: &str, path: &Path) -> String {
    format!("{verb} {}", path.display())
}

/// The operations of [`super`], on this disk.
impl SimulatedDisk {
    pub(super) fn metadata(&self, path: &Path) -> Result<Metadata, Errno> {
        self.look(|tree| tree.metadata(tree.find(path)?))
    }

    /// No time, but another one after each change.
    pub(super) fn modified(&self, path: &Path) -> Result<SystemTime, Errno> {
        let (number, changes) = self.look(|tree| tree.version(tree.find(path)?))?;
        Ok(SystemTime::UNIX_EPOCH + Duration::new(number, u32::try_from(changes).unwrap_or(0) % 1_000_000_000))
    }

    pub(super) fn names(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        self.look(|tree| Ok(tree.entries(tree.find(path)?)?.now.keys().cloned().collect()))
    }

    pub(super) fn create_dir(&self, path: &Path, mode: u32) -> Result<(), Errno> {
        let new = |tree: &mut Tree| {
            let (dir, name) = tree.place(path)?;
            tree.make(dir, name, Node::Dir(Entries::default()), mode)
        };
        self.change(|_| shown("mkdir", path), new).map(drop)
    }

    pub(super) fn set_owner(&self, path: &Path, owner: (u32, u32)) -> Result<(), Errno> {
        self.look(|tree| set_rights(tree, tree.find(path)?, Some(owner), None))
    }

    pub(super) fn set_mode(&self, path: &Path, mode: u32) -> Result<(), Errno> {
        self.look(|tree| set_rights(tree, tree.find(path)?, None, Some(mode)))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        self.change(|_| shown("rename to", to), |tree| tree.rename(from, to))
    }

    pub(super) fn hard_link(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        self.change(|_| shown("link to", to), |tree| tree.link(from, to))
    }

    pub(super) fn remove_file(&self, path: &Path) -> Result<(), Errno> {
        let removed = |tree: &mut Tree| {
            let (dir, name) = tree.place(path)?;
            tree.remove(dir, &name, Kind::File)
        };
        self.change(|_| shown("remove", path), removed)
    }

    pub(super) fn free_bytes(&self) -> Result<u64, Errno> {
        self.look(|tree| Ok(tree.free()))
    }
}

/// Owners and permission bits are durable at once: nothing that is kept depends on when.
fn set_rights(tree: &mut Tree, number: u64, owner: Option<(u32, u32)>, mode: Option<u32>) -> Result<(), Errno> {
    let inode = tree.inodes.get_mut(&number).ok_or(Errno::NOENT)?;
    inode.owner = owner.unwrap_or(inode.owner);
    inode.mode = mode.unwrap_or(inode.mode);
    Ok(())
}

#[cfg(test)]
mod tests;
