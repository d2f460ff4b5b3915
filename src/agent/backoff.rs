//! When the broker is tried again: the MQTT library itself would try without a pause. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use monotonic::Monotonic;

/// The shortest wait after a failure.
const BASE: Duration = Duration::from_secs(1);
/// The longest wait without a spread.
const LONGEST: Duration = Duration::from_mins(1);
/// The longest wait after a connection that had held is [`BASE`], the shortest this: a box alone is back at once.
const SHORTEST_AFTER_STABLE: Duration = Duration::from_millis(250);
/// The wait of a client that another one with its id threw out: were it short, both would throw each other out for
/// ever.
const LONG: Duration = Duration::from_mins(2);
/// A connection on which commands were heard for this long was good.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(30);
/// At most this many attempts begin within [`WINDOW`], whatever ends them.
const MAX_ATTEMPTS: usize = 10;
/// See [`MAX_ATTEMPTS`].
const WINDOW: Duration = Duration::from_mins(1);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It had held for [`STABLE_AFTER`].
    Stable,
    /// It failed, or was lost soon.
    Failed,
    /// Another client with this id has it: coming back soon does harm.
    ThrownOut,
    /// The box ended it itself, to come back at once.
    Meant,
}

/// Waits between connections: decorrelated jitter (each wait is drawn from between [`BASE`] and three times the last
/// one), within a budget of attempts that no way around it exceeds.
#[derive(Debug)]
pub(super) struct Backoff {
    last: Duration,
    /// When the last [`MAX_ATTEMPTS`] attempts began.
    attempts: VecDeque<Monotonic>,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(random: fastrand::Rng) -> Self {
        Self { last: BASE, attempts: VecDeque::with_capacity(MAX_ATTEMPTS), random }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Monotonic) {
        if self.attempts.len() == MAX_ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(now);
    }

    /// When the next attempt begins, after a connection that ended now. `spread`: the time that the fleet's size asks
    /// for; a broker that restarts is reached by all within it, and not by all at once.
    pub(super) fn next_attempt(&mut self, now: Monotonic, ended: Ended, spread: Duration) -> Monotonic {
        let wait = match ended {
            Ended::Meant => Duration::ZERO,
            Ended::Stable => {
                self.last = BASE;
                let quick = self.between(SHORTEST_AFTER_STABLE, BASE);
                if spread.is_zero() { quick } else { quick.max(self.between(Duration::ZERO, spread)) }
            }
            Ended::Failed => self.after_failure(spread),
            Ended::ThrownOut => self.after_failure(spread) + LONG.mul_f64(0.5 + self.random.f64()),
        };
        now.saturating_add(wait).max(self.within_budget())
    }

    /// Boxes that try once per spread, each in its own rhythm, come back evenly whenever the broker does.
    fn after_failure(&mut self, spread: Duration) -> Duration {
        self.last = self.between(BASE, self.last * 3).min(LONGEST);
        self.last.max(spread.mul_f64(0.5 + self.random.f64()))
    }

    /// Boxes that used up their budget at the same time do not come back at the same time.
    fn within_budget(&mut self) -> Monotonic {
        match self.attempts.front() {
            Some(first) if self.attempts.len() == MAX_ATTEMPTS => {
                first.saturating_add(WINDOW + self.between(Duration::ZERO, WINDOW / 10))
            }
            Some(_) | None => Monotonic::default(),
        }
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.random.f64())
    }
}

#[cfg(test)]
mod tests;
