//! The platform's operator: hears the box over MQTT, and commands it over MQTT. It has no other way to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{AsyncClient, Event, MqttOptions, NoticeFailureReason, PublishOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connectivity::Reachability;
use super::hub::{Hub, Tell};
use super::{ID, PREFIX};
use crate::clock::{self, Clock};
use crate::ipc::Verb;
use monotonic::Monotonic;

/// Before a broker that is away is tried again.
const AGAIN: Duration = Duration::from_millis(300);
/// A stop is answered within a second or two, when capture is gone.
const ANSWER: Duration = Duration::from_secs(10);

/// Hears and commands, until `ending`.
pub(super) async fn run(port: u16, hub: Arc<Hub>, mut orders: mpsc::Receiver<Verb>, ending: CancellationToken) {
    let mut options = MqttOptions::new("demo-operator", ("127.0.0.1", port));
    options.set_keep_alive(5).set_clean_start(true);
    let (client, mut eventloop) = AsyncClient::builder(options).capacity(64).build();
    let clock = Clock::start();
    let mut operator =
        Operator { client, hub, clock, reach: Reachability::default(), sent: 0, waiting: BTreeMap::new() };
    operator.tell();
    loop {
        let due = operator.waiting.values().map(|(_, until)| *until).min();
        tokio::select! {
            () = ending.cancelled() => return,
            polled = eventloop.poll() => match polled {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let _ = operator.client.try_subscribe(format!("{PREFIX}/{ID}/#"), QoS::AtLeastOnce);
                    operator.change(Reachability::connected);
                }
                Ok(Event::Incoming(Packet::Publish(message))) => operator.heard(&message),
                Ok(_) => {}
                Err(_) => {
                    // A command that comes late is another command: what was not delivered is given up.
                    eventloop.clean();
                    eventloop.drain_pending_as_failed(NoticeFailureReason::SessionReset);
                    operator.change(Reachability::lost);
                    operator.give_up();
                    tokio::time::sleep(AGAIN).await;
                }
            },
            Some(verb) = orders.recv() => operator.send(verb),
            () = tokio::time::sleep_until(clock.to_instant(due.unwrap_or_default())), if due.is_some() => operator.expire(),
        }
    }
}

struct Operator {
    client: AsyncClient,
    hub: Arc<Hub>,
    clock: Clock,
    reach: Reachability,
    sent: u32,
    /// Commands without an answer, by their ids, and until when one is waited for.
    waiting: BTreeMap<String, (Verb, Monotonic)>,
}

impl Operator {
    fn tell(&self) {
        self.hub.tell(Tell::Platform {
            link: self.reach.as_str(),
            reaches: self.reach.reaches(),
            says: self.reach.says(),
        });
    }

    fn change(&mut self, change: impl FnOnce(&mut Reachability)) {
        let before = self.reach.clone();
        change(&mut self.reach);
        if self.reach != before {
            self.tell();
        }
    }

    fn answer(&self, verb: Verb, ok: bool, says: String) {
        self.hub.tell(Tell::Answer { verb, ok, says });
    }

    fn send(&mut self, verb: Verb) {
        if !self.reach.reaches() {
            return self.answer(verb, false, format!("Not sent. {}", self.reach.says()));
        }
        self.sent += 1;
        let now = clock::utc_now();
        let expires = now.checked_add(SignedDuration::from_secs(30)).unwrap_or(now);
        let id = format!("demo-{}-{}", self.sent, now.as_millisecond());
        let payload = json!({ "id": id, "issued-at": now, "expires-at": expires }).to_string();
        let topic = format!("{PREFIX}/{ID}/cmd/{}", verb.as_str());
        match self.client.try_publish(topic, payload, PublishOptions::at_least_once()) {
            Ok(()) => {
                self.waiting.insert(id, (verb, self.clock.now().saturating_add(ANSWER)));
                self.answer(verb, true, "Sent. The box has not answered yet.".to_owned());
            }
            Err(error) => self.answer(verb, false, format!("Not sent: {error}.")),
        }
    }

    fn heard(&mut self, message: &Publish) {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        let topic = topic.strip_prefix(&format!("{PREFIX}/{ID}/")).unwrap_or(&topic).to_owned();
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        let payload = serde_json::from_str(&text).unwrap_or(Value::String(text));
        match topic.as_str() {
            "availability" => {
                let said = payload.as_str().map(str::to_owned);
                self.change(|reach| reach.says_of_itself(said));
            }
            "reply" => self.replied(&payload),
            _ => {}
        }
        self.hub.tell(Tell::Mqtt { topic, payload, retained: message.retain });
    }

    fn replied(&mut self, reply: &Value) {
        let Some((verb, _)) = reply["id"].as_str().and_then(|id| self.waiting.remove(id)) else { return };
        let ok = reply["ok"] == true;
        let says = match (ok, reply["error"].as_str()) {
            (true, None) => "The box has done it.".to_owned(),
            (true, Some(more)) => format!("The box says: {more}."),
            (false, why) => format!("The box refused: {}.", why.unwrap_or("it gave no reason")),
        };
        self.answer(verb, ok, says);
    }

    fn expire(&mut self) {
        let now = self.clock.now();
        let late: Vec<String> =
            self.waiting.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| id.clone()).collect();
        for (verb, _) in late.iter().filter_map(|id| self.waiting.remove(id)).collect::<Vec<_>>() {
            self.answer(verb, false, format!("The box has not answered within {} s.", ANSWER.as_secs()));
        }
    }

    fn give_up(&mut self) {
        for (verb, _) in std::mem::take(&mut self.waiting).into_values() {
            let says = "The message broker went away before the box answered: whether it was carried out is not known.";
            self.answer(verb, false, says.to_owned());
        }
    }
}
