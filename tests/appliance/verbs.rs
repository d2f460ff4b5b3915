//! What the signed verbs do, on real processes.

use std::time::Duration;

use notes::{Note, Role, SignerKey};
use serde_json::{Value, json};

use crate::broker::{self, Broker};
use crate::erasure::{count, receipt};
use crate::ledger::ControlSocket;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

fn signer() -> SignerKey {
    SignerKey::new("operator.example/fleet", &[9; 32]).unwrap()
}

fn shop(more: &str) -> TestBox {
    shop_at(String::new(), more)
}

fn shop_at(mqtt: String, more: &str) -> TestBox {
    let roles: Vec<&str> = [Role::SetVideo, Role::SetIngest, Role::SetPolicy, Role::Policy, Role::Erase, Role::Unbind]
        .map(Role::as_str)
        .to_vec();
    let trust = format!("[[trust]]\nkey = \"{}\"\nmay = {roles:?}\n", signer().verifier_key());
    TestBox::new(&BoxConfig { mqtt, more: format!("{trust}{more}"), ..BoxConfig::default() })
}

/// The operator, at the guard's socket: no broker is in the way.
pub(crate) struct Operator<'a> {
    shop: &'a TestBox,
    socket: ControlSocket,
    seq: u64,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(shop: &'a TestBox) -> Self {
        Self { shop, socket: ControlSocket::new(shop), seq: 0 }
    }

    fn note(&mut self, verb: &str, fields: &Value) -> String {
        self.seq += 1;
        let status = self.shop.status().unwrap();
        let mut command = json!({
            "box": "test-box", "verb": verb, "id": format!("{verb}-{}", self.seq), "epoch": status["epoch"],
            "seq": self.seq, "deadline-s": status["uptime-s"].as_u64().unwrap() + 200,
        });
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Note::sign(&format!("tallybox/command/v1\n{command}\n"), &[&signer()]).unwrap().to_string()
    }

    pub(crate) fn send(&mut self, verb: &str, fields: &Value) {
        let payload = self.note(verb, fields);
        self.socket.send(self.seq, &json!({ "ask": "command", "verb": verb, "payload": payload }));
    }

    pub(crate) fn answer(&mut self) -> Value {
        loop {
            let message = self.socket.receive();
            if message["tell"] == "answer" && message["call"] == self.seq {
                return message["answer"].clone();
            }
        }
    }

    /// Hands in a document as the agent does.
    pub(crate) fn hand_in(&mut self, what: &str, note: &str) -> Value {
        self.seq += 1;
        self.socket.send(self.seq, &json!({ "ask": what, "note": note }));
        self.answer()
    }

    pub(crate) fn ask(&mut self, verb: &str, fields: &Value) -> Value {
        self.send(verb, fields);
        self.answer()
    }
}

#[test]
fn erase_ends_the_session_and_leaves_a_receipt() {
    let shop = shop("");
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    std::fs::create_dir_all(shop.path("data/footage")).unwrap();
    std::fs::write(shop.path("data/footage/1-1.age"), "x").unwrap();
    let answer = Operator::new(&shop).ask("erase", &json!({}));
    let status = shop.status().unwrap();
    assert_eq!((&status["phase"], &status["reason"]), (&"idle".into(), &"erase".into()), "{answer}");
    assert!(shop.captures().is_empty() && std::fs::read_dir(shop.path("data/footage")).unwrap().count() == 0);
    let told = receipt(&answer["erased"], &status["identity"]["verifier-key"]);
    assert_eq!((&told["what"], &told["files"]), (&"erase".into(), &1.into()), "{told}");
    assert_eq!(status["receipt"], answer["erased"]);
    let kinds = shop.kinds();
    let at = |kind: &str| kinds.iter().position(|known| known == kind).unwrap();
    assert!(at("commanded") < at("session-stopped") && at("erasure-started") < at("erased"), "{kinds:?}");
    shop.verify();
}

#[test]
fn unbind_waits_for_a_hold_and_a_press_declines() {
    let shop = shop("");
    let _guard = shop.start("guard");
    let before = shop.status().unwrap()["identity"].clone();
    let mut operator = Operator::new(&shop);
    operator.send("unbind", &json!({}));
    wait_until("the lamp asks", || shop.lamp() == "unbind-request");
    let status = shop.status().unwrap();
    assert_eq!((&status["phase"], &status["reason"]), (&"requested".into(), &"unbind".into()));
    assert_eq!(status["command"]["progress"], "waiting-for-staff", "{status}");
    shop.press();
    let answer = operator.answer();
    assert_eq!(answer["refused"]["code"], "refused", "{answer}");
    assert_eq!((shop.phase(), shop.captures().len()), ("idle".to_owned(), 0), "a press declines and starts nothing");
    assert_eq!(shop.status().unwrap()["command"], Value::Null);
    let again = operator.ask("unbind", &json!({}));
    assert!(again.to_string().contains("not asked again") && shop.lamp() == "dark", "{again}");
    // Staff acknowledge a policy since: they may be asked.
    let policy = "tallybox/policy/v1\n{\"version\":\"2027-01-01\",\"material\":true}\n";
    let note = Note::sign(policy, &[&signer()]).unwrap().to_string();
    assert_eq!(operator.ask("set-policy", &json!({ "note": note })), "done");
    shop.hold("2.4");
    shop.wait_for_phase("idle");
    operator.send("unbind", &json!({}));
    wait_until("the lamp asks", || shop.lamp() == "unbind-request");
    shop.hold("2.6");
    let answer = operator.answer();
    assert_eq!(receipt(&answer["erased"], &before["verifier-key"])["what"], "unbind", "{answer}");
    let status = shop.status().unwrap();
    assert_eq!((&status["unbound"], status["identity"] == before), (&true.into(), false));
    assert_eq!((count(&shop, "unbind-requested"), count(&shop, "unbound")), (2, 1));
    shop.verify();
}

#[test]
fn set_ingest_stays_within_the_list_and_another_host_needs_staff() {
    let shop = shop("[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\", \"localhost\"]\n");
    let guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    let refused = operator.ask("set-ingest", &json!({ "url": "rtmp://198.51.100.7/live/secret-of-the-show" }));
    assert_eq!(refused["refused"]["code"], "refused", "{refused}");
    let odd = operator.ask(
        "set-ingest",
        &json!({ "url": "rtmp://127.0.0.1/live/secret-of-the-show", "token": "secret-of-the-show" }),
    );
    assert_eq!(odd["refused"]["code"], "malformed", "{odd}");
    // The host that staff agreed to: the next session goes to the new port.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let url = format!("rtmp://127.0.0.1:{port}/live/secret-of-the-show");
    assert_eq!(operator.ask("set-ingest", &json!({ "url": url })), "done");
    assert_eq!(shop.status().unwrap()["ingest"][0], format!("rtmp://127.0.0.1:{port}/live"));
    shop.press();
    server.accept().unwrap();
    let busy = operator.ask("set-ingest", &json!({ "url": url }));
    assert_eq!(busy["refused"]["code"], "refused", "{busy}");
    shop.press();
    shop.wait_for_phase("idle");
    // Another host, which the list allows.
    operator.send("set-ingest", &json!({ "url": format!("rtmp://localhost:{port}/live/secret-of-the-show") }));
    wait_until("the lamp asks", || shop.lamp() == "triple-blink");
    let status = shop.status().unwrap();
    assert_eq!((&status["phase"], &status["reason"]), (&"policy".into(), &"staff-agreement".into()));
    shop.press();
    assert!(shop.captures().is_empty());
    shop.hold("2.4");
    assert_eq!(operator.answer(), "done");
    let facts = shop.ledger();
    let set: Vec<&Value> = facts.iter().filter(|fact| fact["kind"] == "ingest-set").collect();
    assert_eq!((set.len(), &set[0]["agreed"], &set[1]["agreed"]), (2, &false.into(), &true.into()), "{set:?}");
    let all = format!("{}{facts:?}{status}{refused}{odd}{busy}", shop.log());
    assert!(!all.contains("secret-of-the-show"), "a secret was told");
    drop(guard);
    let _guard = shop.start("guard");
    assert_eq!(shop.status().unwrap()["ingest"][0], "rtmp://127.0.0.1:9/live", "after a restart the files count");
}

#[test]
fn set_video_is_confirmed_by_capture_while_it_runs() {
    let shop = shop("");
    let mut guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    assert_eq!(operator.ask("set-video", &json!({ "width": 160, "height": 90, "fps": 15 })), "done");
    for (fields, code) in
        [(json!({}), "malformed"), (json!({ "bitrate-kbps": 5 }), "malformed"), (json!({ "width": 640 }), "refused")]
    {
        assert_eq!(operator.ask("set-video", &fields)["refused"]["code"], code, "{fields}");
    }
    shop.press();
    wait_until("the encoder runs", || shop.status().is_some_and(|status| !status["encoder"].is_null()));
    assert_eq!(operator.ask("set-video", &json!({ "bitrate-kbps": 900 })), "done");
    let video = json!({ "width": 160, "height": 90, "fps": 15, "bitrate-kbps": 900 });
    assert_eq!(shop.status().unwrap()["video"], video);
    assert_eq!(operator.ask("set-video", &json!({ "fps": 10 }))["refused"]["code"], "refused");
    guard.kill();
    let _guard = shop.start("guard");
    assert_eq!(shop.status().unwrap()["video"]["bitrate-kbps"], 400, "after a restart the files count");
}

fn policy(version: &str, material: bool) -> String {
    let json = json!({ "version": version, "material": material });
    Note::sign(&format!("tallybox/policy/v1\n{json}\n"), &[&signer()]).unwrap().to_string()
}

#[test]
fn policies_rise_outlive_the_guard_and_never_ask_less_of_staff() {
    let shop = shop("");
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    let mut operator = Operator::new(&shop);
    assert_eq!(operator.ask("set-policy", &json!({ "note": policy("2026-01-01", false) })), "done");
    assert_eq!(
        (shop.phase().as_str(), &shop.status().unwrap()["policy-version"]),
        ("connecting", &"2026-01-01".into())
    );
    assert_eq!(operator.ask("set-policy", &json!({ "note": policy("2026-02-01", true) })), "done");
    shop.wait_for_phase("policy");
    for version in ["2025-12-31", "2026-01-01"] {
        let answer = operator.ask("set-policy", &json!({ "note": policy(version, false) }));
        assert_eq!(answer["refused"]["code"], "refused", "{answer}");
    }
    guard.kill();
    // The file is damaged: the configuration's version counts again, and what waited for staff still does.
    std::fs::write(shop.path("data/policy.note"), "damage").unwrap();
    guard = shop.start("guard");
    assert_eq!(shop.phase(), "policy");
    let mut operator = Operator::new(&shop);
    assert_eq!(operator.ask("set-policy", &json!({ "note": policy("2026-02-01", true) })), "done");
    assert_eq!((shop.phase().as_str(), &shop.status().unwrap()["policy-version"]), ("policy", &"2026-02-01".into()));
    shop.hold("2.4");
    shop.wait_for_phase("idle");
    guard.kill();
    let _guard = shop.start("guard");
    assert_eq!((shop.phase().as_str(), &shop.status().unwrap()["policy-version"]), ("idle", &"2026-02-01".into()));
    assert_eq!(shop.status().unwrap()["policy"]["material"], true);
}

/// Over a real broker: what a command waits for, and the receipt before the box leaves.
#[test]
fn a_platform_hears_of_progress_and_gets_the_receipt() {
    let broker = Broker::new("");
    let mut platform = broker::Operator::connect(broker.port);
    let shop = shop_at(broker.url(), "");
    let _guard = shop.start("guard");
    let _agent = shop.start("agent");
    platform.wait_for_phase("idle");
    let key = shop.status().unwrap()["identity"]["verifier-key"].clone();
    let mut operator = Operator::new(&shop);
    let mut send = |platform: &mut broker::Operator, verb: &str| {
        let note = operator.note(verb, &json!({}));
        platform.publish(&json!({ "verb": verb, "payload": note, "response": "answers/1", "correlation": verb }));
    };
    let answer = |platform: &mut broker::Operator, verb: &str, progress: Option<&str>| {
        let wanted = progress.map_or(Value::Null, Value::from);
        let fits = |message: &Value| message["correlation"] == verb && message["payload"]["progress"] == wanted;
        platform.wait(verb, fits)["payload"].take()
    };
    send(&mut platform, "erase");
    let erased = answer(&mut platform, "erase", None);
    assert_eq!(receipt(&erased["receipt"], &key)["what"], "erase", "{erased}");
    assert!(erased.to_string().len() <= 1024, "{} bytes", erased.to_string().len());
    send(&mut platform, "unbind");
    assert_eq!(answer(&mut platform, "unbind", Some("waiting-for-staff"))["ok"], true);
    shop.hold("2.6");
    let unbound = answer(&mut platform, "unbind", None);
    assert_eq!((&unbound["ok"], &receipt(&unbound["receipt"], &key)["what"]), (&true.into(), &"unbind".into()));
    wait_until("the agent rests", || shop.log().contains("the box was unbound: it connects to no broker"));
}

/// The guard is killed somewhere between the command and its answer.
#[test]
fn a_command_that_is_killed_anywhere_runs_at_most_once() {
    let rounds: u64 = if std::env::var_os("TALLYBOX_LONG").is_some() { 100 } else { 5 };
    let shop = shop("");
    let mut guard: Program = shop.start("guard");
    for round in 0..rounds {
        let mut operator = Operator::new(&shop);
        let payload = operator.note("erase", &json!({}));
        let request = json!({ "ask": "command", "verb": "erase", "payload": payload });
        operator.socket.send(1, &request);
        std::thread::sleep(Duration::from_micros(round * 1733 % 20_000));
        guard.kill();
        guard = shop.start("guard");
        // The same bytes are void now.
        let mut again = ControlSocket::new(&shop);
        again.send(1, &request);
        let answer = again.receive()["answer"].clone();
        assert_eq!(answer["refused"]["code"], "wrong-epoch", "{round}: {answer}");
        let (commanded, started, erased) =
            (count(&shop, "commanded"), count(&shop, "erasure-started"), count(&shop, "erased"));
        assert!(erased == started && started <= commanded && commanded as u64 <= round + 1, "{:?}", shop.kinds());
    }
    shop.verify();
}
