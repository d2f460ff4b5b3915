//! The ordering time of an entry, and how much time the ledger has seen pass. Pure: computed from clock readings.
//!
//! The wall clock of a box can be wrong by years, for one boot or for good, and nothing that cannot be undone may
//! depend on it. So time that *certainly* passed is counted apart: by the monotonic clock within a boot, and from boot
//! to boot by readings of a synchronised clock, of which one boot can add [`MAX_CLOCK_CREDIT`] at most.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::{self, ClockReading};

/// Time that one boot can add by its wall clock alone: a long weekend. A wrong clock needs a boot for each.
const MAX_CLOCK_CREDIT: Duration = Duration::from_hours(3 * 24);
/// A clock that went back by no more than this does not reorder entries: they get the last entry's time until it is
/// past. A larger step is a correction and is followed; otherwise one boot with a wrong clock would stamp all entries
/// for years.
const MAX_HELD_BACK: Duration = Duration::from_hours(2);

/// The ledger's time after its last entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Timeline {
    /// Ordering time of the last entry.
    pub(crate) at: Option<Timestamp>,
    /// The reading of the last entry that has one.
    pub(crate) last: Option<ClockMark>,
    /// The same of the last entry with a synchronised clock.
    pub(crate) synchronised: Option<ClockMark>,
    /// Time that certainly passed since the first entry with a reading, in milliseconds.
    pub(crate) seen_ms: u64,
}

/// A reading, and the time seen until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClockMark {
    pub(crate) clock: Timestamp,
    pub(crate) boot: String,
    pub(crate) monotonic_ms: u64,
    pub(crate) seen_ms: u64,
}

fn millis(span: Duration) -> u64 {
    clock::millis(span)
}

/// Time from `earlier` to `later`; zero if it is negative.
fn span(earlier: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(earlier).try_into().unwrap_or_default()
}

fn plus(at: Timestamp, ms: u64) -> Timestamp {
    let span = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl Timeline {
    /// Time that certainly passed until `reading`, in milliseconds.
    pub(crate) fn elapsed_ms(&self, reading: &ClockReading) -> u64 {
        let Some(last) = &self.last else { return self.seen_ms };
        // In another boot all of its monotonic time is new: it started after the last entry.
        let awake = if last.boot == *reading.boot {
            reading.monotonic_ms.saturating_sub(last.monotonic_ms)
        } else {
            reading.monotonic_ms
        };
        let awake = self.seen_ms.saturating_add(awake);
        match &self.synchronised {
            Some(fix) if reading.synchronised && fix.boot != *reading.boot => {
                let by_clock = millis(span(fix.clock, reading.utc));
                let most = awake.saturating_sub(fix.seen_ms).saturating_add(millis(MAX_CLOCK_CREDIT));
                awake.max(fix.seen_ms.saturating_add(by_clock.min(most)))
            }
            Some(_) | None => awake,
        }
    }

    /// The ordering time of an entry that is written at `reading`.
    pub(crate) fn ordering_time(&self, reading: &ClockReading) -> Timestamp {
        let clock = reading.utc;
        let Some(last) = self.at else { return clock };
        let believed = reading.synchronised || (self.synchronised.is_none() && clock::is_plausible(clock));
        if !believed {
            // Not before the time that certainly passed, and not so far ahead that it would have to be corrected.
            let sure = plus(last, self.elapsed_ms(reading).saturating_sub(self.seen_ms));
            return clock.clamp(sure, plus(sure, millis(MAX_CLOCK_CREDIT)));
        }
        if clock < last && span(clock, last) <= MAX_HELD_BACK { last } else { clock }
    }

    /// Advances past an entry; `reading` is missing in those of older versions.
    pub(crate) fn apply(&mut self, at: Timestamp, reading: Option<&ClockReading>) {
        if let Some(reading) = reading {
            self.seen_ms = self.elapsed_ms(reading);
            let mark = ClockMark {
                clock: reading.utc,
                boot: reading.boot.to_string(),
                monotonic_ms: reading.monotonic_ms,
                seen_ms: self.seen_ms,
            };
            if reading.synchronised {
                self.synchronised = Some(mark.clone());
            }
            self.last = Some(mark);
        }
        self.at = Some(at);
    }

    /// Whether nothing but the monotonic clock added time since `earlier`, now included.
    pub(crate) fn is_exact_since(&self, earlier: &Self, now: &ClockReading) -> bool {
        self.synchronised == earlier.synchronised && !now.synchronised
    }

    /// Time seen until the last entry, in milliseconds.
    pub(crate) fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// The last synchronised clock that an entry has.
    pub(crate) fn synchronised_at(&self) -> Option<Timestamp> {
        self.synchronised.as_ref().map(|mark| mark.clock)
    }

    /// The last entry's clock, where the clock is behind it now, in this boot or since an earlier one.
    pub(crate) fn stepped_back_from(&self, reading: &ClockReading) -> Option<Timestamp> {
        let last = self.last.as_ref()?.clock;
        (reading.utc < last).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn reading(boot: &str, seconds: i64, synchronised: bool, monotonic_ms: u64) -> ClockReading {
        ClockReading { utc: Timestamp::from_second(seconds).unwrap(), synchronised, boot: boot.into(), monotonic_ms }
    }

    /// 2026-07-01 and so many days, in seconds.
    fn day(days: i64) -> i64 {
        1_782_864_000 + days * 86_400
    }

    fn write(line: &mut Timeline, reading: &ClockReading) -> Timestamp {
        let at = line.ordering_time(reading);
        line.apply(at, Some(reading));
        at
    }

    #[test]
    fn a_clock_years_ahead_adds_three_days_and_a_true_one_all() {
        for synchronised in [true, false] {
            let mut line = Timeline::default();
            write(&mut line, &reading("a", day(0), true, 0));
            write(&mut line, &reading("b", day(3650), synchronised, 1000));
            let most = if synchronised { 3 * DAY + 1000 } else { 1000 };
            assert_eq!(line.seen_ms(), most, "{synchronised}");
            // In the same boot nothing but the monotonic clock counts.
            write(&mut line, &reading("b", day(9000), synchronised, 5000));
            assert_eq!(line.seen_ms(), most + 4000);
        }
        // Nights and weekends count in full where the clock is kept.
        let mut line = Timeline::default();
        for boot in 0..200 {
            write(&mut line, &reading(&format!("n{boot}"), day(boot), false, 1000));
            write(&mut line, &reading(&format!("n{boot}"), day(boot) + 60, true, 61_000));
        }
        assert!((199 * DAY - 1000..=199 * DAY + 61_000).contains(&line.seen_ms()), "{}", line.seen_ms());
    }

    #[test]
    fn a_future_instant_stamps_nothing_that_comes_later() {
        let mut line = Timeline::default();
        write(&mut line, &reading("a", day(0), true, 0));
        // Not synchronised: it is not followed far.
        let ahead = write(&mut line, &reading("b", day(3650), false, 1000));
        assert_eq!(ahead.as_second(), day(3) + 1);
        // Synchronised, and wrong: it is, until the clock is right again.
        assert_eq!(write(&mut line, &reading("c", day(3650), true, 1000)).as_second(), day(3650));
        assert_eq!(write(&mut line, &reading("c", day(1), true, 2000)).as_second(), day(1));
        // Never synchronised: whoever sets the clock by hand sets the order too.
        let mut line = Timeline::default();
        assert_eq!(write(&mut line, &reading("a", day(3650), false, 0)).as_second(), day(3650));
        assert_eq!(write(&mut line, &reading("b", day(0), false, 0)).as_second(), day(0));
    }

    #[test]
    fn history_does_not_turn_round_for_a_clock_that_is_behind() {
        let mut line = Timeline::default();
        write(&mut line, &reading("a", day(0), true, 0));
        for (boot, clock, synchronised) in [("b", 0, false), ("c", day(-365), false), ("c", day(0) - 3600, true)] {
            let before = line.at.unwrap();
            let at = write(&mut line, &reading(boot, clock, synchronised, 60_000));
            assert!(at >= before && at.as_second() <= day(0) + 120, "{boot} {clock} {at}");
        }
    }
}
