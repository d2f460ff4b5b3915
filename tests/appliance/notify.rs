//! Notifications to systemd: readiness, the agent's connection to its broker, and a watchdog that only a running loop
//! feeds.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::broker::Broker;
use crate::odd_broker::{Ack, OddBroker};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, poll, wait_until};

fn hear(socket: &UnixDatagram) -> Option<String> {
    let mut message = [0; 4096];
    let length = socket.recv(&mut message).ok()?;
    Some(String::from_utf8_lossy(&message[..length]).into_owned())
}

#[track_caller]
fn wait_for(socket: &UnixDatagram, words: &str) {
    let mut heard = Vec::new();
    let found = poll(Duration::from_secs(60), || {
        heard.push(hear(socket)?);
        heard.last()?.contains(words).then_some(())
    });
    assert!(found.is_some(), "{words:?} was not said: {heard:?}");
}

#[test]
fn systemd_hears_how_the_agent_does_and_when_its_loop_hangs() {
    let mut broker = Broker::new("");
    let port = broker.port;
    let url = format!("url = \"mqtt://somebody:pass-word@127.0.0.1:{port}\"");
    let shop = TestBox::new(&BoxConfig { mqtt: url, ..BoxConfig::default() });
    let _guard = shop.start("guard");
    let path = shop.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut command = shop.command(&["agent"]);
    let mut agent = Program::start(command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stderr(Stdio::null()));
    wait_for(&socket, &format!("READY=1\nSTATUS=connecting to 127.0.0.1:{port}"));
    wait_for(&socket, &format!("STATUS=connected to 127.0.0.1:{port}"));
    wait_for(&socket, "WATCHDOG=1");
    broker.kill();
    wait_for(&socket, &format!("STATUS=not connected to 127.0.0.1:{port}: no broker listens"));
    // Without a broker the loop still runs.
    wait_for(&socket, "WATCHDOG=1");
    agent.signal(Signal::STOP);
    wait_until("what was said before is read", || hear(&socket).is_none());
    assert_eq!(poll(Duration::from_secs(12), || hear(&socket)), None, "a process that hangs says nothing");
    agent.signal(Signal::CONT);
    wait_for(&socket, "WATCHDOG=1");
    broker.start();
    wait_for(&socket, "STATUS=connected to");
    agent.kill();
}

#[test]
fn systemd_hears_that_a_broker_refuses_events() {
    let broker = OddBroker::with(|rules| {
        rules.ack = Box::new(|topic, _| Ack::Reason(if topic == "event" { 0x87 } else { 0 }));
    });
    let shop = TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    let path = shop.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut command = shop.command(&["agent"]);
    let _agent = Program::start(command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stderr(Stdio::null()));
    wait_for(&socket, "the broker refuses events: not authorised");
}
