//! A token bucket: a limit on a rate, with bursts.

use core::time::Duration;

use monotonic::Monotonic;

/// Tokens are taken one by one; one is added each `refill_interval`, up to `capacity`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    tokens: u32,
    capacity: u32,
    refill_interval: Duration,
    refilled_at: Monotonic,
}

impl TokenBucket {
    /// A full one.
    pub(crate) const fn new(capacity: u32, refill_interval: Duration, now: Monotonic) -> Self {
        Self { tokens: capacity, capacity, refill_interval, refilled_at: now }
    }

    /// Takes a token; `false`: there is none.
    pub(crate) fn try_take(&mut self, now: Monotonic) -> bool {
        self.refill(now);
        let available = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        available
    }

    /// When there is a token; at once if there is one.
    pub(crate) fn available_at(&mut self, now: Monotonic) -> Monotonic {
        self.refill(now);
        if self.tokens > 0 { now } else { self.refilled_at.saturating_add(self.refill_interval) }
    }

    /// Adds one, in addition to the regular refill.
    pub(crate) fn add(&mut self) {
        self.tokens = self.tokens.saturating_add(1);
    }

    fn refill(&mut self, now: Monotonic) {
        let passed = now.duration_since(self.refilled_at);
        let refilled = u32::try_from(passed.as_nanos() / self.refill_interval.as_nanos().max(1)).unwrap_or(u32::MAX);
        if self.tokens >= self.capacity || refilled >= self.capacity - self.tokens {
            (self.tokens, self.refilled_at) = (self.tokens.max(self.capacity), now);
        } else {
            (self.tokens, self.refilled_at) =
                (self.tokens + refilled, self.refilled_at.saturating_add(self.refill_interval * refilled));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn what_was_spent_comes_back_at_its_pace() {
        let mut bucket = TokenBucket::new(2, Duration::from_millis(100), at(0));
        assert!(bucket.try_take(at(1000)) && bucket.try_take(at(1000)) && !bucket.try_take(at(1000)));
        assert!(!bucket.try_take(at(1099)));
        assert!(bucket.try_take(at(1100)) && !bucket.try_take(at(1150)));
        assert!(bucket.try_take(at(1200)) && !bucket.try_take(at(1200)));
        let taken = (2000..12_000).filter(|now| bucket.try_take(at(*now))).count();
        assert!((100..=102).contains(&taken), "{taken} in ten seconds");
        bucket.add();
        assert!(bucket.try_take(at(12_000)));
        let mut bucket = TokenBucket::new(1, Duration::from_millis(100), at(0));
        assert!(bucket.available_at(at(50)) == at(50) && bucket.try_take(at(50)));
        assert_eq!(bucket.available_at(at(70)), at(150), "when the next one comes");
        assert!(!bucket.try_take(at(149)) && bucket.try_take(at(150)));
    }
}
