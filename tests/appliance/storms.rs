//! How a box behaves towards a broker in trouble: it never hammers, and loses nothing.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, Operator};
use crate::line::Line;
use crate::odd_broker::{OddBroker, connack};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, free_port, wait_for, wait_until};

/// What an agent logs when it begins an attempt.
const ATTEMPT: &str = "an attempt to connect";

fn attempts(shop: &TestBox) -> usize {
    shop.log().matches(ATTEMPT).count()
}

#[test]
fn a_box_attempts_ten_times_in_its_first_minute_at_most_whatever_fails() {
    let greets = |greeting: Vec<u8>| OddBroker::with(|rules| rules.greeting = greeting);
    let throws = |reason| OddBroker::with(|rules| rules.throw_out = Some(reason));
    let brokers = [greets(Vec::new()), greets(connack(0x88, &[])), throws(0x8b), throws(0x8e), OddBroker::new()];
    let mut urls: Vec<String> = brokers.iter().map(OddBroker::url).collect();
    // The last one is asked for TLS, which it does not speak; then nobody listens, and there is no such name.
    urls[4] = urls[4].replace("mqtt://", "mqtts://");
    urls.push(format!("url = \"mqtt://127.0.0.1:{}\"", free_port()));
    urls.push("url = \"mqtts://no-such-host.invalid\"".to_owned());
    let boxes: Vec<TestBox> =
        urls.iter().map(|url| TestBox::new(&BoxConfig { mqtt: url.clone(), ..BoxConfig::default() })).collect();
    let guards: Vec<Program> = boxes.iter().map(|shop| shop.start("guard")).collect();
    let agents: Vec<Program> = boxes.iter().map(|shop| shop.start_with("agent", "TALLYBOX_LOG", "debug")).collect();
    for shop in &boxes {
        wait_until("a first attempt", || attempts(shop) > 0);
    }
    // All had their first attempt before this minute began, so that the eleventh is not in it.
    std::thread::sleep(Duration::from_secs(57));
    for (shop, url) in boxes.iter().zip(&urls) {
        let count = attempts(shop);
        let thrown_out = *url == brokers[3].url();
        assert!(count <= 10 && (thrown_out || count >= 3), "{url}: {count}\n{}", shop.log());
    }
    for (broker, shop) in brokers[..4].iter().zip(&boxes) {
        assert!(broker.on("CONNECT").len() <= 10 && !broker.on("CONNECT").is_empty(), "{}", shop.log());
    }
    drop((agents, guards));
}

fn seqs(operator: &Operator) -> Vec<u64> {
    let events = operator.log.iter().filter(|message| message["topic"] == "event");
    events.map(|event| event["payload"]["seq"].as_u64().unwrap()).collect()
}

#[test]
fn six_outages_with_a_dying_agent_lose_no_event_and_keep_their_order() {
    let broker = Broker::new("");
    let line = Line::new(broker.port);
    let mut operator = Operator::connect(broker.port);
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"", line.port);
    let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    for round in 0..6 {
        let session = || {
            shop.press();
            shop.wait_for_phase("connecting");
            shop.press();
            shop.wait_for_phase("idle");
        };
        line.cut();
        session();
        // It dies while it has no broker, while it has one again, or with the first events of the backlog under way.
        let dies = || {
            for pid in shop.processes("agent") {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
        };
        if round % 3 == 0 {
            dies();
        }
        session();
        line.mend();
        if round % 3 == 1 {
            let before = seqs(&operator).len();
            operator.wait("an event", |message| message["topic"] == "event");
            assert!(seqs(&operator).len() > before);
        }
        if round % 3 != 0 {
            dies();
        }
        let last = shop.ledger().len() as u64;
        operator.wait("the newest event", |message| message["topic"] == "event" && message["payload"]["seq"] == last);
    }
    // What was written meanwhile, about the broker for example, comes later.
    let created = shop.ledger().len() as u64;
    if !seqs(&operator).contains(&created) {
        operator.wait("the last event", |message| message["topic"] == "event" && message["payload"]["seq"] == created);
    }
    let mut firsts = Vec::new();
    for seq in seqs(&operator) {
        if seq <= created && !firsts.contains(&seq) {
            firsts.push(seq);
        }
    }
    assert_eq!(firsts, (1..=created).collect::<Vec<_>>(), "all, once after deduplication, and in order");
    assert!(created >= 24, "{created} events");
    let cursor = || std::fs::read_to_string(shop.path("data/agent/outbox-cursor")).unwrap_or_default();
    wait_for("the cursor is there", Duration::from_secs(60), || {
        cursor().starts_with(&format!("{created} ")).then_some(())
    });
}
