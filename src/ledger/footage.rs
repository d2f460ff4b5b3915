//! Which sessions left footage on the box, and since when: what its retention counts from.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::ClockReading;

/// Footage of another boot than this may stay for this long until the clock is synchronised, which tells how old it is.
const UNKNOWN_AGE: Duration = Duration::from_mins(10);

/// When a session's footage was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FootageMark {
    /// Of all its files together; `None`: a version of before did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    clock: Timestamp,
    synchronised: bool,
    boot: String,
    monotonic_ms: u64,
}

/// Kept footage, by session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FootageMarks(BTreeMap<u64, FootageMark>);

/// How it stands with the time of kept footage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FootageAge {
    /// It may stay.
    Fresh,
    /// Its retention is over.
    Over,
    /// How old it is cannot be told: it counts as over.
    Unknown,
}

impl FootageMarks {
    /// A session left footage. Without clocks nothing can be told of its age, so that it is not known here.
    pub(crate) fn keep(&mut self, session: u64, bytes: u64, reading: Option<ClockReading>) {
        let Some(ClockReading { utc, synchronised, boot, monotonic_ms }) = reading else { return };
        let mark = FootageMark { bytes: Some(bytes), clock: utc, synchronised, boot: boot.to_string(), monotonic_ms };
        self.0.insert(session, mark);
    }

    /// Footage of a session is gone; `None`: that of all sessions.
    pub(crate) fn destroy(&mut self, session: Option<u64>) {
        match session {
            Some(session) => drop(self.0.remove(&session)),
            None => self.0.clear(),
        }
    }

    /// The sessions that left footage.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }

    /// Whether a session's footage can still be what it left, by its length: a power cut takes what was not on the disk
    /// yet.
    pub fn is_whole(&self, session: u64, bytes: u64) -> bool {
        self.0.get(&session).is_some_and(|mark| mark.bytes.is_none_or(|left| left == bytes))
    }

    /// How old a session's footage is at `now`; the wall clock counts only where it was synchronised both times. In
    /// doubt it is too old.
    pub fn age(&self, session: u64, now: &ClockReading, retention: Duration) -> FootageAge {
        let Some(mark) = self.0.get(&session) else { return FootageAge::Unknown };
        let age = if mark.boot == *now.boot {
            now.monotonic_ms.checked_sub(mark.monotonic_ms).map(Duration::from_millis)
        } else if mark.synchronised && now.synchronised {
            now.utc.duration_since(mark.clock).try_into().ok()
        } else if now.monotonic_ms < UNKNOWN_AGE.min(retention).as_millis().try_into().unwrap_or(u64::MAX) {
            return FootageAge::Fresh;
        } else {
            None
        };
        match age {
            None => FootageAge::Unknown,
            Some(age) if age >= retention => FootageAge::Over,
            Some(_) => FootageAge::Fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn reading(boot: &str, seconds: i64, synchronised: bool, monotonic_s: u64) -> ClockReading {
        let utc = Timestamp::from_second(1_782_864_000 + seconds).unwrap();
        ClockReading { utc, synchronised, boot: boot.into(), monotonic_ms: monotonic_s * 1000 }
    }

    #[test]
    fn within_a_boot_the_wall_clock_changes_nothing() {
        let mut marks = FootageMarks::default();
        marks.keep(7, 1, Some(reading("a", 0, true, 100)));
        let age = |now: &ClockReading| marks.age(7, now, DAY);
        // A clock that was set back by a year, or forward.
        assert_eq!(age(&reading("a", -31_536_000, true, 100 + 86_399)), FootageAge::Fresh);
        assert_eq!(age(&reading("a", 31_536_000, false, 100 + 86_399)), FootageAge::Fresh);
        assert_eq!(age(&reading("a", 0, false, 100 + 86_400)), FootageAge::Over);
    }

    #[test]
    fn in_another_boot_what_cannot_be_told_counts_as_over() {
        let mut marks = FootageMarks::default();
        marks.keep(7, 1, Some(reading("a", 0, true, 100)));
        marks.keep(8, 1, Some(reading("a", 0, false, 100)));
        assert_eq!(marks.age(7, &reading("b", 3600, true, 5), DAY), FootageAge::Fresh);
        assert_eq!(marks.age(7, &reading("b", 86_400, true, 5), DAY), FootageAge::Over);
        // The clock went back behind the mark, or is not synchronised, or was not.
        assert_eq!(marks.age(7, &reading("b", -1, true, 5), DAY), FootageAge::Unknown);
        for session in [7, 8] {
            assert_eq!(
                marks.age(session, &reading("b", 60, false, 599), DAY),
                FootageAge::Fresh,
                "it may still be set"
            );
            assert_eq!(marks.age(session, &reading("b", 60, false, 600), DAY), FootageAge::Unknown);
        }
        assert_eq!(marks.age(8, &reading("b", 60, true, 600), DAY), FootageAge::Unknown);
        // A short retention is not made longer by it.
        assert_eq!(marks.age(7, &reading("b", 60, false, 30), Duration::from_secs(30)), FootageAge::Unknown);
        assert_eq!(marks.age(9, &reading("a", 0, true, 100), DAY), FootageAge::Unknown, "nobody wrote it down");
    }

    #[test]
    fn what_is_destroyed_is_forgotten() {
        let mut marks = FootageMarks::default();
        for session in [1, 2] {
            marks.keep(session, 2, Some(reading("a", 0, true, 0)));
        }
        assert!(marks.is_whole(1, 2) && !marks.is_whole(1, 1) && !marks.is_whole(3, 2));
        marks.destroy(Some(1));
        assert_eq!(marks.age(1, &reading("a", 0, true, 1), DAY), FootageAge::Unknown);
        assert_eq!(marks.sessions().collect::<Vec<_>>(), [2]);
        marks.destroy(None);
        assert_eq!(marks, FootageMarks::default());
    }
}
