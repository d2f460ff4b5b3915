//! Why a connection that stands is made anew: certificates were renewed, which the next one shows, or what the broker
//! refused is tried again.

use std::time::Duration;

use jiff::Timestamp;
use monotonic::Monotonic;

use super::context::{Agent, BrokerConnection};
use crate::clock;
use crate::transport_warnings;

/// What is remarked about files that cannot be used.
const RENEWAL: &str = "renewed certificates";

impl Agent<'_> {
    /// At each beat of the watchdog. Returns why the connection is to be made anew, if it is.
    pub(super) fn why_anew(&mut self, line: &mut BrokerConnection) -> Option<&'static str> {
        if self.check_certificates(line) {
            return Some("certificates were renewed: the connection is made anew");
        }
        // A connection that holds must keep nothing from a broker that takes it meanwhile: events wait for QoS 1.
        let now = self.clock.now();
        let is_due = line.subscribe_at.is_some_and(|at| now >= at);
        let tried = line.accepts.is_some_and(|tried| tried != self.refused_features.at(now));
        (is_due || tried).then_some("what the broker refused an hour ago is tried again")
    }

    fn check_certificates(&mut self, line: &mut BrokerConnection) -> bool {
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
