//! Two boxes with one id at a real broker: each is told, and what they report is not taken for one box's.

use std::collections::BTreeSet;

use crate::broker::{Broker, Operator};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

fn remarks(shop: &TestBox) -> String {
    std::fs::read_to_string(shop.path("data/agent/broker-remarks")).unwrap_or_default()
}

#[test]
fn two_boxes_with_one_id_are_told_and_their_evidence_is_kept_apart() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let boxes = [(); 2].map(|()| TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() }));
    let _first = boxes[0].start("run");
    operator.wait_for_phase("idle");
    let ids = |operator: &Operator| -> BTreeSet<String> {
        let events = operator.log.iter().filter(|message| message["topic"] == "event");
        events.map(|event| event["payload"]["id"].as_str().unwrap().rsplit_once('-').unwrap().0.to_owned()).collect()
    };
    operator.wait("its first event", |message| message["topic"] == "event");
    let _second = boxes[1].start("run");
    // Some versions of mosquitto throw the older one out without a word: it then takes three times.
    let told = |text: &str| {
        ["another client uses the id \"test-box\"", "another client may use the id \"test-box\""]
            .iter()
            .any(|said| text.contains(said))
    };
    wait_until("one of them is told", || boxes.iter().any(|shop| told(&remarks(shop))));
    let warned = boxes.iter().find(|shop| told(&remarks(shop))).unwrap();
    assert!(told(&warned.log()), "{}", warned.log());
    let doctor = String::from_utf8_lossy(&warned.call(&["doctor"]).stdout).into_owned();
    assert!(told(&doctor), "{doctor}");
    let written = boxes[1].ledger().len() as u64;
    operator.wait("the second one's events", |message| {
        message["topic"] == "event" && message["payload"]["seq"] == written && is_of_the_second(message, &boxes)
    });
    assert_eq!(ids(&operator).len(), 2, "a ledger each: {:?}", ids(&operator));
    // The session of one does not end with its connection.
    boxes[0].press();
    boxes[0].wait_for_phase("connecting");
    assert_eq!(boxes[1].phase(), "idle");
}

/// Whether this event is of the second box.
fn is_of_the_second(event: &serde_json::Value, boxes: &[TestBox; 2]) -> bool {
    let ledger = boxes[1].status().unwrap()["ledger"].as_str().unwrap()[..16].to_owned();
    event["payload"]["id"].as_str().unwrap().contains(&ledger)
}
