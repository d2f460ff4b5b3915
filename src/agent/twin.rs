//! The platform's desired configuration on its way to the guard, and the answer on its way back. The agent judges
//! nothing: it hands bytes on, the newest document only, and one at a time.

use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::v5::{Publish, SubscribeReasonCode};

use super::context::{Agent, BrokerConnection};
use super::messages::json;
use super::publisher::Kind;
use super::twin_relay::TwinEvent;
use crate::config::parse_duration;
use crate::ipc::{KeyCode, ReportedConfig, Response};

/// The topic that is subscribed, below the box's own.
pub(super) const DESIRED: &str = "config/desired";
/// The least time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// After the broker refused a report it is tried again this much later.
const REPORT_RETRY: Duration = Duration::from_secs(30);
/// The key that the agent itself obeys.
const TELEMETRY_INTERVAL: &str = "mqtt.telemetry-interval";

impl Agent<'_> {
    /// Whether this message is a desired configuration; then it is taken.
    pub(super) fn take_desired(&mut self, message: &Publish) -> bool {
        let is_desired = message.topic.as_ref() == self.topic(DESIRED).as_bytes();
        if is_desired {
            self.twin.receive(&message.payload);
        }
        is_desired
    }

    /// What is remarked where the broker does not let the box read its desired configuration.
    pub(super) fn desired_refused(&self, code: SubscribeReasonCode) -> String {
        let topic = self.topic(DESIRED);
        format!(
            "it refuses the subscription to {topic} ({code:?}): the platform cannot configure the box; see the broker's \
                 access rules"
        )
    }

    /// Hands on what waits, and publishes the answer where it is another one than before.
    pub(super) fn serve_twin(&mut self, line: &mut BrokerConnection) {
        let now = self.clock.now();
        self.twin.ask(now, &self.guard.calls);
        let is_early = self.twin.report_at.is_some_and(|at| now < at);
        if !line.online || is_early || line.publisher.is_under_way(Kind::Reported) {
            return;
        }
        self.twin.report_at = None;
        let Some(reported) = self.guard.reported.borrow().clone() else { return };
        if line.reported.as_ref() == Some(&reported) {
            return;
        }
        let payload = json(&reported);
        line.reported = Some(reported);
        self.publish(line, Kind::Reported, payload);
    }

    /// Takes the guard's word. What it says of the telemetry's interval counts from now on.
    pub(super) fn on_twin_event(&mut self, line: &mut BrokerConnection, event: TwinEvent) {
        let now = self.clock.now();
        match event {
            TwinEvent::Answered(note, response) => {
                if matches!(response, Response::Rejected(_)) {
                    // The report may have the same words as before, and whoever sent this document waits for them.
                    line.reported = None;
                    self.twin.report_at.get_or_insert(now.saturating_add(REPORT_INTERVAL));
                }
                self.twin.on_answer(now, note, response);
            }
            TwinEvent::Reported => {
                self.twin.report_at.get_or_insert(now.saturating_add(REPORT_INTERVAL));
                line.telemetry_at = line.telemetry_at.min(now.saturating_add(self.telemetry_interval()));
            }
        }
    }

    /// The broker did not take the report.
    pub(super) fn on_report_refused(&mut self, line: &mut BrokerConnection, now: Monotonic) {
        line.reported = None;
        self.twin.report_at = Some(now.saturating_add(REPORT_RETRY));
    }

    /// When there is something to do that nothing else wakes the loop for.
    pub(super) fn twin_due(&self, line: &BrokerConnection) -> Option<Monotonic> {
        let may_report = line.online && !line.publisher.is_under_way(Kind::Reported);
        self.twin.due().into_iter().chain(self.twin.report_at.filter(|_| may_report)).min()
    }

    /// How often telemetry is sent: as the platform wants it where no file says it.
    pub(super) fn telemetry_interval(&self) -> Duration {
        desired_interval(self.guard.reported.borrow().as_ref()).unwrap_or(self.mqtt.telemetry_interval)
    }
}

fn desired_interval(reported: Option<&ReportedConfig>) -> Option<Duration> {
    let key = reported?.keys.get(TELEMETRY_INTERVAL).filter(|key| key.code == KeyCode::Ok)?;
    parse_duration(key.value.as_ref()?.as_str()?).filter(|interval| !interval.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::KeyReport;

    #[test]
    fn telemetry_comes_as_often_as_the_guard_says() {
        let with = |code, value: &str| {
            let mut reported = ReportedConfig::default();
            let value = Some(value.into());
            reported.keys.insert(TELEMETRY_INTERVAL.to_owned(), KeyReport { value, code, text: None });
            desired_interval(Some(&reported))
        };
        assert_eq!(with(KeyCode::Ok, "90s"), Some(Duration::from_secs(90)));
        for (code, value) in
            [(KeyCode::Locked, "90s"), (KeyCode::PendingIdle, "90s"), (KeyCode::Ok, "0"), (KeyCode::Ok, "x")]
        {
            assert_eq!(with(code, value), None, "{code:?} {value}");
        }
        assert_eq!(desired_interval(None), None);
    }
}
