//! Which time an entry is ordered by, and how much time the ledger has seen pass: pure, from what the clocks said.
//!
//! The wall clock of a box can be wrong by years, for a boot or for good, and nothing that cannot be undone may follow
//! it. So time that *surely* passed is counted apart: by the monotonic clock within a boot, and from boot to boot by
//! readings that the kernel called synchronised, of which one boot can add [`MAX_CLOCK_CREDIT`] at most.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::{self, ClockReading};

/// What one boot can add to the time seen by its clock alone: a long weekend. A clock that lies needs a boot for each.
const MAX_CLOCK_CREDIT: Duration = Duration::from_hours(3 * 24);
/// Within this a clock that went back does not turn the order round: entries keep the last one's time until it is
/// past. More is a correction, and is followed, or one wrong boot would stamp all entries for years.
const MAX_HELD_BACK: Duration = Duration::from_hours(2);

/// Where the ledger's time stands, after its last entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Timeline {
    /// Ordering time of the last entry.
    at: Option<Timestamp>,
    /// What the clocks said at the last entry that has it.
    last: Option<ClockMark>,
    /// The same of the last one with a synchronised clock.
    synchronised: Option<ClockMark>,
    /// Time that surely passed since the first entry with a reading, in milliseconds.
    seen_ms: u64,
}

/// A reading, and the time seen until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClockMark {
    clock: Timestamp,
    boot: String,
    monotonic_ms: u64,
    seen_ms: u64,
}

fn millis(span: Duration) -> u64 {
    clock::millis(span)
}

/// How far `later` is behind `earlier`; zero if it is not.
fn span(earlier: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(earlier).try_into().unwrap_or_default()
}

fn plus(at: Timestamp, ms: u64) -> Timestamp {
    let span = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl Timeline {
    /// The time that surely passed until `reading`, in milliseconds.
    pub(crate) fn elapsed_ms(&self, reading: &ClockReading) -> u64 {
        let Some(last) = &self.last else { return self.seen_ms };
        // What counts from the kernel's start: all of it is new where that start lies behind the last entry.
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
            // Not before what surely passed, and not so far ahead that it would have to be taken back.
            let sure = plus(last, self.elapsed_ms(reading).saturating_sub(self.seen_ms));
            return clock.clamp(sure, plus(sure, millis(MAX_CLOCK_CREDIT)));
        }
        if clock < last && span(clock, last) <= MAX_HELD_BACK { last } else { clock }
    }

    /// Goes on behind an entry; `reading` is missing in those of before readings were kept.
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

    /// Time seen until the last entry, in milliseconds.
    pub(crate) fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// By how much the clock stands before the last entry's reading, of this boot or an earlier one.
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
