//! The platform's desired configuration on its way to the guard, and the answer on its way back. The agent judges
//! nothing: it hands bytes on, the newest document only, and one at a time.

use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::v5::{Publish, SubscribeReasonCode};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::{Agent, BrokerConnection};
use super::guard_client::GuardClient;
use super::messages::json;
use super::publisher::Kind;
use crate::config::parse_duration;
use crate::ipc::{KeyCode, ReportedConfig, Request, Response};

/// The topic that is subscribed, below the box's own.
pub(super) const DESIRED: &str = "config/desired";
/// Longest payload that is handed on, in bytes: a note has at most half of it.
const MAX_NOTE: usize = 16 * 1024;
/// A guard that has no time for a document is asked again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// After a refusal it is not asked about the next one before this: whoever floods the topic keeps the guard idle.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);
/// The least time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// After the broker refused a report it is tried again this much later.
const REPORT_RETRY: Duration = Duration::from_secs(30);
/// The key that the agent itself obeys.
const TELEMETRY_INTERVAL: &str = "mqtt.telemetry-interval";

/// What waits for the guard or for the broker. It outlives connections.
#[derive(Debug, Default)]
pub(super) struct TwinRelay {
    /// The newest document that the guard has not judged.
    waiting: Option<String>,
    /// The guard is not asked before this.
    ask_at: Option<Monotonic>,
    tasks: JoinSet<(String, Response)>,
    /// The last message was an empty one, and the log has that.
    was_empty: bool,
    /// The answer is not published before this.
    report_at: Option<Monotonic>,
}

/// The guard's word on a desired configuration.
pub(super) enum TwinEvent {
    /// It reports something new.
    Reported,
    /// It judged this document, or had no time.
    Answered(String, Response),
}

/// The next of them. Cancel-safe.
pub(super) async fn next_event(
    reported: &mut watch::Receiver<Option<ReportedConfig>>,
    relay: &mut TwinRelay,
) -> TwinEvent {
    tokio::select! {
        Ok(()) = reported.changed() => TwinEvent::Reported,
        (note, response) = relay.answered() => TwinEvent::Answered(note, response),
    }
}

impl TwinRelay {
    /// A message on the topic. An empty one is how a retained message is deleted; nobody signed that, and it changes
    /// nothing.
    fn receive(&mut self, payload: &[u8]) {
        if payload.is_empty() {
            if !std::mem::replace(&mut self.was_empty, true) {
                tracing::info!("the broker has no desired configuration any more: what is in force stays");
            }
            return;
        }
        self.was_empty = false;
        // What is longer is no note; the beginning is enough for the guard to say so.
        let note = String::from_utf8_lossy(&payload[..payload.len().min(MAX_NOTE)]).into_owned();
        self.waiting = Some(note);
    }

    /// Asks the guard about the newest document, unless it is being asked about one.
    fn ask(&mut self, now: Monotonic, guard: &GuardClient) {
        if !self.tasks.is_empty() || self.ask_at.is_some_and(|at| now < at) {
            return;
        }
        if let Some(note) = self.waiting.take() {
            let guard = guard.clone();
            self.tasks.spawn(async move {
                let response = guard.call(Request::Desired { note: note.clone() }).await;
                (note, response)
            });
        }
    }

    /// The guard's next answer; pending while it is asked nothing. Cancel-safe.
    async fn answered(&mut self) -> (String, Response) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// What the guard reports carries the judgement; only one that was not made is asked for again.
    fn on_answer(&mut self, now: Monotonic, note: String, response: Response) {
        match response {
            Response::Unavailable(rejection) => {
                tracing::info!("the desired configuration waits: {}", rejection.why);
                self.waiting.get_or_insert(note);
                self.ask_at = Some(now.saturating_add(RETRY_AFTER));
            }
            // The ledger and the report have it; in the log a flood of them would leave no room for anything else.
            Response::Rejected(rejection) => {
                tracing::debug!("the desired configuration is refused: {}", rejection.why);
                self.ask_at = Some(now.saturating_add(REFUSAL_PAUSE));
            }
            Response::Done | Response::Unwritten | Response::Probed(_) | Response::Erased(_) => {}
        }
    }

    /// When the guard is asked again, if it is.
    fn due(&self) -> Option<Monotonic> {
        self.ask_at.filter(|_| self.waiting.is_some() && self.tasks.is_empty())
    }
}

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
            TwinEvent::Answered(note, response) => self.twin.on_answer(now, note, response),
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
    fn only_the_newest_document_waits_and_one_without_an_answer_is_asked_about_again() {
        let now = Monotonic::default();
        let mut relay = TwinRelay::default();
        for number in 0..10_000 {
            relay.receive(format!("document {number}").as_bytes());
        }
        relay.receive(b"");
        assert_eq!(relay.waiting.as_deref(), Some("document 9999"), "an empty message takes nothing back");
        let note = relay.waiting.take().unwrap();
        relay.on_answer(now, note, Response::unavailable("later"));
        assert_eq!(
            (relay.waiting.as_deref(), relay.due()),
            (Some("document 9999"), Some(now.saturating_add(RETRY_AFTER)))
        );
        // A newer one takes its place, and the older one does not come back.
        relay.receive(b"newer");
        assert_eq!(relay.due(), Some(now.saturating_add(RETRY_AFTER)));
        relay.on_answer(now, "document 9999".to_owned(), Response::unavailable("later"));
        assert_eq!(relay.waiting.as_deref(), Some("newer"));
        relay.receive(&vec![b'x'; 1 << 20]);
        assert_eq!(relay.waiting.unwrap().len(), MAX_NOTE);
    }

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
