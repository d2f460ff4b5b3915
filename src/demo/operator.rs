//! The platform's operator: hears the box over MQTT, and commands it over MQTT. It has no other way to it.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Tell};
use super::{ID, PREFIX};
use crate::clock;
use crate::ipc::Verb;

/// Before a broker that is away is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// Hears and commands, until `ending`.
pub(super) async fn run(port: u16, hub: Arc<Hub>, mut orders: mpsc::Receiver<Verb>, ending: CancellationToken) {
    let mut options = MqttOptions::new("demo-operator", ("127.0.0.1", port));
    options.set_keep_alive(5).set_clean_start(true);
    let (client, mut eventloop) = AsyncClient::builder(options).capacity(64).build();
    let hear = async {
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let _ = client.try_subscribe(format!("{PREFIX}/{ID}/#"), QoS::AtLeastOnce);
                    hub.tell(Tell::Broker { up: true });
                }
                Ok(Event::Incoming(Packet::Publish(message))) => heard(&hub, &message),
                Ok(_) => {}
                Err(_) => {
                    hub.tell(Tell::Broker { up: false });
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    };
    let command = async {
        let mut number = 0u32;
        while let Some(verb) = orders.recv().await {
            number += 1;
            let now = clock::utc();
            let expires = now.checked_add(SignedDuration::from_secs(30)).unwrap_or(now);
            let id = format!("demo-{number}-{}", now.as_millisecond());
            let payload = json!({ "id": id, "issued-at": now, "expires-at": expires }).to_string();
            let topic = format!("{PREFIX}/{ID}/cmd/{}", verb.word());
            if let Err(error) = client.try_publish(topic, payload, PublishOptions::at_least_once()) {
                tracing::warn!(%error, "a command was not sent");
            }
        }
    };
    tokio::select! {
        () = ending.cancelled() => {}
        () = hear => {}
        () = command => {}
    }
}

fn heard(hub: &Hub, message: &Publish) {
    let topic = String::from_utf8_lossy(&message.topic).into_owned();
    let topic = topic.strip_prefix(&format!("{PREFIX}/{ID}/")).unwrap_or(&topic).to_owned();
    let text = String::from_utf8_lossy(&message.payload).into_owned();
    let payload = serde_json::from_str(&text).unwrap_or(Value::String(text));
    hub.tell(Tell::Mqtt { topic, payload, retained: message.retain });
}
