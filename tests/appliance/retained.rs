//! Retained commands: refused whenever they come, told once, and no reason to stop listening.

use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// How often the ledger says that a retained command was refused.
fn written(shop: &TestBox) -> usize {
    let refused = |fact: &Value| {
        fact["kind"] == "command-refused" && fact["why"].as_str().is_some_and(|why| why.contains("retained"))
    };
    shop.ledger().iter().filter(|fact| refused(fact)).count()
}

#[track_caller]
fn refused(operator: &mut Operator, id: &str) {
    let answer =
        operator.wait("the answer", |message| message["topic"] == "reply" && message["payload"]["id"] == id)["payload"]
            .take();
    let error = answer["error"].as_str().unwrap_or_default().to_owned();
    assert!(answer["ok"] == false && error.contains("send it without the retain flag"), "{answer}");
}

#[test]
fn a_retained_command_is_refused_whenever_it_comes() {
    let kept = tempfile::tempdir().unwrap();
    // On disk at each change, since the broker is killed below.
    let mut broker = Broker::new(&format!(
        "persistence true\npersistence_location {}/\nautosave_on_changes true\nautosave_interval 1",
        kept.path().display()
    ));
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() });
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    shop.press();
    operator.wait_for_phase("connecting");
    // The box listens already: what a broker tells those as a rule is that a message is not retained.
    for verb in ["stop", "mute"] {
        operator.publish(&json!({ "verb": verb, "payload": { "id": verb }, "retain": true }));
        refused(&mut operator, verb);
    }
    assert_eq!((shop.phase().as_str(), written(&shop)), ("connecting", 2));
    // They come again with each connection, are answered again and written no more.
    let connections = || shop.log().matches("connected to the broker").count();
    let pids = shop.processes("agent");
    for round in 2..4 {
        broker.kill();
        broker.start();
        wait_until("the box is back", || connections() >= round);
        operator.wait_for_each(&[("the operator is back", &|message| message["topic"] == "connected")]);
        assert_eq!(operator.ask("diagnose")["ok"], true);
        assert!(shop.log().matches("answered again").count() >= 2 * (round - 1), "the broker sent them again");
    }
    assert_eq!((shop.phase().as_str(), written(&shop)), ("connecting", 2), "{}", shop.log());
    assert_eq!(shop.processes("agent"), pids);
    // Deleting one is no command, and the same one without the flag is obeyed.
    operator.publish(&json!({ "verb": "stop", "payload": "", "retain": true }));
    operator.publish(&json!({ "verb": "stop", "payload": { "id": "s" } }));
    let answer =
        operator.wait("the stop", |message| message["topic"] == "reply" && message["payload"]["verb"] == "stop");
    assert_eq!((&answer["payload"]["id"], &answer["payload"]["ok"]), (&json!("s"), &json!(true)), "{answer}");
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "command-refused").count(), 2);
}
