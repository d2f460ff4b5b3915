//! Which of capture's reports become entries. A stream that flaps, or a capture that claims so, is recorded at a
//! bounded rate; the last entry is true, or errs towards "on air".

use core::time::Duration;

use crate::ipc::Fact;
use crate::token_bucket::TokenBucket;
use monotonic::Monotonic;

/// Entries of one kind at once.
const BURST: u32 = 10;
/// Then one each interval.
const REFILL_INTERVAL: Duration = Duration::from_secs(30);
/// A link that is bad all day and every day: so many at once, and then one each [`DAILY_REFILL`].
pub(super) const DAILY_BURST: u32 = 120;
/// See [`DAILY_BURST`].
pub(super) const DAILY_REFILL: Duration = Duration::from_mins(10);

/// What the ledger has about the link, and what waits to be recorded.
#[derive(Debug)]
pub(crate) struct LinkLog {
    on_air: bool,
    link: Limit,
    /// An `off-air` that has to wait. Meanwhile the ledger has the box as on air, which it may be again at any time.
    off_air: Option<Fact>,
    encoder: Limit,
    /// The newest fallback of those that have to wait.
    fallback: Option<Fact>,
}

/// A rate for minutes, and one for days.
#[derive(Debug)]
struct Limit {
    minutes: TokenBucket,
    days: TokenBucket,
}

impl Limit {
    fn new(now: Monotonic) -> Self {
        let minutes = TokenBucket::new(BURST, REFILL_INTERVAL, now);
        Self { minutes, days: TokenBucket::new(DAILY_BURST, DAILY_REFILL, now) }
    }

    fn try_take(&mut self, now: Monotonic) -> bool {
        self.minutes.available_at(now) <= now && self.days.try_take(now) && self.minutes.try_take(now)
    }
}

impl LinkLog {
    pub(crate) fn new(now: Monotonic) -> Self {
        Self { on_air: false, link: Limit::new(now), off_air: None, encoder: Limit::new(now), fallback: None }
    }

    /// The server has the stream. Returns what has to be recorded now; it never waits, as each costs an `off-air`
    /// before it.
    pub(crate) fn on_air(&mut self, session: u64) -> Option<Fact> {
        self.off_air = None;
        let new = !core::mem::replace(&mut self.on_air, true);
        new.then_some(Fact::OnAir { session })
    }

    /// The connection was lost.
    pub(crate) fn off_air(&mut self, session: u64, reason: String) {
        if self.on_air {
            self.off_air = Some(Fact::OffAir { session, reason });
        }
    }

    /// An encoder was replaced.
    pub(crate) fn on_encoder_fallback(&mut self, fact: Fact) {
        self.fallback = Some(fact);
    }

    /// What may be recorded by now, in order.
    pub(crate) fn due(&mut self, now: Monotonic) -> Vec<Fact> {
        let fallback = if self.fallback.is_some() && self.encoder.try_take(now) { self.fallback.take() } else { None };
        let off_air = if self.off_air.is_some() && self.link.try_take(now) { self.off_air.take() } else { None };
        if off_air.is_some() {
            self.on_air = false;
        }
        fallback.into_iter().chain(off_air).collect()
    }

    /// The session ends. Returns what still has to be recorded before its last entry.
    pub(crate) fn finish(&mut self) -> Vec<Fact> {
        self.on_air = false;
        self.fallback.take().into_iter().chain(self.off_air.take()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_flaps_writes_little_and_ends_with_the_truth() {
        let at = |millis: u64| Monotonic::from_start(Duration::from_millis(millis));
        let mut log = LinkLog::new(at(0));
        let mut written = Vec::new();
        for flap in 0..10_000 {
            written.extend(log.on_air(7));
            log.off_air(7, format!("attempt {flap}"));
            written.extend(log.due(at(flap * 10)));
        }
        // 10 at once, and one each 30 s of the 100; each with its `on-air`.
        assert!((24..=28).contains(&written.len()), "{} entries", written.len());
        assert!(
            written
                .windows(2)
                .all(|pair| matches!(pair[0], Fact::OnAir { .. }) != matches!(pair[1], Fact::OnAir { .. }))
        );
        let rest = log.due(at(1_000_000));
        assert_eq!(rest, [Fact::OffAir { session: 7, reason: "attempt 9999".to_owned() }]);
        assert_eq!(log.on_air(7), Some(Fact::OnAir { session: 7 }));
        assert_eq!(log.on_air(7), None);
        log.off_air(7, "gone".to_owned());
        assert_eq!(log.finish().len(), 1);
        assert!(log.finish().is_empty());
    }
}
