//! The platform's view: state, events and commands over a real broker.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::broker::{Broker, Operator, payload};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::wait_until;

fn shop(broker: &Broker) -> TestBox {
    TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() })
}

#[test]
fn the_platform_asks_stops_and_hears_the_truth() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(&broker);
    let mut run = shop.start("run");
    let state = operator.wait_for_phase("idle");
    let mut fields: Vec<&String> = state["payload"].as_object().unwrap().keys().collect();
    fields.sort();
    let wanted = [
        "epoch",
        "incidents",
        "muted",
        "phase",
        "policy-version",
        "reason",
        "session",
        "signed-commands",
        "since",
        "software",
        "uptime-s",
        "warnings",
    ];
    assert_eq!(fields, wanted);

    // Remote asks; the lamp pulses, and nothing starts.
    assert_eq!(operator.ask("request-start")["ok"], true);
    wait_until("the lamp pulses", || shop.lamp() == "slow-pulse");
    assert!(shop.captures().is_empty());
    assert_eq!(operator.ask("stop")["ok"], true);
    assert_eq!(shop.phase(), "idle");

    // Staff press; remote mutes, takes that back, and stops.
    shop.press();
    operator.wait_for_phase("connecting");
    assert_eq!(operator.ask("request-start")["ok"], false);
    assert_eq!(operator.ask("mute")["ok"], true);
    assert_eq!(shop.status().unwrap()["muted"], true);
    assert_eq!(operator.ask("unmute")["ok"], true);
    assert_eq!(shop.status().unwrap()["muted"], false);
    // What staff muted stays muted.
    assert!(shop.call(&["press", "--mute"]).status.success());
    wait_until("it is muted", || shop.status().unwrap()["muted"] == true);
    assert_eq!(operator.ask("unmute")["ok"], false);
    assert_eq!(operator.ask("identify")["ok"], false);
    let diagnosis = operator.ask("diagnose");
    assert_eq!(diagnosis["diagnosis"]["status"]["phase"], "connecting", "{diagnosis}");
    assert!(!diagnosis.to_string().contains("key-of-the-stream"));
    assert_eq!(operator.ask("stop")["ok"], true);
    assert!(shop.captures().is_empty(), "a stop is acknowledged when capture is gone");
    assert_eq!(shop.kinds().last().unwrap(), "session-stopped");
    assert_eq!(operator.ask("identify")["ok"], true);
    assert_eq!(shop.lamp(), "identify");

    assert_eq!(run.finish(), Some(0));
    operator.wait_for_availability("stopped");
    for message in &operator.log {
        let words = message.to_string();
        assert!(!words.contains("key-of-the-stream") && !words.contains("/data"), "{words}");
    }
}

#[test]
fn answers_go_where_they_are_asked_for() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(&broker);
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    let ask =
        json!({ "verb": "diagnose", "payload": payload("a", 0, 60), "response": "answers/1", "correlation": "abc" });
    operator.publish(&ask);
    let answer = operator.wait("the answer", |message| message["topic"] == "answers/1");
    assert_eq!((&answer["correlation"], &answer["payload"]["ok"]), (&json!("abc"), &json!(true)));
    // An answer that would be a command, or speak for a box, goes to `reply`.
    for (number, topic) in ["tallybox/v1/test-box/cmd/stop", "tallybox/v1/test-box/state"].iter().enumerate() {
        let id = format!("b{number}");
        operator.publish(
            &json!({ "verb": "diagnose", "payload": payload(&id, 0, 60), "response": topic, "correlation": "x" }),
        );
        operator.wait("the answer", |message| message["topic"] == "reply" && message["payload"]["id"] == id.as_str());
    }
}

#[test]
fn commands_that_may_not_be_are_refused_and_written_down() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    operator.publish(&json!({ "verb": "request-start", "payload": payload("old", 0, 3600), "retain": true }));
    operator.wait("the broker keeps it", |message| message["topic"] == "published");
    let shop = shop(&broker);
    let _run = shop.start("run");
    let refused = |operator: &mut Operator, why: &str| {
        let reply = operator.wait(why, |message| message["topic"] == "reply");
        assert_eq!(reply["payload"]["ok"], false, "{reply}");
        assert!(reply["payload"]["error"].as_str().unwrap().contains(why), "{reply}");
    };
    refused(&mut operator, "retained");
    operator.publish(&json!({ "verb": "request-start", "payload": payload("b", -60, -1) }));
    refused(&mut operator, "expired");
    operator.publish(&json!({ "verb": "start", "payload": payload("c", 0, 60) }));
    refused(&mut operator, "no such command");
    operator.publish(&json!({ "verb": "stop", "payload": "not JSON" }));
    refused(&mut operator, "cannot be read");
    operator.publish(&json!({ "verb": "stop", "payload": "x".repeat(9000) }));
    refused(&mut operator, "longer");
    let same = json!({ "verb": "diagnose", "payload": payload("d", 0, 60) });
    operator.publish(&same);
    operator.wait("the first is taken", |message| message["payload"]["id"] == "d" && message["payload"]["ok"] == true);
    let other = json!({ "verb": "identify", "payload": same["payload"] });
    operator.publish(&other);
    refused(&mut operator, "taken already");
    // Noise, of which only so much is written down; then the box still answers.
    for number in 0..500 {
        let noise = format!("{{\"id\":{number},\"\u{0}\u{fffd}[[[\":{}}}", "9".repeat(number));
        operator.publish(&json!({ "verb": "stop", "payload": noise }));
    }
    assert_eq!(operator.ask("diagnose")["ok"], true);
    assert_eq!(shop.phase(), "idle");
    assert!(shop.captures().is_empty());
    let written = shop.kinds().iter().filter(|kind| *kind == "command-refused").count();
    assert!((5..=10).contains(&written), "{written}");
    assert_eq!(shop.log().matches("connected to the broker").count(), 1, "no noise ends the connection");
    assert!(!shop.log().contains("panicked"));
}

/// Numbers of the events that the operator heard, in the order of their arrival.
fn events(operator: &Operator) -> Vec<u64> {
    let events = operator.log.iter().filter(|message| message["topic"] == "event");
    events
        .map(|event| {
            let payload = &event["payload"];
            let id: Vec<&str> = payload["id"].as_str().unwrap().split('-').collect();
            assert_eq!(id[..2], ["test", "box"]);
            assert_eq!((id[2].len(), id[3]), (16, payload["seq"].to_string().as_str()), "ledger and number");
            payload["seq"].as_u64().unwrap()
        })
        .collect()
}

#[test]
fn no_event_is_lost_when_broker_and_agent_die() {
    let mut broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(&broker);
    let mut run = shop.start("run");
    operator.wait_for_phase("idle");
    for round in 0..3 {
        let press = || {
            shop.press();
            shop.wait_for_phase("connecting");
            shop.press();
            shop.wait_for_phase("idle");
        };
        press();
        broker.kill();
        press();
        if round != 1 {
            for pid in shop.processes("agent") {
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                );
            }
        }
        press();
        broker.start();
        // Operator and box come back in whichever order.
        operator.wait_for_each(&[
            ("the operator is back", &|message| message["topic"] == "connected"),
            ("the box is back", &|message| message["topic"] == "availability" && message["payload"] == "online"),
        ]);
        press();
        // The subscription is there again after each connection.
        assert_eq!(operator.ask("diagnose")["ok"], true);
    }
    let last = shop.ledger().len() as u64;
    let cursor = || {
        let text = std::fs::read_to_string(shop.path("data/agent/outbox-cursor")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    wait_until("the broker has acknowledged all", || cursor() >= Some(last));
    let heard: BTreeSet<u64> = events(&operator).into_iter().collect();
    // What came while the operator itself was away went to nobody; the box sent it, as its cursor says.
    assert_eq!(run.finish(), Some(0));
    assert!(heard.len() as u64 > last / 2, "{heard:?}");
}

#[test]
fn a_box_that_dies_is_said_to_be_offline() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(&broker);
    let guard = shop.start("guard");
    let mut agent = shop.start("agent");
    let availability =
        |word: &'static str| move |message: &Value| message["topic"] == "availability" && message["payload"] == word;
    operator.wait("online", availability("online"));
    agent.kill();
    operator.wait("offline", availability("offline"));
    // A guard that is away for long is a fault, and said to be one.
    let _agent = shop.start("agent");
    operator.wait("online", availability("online"));
    operator.wait_for_phase("idle");
    drop(guard);
    let state = operator.wait_for_phase("fault");
    assert_eq!(state["payload"]["reason"], "guard-unreachable");
    // Whoever comes later finds both retained.
    let mut late = Operator::connect(broker.port);
    late.wait("retained", |message| message["topic"] == "state" && message["retained"] == true);
}

#[test]
fn tls_with_an_authority_and_a_client_certificate() {
    let authority = Authority::new();
    let file = |name: &str| authority.file(name);
    let tls = format!(
        "listener 0 127.0.0.1\nallow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        file("ca.pem"),
        file("server.pem"),
        file("server.key")
    );
    let port = crate::support::free_port();
    let broker = Broker::new(&tls.replace("listener 0", &format!("listener {port}")));
    let mut operator = Operator::connect(broker.port);
    let mqtt = |host: &str, ca: &str, client: &str| {
        format!("url = \"mqtts://{host}:{port}\"\nca-file = \"{}\"\n{client}", file(ca))
    };
    let client = format!("client-cert = \"{}\"\nclient-key = \"${{TEST_KEY}}\"", file("client.pem"));
    let shop = TestBox::new(&BoxConfig { mqtt: mqtt("localhost", "ca.pem", &client), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    let agent = |logged: &str| {
        let log = std::fs::File::create(shop.path("agent.log")).unwrap();
        let key = std::fs::read_to_string(file("client.key")).unwrap();
        let mut command = shop.command(&["agent"]);
        let program = crate::support::Program::start(command.env("TEST_KEY", key).stderr(log));
        wait_until(logged, || std::fs::read_to_string(shop.path("agent.log")).unwrap().contains(logged));
        program
    };
    let mut good = agent("connected to the broker");
    operator.wait("online", |message| message["payload"] == "online");
    good.finish();
    for (host, ca, said) in [
        ("127.0.0.1", "ca.pem", "its certificate is for another name"),
        ("localhost", "stranger.pem", "an authority that is not trusted"),
    ] {
        shop.configure(&BoxConfig { mqtt: mqtt(host, ca, &client), ..BoxConfig::default() });
        agent(said);
    }
    // A certificate that was renewed without its key.
    shop.configure(&BoxConfig { mqtt: mqtt("localhost", "ca.pem", &client), ..BoxConfig::default() });
    let other = std::fs::read_to_string(file("server.key")).unwrap();
    let mixed = shop.command(&["agent"]).env("TEST_KEY", other).output().unwrap();
    let said = String::from_utf8_lossy(&mixed.stderr).into_owned();
    assert!(mixed.status.code() == Some(78) && said.contains("after a renewal restart the agent"), "{mixed:?}");
    shop.configure(&BoxConfig { mqtt: mqtt("localhost", "missing.pem", &client), ..BoxConfig::default() });
    let absent = shop.command(&["agent"]).env("TEST_KEY", "").output().unwrap();
    assert_eq!(absent.status.code(), Some(78), "{absent:?}");
}
