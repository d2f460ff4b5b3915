//! What a box tells whom: nothing of one shop to the next, and nothing of one ledger for another's.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::odd_broker::{Ack, OddBroker};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

fn plan(broker: &OddBroker) -> BoxConfig {
    BoxConfig { mqtt: broker.url(), ..BoxConfig::default() }
}

fn kinds(broker: &OddBroker) -> Vec<String> {
    broker.on("event").iter().map(|event| event.payload["fact"]["kind"].as_str().unwrap().to_owned()).collect()
}

fn delivered(shop: &TestBox) -> u64 {
    let text = std::fs::read_to_string(shop.path("data/agent/outbox-cursor")).unwrap_or_default();
    text.split_whitespace().next().and_then(|seq| seq.parse().ok()).unwrap_or(0)
}

#[test]
fn an_unbound_box_leaves_its_platform_and_tells_the_next_nothing_of_it() {
    let former = OddBroker::new();
    let shop = TestBox::new(&plan(&former));
    let guard = shop.start("guard");
    let agent = shop.start("agent");
    former.wait_for_phase("idle");
    wait_until("something is delivered", || delivered(&shop) > 0);
    shop.hold("11");
    former.wait("it says goodbye", |heard| heard.topic == "availability" && heard.payload == "stopped");
    wait_until("it is unbound", || shop.status().is_some_and(|status| status["unbound"] == true));
    wait_until("the agent rests", || shop.log().matches("the box was unbound: it connects to no broker").count() == 1);
    assert_eq!(delivered(&shop), 0, "the cursor is gone");
    // The platform that it leaves has the receipt, and nothing that came after it.
    let last = former.on("event").pop().unwrap().payload["fact"].clone();
    assert_eq!((&last["kind"], &last["receipt"]), (&"unbound".into(), &shop.status().unwrap()["receipt"]), "{last}");
    let connections = former.on("CONNECT").len();
    // Neither of the two forgets it.
    drop((guard, agent));
    let guard = shop.start("guard");
    let agent = shop.start("agent");
    wait_until("the agent rests", || shop.log().matches("the box was unbound: it connects to no broker").count() == 2);
    // The next platform: another configuration claims the box, and the agent that waited takes it up.
    let next = OddBroker::new();
    shop.configure(&plan(&next));
    drop(guard);
    let _guard = shop.start("guard");
    wait_until("the agent makes room for one that knows the new configuration", || {
        shop.log().contains("the box was claimed")
    });
    drop(agent);
    let _agent = shop.start("agent");
    next.wait_for_phase("idle");
    let last = shop.ledger().len() as u64;
    wait_until("all is delivered", || delivered(&shop) >= last);
    assert_eq!(kinds(&next)[0], "unbound", "{:?}", kinds(&next));
    assert_eq!(former.on("CONNECT").len(), connections, "the former platform hears no more of it");
}

/// The event that carries the receipt of an unbinding at the button.
fn receipt(broker: &OddBroker) -> Option<Value> {
    let mut events = broker.on("event").into_iter().map(|event| event.payload["fact"].clone());
    events.rfind(|fact| fact["kind"] == "unbound")
}

/// The connection ends with the event on its way, and the guard dies: the event comes over the next one.
#[test]
fn the_receipt_of_an_unbinding_leaves_as_an_event_though_connection_and_guard_die() {
    let broker = OddBroker::new();
    let shop = TestBox::new(&plan(&broker));
    let mut guard = shop.start("guard");
    let _agent = shop.start("agent");
    broker.wait_for_phase("idle");
    let last = shop.ledger().len() as u64;
    wait_until("all is delivered", || delivered(&shop) >= last);
    let is_receipt = |payload: &str| payload.contains("\"unbound\"");
    broker.change(|rules| {
        rules.ack = Box::new(
            move |topic, payload| {
                if topic == "event" && is_receipt(payload) { Ack::HangUp } else { Ack::Reason(0) }
            },
        );
    });
    shop.hold("11");
    wait_until("it is on its way", || receipt(&broker).is_some());
    guard.kill();
    let _guard = shop.start("guard");
    let (connections, sent) = (broker.on("CONNECT").len(), broker.on("event").len());
    broker.change(|rules| rules.ack = Box::new(|_, _| Ack::Reason(0)));
    wait_until("it comes again", || broker.on("event").len() > sent);
    assert!(broker.on("CONNECT").len() >= connections);
    wait_until("the agent rests", || shop.log().contains("the box was unbound: it connects to no broker"));
    assert_eq!(receipt(&broker).unwrap()["receipt"], shop.status().unwrap()["receipt"]);
    assert_eq!(broker.on("event").pop().unwrap().payload["fact"]["kind"], "unbound");
    assert!(!shop.path("data/agent/outbox-cursor").exists(), "nothing is left of the binding");
    let facts = shop.ledger();
    let after: Vec<String> = facts.iter().skip_while(|fact| fact["kind"] != "unbound").map(Value::to_string).collect();
    let names = |fact: &String| fact.contains(&broker.port.to_string()) && !fact.contains("receipt");
    assert!(!after.iter().any(names), "the next platform hears of no former broker: {after:?}");
}

#[test]
fn a_new_ledger_is_delivered_from_its_beginning_under_ids_of_its_own() {
    let broker = OddBroker::new();
    let shop = TestBox::new(&plan(&broker));
    let run = || shop.start("run");
    let ids = || -> Vec<String> {
        broker.on("event").iter().map(|event| event.payload["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = run();
    broker.wait_for_phase("idle");
    let last = shop.ledger().len() as u64;
    wait_until("all is delivered", || delivered(&shop) >= last);
    let name = shop.status().unwrap()["ledger"].as_str().unwrap().to_owned();
    assert!(ids().iter().all(|id| id.starts_with(&format!("test-box-{name:.16}-"))), "{:?}", ids());
    drop(first);
    let before: BTreeSet<String> = ids().into_iter().collect();
    // The old key signed for the old ledger: it goes with it.
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.checkpoint", "credentials/identity"] {
        let _ = std::fs::remove_file(shop.path("data").join(file));
    }
    let _second = run();
    wait_until("the new one is delivered from its beginning", || {
        let new: Vec<u64> = broker
            .on("event")
            .iter()
            .filter(|event| !before.contains(event.payload["id"].as_str().unwrap()))
            .map(|event| event.payload["seq"].as_u64().unwrap())
            .collect();
        new.first() == Some(&1) && new.len() >= 3 && new.windows(2).all(|pair| pair[1] == pair[0] + 1)
    });
}

#[test]
fn boxes_without_a_machine_id_are_named_by_their_own_keys() {
    let mut names = BTreeSet::new();
    for machine_id in ["", "uninitialized"] {
        let broker = OddBroker::new();
        let shop = TestBox::new(&plan(&broker));
        let text = std::fs::read_to_string(&shop.config).unwrap().replace("id = \"test-box\"\n", "");
        std::fs::write(&shop.config, text).unwrap();
        std::fs::write(shop.path("machine-id"), machine_id).unwrap();
        let _guard = shop.start("guard");
        let bind = format!("mount --bind {} /etc/machine-id", shop.path("machine-id").display());
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-ec", &format!("{bind}; exec \"$@\""), "sh"]);
        command.arg(crate::support::TALLYBOX).args(["agent", "--config"]).arg(&shop.config);
        let _agent = crate::support::Program::start(command.env("TALLYBOX_LOG", "info"));
        broker.wait_for_phase("idle");
        let name = broker.on("CONNECT")[0].payload.as_str().unwrap().to_owned();
        let identity = shop.status().unwrap()["identity"]["fingerprint"].as_str().unwrap().to_owned();
        assert_eq!(name, format!("box-{}", &identity[..12]));
        names.insert(name);
    }
    assert_eq!(names.len(), 2);
}
