//! How long to wait before the server is tried again. Pure, but for the dice.

use std::time::Duration;

use super::failure::TroubleKind;

/// Each wait is somewhere between half of its span and all of it, so that a thousand boxes do not come back to a
/// server at once. The span is short as long as a server that restarts may need, then doubles to a limit.
#[derive(Debug)]
pub(super) struct Backoff {
    kind: TroubleKind,
    waits: u32,
}

/// Spans for one sort of trouble.
struct Pace {
    first: Duration,
    /// How often the first is waited before it doubles.
    flat: u32,
    longest: Duration,
}

const fn pace(kind: TroubleKind) -> Pace {
    match kind {
        // A restart of a server takes a second or two, that of its machine half a minute: staff should hardly notice
        // it. One that comes back after minutes should not have to wait for us much longer.
        TroubleKind::Away | TroubleKind::Again => {
            Pace { first: Duration::from_millis(250), flat: 200, longest: Duration::from_secs(10) }
        }
        // Mostly it is our own last connection, which the server has not missed yet.
        TroubleKind::InUse => Pace { first: Duration::from_secs(1), flat: 4, longest: Duration::from_secs(10) },
        // Somebody has to change something first: servers lock out those who hammer.
        TroubleKind::Refused | TroubleKind::Untrusted => {
            Pace { first: Duration::from_secs(5), flat: 1, longest: Duration::from_mins(1) }
        }
    }
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { kind: TroubleKind::Away, waits: 0 }
    }

    /// The next wait, for this sort of trouble.
    pub(super) fn wait(&mut self, kind: TroubleKind) -> Duration {
        if kind != self.kind {
            *self = Self { kind, waits: 0 };
        }
        self.waits += 1;
        let pace = pace(kind);
        // 2^16 times the shortest is far above every limit.
        let doubled = self.waits.saturating_sub(pace.flat).min(16);
        let span = (pace.first * 2_u32.pow(doubled)).min(pace.longest);
        span.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It worked: start from the beginning next time.
    pub(super) fn reset(&mut self) {
        self.waits = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew() {
        for kind in [TroubleKind::Away, TroubleKind::InUse, TroubleKind::Refused, TroubleKind::Untrusted] {
            let Pace { first, flat, longest } = pace(kind);
            let mut backoff = Backoff::new();
            let mut ceiling = first;
            for number in 1..flat + 20 {
                let wait = backoff.wait(kind);
                assert!(wait <= ceiling && wait >= ceiling / 2, "{number}: {wait:?} {ceiling:?}");
                ceiling = if number < flat { first } else { (ceiling * 2).min(longest) };
            }
            assert_eq!(ceiling, longest);
            backoff.reset();
            assert!(backoff.wait(kind) <= first);
        }
    }

    #[test]
    fn another_sort_of_trouble_has_a_pace_of_its_own() {
        let mut backoff = Backoff::new();
        let refused = (0..3).map(|_| backoff.wait(TroubleKind::Refused)).sum::<Duration>();
        assert!(refused >= Duration::from_millis(17_500), "{refused:?}");
        assert!(backoff.wait(TroubleKind::Away) <= pace(TroubleKind::Away).first);
    }
}
