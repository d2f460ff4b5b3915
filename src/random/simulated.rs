//! Randomness of a simulation: the same seed gives the same bytes.

use std::cell::RefCell;

use fastrand::Rng;

thread_local! {
    static SOURCE: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// The seeded source counts in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        SOURCE.with_borrow_mut(|source| *source = None);
    }
}

/// Takes all randomness of this thread from `seed`, that of `fastrand` too. What iterates over a `HashMap` is not
/// covered: its order must not show.
pub fn install(seed: u64) -> Installed {
    fastrand::seed(seed);
    SOURCE.with_borrow_mut(|source| *source = Some(Rng::with_seed(seed.rotate_left(32))));
    Installed(())
}

/// Whether the bytes were filled: a seeded source is installed.
pub(super) fn fill(bytes: &mut [u8]) -> bool {
    SOURCE.with_borrow_mut(|source| source.as_mut().map(|source| source.fill(bytes)).is_some())
}
