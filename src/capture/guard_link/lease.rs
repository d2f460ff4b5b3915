//! The lease on consent: whether frames may leave the process, and whether audio may be audible in them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::clock::{Clock, millis};
use crate::sync::LockExt;
use monotonic::Monotonic;

/// A grant proves that consent was given; the lease, that it still is. The guard renews it.
#[derive(Debug)]
pub(crate) struct Lease {
    clock: Clock,
    /// When it runs out, in milliseconds.
    until: AtomicU64,
    muted: AtomicBool,
    bitrate: Mutex<BitrateCap>,
    /// What is in force has changed since the guard was told.
    changed: Notify,
}

/// The cap of the picture's bitrate, in kbit/s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BitrateCap {
    wanted: u32,
    pub(super) in_force: u32,
    /// Why the one that is wanted never will be in force.
    pub(super) refused: Option<String>,
}

impl Lease {
    /// Not valid until the guard renews it, and muted until the guard says otherwise.
    pub(super) fn new(clock: Clock) -> Self {
        let (until, muted) = (AtomicU64::new(0), AtomicBool::new(true));
        Self { clock, until, muted, bitrate: Mutex::default(), changed: Notify::new() }
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

    /// The cap with which the session begins: encoder and bitrate controller are made with it.
    pub(super) fn begin_bitrate(&self, kbps: u32) {
        *self.bitrate.lock_unpoisoned() = BitrateCap { wanted: kbps, in_force: kbps, refused: None };
    }

    /// The guard wants this cap from now on.
    pub(super) fn set_wanted_bitrate(&self, kbps: u32) {
        let mut bitrate = self.bitrate.lock_unpoisoned();
        if bitrate.wanted != kbps {
            (bitrate.wanted, bitrate.refused) = (kbps, None);
        }
    }

    /// A cap that is wanted, neither in force nor refused.
    pub(crate) fn pending_bitrate(&self) -> Option<u32> {
        let bitrate = self.bitrate.lock_unpoisoned();
        (bitrate.wanted != bitrate.in_force && bitrate.refused.is_none()).then_some(bitrate.wanted)
    }

    /// The cap `kbps` is in force, or will not be: why.
    pub(crate) fn settle_bitrate(&self, kbps: u32, result: Result<(), String>) {
        let mut bitrate = self.bitrate.lock_unpoisoned();
        match result {
            Ok(()) => bitrate.in_force = kbps,
            Err(why) if bitrate.wanted == kbps => bitrate.refused = Some(why),
            Err(_) => {}
        }
        self.changed.notify_one();
    }

    pub(super) fn bitrate(&self) -> BitrateCap {
        self.bitrate.lock_unpoisoned().clone()
    }

    /// Waits until what is in force changes.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Makes it valid until then.
    pub(super) fn renew(&self, until: Monotonic) {
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
        let (until, muted) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        Self { until, muted, ..Self::new(Clock::start()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_pending_until_it_is_in_force_or_refused() {
        let lease = Lease::valid();
        lease.begin_bitrate(2500);
        assert_eq!(lease.pending_bitrate(), None);
        lease.set_wanted_bitrate(3000);
        lease.set_wanted_bitrate(4000);
        assert_eq!((lease.pending_bitrate(), lease.bitrate().in_force), (Some(4000), 2500));
        // The answer to a question that was replaced says nothing about the present one.
        lease.settle_bitrate(3000, Err("no".to_owned()));
        assert_eq!(lease.pending_bitrate(), Some(4000));
        lease.settle_bitrate(4000, Err("no".to_owned()));
        assert_eq!((lease.pending_bitrate(), lease.bitrate().in_force), (None, 2500));
        // Each renewal repeats it; another one is tried anew.
        lease.set_wanted_bitrate(4000);
        assert_eq!(lease.pending_bitrate(), None);
        lease.set_wanted_bitrate(1000);
        lease.settle_bitrate(1000, Ok(()));
        assert_eq!((lease.pending_bitrate(), lease.bitrate().in_force), (None, 1000));
    }
}
