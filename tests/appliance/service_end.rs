//! The end of the service as an operator brings it about: the tool signs and publishes the note, real boxes judge it,
//! and the tool tells what became of it and keeps the receipts.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::erasure::{count, obstacle, receipt};
use crate::fleet_tool::{said, tool};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// Two boxes at one broker that trust the same key with the end of the service.
struct Bench {
    broker: Broker,
    shop: TestBox,
    other: TestBox,
    key: String,
    stranger: String,
}

impl Bench {
    fn new() -> Self {
        let broker = Broker::new("");
        let [shop, other] = [(); 2].map(|()| TestBox::new(&BoxConfig::default()));
        let key = |name: &str| {
            let file = shop.path(&format!("{name}.key")).display().to_string();
            let made = tool(broker.port, &["key", "new", "--name", &format!("fleet.example.cn/{name}"), &file]);
            (file, String::from_utf8(made.stdout).unwrap().trim().to_owned())
        };
        let ((key, trusted), (stranger, _)) = (key("end"), key("stranger"));
        let more = format!("[[trust]]\nkey = \"{trusted}\"\nmay = [\"end-of-service\", \"set-policy\"]\n");
        let plan = BoxConfig { mqtt: broker.url(), more, ..BoxConfig::default() };
        shop.configure(&plan);
        other.configure(&plan);
        let text = std::fs::read_to_string(&other.config).unwrap().replace("\"test-box\"", "\"other-box\"");
        std::fs::write(&other.config, text).unwrap();
        Self { broker, shop, other, key, stranger }
    }

    fn publish(&self, arguments: &[&str]) -> Output {
        tool(self.broker.port, &[&["end-of-service", "publish", "--json", "--wait", "1s"], arguments].concat())
    }

    fn receipts(&self) -> String {
        self.shop.path("receipts.jsonl").display().to_string()
    }

    /// The lines of the file, by box.
    fn kept(&self, id: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.receipts()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["box"] == id).map(|mut line| line["receipt"].take()).collect()
    }
}

/// Outcome and error of a box.
#[track_caller]
fn row(output: &Output, id: &str) -> (String, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row = rows.find(|row| row["box"] == id).unwrap_or_else(|| panic!("{}", said(output)));
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("error"))
}

const SURE: [&str; 2] = ["--confirm", "end the service of test-box"];

/// What ended it at the one box ends nothing at the other.
fn it_ends_nothing_elsewhere(bench: &Bench) {
    let Bench { broker, shop, other, .. } = bench;
    let retained = Command::new("mosquitto_sub")
        .args([
            "-V",
            "5",
            "-p",
            &broker.port.to_string(),
            "-C",
            "1",
            "-W",
            "10",
            "-N",
            "-t",
            "tallybox/v1/test-box/policy",
        ])
        .output()
        .unwrap();
    let note = shop.path("retained.note");
    std::fs::write(&note, &retained.stdout).unwrap();
    let elsewhere = bench.publish(&["other-box", "--note", &note.display().to_string()]);
    assert!(elsewhere.status.code() == Some(65) && said(&elsewhere).contains("for the box \"test-box\""));
    let mut replay = Command::new("mosquitto_pub");
    replay.args([
        "-V",
        "5",
        "-p",
        &broker.port.to_string(),
        "-q",
        "1",
        "-r",
        "-t",
        "tallybox/v1/other-box/policy",
        "-f",
    ]);
    assert!(replay.arg(&note).status().unwrap().success());
    wait_until("the other box has judged it", || count(other, "command-refused") == 1);
    assert_eq!((other.phase().as_str(), count(other, "end-of-service-received")), ("idle", 0));
}

#[test]
fn a_service_ends_where_the_right_key_says_so_and_the_receipt_is_kept() {
    let bench = Bench::new();
    let (Bench { broker, shop, other, .. }, receipts) = (&bench, bench.receipts());
    let runs = (shop.start("run"), other.start("run"));
    let mut operator = Operator::connect(broker.port);
    operator.wait_for_phase("idle");
    wait_until("both are there", || said(&tool(broker.port, &["list", "--wait", "1s"])).matches(" idle ").count() == 2);
    // Nobody ends it by a slip: without the words nothing is published.
    let unsure = bench.publish(&["test-box", "--key", &bench.key]);
    assert_eq!((unsure.status.code(), said(&unsure).contains("end the service of test-box")), (Some(64), true));
    let wrong = bench.publish(&["test-box", "--key", &bench.key, "--confirm", "end the service of other-box"]);
    assert_eq!(wrong.status.code(), Some(64), "{}", said(&wrong));
    // A key that the box does not trust.
    let refused = bench.publish(&[&["test-box", "--key", &bench.stranger][..], &SURE].concat());
    let told = row(&refused, "test-box");
    assert!(refused.status.code() == Some(69) && told.0 == "refused" && told.1.contains("key"), "{told:?}");
    assert_eq!((shop.phase().as_str(), count(shop, "end-of-service-received")), ("idle", 0));

    // On air when it comes: capture is gone before anything is deleted, and the lamp tells it.
    let key = shop.status().unwrap()["identity"]["verifier-key"].clone();
    shop.press();
    shop.wait_for_phase("connecting");
    let more = ["--contact", "privacy@example.cn", "--answer-days", "10", "--receipts", &receipts];
    let ended = bench.publish(&[&["test-box", "--key", &bench.key][..], &SURE, &more].concat());
    assert_eq!((ended.status.code(), row(&ended, "test-box").0.as_str()), (Some(0), "ended"), "{}", said(&ended));
    let kept = bench.kept("test-box");
    assert_eq!((kept.len(), &receipt(&kept[0], &key)["what"]), (1, &"end-of-service".into()));
    let status = shop.status().unwrap();
    assert_eq!((&status["reason"], shop.lamp().as_str()), (&"end-of-service".into(), "lock-flash"), "{status}");
    assert!(shop.captures().is_empty() && status["message"].as_str().unwrap().contains("privacy@example.cn"));
    let kinds = shop.kinds();
    let at = |kind: &str| kinds.iter().position(|known| known == kind).unwrap();
    assert!(at("session-stopped") < at("erasure-started") && at("erasure-started") < at("service-ended"), "{kinds:?}");

    it_ends_nothing_elsewhere(&bench);
    // Again at the first: it left the broker, and nothing ends twice.
    let again = bench.publish(&[&["test-box", "--key", &bench.key][..], &SURE].concat());
    assert_eq!((row(&again, "test-box").0.as_str(), count(shop, "service-ended")), ("away", 1), "{}", said(&again));
    drop(runs);
    shop.verify();
}

#[test]
fn a_box_that_is_away_ends_when_it_comes_and_one_that_is_killed_goes_on() {
    let bench = Bench::new();
    let (Bench { broker, shop, other, .. }, receipts) = (&bench, bench.receipts());
    let mut guard = shop.start("guard");
    let _agent = shop.start("agent");
    let mut operator = Operator::connect(broker.port);
    operator.wait_for_phase("idle");
    // A note that was signed on another machine, for each box that trusts the key.
    let signed = tool(broker.port, &["end-of-service", "sign", "*", "--key", &bench.key]);
    let note = shop.path("end.note").display().to_string();
    std::fs::write(&note, &signed.stdout).unwrap();
    // Deletion is stuck at the one, and the other is not there.
    let footage = obstacle(shop);
    let both = ["--confirm", "end the service of 2 boxes", "--receipts", &receipts, "--timeout", "5s"];
    let sent = bench.publish(&[&["test-box", "other-box", "--note", &note][..], &both].concat());
    assert_eq!((row(&sent, "test-box").0.as_str(), row(&sent, "other-box").0.as_str()), ("ending", "away"));
    assert!(sent.status.code() == Some(69) && std::fs::read_to_string(&receipts).unwrap().is_empty());
    for _ in 0..2 {
        guard.kill();
        guard = shop.start("guard");
        assert_eq!(shop.status().unwrap()["reason"], "end-of-service");
        shop.press();
        assert!(shop.captures().is_empty(), "nothing starts half-way");
    }
    std::fs::remove_dir_all(footage).unwrap();
    wait_until("it is finished", || count(shop, "service-ended") == 1);
    // The broker has the note for the box that comes later.
    let _other = other.start("run");
    wait_until("it ends as well", || count(other, "service-ended") == 1);
    assert_eq!(other.status().unwrap()["reason"], "end-of-service");
    assert_eq!((count(shop, "erasure-started"), count(other, "erasure-started")), (1, 1));
}

#[test]
fn a_command_brings_it_too_and_is_answered_with_the_receipt() {
    let signer = crate::rig::signer();
    let roles = [notes::Role::SetPolicy, notes::Role::EndOfService];
    let shop = TestBox::new(&BoxConfig { more: crate::rig::trust(&signer, &roles), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    let key = shop.status().unwrap()["identity"]["verifier-key"].clone();
    let mut operator = crate::verbs::Operator::new(&shop);
    let elsewhere = crate::rig::signed("end-of-service", &json!({ "box": "other-box" }));
    let answer = operator.ask("set-policy", &json!({ "note": elsewhere }));
    assert!(answer.to_string().contains("other-box") && shop.phase() == "idle", "{answer}");
    let note = crate::rig::signed("end-of-service", &json!({ "box": "test-box" }));
    let answer = operator.ask("set-policy", &json!({ "note": note }));
    assert_eq!(receipt(&answer["erased"], &key)["what"], "end-of-service", "{answer}");
    shop.verify();
}
