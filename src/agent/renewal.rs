//! Certificates that are renewed while a connection stands: it ends soon after, and the next one shows the new ones.

use std::time::Duration;

use jiff::Timestamp;
use monotonic::Monotonic;

use super::context::{Agent, BrokerConnection};
use crate::clock;
use crate::transport_warnings;

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// A fleet whose authority was renewed by one roll-out comes back over this long.
const SPREAD: Duration = Duration::from_mins(10);
/// What is remarked about files that cannot be used.
const RENEWAL: &str = "renewed certificates";

/// When a connection ends because its certificates were renewed. Pure.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    check_at: Monotonic,
    reconnect_at: Option<Monotonic>,
}

impl Renewal {
    /// Whether it is time to look at the files.
    fn is_check_due(&mut self, now: Monotonic) -> bool {
        let due = now >= self.check_at;
        if due {
            self.check_at = now.saturating_add(CHECK_INTERVAL);
        }
        due
    }

    /// What the files are: other ones than those of the connection, or not. `left`: how long the certificate that it
    /// shows is still good; none is shown, `None`. `share`: a random number from 0 to 1.
    fn saw(&mut self, now: Monotonic, renewed: bool, left: Option<Duration>, share: f64) {
        let spread = left.map_or(SPREAD, |left| SPREAD.min(left / 2));
        self.reconnect_at =
            renewed.then(|| self.reconnect_at.unwrap_or_else(|| now.saturating_add(spread.mul_f64(share))));
    }

    /// Whether the connection ends now.
    fn is_due(&self, now: Monotonic) -> bool {
        self.reconnect_at.is_some_and(|at| now >= at)
    }
}

impl Agent<'_> {
    /// At each beat of the watchdog. Returns whether the connection is to be made anew.
    pub(super) fn check_certificates(&mut self, line: &mut BrokerConnection) -> bool {
        let now = self.clock.now();
        if line.renewal.is_check_due(now) {
            self.look_at_files(line, now);
        }
        line.online && line.renewal.is_due(now)
    }

    fn look_at_files(&mut self, line: &mut BrokerConnection, now: Monotonic) {
        line.state_due |= self.note_warnings();
        if !self.mqtt.tls {
            return;
        }
        let renewed = self.tls.are_renewed(self.mqtt);
        self.notifier.remark(RENEWAL, renewed.as_ref().err().cloned());
        let left = self.tls.own_end().map(|end| left(end, clock::utc_now()));
        line.renewal.saw(now, renewed.unwrap_or(false), left, fastrand::f64());
    }

    /// The doubts about this connection's way; returns whether they are other ones than before.
    pub(super) fn note_warnings(&mut self) -> bool {
        let warnings = transport_warnings::gather(self.mqtt, Some(&self.id), clock::utc_now());
        let changed = warnings != self.warnings;
        self.warnings = warnings;
        changed
    }

    pub(super) fn note_unusable_renewal(&mut self, why: Option<String>) {
        self.notifier.remark(RENEWAL, why);
    }
}

fn left(end: Timestamp, now: Timestamp) -> Duration {
    end.duration_since(now).try_into().unwrap_or(Duration::ZERO)
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
