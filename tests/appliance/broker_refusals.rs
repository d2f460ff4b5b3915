//! Brokers that say no: nothing is lost, nothing is blocked, and it is said what is wrong.

use std::time::Duration;

use crate::odd_broker::{Ack, Heard, OddBroker, connack};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, wait_for, wait_until};

fn shop(broker: &OddBroker) -> TestBox {
    TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() })
}

/// Numbers of events, in the order in which they were published.
fn events(broker: &OddBroker) -> Vec<u64> {
    broker.on("event").iter().map(|event| event.payload["seq"].as_u64().unwrap()).collect()
}

fn cursor(shop: &TestBox) -> Option<u64> {
    let text = std::fs::read_to_string(shop.path("data/agent/outbox-cursor")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn remarks(shop: &TestBox) -> String {
    std::fs::read_to_string(shop.path("data/agent/broker-remarks")).unwrap_or_default()
}

#[test]
fn refused_events_wait_are_told_and_block_nothing() {
    let broker = OddBroker::with(|rules| {
        rules.ack = Box::new(|topic, _| Ack::Reason(if topic == "event" { 0x97 } else { 0 }));
    });
    let shop = shop(&broker);
    let _run = shop.start("run");
    broker.wait_for_phase("idle");
    broker.wait("an event", |heard| heard.topic == "event");
    wait_until("it is told", || remarks(&shop).contains("refuses events: quota exceeded"));
    assert_eq!(broker.ask("request-start", "a")["ok"], true);
    assert_eq!(broker.ask("stop", "b")["ok"], true);
    broker.wait("telemetry", |heard| heard.topic == "telemetry");
    wait_until("it is tried again", || events(&broker).len() >= 2);
    assert_eq!((cursor(&shop), events(&broker).iter().all(|seq| *seq == 1)), (None, true), "none overtakes the first");
    let doctor = shop.call(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("refuses events: quota exceeded"), "{doctor}");
    broker.change(|rules| rules.ack = Box::new(|_, _| Ack::Reason(0)));
    let last = shop.ledger().len() as u64;
    wait_until("all are delivered", || cursor(&shop) >= Some(last));
    let mut firsts = events(&broker);
    firsts.dedup();
    assert_eq!(firsts, (1..=last).collect::<Vec<_>>(), "in order, and none is left out");
    wait_until("nothing is wrong any more", || remarks(&shop).is_empty());
    assert_eq!(shop.log().matches("refuses events").count(), 1, "{}", shop.log());
}

#[test]
fn an_event_that_is_refused_for_ever_is_not_passed_over() {
    let broker = OddBroker::with(|rules| {
        rules.ack =
            Box::new(|topic, text| Ack::Reason(if topic == "event" && text.contains("\"seq\":2,") { 0x99 } else { 0 }));
    });
    let shop = shop(&broker);
    let _run = shop.start("run");
    wait_until("it is told", || remarks(&shop).contains("events: the broker does not take this payload"));
    for round in 0..3 {
        assert_eq!(broker.ask("request-start", &format!("a{round}"))["ok"], true);
        assert_eq!(broker.ask("stop", &format!("b{round}"))["ok"], true);
    }
    wait_until("it is tried again", || events(&broker).iter().filter(|seq| **seq == 2).count() >= 2);
    assert_eq!(cursor(&shop), Some(1));
    assert!(events(&broker).iter().all(|seq| *seq <= 2), "{:?}", events(&broker));
}

#[test]
fn a_broker_that_hangs_up_on_events_still_has_a_box_that_can_be_stopped() {
    let broker = OddBroker::with(|rules| {
        rules.ack = Box::new(|topic, _| if topic == "event" { Ack::Disconnect(0x87) } else { Ack::Reason(0) });
    });
    let shop = shop(&broker);
    let _run = shop.start("run");
    wait_until("events are blamed", || remarks(&shop).contains("when it is sent events"));
    let connections = broker.on("CONNECT").len();
    wait_until("the box is back", || broker.on("availability").len() > connections);
    assert_eq!(broker.ask("stop", "a")["ok"], true);
    assert_eq!(cursor(&shop), None);
}

#[test]
fn without_retained_messages_a_box_works_and_a_stop_is_never_too_many() {
    // Retain Available: 0. In the second broker the last will is refused, which is all that some say.
    let brokers = [
        OddBroker::with(|rules| rules.greeting = connack(0, &[0x25, 0])),
        OddBroker::with(|rules| rules.will = Some(0x9a)),
    ];
    for broker in &brokers {
        let shop = shop(broker);
        let _run = shop.start("run");
        broker.wait_for_phase("idle");
        // Three states each: more than 32, which is what a broker that drops them must not add up to. Staff press,
        // since the guard limits how often others may ask.
        for round in 0..12 {
            shop.press();
            broker.wait_for_phase("connecting");
            assert_eq!(broker.ask("stop", &format!("b{round}"))["ok"], true);
            broker.wait_for_phase("idle");
        }
        let said: Vec<Heard> = broker.heard().into_iter().filter(|heard| heard.topic != "CONNECT").collect();
        assert!(said.iter().all(|heard| !heard.retain), "{said:?}");
        assert_eq!(shop.log().matches("keeps no retained messages: state").count(), 1, "{}", shop.log());
    }
}

#[test]
fn without_qos_1_events_wait_and_the_rest_goes_on() {
    let brokers = [
        OddBroker::with(|rules| rules.greeting = connack(0, &[0x24, 0])),
        OddBroker::with(|rules| rules.will = Some(0x9b)),
    ];
    for broker in &brokers {
        let shop = shop(broker);
        let _run = shop.start("run");
        broker.wait_for_phase("idle");
        assert_eq!(broker.ask("stop", "a")["ok"], true);
        assert!(broker.heard().iter().all(|heard| heard.topic == "CONNECT" || heard.qos == 0));
        assert!(broker.on("event").is_empty() && remarks(&shop).contains("does not allow QoS 1"));
    }
}

#[test]
fn a_packet_limit_and_a_receive_maximum_of_one_are_kept() {
    // Maximum Packet Size 260, which telemetry is longer than; Receive Maximum 1.
    let broker = OddBroker::with(|rules| rules.greeting = connack(0, &[0x27, 0, 0, 1, 4, 0x21, 0, 1]));
    let shop = shop(&broker);
    let _run = shop.start("run");
    wait_until("it is told", || remarks(&shop).contains("longest packet has 260"));
    assert_eq!(broker.ask("stop", "a")["ok"], true);
    assert_eq!(broker.on("CONNECT").len(), 1, "the connection lasts");
}

#[test]
fn an_answer_that_is_never_acknowledged_does_not_keep_a_stop_out() {
    let broker = OddBroker::with(|rules| {
        rules.ack = Box::new(|topic, _| if topic == "reply" { Ack::Silence } else { Ack::Reason(0) });
    });
    let shop = shop(&broker);
    let _run = shop.start("run");
    broker.wait_for_phase("idle");
    for number in 0..100 {
        broker.command("diagnose", &crate::broker::payload(&format!("d{number}"), 0, 60).to_string());
    }
    shop.press();
    broker.wait_for_phase("connecting");
    broker.command("stop", r#"{"id":"s"}"#);
    broker.wait("it is answered", |heard| heard.topic == "reply" && heard.payload["id"] == "s");
    assert!(shop.captures().is_empty());
}

#[test]
fn state_is_told_twice_a_second_at_most_and_the_last_one_always() {
    let broker = OddBroker::new();
    let shop = shop(&broker);
    let _run = shop.start("run");
    broker.wait_for_phase("idle");
    // As many changes as the guard allows, which limits how often others may ask; then it refuses, and nothing changes.
    for number in 0..60 {
        let verb = if number % 2 == 0 { "request-start" } else { "stop" };
        broker.ask(verb, &format!("c{number}"));
    }
    let phase = shop.phase();
    broker.wait_for_phase(&phase);
    let states = broker.on("state");
    assert!(states.len() > 2, "{states:?}");
    for pair in states.windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at);
        assert!(
            apart >= Duration::from_millis(400),
            "{apart:?} between {:?} and {:?}",
            pair[0].payload,
            pair[1].payload
        );
    }
}

/// Starts an agent that logs to a file of its own, and waits until it says this.
#[track_caller]
fn agent_says(shop: &TestBox, said: &str) -> Program {
    let log = std::fs::File::create(shop.path("agent.log")).unwrap();
    let program = Program::start(shop.command(&["agent"]).stderr(log));
    let text = || std::fs::read_to_string(shop.path("agent.log")).unwrap_or_default();
    let found = crate::support::poll(Duration::from_secs(60), || text().contains(said).then_some(()));
    assert!(found.is_some(), "{said:?} is not in: {}", text());
    program
}

#[test]
fn what_is_wrong_with_a_broker_is_said_plainly() {
    let broker = OddBroker::new();
    let shop = shop(&broker);
    let _guard = shop.start("guard");
    wait_until("the guard answers", || shop.status().is_some());
    let moved = connack(0x9d, b"\x1c\x00\x07there:1");
    let cases: [(&str, Vec<u8>); 13] = [
        ("does not speak MQTT 5", vec![0x20, 2, 0, 1]),
        ("does not speak MQTT 5", connack(0x84, &[])),
        ("without an answer", Vec::new()),
        ("it is a web server", b"HTTP/1.1 302 Found\r\n\r\n".to_vec()),
        ("it speaks TLS on that port: write mqtts://", vec![0x15, 3, 3, 0, 2, 2, 0x46]),
        ("no MQTT broker", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("has moved to \"there:1\"", moved),
        ("has banned this box", connack(0x8a, &[])),
        ("user name or password are wrong", connack(0x86, &[])),
        ("not authorised", connack(0x87, &[])),
        ("does not take the id \"test-box\"", connack(0x85, &[])),
        ("quota exceeded", connack(0x97, &[])),
        ("says \"call 123\"", connack(0x88, b"\x1f\x00\x08call 123")),
    ];
    for (said, greeting) in cases {
        broker.change(|rules| rules.greeting = greeting);
        agent_says(&shop, said);
    }
    broker.change(|rules| (rules.greeting, rules.throw_out) = (connack(0, &[]), Some(0x8e)));
    let before = broker.on("CONNECT").len();
    let agent = agent_says(&shop, "another client uses the id \"test-box\"");
    assert_eq!(broker.on("CONNECT").len(), before + 1, "it waits before it comes back");
    drop(agent);
    // TLS towards a port that speaks MQTT in plain text, and towards one that speaks first.
    for banner in [&b""[..], b"220 mail.example ready\r\n"] {
        let banner = banner.to_vec();
        broker.change(|rules| (rules.throw_out, rules.banner) = (None, banner));
        let url = broker.url().replace("mqtt://", "mqtts://");
        shop.configure(&BoxConfig { mqtt: url, ..BoxConfig::default() });
        agent_says(&shop, "mostly 8883");
    }
}

#[test]
fn telemetry_tells_when_the_first_certificate_ends() {
    let (broker, authority) = (OddBroker::new(), Authority::new());
    let ca = authority.certify("other", "20200101000000Z", "20400101000000Z");
    let shop =
        TestBox::new(&BoxConfig { mqtt: format!("{}\nca-file = \"{ca}\"", broker.url()), ..BoxConfig::default() });
    let _run = shop.start("run");
    let heard = |end: &str| {
        broker.wait("telemetry", |heard| heard.topic == "telemetry" && heard.payload["certificate-expires"] == end);
    };
    heard("2040-01-01T00:00:00Z");
    // As the file is now: whoever renews it sees that it is done.
    authority.certify("other", "20200101000000Z", "20410101000000Z");
    heard("2041-01-01T00:00:00Z");
    assert!(!shop.log().contains("a certificate ends on"), "{}", shop.log());
    // The log and systemd say it too, 30 days ahead.
    std::fs::copy(authority.file("ca.pem"), &ca).unwrap();
    wait_until("it is told", || remarks(&shop).contains("a certificate ends on 2"));
    assert!(shop.log().contains("a certificate ends on 2"), "{}", shop.log());
    authority.certify("other", "20200101000000Z", "20410101000000Z");
    wait_until("it is taken back", || remarks(&shop).is_empty());
}

#[test]
fn a_certificate_for_another_name_than_the_id_is_told() {
    let authority = Authority::new();
    let file = |name: &str| authority.file(name);
    let port = crate::support::free_port();
    let rules = format!(
        "clientid_prefixes client\nlistener {port} 127.0.0.1\nallow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        file("ca.pem"),
        file("server.pem"),
        file("server.key")
    );
    let broker = crate::broker::Broker::new(&rules);
    let mqtt = format!(
        "url = \"mqtts://localhost:{port}\"\nca-file = \"{}\"\nclient-cert = \"{}\"\nclient-key = \"{}\"",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
    let _guard = shop.start("guard");
    agent_says(&shop, "the client certificate is for \"client, localhost\" and this box's id is \"test-box\"");
    drop(broker);
}

#[test]
fn a_command_that_comes_again_gets_the_same_answer_and_does_nothing() {
    let broker = OddBroker::new();
    let shop = shop(&broker);
    let guard = shop.start("guard");
    let _agent = shop.start("agent");
    broker.wait_for_phase("idle");
    let again = |verb: &str, id: &str, count: usize| {
        broker.command(verb, &crate::broker::payload(id, 0, 60).to_string());
        let replies =
            || -> Vec<Heard> { broker.on("reply").into_iter().filter(|reply| reply.payload["id"] == id).collect() };
        let mut answer = wait_for("its answer", Duration::from_secs(60), || replies().get(count - 1).cloned()).payload;
        // How the box is at that moment: it goes on living between two answers.
        let parts = answer.as_object_mut().unwrap();
        parts.retain(|name, _| !["state", "uptime-s", "epoch"].contains(&name.as_str()));
        answer
    };
    let first = again("request-start", "a", 1);
    assert_eq!(first["ok"], true);
    assert_eq!(again("stop", "b", 1)["ok"], true);
    // It would ask staff once more if it were carried out once more.
    assert_eq!(again("request-start", "a", 2), first);
    assert_eq!(shop.phase(), "idle");
    let other = again("stop", "a", 3);
    assert!(other["error"].as_str().unwrap().contains("taken already, by a command request-start"), "{other}");
    // What nobody carried out may be tried again under the same id.
    drop(guard);
    wait_until("the guard is gone", || shop.status().is_none());
    assert_eq!(again("request-start", "c", 1)["ok"], false);
    let _guard = shop.start("guard");
    let mut count = 1;
    wait_until("it is carried out", || {
        count += 1;
        again("request-start", "c", count)["ok"] == true
    });
}

#[test]
fn a_stop_needs_an_id_and_no_clock() {
    let broker = OddBroker::new();
    let shop = shop(&broker);
    let _run = shop.start("run");
    broker.wait_for_phase("idle");
    for (number, times) in [
        "",
        r#","issued-at":"1999-01-01T00:00:00Z","expires-at":"1999-01-01T00:01:00Z""#,
        r#","issued-at":"2099-01-01T00:00:00Z","expires-at":"2099-01-01T00:01:00Z""#,
        r#","issued-at":"soon""#,
    ]
    .into_iter()
    .enumerate()
    {
        shop.press();
        shop.wait_for_phase("connecting");
        for verb in ["mute", "stop"] {
            let id = format!("{verb}{number}");
            broker.command(verb, &format!("{{\"id\":\"{id}\"{times}}}"));
            let reply = broker.wait("its answer", |heard| heard.topic == "reply" && heard.payload["id"] == id.as_str());
            assert_eq!(reply.payload["ok"], true, "{verb} {times}: {:?}", reply.payload);
        }
        assert!(shop.captures().is_empty());
    }
}

#[test]
fn a_command_is_not_carried_out_again_after_a_restart_of_the_agent() {
    let broker = OddBroker::new();
    let shop = shop(&broker);
    let _guard = shop.start("guard");
    let mut agent = shop.start("agent");
    broker.wait_for_phase("idle");
    assert_eq!(broker.ask("request-start", "a")["ok"], true);
    assert_eq!(broker.ask("stop", "b")["ok"], true);
    agent.kill();
    let _agent = shop.start("agent");
    wait_until("the agent is back", || broker.on("availability").len() == 2);
    broker.command("request-start", &crate::broker::payload("a", 0, 60).to_string());
    wait_until("it is answered again", || {
        broker.on("reply").iter().filter(|reply| reply.payload["id"] == "a" && reply.payload["ok"] == true).count() == 2
    });
    assert_eq!(shop.phase(), "idle", "and staff are not asked again");
}

#[test]
fn a_broker_that_cuts_the_box_off_again_and_again_is_not_pestered() {
    let broker = OddBroker::with(|rules| {
        rules.ack = Box::new(|topic, _| if topic == "state" { Ack::HangUp } else { Ack::Reason(0) });
    });
    let shop = shop(&broker);
    let _guard = shop.start("guard");
    let _agent = agent_says(&shop, "another client may use the id \"test-box\"");
    assert_eq!(broker.on("CONNECT").len(), 3);
}
