//! What `status` and `state` give as a reason, from phase to phase of a real box.

use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// Reason and message, where the phase is this one.
#[track_caller]
fn account(shop: &TestBox, phase: &str) -> (Value, Value) {
    shop.wait_for_phase(phase);
    let mut status = shop.status().unwrap();
    assert_eq!(status["phase"], phase, "{status}");
    (status["reason"].take(), status["message"].take())
}

#[test]
fn a_reason_is_of_the_present_phase() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let plan = BoxConfig { mqtt: broker.url(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    assert_eq!(account(&shop, "idle"), (Value::Null, Value::Null));
    shop.press();
    shop.wait_for_phase("connecting");
    let said = |message: &Value| message["topic"] == "state" && message["payload"]["reason"].is_string();
    let state = operator.wait("the server is out of reach", said);
    assert!(state["payload"]["reason"].as_str().unwrap().starts_with("127.0.0.1:9: "), "{state}");
    shop.press();
    operator.wait("the end", |message| message["topic"] == "state" && message["payload"]["reason"] == "press");
    assert_eq!(account(&shop, "idle"), (json!("press"), Value::Null));
    assert_eq!(operator.ask("request-start")["ok"], true);
    assert_eq!(account(&shop, "requested"), (Value::Null, Value::Null));
    assert_eq!(operator.wait_for_phase("requested")["payload"]["reason"], Value::Null);
    assert_eq!(operator.ask("stop")["ok"], true);
    assert_eq!(account(&shop, "idle"), (json!("remote-stop"), Value::Null));
    shop.hold("5.3");
    assert_eq!(account(&shop, "locked"), (json!("lock"), Value::Null));
    shop.hold("2.3");
    assert_eq!(account(&shop, "idle").0, "remote-stop", "why the last request ended");
    // What a session that failed said is not said of what comes after it.
    shop.configure(&BoxConfig { ingest: "rtmp://127.0.0.2:9/live/k".to_owned(), ..plan });
    shop.press();
    wait_until("the session failed", || account(&shop, "idle").0 == "capture-failed");
    let (reason, message) = account(&shop, "idle");
    assert!(reason == "capture-failed" && message.as_str().unwrap().contains("restart guard and agent"), "{message}");
    assert_eq!(operator.ask("request-start")["ok"], true);
    assert_eq!(account(&shop, "requested"), (Value::Null, Value::Null));
    assert_eq!(operator.ask("stop")["ok"], true);
}
