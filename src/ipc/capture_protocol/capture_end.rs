//! Capture's end of its connection to the guard, without the connection: how long its lease lasts, and what ends it.

use monotonic::Monotonic;

use super::{LEASE_DURATION, LeaseState, ToCapture};

/// What capture has heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CaptureEnd {
    has_started: bool,
    heard_at: Monotonic,
}

impl CaptureEnd {
    /// Before the guard said anything. Hello is said `now`.
    pub(crate) fn new(now: Monotonic) -> Self {
        Self { has_started: false, heard_at: now }
    }

    /// When the guard has been silent for too long, and with that the end of the lease.
    pub(crate) fn deadline(&self) -> Monotonic {
        self.heard_at.saturating_add(LEASE_DURATION)
    }

    /// Takes a message of the guard. Returns what it wants from now on; the lease lasts until
    /// [`CaptureEnd::deadline`].
    ///
    /// # Errors
    /// Consent has ended: why. A message that was read too late does not restore it.
    pub(crate) fn hear(&mut self, message: &ToCapture, now: Monotonic) -> Result<LeaseState, &'static str> {
        if now >= self.deadline() {
            return Err("the guard is silent");
        }
        let wanted = match message {
            ToCapture::Start { .. } if self.has_started => return Err("the guard said start twice"),
            ToCapture::Renew { .. } if !self.has_started => return Err("the guard did not begin with start"),
            ToCapture::Start { wanted, .. } | ToCapture::Renew { wanted } => *wanted,
        };
        (self.has_started, self.heard_at) = (true, now);
        Ok(wanted)
    }
}
