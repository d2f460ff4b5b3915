//! When the guard's recurring work is due.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{self, StepDetector};
use crate::ipc::RENEW_INTERVAL;
use monotonic::Monotonic;

/// How often parts that failed are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How often entries older than `ledger-retention` are looked for.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// How often a checkpoint of the ledger is signed where no session ends; the first one when the guard starts, so that a
/// box that is off each night signs daily too.
const CHECKPOINT_INTERVAL: Duration = Duration::from_hours(24);

/// Due times. The work itself is the engine's.
#[derive(Debug)]
pub(super) struct PeriodicTasks {
    renew: Monotonic,
    retry: Monotonic,
    prune: Monotonic,
    checkpoint: Monotonic,
    steps: StepDetector,
}

impl PeriodicTasks {
    /// The first renewal is due at `first`.
    pub(super) fn new(now: Monotonic, first: Monotonic) -> Self {
        let retry = now.saturating_add(RETRY_INTERVAL);
        Self { renew: first, retry, prune: now, checkpoint: now, steps: StepDetector::new(clock::read()) }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Monotonic {
        self.renew
    }

    /// Whether the work of each second is due; then it is due again a second later. All other work is checked with it.
    pub(super) fn take_renewal(&mut self, now: Monotonic) -> bool {
        take(&mut self.renew, now, RENEW_INTERVAL)
    }

    /// Whether parts that failed are to be tried again.
    pub(super) fn take_retry(&mut self, now: Monotonic) -> bool {
        take(&mut self.retry, now, RETRY_INTERVAL)
    }

    /// Whether old entries are to be removed from the ledger.
    pub(super) fn take_prune(&mut self, now: Monotonic) -> bool {
        take(&mut self.prune, now, PRUNE_INTERVAL)
    }

    /// Whether a checkpoint of the ledger is to be signed.
    pub(super) fn take_checkpoint(&mut self, now: Monotonic) -> bool {
        take(&mut self.checkpoint, now, CHECKPOINT_INTERVAL)
    }

    /// Where the wall clock was stepped since the last call: what it would show otherwise.
    pub(super) fn clock_step(&mut self) -> Option<Timestamp> {
        self.steps.check(clock::read())
    }
}

fn take(due: &mut Monotonic, now: Monotonic, interval: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now.saturating_add(interval);
    }
    is_due
}
