//! The `AsyncAPI` 3.0 document, assembled from the messages. The application is the box: it sends its state, and
//! receives commands.

use serde_json::{Map, Value, json};

use super::messages::{self, Message};
use crate::ipc::VERBS;

fn reference(to: &str) -> Value {
    json!({ "$ref": to })
}

/// A name that may be a component's: `release/{channel}` is `release-channel`.
fn channel_name(topic: &str) -> String {
    topic.trim_start_matches("../").replace(['/', '{'], "-").replace('}', "").replace("--", "-")
}

fn address(topic: &str) -> String {
    match topic.strip_prefix("../") {
        Some(shared) => format!("tallybox/v1/{shared}"),
        None => format!("tallybox/v1/{{box}}/{topic}"),
    }
}

fn parameters(topic: &str) -> Value {
    let mut all = Map::new();
    if !topic.starts_with("../") {
        all.insert("box".to_owned(), json!({ "description": "[device] id of the box" }));
    }
    if topic.contains("{channel}") {
        all.insert("channel".to_owned(), json!({ "description": "A channel of releases", "examples": ["stable"] }));
    }
    all.into()
}

fn message(message: &Message) -> Value {
    let content = if message.is_json() { "application/json" } else { "text/plain" };
    let mut whole = json!({
        "name": message.name,
        "summary": message.says,
        "contentType": content,
        "payload": message.schema,
        "examples": [{ "name": message.name, "payload": message.example }],
        "bindings": { "mqtt": { "bindingVersion": "0.2.0", "contentType": content } },
    });
    if message.is_command() || message.topic == "reply" {
        let text = |says: &str| json!({ "type": "string", "description": says });
        let mut headers = json!({ "correlationData": text("MQTT 5's property; comes back as it was sent.") });
        if message.is_command() {
            headers["responseTopic"] = text("MQTT 5's property; outside of tallybox/v1/, or the answer goes to reply.");
        }
        whole["headers"] = json!({ "type": "object", "properties": headers });
        whole["correlationId"] = reference("#/components/correlationIds/correlationData");
    }
    whole
}

fn operation(topic: &str, all: &[&Message]) -> Value {
    let first = all[0];
    let channel = format!("#/channels/{}", channel_name(topic));
    let messages: Vec<Value> =
        all.iter().map(|message| reference(&format!("{channel}/messages/{}", message.name))).collect();
    let retain = if first.is_from_box { json!({ "retain": first.retained }) } else { json!({}) };
    let mut binding = json!({ "bindingVersion": "0.2.0", "qos": first.qos });
    binding.as_object_mut().into_iter().for_each(|binding| binding.extend(retain.as_object().cloned().unwrap()));
    let mut whole = json!({
        "action": if first.is_from_box { "send" } else { "receive" },
        "channel": reference(&channel),
        "summary": first.says,
        "messages": messages,
        "bindings": { "mqtt": binding },
    });
    if first.is_command() {
        let row = VERBS.iter().find(|row| topic.ends_with(&format!("/{}", row.verb.as_str()))).unwrap();
        whole["summary"] = format!("The box {}.", row.does).replace('`', "").into();
        let refused = row.refused.replace('`', "");
        let steps = if row.is_long() { format!(" Progress: {}.", row.steps.join(", ")) } else { String::new() };
        let ok = row.ok_means.replace('`', "");
        whole["description"] = format!("ok means: {ok}. Refused: {refused}.{steps}").into();
        whole["reply"] = json!({
            "address": { "location": "$message.header#/responseTopic",
                "description": "Without a response topic the answer goes to reply." },
            "channel": reference("#/channels/answer"),
            "messages": [reference("#/channels/answer/messages/reply")],
        });
    }
    whole
}

/// The whole document.
pub(super) fn document() -> Value {
    let all = messages::all();
    let (mut channels, mut operations, mut components) = (Map::new(), Map::new(), Map::new());
    for one in &all {
        components.insert(one.name.clone(), message(one));
        let name = channel_name(&one.topic);
        if channels.contains_key(&name) {
            continue;
        }
        let here: Vec<&Message> = all.iter().filter(|other| other.topic == one.topic).collect();
        let references = here
            .iter()
            .map(|message| (message.name.clone(), reference(&format!("#/components/messages/{}", message.name))));
        let messages: Map<String, Value> = references.collect();
        let channel =
            json!({ "address": address(&one.topic), "parameters": parameters(&one.topic), "messages": messages });
        channels.insert(name.clone(), channel);
        operations.insert(name, operation(&one.topic, &here));
    }
    // Where an answer goes that has an address of its own, a channel may have none.
    let answer = json!({ "address": null, "description": "The response topic of a command.",
        "messages": { "reply": reference("#/components/messages/reply") } });
    channels.insert("answer".to_owned(), answer);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "tallybox",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A streaming box at its MQTT 5 broker, seen from the box. Remote can ask staff to start, and \
                can stop and mute; no message starts a session. docs/mqtt.md explains it. The part tallybox/v1 of each \
                address is [mqtt] topic-prefix of the box.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "broker": { "host": "broker.example.cn:8883", "protocol": "secure-mqtt", "protocolVersion": "5" } },
        "channels": channels,
        "operations": operations,
        "components": {
            "correlationIds": { "correlationData": { "location": "$message.header#/correlationData" } },
            "messages": components,
        },
    })
}
