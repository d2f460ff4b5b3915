//! When a connection ends because its certificates were renewed. Pure.

use std::time::Duration;

use monotonic::Monotonic;

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// A fleet whose authority was renewed by one roll-out comes back over this long.
const SPREAD: Duration = Duration::from_mins(10);
/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    check_at: Monotonic,
    reconnect_at: Option<Monotonic>,
}

impl Renewal {
    /// Whether it is time to look at the files.
    pub(super) fn is_check_due(&mut self, now: Monotonic) -> bool {
        let due = now >= self.check_at;
        if due {
            self.check_at = now.saturating_add(CHECK_INTERVAL);
        }
        due
    }

    /// What the files are: other ones than those of the connection, or not. `left`: how long the certificate that it
    /// shows is still good; none is shown, `None`. `share`: a random number from 0 to 1.
    pub(super) fn saw(&mut self, now: Monotonic, renewed: bool, left: Option<Duration>, share: f64) {
        let spread = left.map_or(SPREAD, |left| SPREAD.min(left / 2));
        self.reconnect_at =
            renewed.then(|| self.reconnect_at.unwrap_or_else(|| now.saturating_add(spread.mul_f64(share))));
    }

    /// Whether the connection ends now.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        self.reconnect_at.is_some_and(|at| now >= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_connection_ends_once_after_a_renewal_and_before_the_old_certificate_does() {
        for (left, latest) in [(None, 600), (Some(86_400), 600), (Some(400), 200), (Some(0), 0)] {
            for share in [0.0, 0.5, 1.0] {
                let mut renewal = Renewal::default();
                renewal.saw(at(1000), true, left.map(Duration::from_secs), share);
                let due = (1000..=1700).find(|second| renewal.is_due(at(*second))).unwrap();
                assert!(due <= 1000 + latest, "{left:?} {share}: {due}");
                // Each look at the same files leaves the moment as it is: jitter is drawn once.
                let mut renewal = Renewal::default();
                for second in (1000..1000 + latest).step_by(30) {
                    renewal.saw(at(second), true, left.map(Duration::from_secs), share);
                }
                assert!(latest == 0 || renewal.is_due(at(1000 + latest)), "{left:?} {share}");
            }
        }
    }

    #[test]
    fn files_that_are_taken_back_end_nothing() {
        let mut renewal = Renewal::default();
        renewal.saw(at(1000), true, None, 0.5);
        renewal.saw(at(1030), false, None, 0.5);
        assert!(!renewal.is_due(at(10_000)));
    }

    #[test]
    fn the_files_are_looked_at_every_half_minute() {
        let mut renewal = Renewal::default();
        let looks = (100..400).filter(|second| renewal.is_check_due(at(*second))).count();
        assert_eq!(looks, 10);
    }
}
