//! Locks without poison. The release profile aborts on a panic, so that no thread can meet a poisoned lock; in tests,
//! where panics unwind, the test that panicked fails already.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

/// Locks a mutex whatever became of the thread that held it before.
pub(crate) trait LockExt<T: ?Sized> {
    /// As [`Mutex::lock`], without the poison.
    fn lock_unpoisoned(&self) -> MutexGuard<'_, T>;
}

impl<T: ?Sized> LockExt<T> for Mutex<T> {
    fn lock_unpoisoned(&self) -> MutexGuard<'_, T> {
        unpoisoned(self.lock())
    }
}

/// What a lock or the wait on a condition variable gives, without the poison.
pub(crate) fn unpoisoned<G>(result: LockResult<G>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_lock_outlives_the_thread_that_panicked_with_it() {
        let shared = Arc::new(Mutex::new(1));
        let own = shared.clone();
        let panicked = std::thread::spawn(move || {
            let _held = own.lock_unpoisoned();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err() && shared.is_poisoned());
        *shared.lock_unpoisoned() += 1;
        assert_eq!(*shared.lock_unpoisoned(), 2);
    }
}
