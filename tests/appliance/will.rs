//! The last will at real mosquitto: a box that is back soon was never offline, and one that died is.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::broker::{Broker, Operator};
use crate::line::Line;
use crate::support::test_box::{BoxConfig, TestBox};

/// What was said about the box, in order.
fn availability(operator: &Operator) -> Vec<&str> {
    let messages = operator.log.iter().filter(|message| message["topic"] == "availability");
    messages.map(|message| message["payload"].as_str().unwrap()).collect()
}

fn wait_for_online(operator: &mut Operator, count: usize) {
    while availability(operator).iter().filter(|word| **word == "online").count() < count {
        operator.wait("online", |message: &Value| message["topic"] == "availability");
    }
}

#[test]
fn a_box_that_is_back_soon_was_never_offline_and_one_that_died_is() {
    let broker = Broker::new("");
    let line = Line::new(broker.port);
    let mut operator = Operator::connect(broker.port);
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"", line.port);
    let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
    let _guard = shop.start("guard");
    let mut first = shop.start("agent");
    wait_for_online(&mut operator, 1);
    // A short cut.
    line.cut();
    line.mend();
    wait_for_online(&mut operator, 2);
    // It dies, and its successor is there at once.
    first.kill();
    let second = shop.start("agent");
    wait_for_online(&mut operator, 3);
    // It hangs, and its successor takes over while its connection still stands.
    let pid = Pid::from_raw(i32::try_from(second.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let mut third = shop.start("agent");
    wait_for_online(&mut operator, 4);
    drop(second);
    // A command that is sent during a cut is delivered after it.
    line.cut();
    let asked = operator.command("stop");
    line.mend();
    operator.wait("an answer", |message| message["topic"] == "reply" && message["payload"]["id"] == asked);
    wait_for_online(&mut operator, 5);
    assert_eq!(availability(&operator), ["online"; 5], "{}", shop.log());
    third.kill();
    #[allow(clippy::disallowed_methods)] // a test's own clock
    let died = Instant::now();
    operator.wait_for_availability("offline");
    assert!(died.elapsed() >= Duration::from_secs(10), "after {:?}", died.elapsed());
    // A clean end is said at once, and ends the session: nothing waits for a box that stopped.
    let mut last = shop.start("agent");
    wait_for_online(&mut operator, 6);
    assert_eq!(last.finish(), Some(0));
    operator.wait_for_availability("stopped");
    let late = operator.command("stop");
    let _again = shop.start("agent");
    wait_for_online(&mut operator, 7);
    assert_eq!(operator.ask("diagnose")["ok"], true);
    assert!(!operator.log.iter().any(|message| message["topic"] == "reply" && message["payload"]["id"] == late));
}
