//! The one module that reads a clock.

use core::time::Duration;
use std::time::Instant;

use jiff::Timestamp;

use crate::consent::Time;

/// The box's two clocks: monotonic for what is decided, wall for what is written down.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose [`Time`] counts from now.
    #[allow(clippy::disallowed_methods)] // this is the one owner
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Monotonic time since [`Clock::start`].
    pub fn now(&self) -> Time {
        Time::at(self.start.elapsed())
    }

    /// When `time` will be, for timers.
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + time.since(Time::default()))
    }
}

/// The wall clock, UTC.
pub fn utc() -> Timestamp {
    Timestamp::now()
}

/// Software build year as the floor of a clock that can be believed: a box without a battery starts in 1970.
/// 2026-01-01T00:00:00Z in seconds.
const FLOOR: i64 = 1_767_225_600;

/// Whether the wall clock can be right at all; certificates and expiry dates cannot be judged before it is.
pub fn is_set(now: Timestamp) -> bool {
    now.as_second() >= FLOOR
}

/// `span` as whole milliseconds, for messages.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
