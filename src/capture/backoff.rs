//! How long to wait before the server is tried again. Pure, but for the dice.

use std::time::Duration;

/// Doubles from [`Backoff::FIRST`] to [`Backoff::LONGEST`], each time somewhere between half of that and all of it,
/// so that a thousand boxes do not come back to a server at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// A restart of a server takes about this long: staff should hardly notice it.
    pub(super) const FIRST: Duration = Duration::from_millis(500);
    /// A server that comes back after minutes should not have to wait for us much longer.
    pub(super) const LONGEST: Duration = Duration::from_secs(10);

    pub(super) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// The next wait.
    pub(super) fn wait(&mut self) -> Duration {
        let span = self.next;
        self.next = (span * 2).min(Self::LONGEST);
        span.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It worked: start from the beginning next time.
    pub(super) fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew() {
        let mut backoff = Backoff::new();
        let mut ceiling = Backoff::FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(wait <= ceiling && wait >= ceiling / 2, "{wait:?} {ceiling:?}");
            ceiling = (ceiling * 2).min(Backoff::LONGEST);
        }
        backoff.reset();
        assert!(backoff.wait() <= Backoff::FIRST);
    }
}
