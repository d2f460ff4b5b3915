//! Who holds which lock of which file, and the memory that connections with a write-ahead log share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

/// Locks that the shared memory has.
const SLOTS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// One file's.
#[derive(Debug, Default)]
pub(crate) struct FileLocks(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    shared: BTreeSet<u64>,
    reserved: Option<u64>,
    pending: Option<u64>,
    exclusive: Option<u64>,
    /// Per lock of the shared memory: who shares it, or the one that has it alone.
    slots: [(BTreeSet<u64>, Option<u64>); SLOTS],
    /// Regions of the shared memory; a box each, because SQLite keeps their addresses. Atomic, because it writes there.
    regions: Vec<Box<[AtomicU64]>>,
    mapped: BTreeSet<u64>,
}

/// All files that are open, by their ids.
static FILES: Mutex<BTreeMap<(u64, u64), Arc<FileLocks>>> = Mutex::new(BTreeMap::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those of the file with this id.
pub(crate) fn of(id: (u64, u64)) -> Arc<FileLocks> {
    let mut files = locked(&FILES);
    // What nobody has open needs none.
    files.retain(|_, locks| Arc::strong_count(locks) > 1);
    files.entry(id).or_default().clone()
}

impl FileLocks {
    /// Takes `owner`'s lock to `level`; `false`: somebody else is in the way.
    pub(crate) fn lock(&self, owner: u64, level: i32) -> bool {
        let mut held = locked(&self.0);
        let is_other = |holder: Option<u64>| holder.is_some_and(|holder| holder != owner);
        if is_other(held.exclusive) || (is_other(held.pending) && !held.shared.contains(&owner)) {
            return false;
        }
        if level >= ffi::SQLITE_LOCK_SHARED {
            held.shared.insert(owner);
        }
        if level >= ffi::SQLITE_LOCK_RESERVED {
            if is_other(held.reserved) {
                return false;
            }
            held.reserved = Some(owner);
        }
        if level >= ffi::SQLITE_LOCK_EXCLUSIVE {
            held.pending = Some(owner);
            if held.shared.iter().any(|holder| *holder != owner) {
                return false;
            }
            held.exclusive = Some(owner);
        }
        true
    }

    /// Gives `owner`'s lock back down to `level`.
    pub(crate) fn unlock(&self, owner: u64, level: i32) {
        let mut held = locked(&self.0);
        let Held { shared, reserved, pending, exclusive, .. } = &mut *held;
        for holder in [reserved, pending, exclusive] {
            if *holder == Some(owner) {
                *holder = None;
            }
        }
        if level < ffi::SQLITE_LOCK_SHARED {
            shared.remove(&owner);
        }
    }

    /// Whether anybody is about to write.
    pub(crate) fn is_reserved(&self) -> bool {
        locked(&self.0).reserved.is_some()
    }

    /// Region `index` of the shared memory, of `size` bytes; `None`: there is none, and `extend` is not asked for.
    pub(crate) fn region(&self, owner: u64, index: usize, size: usize, extend: bool) -> Option<*mut u64> {
        let mut held = locked(&self.0);
        held.mapped.insert(owner);
        while held.regions.len() <= index {
            if !extend {
                return None;
            }
            held.regions.push((0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect());
        }
        held.regions.get(index)?.first().map(AtomicU64::as_ptr)
    }

    /// `owner` uses the shared memory no more. With the last one it is gone, as it is with the last process.
    pub(crate) fn unmap(&self, owner: u64) {
        let mut held = locked(&self.0);
        held.mapped.remove(&owner);
        if held.mapped.is_empty() {
            held.regions.clear();
        }
    }

    /// Takes locks of the shared memory, all or none; `false`: somebody else is in the way.
    pub(crate) fn lock_slots(&self, owner: u64, slots: std::ops::Range<usize>, alone: bool) -> bool {
        let mut held = locked(&self.0);
        let Some(wanted) = held.slots.get_mut(slots) else { return false };
        let is_free = |(shared, exclusive): &(BTreeSet<u64>, Option<u64>)| {
            exclusive.is_none_or(|holder| holder == owner) && !(alone && shared.iter().any(|holder| *holder != owner))
        };
        if !wanted.iter().all(is_free) {
            return false;
        }
        for (shared, exclusive) in wanted {
            if alone {
                *exclusive = Some(owner);
            } else {
                shared.insert(owner);
            }
        }
        true
    }

    /// Gives locks of the shared memory back.
    pub(crate) fn unlock_slots(&self, owner: u64, slots: std::ops::Range<usize>) {
        for (shared, exclusive) in locked(&self.0).slots.get_mut(slots).into_iter().flatten() {
            shared.remove(&owner);
            exclusive.take_if(|holder| *holder == owner);
        }
    }

    /// `owner` has closed the file.
    pub(crate) fn release(&self, owner: u64) {
        self.unlock(owner, ffi::SQLITE_LOCK_NONE);
        self.unlock_slots(owner, 0..SLOTS);
        self.unmap(owner);
    }
}
