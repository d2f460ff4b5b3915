//! How long to wait before the broker is tried again: the MQTT library itself would try without a pause.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const MAX_BYTES: Duration = Duration::from_mins(1);
/// The wait of a client that another one with its id threw out: were it short, both would throw each other out for
/// ever.
const LONG: Duration = Duration::from_mins(2);
/// A connection that held this long was good.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Doubles, with full jitter above a floor, so that a fleet does not come back to its broker at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait.
    pub(super) fn next_delay(&mut self) -> Duration {
        let span = self.next;
        self.next = (span * 2).min(MAX_BYTES);
        (FIRST / 4).max(span.mul_f64(fastrand::f64()))
    }

    /// The next wait where coming back soon does harm: half of [`LONG`] to one and a half, and more from time to time.
    pub(super) fn next_long_delay(&mut self) -> Duration {
        self.next_delay() + LONG.mul_f64(0.5 + fastrand::f64())
    }

    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_floor_and_ceiling() {
        let mut backoff = Backoff::new();
        for _ in 0..50 {
            let wait = backoff.next_delay();
            assert!(wait >= FIRST / 4 && wait <= MAX_BYTES);
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
        for _ in 0..50 {
            let wait = backoff.next_long_delay();
            assert!(wait >= LONG / 2 && wait <= LONG * 2 + MAX_BYTES);
        }
    }
}
