//! The inventory against a box at work: all that it sends over MQTT and all that it stores is listed, and nothing of it
//! says which machine this is or what is around it.

mod canaries;
mod files;
mod names;
mod whip;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use notes::VerifierKey;
use serde_json::{Value, json};

use crate::broker::payload;
use crate::ingest::Nginx;
use crate::rig::{Rig, Victim, signed};
use crate::support::{wait_for, wait_until};
use files::Watcher;
use names::unlisted;
use wire::Recorder;

/// A whole life of a box, with everything over the wire and on disk kept.
struct Life {
    rig: Rig,
    recorder: Recorder,
    watcher: Watcher,
    ingest: Nginx,
    second: Nginx,
    found: BTreeSet<String>,
}

impl Life {
    fn new() -> Self {
        let (ingest, second) = (Nginx::new(), Nginx::new());
        let more = format!(
            "[ingest.second]\nurl = \"{}\"\n[overlay]\ntext = \"Tea & Cup\"\nclock = true\n\
             [privacy]\nallowed-ingest-hosts = [\"127.0.0.1\", \"localhost\"]\n[update]\nautomatic = false\n",
            second.url()
        );
        let mut recorder = None;
        let url = ingest.url();
        let rig = Rig::with(&more, canaries::planted, |plan| {
            let port: u16 = plan.mqtt.rsplit([':', '"']).nth(1).unwrap().parse().unwrap();
            let relay = Recorder::new(port);
            plan.mqtt = format!(
                "url = \"mqtt://127.0.0.1:{}\"\nuser = \"shop\"\npassword = \"word\"\nhome-assistant = true",
                relay.port
            );
            plan.ingest = url;
            recorder = Some(relay);
        });
        let watcher = Watcher::new(rig.shop.dir.path());
        Self { rig, recorder: recorder.unwrap(), watcher, ingest, second, found: BTreeSet::new() }
    }

    /// Sends a signed command, and returns its answer.
    #[track_caller]
    fn ask(&mut self, verb: &str, fields: &Value) -> Value {
        let (note, _) = self.rig.command(verb, fields);
        let correlation = self.rig.publish(verb, &note);
        self.rig.answer(verb, &correlation)
    }

    /// The ledger as it is now.
    fn read_ledger(&mut self) {
        files::of_ledger(&self.rig.shop.path("data/ledger.db"), &mut self.found);
    }

    /// On air with sound, muted and not, with another picture, without its server for a while.
    fn session(&mut self) {
        let shop = &self.rig.shop;
        shop.press();
        shop.wait_for_phase("live");
        let heard = |message: &Value| {
            let told = &message["payload"];
            message["topic"] == "telemetry" && !told["fps"].is_null() && told["second-on-air"] == true
        };
        self.rig.operator.wait("telemetry of both destinations", heard);
        assert_eq!(self.ask("set-video", &json!({ "bitrate-kbps": 300 }))["ok"], true);
        self.rig.operator.ask("mute");
        assert_eq!(self.ask("unmute", &json!({}))["ok"], true);
        assert_eq!(self.ask("identify", &json!({}))["code"], "not-allowed");
        assert!(self.ask("diagnose", &json!({}))["diagnosis"].is_object());
        self.ingest.stop();
        self.second.stop();
        self.rig.shop.wait_for_phase("reconnecting");
        self.ingest.start();
        self.second.start();
        self.rig.shop.wait_for_phase("live");
        self.rig.shop.press();
        self.rig.shop.wait_for_phase("idle");
    }

    /// Commands that nobody signed, or that are none; a question that staff answer, and one that they do not.
    fn commands(&mut self) {
        self.rig.operator.publish(&json!({ "verb": "erase", "payload": payload("unsigned", 0, 60) }));
        self.rig.operator.wait("refused", |message| message["payload"]["code"] == "unsigned");
        self.rig.operator.publish(&json!({ "verb": "stop", "payload": "no command" }));
        self.rig.operator.wait("refused", |message| message["payload"]["code"] == "malformed");
        let (note, _) = self.rig.command("request-start", &json!({}));
        self.rig.publish("request-start", &note);
        self.rig.shop.wait_for_phase("requested");
        self.rig.operator.ask("stop");
        self.rig.shop.wait_for_phase("idle");
        self.rig.shop.hold("5.4");
        self.rig.shop.wait_for_phase("locked");
        self.rig.shop.hold("2.4");
        self.rig.shop.wait_for_phase("idle");
    }

    /// The network to the broker, broker, agent and guard fail one after the other.
    fn failures(&mut self) {
        self.rig.restart_broker();
        self.rig.restart(Victim::Agent);
        self.rig.restart(Victim::Both);
    }

    /// A desired configuration with everything that a report can have, and one that staff are asked about.
    fn desired(&mut self) {
        let wait = |rig: &mut Rig, version: u64, code: &str| {
            let fits = |message: &Value| {
                let told = &message["payload"];
                let has = told["keys"].as_object().is_some_and(|keys| keys.values().any(|key| key["code"] == code));
                message["topic"] == "config/reported" && told["for-version"] == version && has
            };
            rig.operator.wait(code, fits);
        };
        let values = json!({
            "video.crop": { "left": 5 }, "privacy-mask": [{ "x": 0, "y": 0, "width": 8, "height": 8 }],
            "overlay.text": "Cup & Tea", "ingest.second.token": "a-secret-token", "video.fps": 99, "vidoe.fps": 1,
        });
        let note = |version: u64, values: &Value| {
            signed("desired", &json!({ "box": "test-box", "version": version, "values": values }))
        };
        self.rig.retain("test-box/config/desired", &note(1, &values));
        wait(&mut self.rig, 1, "unknown");
        self.rig.retain("test-box/config/desired", &note(2, &json!({ "ingest.outage-buffer": "disk" })));
        wait(&mut self.rig, 2, "pending-idle");
        self.rig.shop.wait_for_phase("policy");
        self.rig.shop.hold("2.4");
        wait(&mut self.rig, 2, "ok");
        self.rig.retain("test-box/config/desired", &note(1, &values));
        self.rig.operator.wait("refused", |message| !message["payload"]["error"].is_null());
        self.rig.shop.wait_for_phase("idle");
    }

    /// A policy that staff acknowledge, another server, a release.
    fn notes(&mut self) {
        let policy = json!({
            "version": "2026-11-29", "material": true, "effective": "2026-12-01", "text-sha256": "0".repeat(64),
            "url": "https://policy.example/2026-11-29", "contacts": ["privacy@example.com"], "answer-days": 15,
        });
        self.rig.retain("test-box/policy", &signed("policy", &policy));
        self.rig.shop.wait_for_phase("policy");
        self.rig.shop.hold("2.4");
        self.rig.shop.wait_for_phase("idle");
        let (note, _) = self.rig.command("set-ingest", &json!({ "url": "rtmp://localhost:9/live/key" }));
        let correlation = self.rig.publish("set-ingest", &note);
        self.rig.shop.wait_for_phase("policy");
        self.rig.shop.hold("2.4");
        assert_eq!(self.rig.answer("set-ingest", &correlation)["ok"], true);
        let now = jiff::Timestamp::now();
        let at = |hours: i64| now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap().to_string();
        let file = json!({ "url": "https://updates.example/package", "size": 9, "sha256": "0".repeat(64) });
        let release = json!({
            "version": "0.2.0-1", "serial": 7, "channel": "stable", "security": true, "not-after": at(24),
            "files": { "amd64": file, "arm64": file }, "reconnect-spread-s": 1,
            "wave": { "start": at(-1), "stages": [{ "permille": 1000 }],
                "abort": [{ "on": "failed", "minimum": 5, "permille": 100 }] },
        });
        self.rig.retain("release/stable", &signed("release", &release));
        wait_until("the release is kept", || !self.rig.facts("update-offered").is_empty());
    }

    /// Erased, and then unbound: the operator asks, staff confirm.
    fn end(&mut self) {
        let key: VerifierKey =
            self.rig.shop.status().unwrap()["identity"]["verifier-key"].as_str().unwrap().parse().unwrap();
        let erased = self.ask("erase", &json!({}));
        let receipt = notes::Note::parse(erased["receipt"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(receipt.is_signed_by(&key), Some(true));
        self.read_ledger();
        let (note, _) = self.rig.command("unbind", &json!({}));
        let correlation = self.rig.publish("unbind", &note);
        let asked = |message: &Value| message["payload"]["progress"] == "waiting-for-staff";
        self.rig.operator.wait("staff are asked", |message| message["correlation"] == correlation && asked(message));
        self.rig.shop.hold("2.6");
        assert_eq!(self.rig.answer("unbind", &correlation)["ok"], true);
        let resting = || self.rig.shop.log().contains("the box was unbound: it connects to no broker").then_some(());
        wait_for("the agent rests", Duration::from_secs(60), resting);
        self.read_ledger();
    }
}

/// The names in the box's own report.
fn listed(rig: &Rig) -> BTreeSet<String> {
    let output = rig.shop.call(&["privacy", "report", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = report["items"].as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// What this life does not fill: updates that are downloaded, footage that waits, a broker that refuses something, a
/// TPM, and what is neither MQTT nor a file of the box.
const ELSEWHERE: [&str; 22] = [
    "broker-remarks",
    "case-open",
    "configuration",
    "credentials-erasure",
    "dns",
    "due-answers",
    "footage",
    "identity-sealed",
    "journal",
    "kept-footage",
    "ledger-mismatch",
    "network",
    "rtmp",
    "second",
    "secrets",
    "srt",
    "stream",
    "tls",
    "update-attempt",
    "update-package",
    "update-request",
    "whip",
];

#[test]
fn all_that_a_box_sends_and_stores_is_listed_and_says_nothing_of_the_machine() {
    let neighbour = canaries::neighbour();
    let mut life = Life::new();
    life.session();
    life.commands();
    life.failures();
    life.desired();
    life.notes();
    life.end();

    let listed = listed(&life.rig);
    let mut found = std::mem::take(&mut life.found);
    let sent = life.recorder.sent();
    for sent in &sent {
        wire::names(sent, &mut found);
    }
    let seen = life.watcher.seen();
    files::names(&seen, &mut found);
    // A key that the platform made up comes back, and lies in its note, under its own name.
    assert!(found.contains("reported.keys.vidoe.fps.code") && found.contains("desired.values.vidoe.fps"), "{found:#?}");
    found.retain(|name| !name.contains("vidoe.fps"));
    let missing = unlisted(&found, &listed);
    assert!(missing.is_empty(), "sent or stored, and not in tallybox privacy report: {missing:#?}");
    // Each topic and each store was there: what is listed is no invention.
    let first = |name: &String| name.split('.').next().unwrap().to_owned();
    let (topics, all): (BTreeSet<String>, BTreeSet<String>) =
        (found.iter().map(first).collect(), listed.iter().map(first).collect());
    let unseen: Vec<_> = all.difference(&topics).filter(|name| !ELSEWHERE.contains(&name.as_str())).collect();
    assert!(unseen.is_empty(), "listed, and never seen: {unseen:?}");

    let mut everything: Vec<u8> = sent.concat();
    seen.values().flatten().for_each(|content| everything.extend_from_slice(content));
    for name in ["ledger.db", "ledger.db-wal"] {
        everything.extend(std::fs::read(life.rig.shop.path("data").join(name)).unwrap_or_default());
    }
    let canaries = canaries::all();
    assert_eq!(canaries::found(&everything, &canaries), [""; 0], "of {} canaries", canaries.len());
    drop(neighbour);
    println!("{} names of {} seen, {} canaries, {} bytes", found.len(), listed.len(), canaries.len(), everything.len());
}
