//! The lease on consent: whether frames may leave the process, and whether audio may be audible in them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::{Clock, millis};
use crate::ipc::LEASE_DURATION;
use monotonic::Monotonic;

/// A grant proves that consent was given; the lease, that it still is. The guard renews it.
#[derive(Debug)]
pub(crate) struct Lease {
    clock: Clock,
    /// When it runs out, in milliseconds.
    until: AtomicU64,
    muted: AtomicBool,
}

impl Lease {
    /// Not valid until the guard renews it, and muted until the guard says otherwise.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, until: AtomicU64::new(0), muted: AtomicBool::new(true) }
    }

    /// Whether consent still holds. Asked for each frame.
    pub(crate) fn is_valid(&self) -> bool {
        millis(self.clock.now().duration_since(Monotonic::default())) < self.until.load(Ordering::Acquire)
    }

    /// Whether audio is replaced with silence. Asked for each buffer, at the one place that all audio passes.
    pub(crate) fn is_muted(&self) -> bool {
        self.muted.load(Ordering::SeqCst)
    }

    /// Holds for each buffer that passes from now on. One that is passing just now was recorded before.
    pub(crate) fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::SeqCst);
    }

    /// Makes it valid for another [`LEASE_DURATION`].
    pub(super) fn renew(&self) {
        let until = self.clock.now().saturating_add(LEASE_DURATION);
        self.until.store(millis(until.duration_since(Monotonic::default())), Ordering::Release);
    }

    pub(super) fn revoke(&self) {
        self.until.store(0, Ordering::Release);
    }
}

/// For tests, in which no guard renews it.
#[cfg(test)]
impl Lease {
    /// Valid for good, and not muted.
    pub(crate) fn valid() -> Self {
        Self { clock: Clock::start(), until: AtomicU64::new(u64::MAX), muted: AtomicBool::new(false) }
    }

    /// As when it has run out.
    pub(crate) fn expire(&self) {
        self.revoke();
    }

    /// Valid for good, again.
    pub(crate) fn grant(&self) {
        self.until.store(u64::MAX, Ordering::Release);
    }
}
