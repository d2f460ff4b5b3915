//! The delay before the next connection attempt. It depends on nothing but its calls and random numbers.

use std::time::Duration;

use crate::capture::output::error::ConnectionErrorKind;

/// Each delay is random between half of its span and all of it, so that a thousand boxes do not reconnect to a server
/// at once. The span stays short for as long as a server may need to restart, then doubles up to a limit. Uptime undoes
/// attempts: a server that holds the stream for some seconds each time is tried again soon, and one that drops it at
/// once is not.
#[derive(Debug)]
pub(super) struct ReconnectBackoff {
    kind: ConnectionErrorKind,
    attempts: u32,
}

/// After this uptime the next delay is the shortest again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// This much uptime undoes one attempt. A server that drops the stream sooner is tried ever less often, and one that
/// holds it longer at most once in this time.
const UPTIME_PER_ATTEMPT: Duration = Duration::from_secs(2);

/// The spans for one kind of error.
struct Schedule {
    initial: Duration,
    /// How many attempts use the initial span before it doubles.
    attempts_before_doubling: u32,
    max: Duration,
}

const fn schedule(kind: ConnectionErrorKind) -> Schedule {
    match kind {
        // A server restarts within seconds, and its machine within half a minute: staff should hardly notice. One that
        // comes back after minutes should not have to wait for us much longer.
        ConnectionErrorKind::Unreachable | ConnectionErrorKind::Renegotiate => Schedule {
            initial: Duration::from_millis(250),
            attempts_before_doubling: 200,
            max: Duration::from_secs(10),
        },
        // Usually this is our own last connection, which the server has not timed out yet.
        ConnectionErrorKind::StreamInUse => {
            Schedule { initial: Duration::from_secs(1), attempts_before_doubling: 4, max: Duration::from_secs(10) }
        }
        // Somebody has to change something first, and servers lock out clients that retry too often.
        ConnectionErrorKind::Rejected | ConnectionErrorKind::CertificateInvalid => {
            Schedule { initial: Duration::from_secs(5), attempts_before_doubling: 1, max: Duration::from_mins(1) }
        }
    }
}

impl Schedule {
    /// How often the span can double before it reaches the limit.
    fn doublings(&self) -> u32 {
        (0..16).find(|doubled| self.initial * 2_u32.pow(*doubled) >= self.max).unwrap_or(16)
    }
}

impl ReconnectBackoff {
    pub(super) const fn new() -> Self {
        Self { kind: ConnectionErrorKind::Unreachable, attempts: 0 }
    }

    /// The delay before the next attempt after an error of this kind.
    pub(super) fn next_delay(&mut self, kind: ConnectionErrorKind) -> Duration {
        if kind != self.kind {
            *self = Self { kind, attempts: 0 };
        }
        let schedule = schedule(kind);
        // Attempts at the limit do not add up, so that uptime undoes them as quickly as others.
        self.attempts = (self.attempts + 1).min(schedule.attempts_before_doubling + schedule.doublings());
        let doubled = self.attempts.saturating_sub(schedule.attempts_before_doubling);
        let delay = (schedule.initial * 2_u32.pow(doubled)).min(schedule.max);
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Records for how long the stream was live before the connection failed.
    pub(super) fn record_uptime(&mut self, uptime: Duration) {
        let forgiven = u32::try_from(uptime.as_secs() / UPTIME_PER_ATTEMPT.as_secs()).unwrap_or(u32::MAX);
        self.attempts = if uptime >= STABLE_AFTER { 0 } else { self.attempts.saturating_sub(forgiven) };
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
            let Schedule { initial: first, attempts_before_doubling, max: longest } = schedule(kind);
            let mut backoff = ReconnectBackoff::new();
            let mut ceiling = first;
            for number in 1..attempts_before_doubling + 20 {
                let delay = backoff.next_delay(kind);
                assert!(delay <= ceiling && delay >= ceiling / 2, "{number}: {delay:?} {ceiling:?}");
                ceiling = if number < attempts_before_doubling { first } else { (ceiling * 2).min(longest) };
            }
            assert_eq!(ceiling, longest);
            backoff.record_uptime(STABLE_AFTER);
            assert!(backoff.next_delay(kind) <= first);
        }
    }

    /// A server that drops the stream after `on_air` each time: the number of connections in an hour once the delays
    /// have settled, and the longest of these delays.
    fn dropped_after(on_air: Duration) -> (u32, Duration) {
        let mut backoff = ReconnectBackoff::new();
        let (mut passed, mut connections, mut longest) = (Duration::ZERO, 0, Duration::ZERO);
        while passed < Duration::from_hours(3) {
            backoff.record_uptime(on_air);
            let delay = backoff.next_delay(ConnectionErrorKind::Unreachable);
            if passed >= Duration::from_hours(2) {
                connections += 1;
                longest = longest.max(delay);
            }
            passed += on_air + delay;
        }
        (connections, longest)
    }

    #[test]
    fn seconds_on_air_keep_the_waits_short_and_moments_do_not() {
        let Schedule { initial: first, max: longest, .. } = schedule(ConnectionErrorKind::Unreachable);
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
        let Schedule { initial: first, attempts_before_doubling, max: longest } =
            schedule(ConnectionErrorKind::Unreachable);
        let mut backoff = ReconnectBackoff::new();
        for _ in 0..attempts_before_doubling + 1000 {
            backoff.next_delay(ConnectionErrorKind::Unreachable);
        }
        let waits: Vec<_> = (0..8)
            .map(|_| {
                backoff.record_uptime(Duration::from_secs(5));
                backoff.next_delay(ConnectionErrorKind::Unreachable)
            })
            .collect();
        assert!(waits[0] > longest / 4 && waits[7] <= first, "{waits:?}");
    }

    #[test]
    fn another_sort_of_trouble_has_a_pace_of_its_own() {
        let mut backoff = ReconnectBackoff::new();
        let refused = (0..3).map(|_| backoff.next_delay(ConnectionErrorKind::Rejected)).sum::<Duration>();
        assert!(refused >= Duration::from_millis(17_500), "{refused:?}");
        assert!(
            backoff.next_delay(ConnectionErrorKind::Unreachable) <= schedule(ConnectionErrorKind::Unreachable).initial
        );
    }
}
