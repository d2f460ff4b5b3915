//! The box at Home Assistant's discovery topic, over a real broker. `make home-assistant-test` has the real one.

use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

const TOPIC: &str = "homeassistant/device/test-box/config";

fn plan(broker: &Broker, more: &str) -> BoxConfig {
    BoxConfig { mqtt: format!("{}\n{more}", broker.url()), ..BoxConfig::default() }
}

fn announced(message: &Value) -> bool {
    message["topic"] == TOPIC && message["payload"].is_object()
}

fn withdrawn(message: &Value) -> bool {
    message["topic"] == TOPIC && message["payload"] == ""
}

/// The retained message that somebody finds who comes now; `None`: the box is there, and the message is not.
fn found(broker: &Broker) -> Option<Value> {
    let mut late = Operator::connect(broker.port);
    late.publish(&json!({ "to": "homeassistant/probe", "payload": "probe" }));
    late.wait("what is published after the retained ones", |message| message["payload"] == "probe");
    late.log.into_iter().find(|message| message["topic"] == TOPIC)
}

#[test]
fn it_is_told_of_the_box_once_and_can_stop_it() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&plan(&broker, "home-assistant = true"));
    let _guard = shop.start("guard");
    let mut agent = shop.start("agent");
    let message = operator.wait("announced", announced);
    assert_eq!(message["qos"], 1);
    let kept = found(&broker).expect("it is retained");
    assert_eq!((&kept["retained"], &kept["payload"]), (&json!(true), &message["payload"]));

    let button = &message["payload"]["components"]["stop"];
    let press = |operator: &mut Operator, at: &str| {
        let template = button["command_template"].as_str().unwrap();
        let payload = template.replace("{{ now().timestamp() }}", at);
        assert!(payload.len() < template.len(), "{template}");
        operator.publish(&json!({ "to": button["command_topic"], "payload": payload }));
        operator.wait("the answer", |message| message["topic"] == "reply" && message["payload"]["ok"] == true);
    };
    for at in ["1764403200.000001", "1764403200.000002"] {
        shop.press();
        operator.wait_for_phase("connecting");
        press(&mut operator, at);
        operator.wait_for_phase("idle");
        assert!(shop.captures().is_empty());
    }

    // Whoever may write to the topic of its start cannot make the box send without end.
    for _ in 0..500 {
        operator.publish(&json!({ "to": "homeassistant/status", "payload": "online" }));
    }
    operator.publish(&json!({ "to": "homeassistant/status", "payload": "x".repeat(60_000) }));
    assert_eq!(operator.ask("diagnose")["ok"], true);
    let told = operator.log.iter().filter(|message| announced(message)).count();
    assert!(told <= 2, "{told}");

    // Switched off: the agent that comes next withdraws what the one before announced.
    assert_eq!(agent.finish(), Some(0));
    shop.configure(&plan(&broker, ""));
    let mut off = shop.start("agent");
    operator.wait("withdrawn", withdrawn);
    assert_eq!(found(&broker), None);
    wait_until("it is forgotten", || !shop.path("data/agent/home-assistant").exists());
    off.finish();
}

#[test]
fn a_box_that_is_unbound_leaves() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&plan(&broker, "home-assistant = true"));
    let _run = shop.start("run");
    operator.wait("announced", announced);
    shop.hold("11");
    operator.wait("withdrawn", withdrawn);
    operator.wait_for_availability("stopped");
    assert_eq!(found(&broker), None);
    wait_until("it is forgotten", || !shop.path("data/agent/home-assistant").exists());
}

#[test]
fn a_broker_that_refuses_it_has_the_box_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "topic readwrite tallybox/#\n").unwrap();
    let broker = Broker::new(&format!("acl_file {}", acl.display()));
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&plan(&broker, "home-assistant = true"));
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    // mosquitto takes each subscription, and hands on nothing that the rules do not allow.
    wait_until("the log says so", || shop.log().contains("the broker refuses the message for Home Assistant"));
    assert_eq!(operator.ask("diagnose")["ok"], true);
    assert_eq!(shop.log().matches("connected to the broker").count(), 1);
}
