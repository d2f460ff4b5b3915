//! How much may come, or be written, in a time: a bucket of tokens that fills by itself.

use core::time::Duration;

use monotonic::Monotonic;

/// Tokens that are spent one by one, and come back one each `every`, up to `most`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: u32,
    most: u32,
    every: Duration,
    since: Monotonic,
}

impl Allowance {
    /// A full one.
    pub(crate) const fn new(most: u32, every: Duration, now: Monotonic) -> Self {
        Self { left: most, most, every, since: now }
    }

    /// Takes a token; `false`: there is none.
    pub(crate) fn take(&mut self, now: Monotonic) -> bool {
        self.fill(now);
        let any = self.left > 0;
        self.left = self.left.saturating_sub(1);
        any
    }

    /// Gives one, beyond what comes by itself.
    pub(crate) fn give(&mut self) {
        self.left = self.left.saturating_add(1);
    }

    fn fill(&mut self, now: Monotonic) {
        let passed = now.duration_since(self.since);
        let come = u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if self.left >= self.most || come >= self.most - self.left {
            (self.left, self.since) = (self.left.max(self.most), now);
        } else {
            (self.left, self.since) = (self.left + come, self.since.saturating_add(self.every * come));
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
        let mut bucket = Allowance::new(2, Duration::from_millis(100), at(0));
        assert!(bucket.take(at(1000)) && bucket.take(at(1000)) && !bucket.take(at(1000)));
        assert!(!bucket.take(at(1099)));
        assert!(bucket.take(at(1100)) && !bucket.take(at(1150)));
        assert!(bucket.take(at(1200)) && !bucket.take(at(1200)));
        let taken = (2000..12_000).filter(|now| bucket.take(at(*now))).count();
        assert!((100..=102).contains(&taken), "{taken} in ten seconds");
        bucket.give();
        assert!(bucket.take(at(12_000)));
    }
}
