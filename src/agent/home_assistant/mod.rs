//! Home Assistant: one retained message by which its MQTT integration knows the box. Off unless configured.
//!
//! The message names topics that the box has anyway. Home Assistant can read them and press `stop`; it has no switch,
//! for there is nothing that it could switch on, and no camera.

pub(super) mod announcement;
mod discovery;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use discovery::message;

use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Publish, SubAck, SubscribeReasonCode};

use super::context::{Agent, BrokerConnection};
use super::publisher::{Kind, Outcome};

/// What Home Assistant says on `<prefix>/status` when it has started.
const BIRTH: &[u8] = b"online";
/// The message is sent again within this after a birth: a fleet does not answer all at once.
const BIRTH_SPREAD: Duration = Duration::from_secs(10);

impl Agent<'_> {
    /// The box is online: asks to hear when Home Assistant starts.
    pub(super) fn home_assistant_connected(&mut self, line: &BrokerConnection) {
        self.home_assistant.connected(self.clock.now());
        if let Some(topic) = self.home_assistant.status_topic() {
            // Without room it is told at the next connection: the message is retained.
            let _ = line.publisher.client.try_subscribe(topic, QoS::AtMostOnce);
        }
    }

    /// The broker's answer to that. A refusal is remarked, and is no reason to end the connection.
    pub(super) fn home_assistant_subscribed(&mut self, answer: &SubAck) {
        let refused = answer.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_)));
        let topic = self.home_assistant.status_topic().unwrap_or_default();
        let why = format!("the broker refuses the subscription to {topic}: see its access rules");
        self.notifier.remark("Home Assistant's start", refused.then_some(why));
    }

    /// Whether a message is Home Assistant's; it is heard then. A retained one is of before this connection, at whose
    /// beginning the box has told all.
    pub(super) fn is_from_home_assistant(&mut self, message: &Publish) -> bool {
        if self.home_assistant.status_topic().is_none_or(|topic| topic.as_bytes() != message.topic.as_ref()) {
            return false;
        }
        if *message.payload == *BIRTH && !message.retain {
            self.home_assistant.born(self.clock.now(), BIRTH_SPREAD.mul_f64(fastrand::f64()));
        }
        true
    }

    /// Publishes what is due. A box that is unbound withdraws all.
    pub(super) fn send_to_home_assistant(&mut self, line: &mut BrokerConnection) {
        if !line.online {
            return;
        }
        let own = self.home_assistant.topic(&self.id).filter(|_| !self.is_unbound());
        let Some((topic, withdraws)) = self.home_assistant.next(self.clock.now(), own.as_deref()) else { return };
        self.home_assistant.note(&topic);
        let payload = if withdraws { String::new() } else { discovery::message(self.mqtt, &self.id) };
        if let Err(refusal) = line.publisher.send(self.clock.now(), Kind::HomeAssistant, topic, payload, None) {
            self.on_publish_outcome(line, Outcome { kind: Kind::HomeAssistant, result: Err(refusal) });
        }
    }

    /// When there is something to send that nothing else wakes the connection's loop for.
    pub(super) fn home_assistant_due(&self) -> Option<Monotonic> {
        self.home_assistant.due()
    }

    pub(super) fn home_assistant_settled(&mut self, accepted: bool) {
        self.home_assistant.settle(accepted);
    }
}
