//! How long to wait before the server is tried again. Pure, but for the dice.

use std::time::Duration;

use crate::capture::output::error::ConnectionErrorKind;

/// Each wait is somewhere between half of its span and all of it, so that a thousand boxes do not come back to a
/// server at once. The span is short as long as a server that restarts may need, then doubles to a limit. Time on air
/// takes waits back, so that a server which holds the stream for some seconds each time is met as soon as the last
/// time, and one that drops it at once is not.
#[derive(Debug)]
pub(crate) struct Backoff {
    kind: ConnectionErrorKind,
    waits: u32,
}

/// A connection that held this long was good: the next wait is the shortest again.
const GOOD: Duration = Duration::from_secs(10);
/// So long on air takes one wait back. A server that lets go of the stream sooner is met ever less often; one that
/// holds it longer is never met more often than once in this time.
const WORTH: Duration = Duration::from_secs(2);

/// Spans for one sort of trouble.
struct Schedule {
    first: Duration,
    /// How often the first is waited before it doubles.
    flat: u32,
    longest: Duration,
}

const fn pace(kind: ConnectionErrorKind) -> Schedule {
    match kind {
        // A restart of a server takes a second or two, that of its machine half a minute: staff should hardly notice
        // it. One that comes back after minutes should not have to wait for us much longer.
        ConnectionErrorKind::Unreachable | ConnectionErrorKind::Renegotiate => {
            Schedule { first: Duration::from_millis(250), flat: 200, longest: Duration::from_secs(10) }
        }
        // Mostly it is our own last connection, which the server has not missed yet.
        ConnectionErrorKind::StreamInUse => {
            Schedule { first: Duration::from_secs(1), flat: 4, longest: Duration::from_secs(10) }
        }
        // Somebody has to change something first: servers lock out those who hammer.
        ConnectionErrorKind::Rejected | ConnectionErrorKind::CertificateInvalid => {
            Schedule { first: Duration::from_secs(5), flat: 1, longest: Duration::from_mins(1) }
        }
    }
}

impl Schedule {
    /// How often the span may double; beyond that all waits are the longest.
    fn doublings(&self) -> u32 {
        (0..16).find(|doubled| self.first * 2_u32.pow(*doubled) >= self.longest).unwrap_or(16)
    }
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { kind: ConnectionErrorKind::Unreachable, waits: 0 }
    }

    /// The next wait, for this sort of trouble.
    pub(crate) fn wait(&mut self, kind: ConnectionErrorKind) -> Duration {
        if kind != self.kind {
            *self = Self { kind, waits: 0 };
        }
        let pace = pace(kind);
        // What was waited at the limit is forgiven as soon as the rest.
        self.waits = (self.waits + 1).min(pace.flat + pace.doublings());
        let doubled = self.waits.saturating_sub(pace.flat);
        let span = (pace.first * 2_u32.pow(doubled)).min(pace.longest);
        span.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// A connection was on air for so long before it failed.
    pub(crate) fn was_on_air(&mut self, span: Duration) {
        let worth = u32::try_from(span.as_secs() / WORTH.as_secs()).unwrap_or(u32::MAX);
        self.waits = if span >= GOOD { 0 } else { self.waits.saturating_sub(worth) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew() {
        for kind in [
            ConnectionErrorKind::Unreachable,
            ConnectionErrorKind::StreamInUse,
            ConnectionErrorKind::Rejected,
            ConnectionErrorKind::CertificateInvalid,
        ] {
            let Schedule { first, flat, longest } = pace(kind);
            let mut backoff = Backoff::new();
            let mut ceiling = first;
            for number in 1..flat + 20 {
                let wait = backoff.wait(kind);
                assert!(wait <= ceiling && wait >= ceiling / 2, "{number}: {wait:?} {ceiling:?}");
                ceiling = if number < flat { first } else { (ceiling * 2).min(longest) };
            }
            assert_eq!(ceiling, longest);
            backoff.was_on_air(GOOD);
            assert!(backoff.wait(kind) <= first);
        }
    }

    /// A server that drops the stream after `on_air` each time: how many connections it sees in an hour once the waits
    /// have settled, and the longest of those waits.
    fn dropped_after(on_air: Duration) -> (u32, Duration) {
        let mut backoff = Backoff::new();
        let (mut passed, mut connections, mut longest) = (Duration::ZERO, 0, Duration::ZERO);
        while passed < Duration::from_hours(3) {
            backoff.was_on_air(on_air);
            let wait = backoff.wait(ConnectionErrorKind::Unreachable);
            if passed >= Duration::from_hours(2) {
                connections += 1;
                longest = longest.max(wait);
            }
            passed += on_air + wait;
        }
        (connections, longest)
    }

    #[test]
    fn seconds_on_air_keep_the_waits_short_and_moments_do_not() {
        let Schedule { first, longest, .. } = pace(ConnectionErrorKind::Unreachable);
        for millis in [0, 200, 500, 1_000, 1_900] {
            let (connections, waited) = dropped_after(Duration::from_millis(millis));
            assert!(waited > longest / 2 && connections < 720, "{millis} ms: {connections}, {waited:?}");
        }
        for millis in [2_000, 3_500, 5_000, 9_900] {
            let (connections, waited) = dropped_after(Duration::from_millis(millis));
            assert!(waited <= first && connections <= 1800, "{millis} ms: {connections}, {waited:?}");
        }
    }

    #[test]
    fn after_a_long_outage_seconds_on_air_shorten_the_waits_step_by_step() {
        let Schedule { first, flat, longest } = pace(ConnectionErrorKind::Unreachable);
        let mut backoff = Backoff::new();
        for _ in 0..flat + 1000 {
            backoff.wait(ConnectionErrorKind::Unreachable);
        }
        let waits: Vec<_> = (0..8)
            .map(|_| {
                backoff.was_on_air(Duration::from_secs(5));
                backoff.wait(ConnectionErrorKind::Unreachable)
            })
            .collect();
        assert!(waits[0] > longest / 4 && waits[7] <= first, "{waits:?}");
    }

    #[test]
    fn another_sort_of_trouble_has_a_pace_of_its_own() {
        let mut backoff = Backoff::new();
        let refused = (0..3).map(|_| backoff.wait(ConnectionErrorKind::Rejected)).sum::<Duration>();
        assert!(refused >= Duration::from_millis(17_500), "{refused:?}");
        assert!(backoff.wait(ConnectionErrorKind::Unreachable) <= pace(ConnectionErrorKind::Unreachable).first);
    }
}
