//! The platform's desired configuration over a real broker: in force between sessions, kept over kills, agreed to by
//! staff, and out of reach for whoever has the broker alone.

use std::process::Command;

use notes::{DocumentType, Note, SignerKey};
use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{TALLYBOX, wait_until};

fn key() -> SignerKey {
    SignerKey::new("operator.example.cn/fleet", &[7; 32]).unwrap()
}

/// A box that trusts the operator's key and lets the platform choose the picture.
fn shop(broker: &Broker) -> (TestBox, BoxConfig) {
    let file = crate::support::footage().display().to_string();
    let trust = format!("[[trust]]\nkey = \"{}\"\nmay = [\"desired\"]\n", key().verifier_key());
    let plan = BoxConfig {
        mqtt: broker.url(),
        video: format!("source = \"file\"\ndevice = \"{file}\"\nwidth = 320\nheight = 180\nadaptive = false\n"),
        more: format!("[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\", \"*.example.cn\"]\n{trust}"),
        ..BoxConfig::default()
    };
    (TestBox::new(&plan), plan)
}

fn note(id: &str, version: u64, values: &Value) -> String {
    let json = json!({ "box": id, "version": version, "values": values });
    Note::sign(&format!("{}\n{json}\n", DocumentType::Desired.as_str()), &[&key()]).unwrap().to_string()
}

/// Publishes a retained message, as any client of the broker can.
fn publish(broker: &Broker, payload: &str) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-V", "5", "-q", "1", "-r", "-h", "127.0.0.1", "-p", &broker.port.to_string()]);
    command.args(["-t", "tallybox/v1/test-box/config/desired", "-m", payload]);
    assert!(command.status().unwrap().success());
}

/// Waits for a report on this version that says `code` of `key`.
#[track_caller]
fn wait_for_code(operator: &mut Operator, version: u64, key: &str, code: &str) -> Value {
    let what = format!("{key} is {code} in version {version}");
    let report = operator.wait(&what, |message| {
        let report = &message["payload"];
        message["topic"] == "config/reported" && report["for-version"] == version && report["keys"][key]["code"] == code
    });
    assert_eq!(report["qos"], 1);
    report["payload"].clone()
}

fn applied(shop: &TestBox) -> Vec<Value> {
    shop.ledger().into_iter().filter(|fact| fact["kind"] == "desired-applied").collect()
}

#[test]
fn the_platform_configures_a_box_between_sessions_and_over_kills() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let (shop, _) = shop(&broker);
    let (guard, agent) = (shop.start("guard"), shop.start("agent"));
    operator.wait_for_phase("idle");
    let values =
        json!({ "video.bitrate-kbps": 500, "video.fps": 200, "mqtt.telemetry-interval": "1h", "vidoe.fps": 1 });
    publish(&broker, &note("test-box", 1, &values));
    let report = wait_for_code(&mut operator, 1, "video.bitrate-kbps", "ok");
    let codes = |key: &str| report["keys"][key]["code"].as_str().unwrap().to_owned();
    assert_eq!(
        ["video.fps", "mqtt.telemetry-interval", "vidoe.fps"].map(codes),
        ["refused", "locked", "unknown"],
        "{report}"
    );
    assert!(report["keys"]["video.fps"]["text"].as_str().unwrap().contains("from 1 to 60"), "{report}");
    assert_eq!(report["keys"]["video.bitrate-kbps"]["value"], 500);
    let told = String::from_utf8(shop.call(&["status"]).stdout).unwrap();
    assert!(told.contains("desired   version 1 says video.bitrate-kbps; the rest is from files"), "{told}");
    let checked = || {
        let output = Command::new(TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(checked().contains("desired version 1 says video.bitrate-kbps; the rest is from files"), "{}", checked());
    assert_eq!(
        shop.status().unwrap()["desired"],
        json!({"version": 1, "taken": ["video.bitrate-kbps"], "waiting": null})
    );

    // Capture has no way to data-dir, and still captures under the very configuration that the guard has.
    shop.press();
    shop.wait_for_phase("connecting");
    wait_until("capture has an encoder", || !shop.status().unwrap()["encoder"].is_null());
    // A newer one waits for the end of the session, and touches nothing.
    let pids = shop.captures();
    publish(&broker, &note("test-box", 2, &json!({ "video.bitrate-kbps": 600 })));
    wait_for_code(&mut operator, 2, "video.bitrate-kbps", "pending-idle");
    assert_eq!((shop.captures(), applied(&shop).len()), (pids, 1));
    shop.press();
    wait_for_code(&mut operator, 2, "video.bitrate-kbps", "ok");

    // Kill both roles: what was in force is in force again, and the retained document is a repetition.
    drop((guard, agent));
    for role in ["guard", "agent"] {
        for pid in shop.processes(role) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    assert!(checked().contains("the platform has desired values for this box"), "{}", checked());
    let _guard = shop.start("guard");
    assert_eq!(shop.status().unwrap()["desired"]["version"], 2);
    let _agent = shop.start("agent");
    wait_until("it is connected", || shop.log().matches("connected to the broker").count() >= 2);
    wait_for_code(&mut operator, 2, "video.bitrate-kbps", "ok");
    assert_eq!(applied(&shop).len(), 2, "each version once: {:?}", applied(&shop));
    // An empty message is nobody's word.
    publish(&broker, "");
    wait_until("the agent has it", || shop.log().contains("the broker has no desired configuration any more"));
    assert_eq!(shop.status().unwrap()["desired"]["version"], 2);
    // A signed one with nothing in it takes all of it back.
    publish(&broker, &note("test-box", 3, &json!({})));
    wait_until("it is taken back", || {
        shop.status().unwrap()["desired"] == json!({"version": 3, "taken": [], "waiting": null})
    });
    shop.verify();
}

#[test]
fn whoever_has_the_broker_alone_changes_nothing() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let (shop, _) = shop(&broker);
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    let values = json!({ "video.bitrate-kbps": 500 });
    publish(&broker, &note("test-box", 7, &values));
    wait_for_code(&mut operator, 7, "video.bitrate-kbps", "ok");
    let other = json!({ "video.bitrate-kbps": 900 });
    let stranger = SignerKey::new("operator.example.cn/fleet", &[8; 32]).unwrap();
    let text = |version: u64| {
        format!("tallybox/desired/v1\n{}\n", json!({"box": "test-box", "version": version, "values": other}))
    };
    let good = note("test-box", 8, &other);
    let hostile = [
        (note("test-box", 6, &other), "replayed"),
        (note("test-box", 7, &other), "id-reused"),
        (note("shop-2", 8, &other), "misaddressed"),
        (Note::sign(&text(8), &[&stranger]).unwrap().to_string(), "unsigned"),
        (good.replace("900", "901"), "bad-signature"),
        (good[..good.len() / 2].to_owned(), "malformed"),
        (text(8), "malformed"),
        ("x".repeat(100_000), "malformed"),
    ];
    for (payload, code) in hostile {
        if payload.len() < 50_000 {
            publish(&broker, &payload);
        } else {
            std::fs::write(shop.path("long"), &payload).unwrap();
            let mut command = Command::new("mosquitto_pub");
            command.args(["-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &broker.port.to_string(), "-f"]);
            command.arg(shop.path("long")).args(["-t", "tallybox/v1/test-box/config/desired"]);
            assert!(command.status().unwrap().success());
            continue;
        }
        let report =
            operator.wait(code, |message| message["topic"] == "config/reported" && message["payload"]["code"] == code);
        assert_eq!(report["payload"]["for-version"], 7, "{report}");
        assert_eq!(report["payload"]["keys"]["video.bitrate-kbps"]["value"], 500, "{report}");
    }
    assert_eq!((applied(&shop).len(), shop.status().unwrap()["desired"]["version"].clone()), (1, json!(7)));
    // A fresh one is taken all the same, and the error is gone.
    publish(&broker, &good);
    let report = wait_for_code(&mut operator, 8, "video.bitrate-kbps", "ok");
    assert!(report["error"].is_null() && applied(&shop).len() == 2, "{report}");
}

#[test]
fn another_audience_waits_for_staff_and_unbinding_forgets_it() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let (shop, _) = shop(&broker);
    let mut run = shop.start("run");
    operator.wait_for_phase("idle");
    let second = "ingest.second.url";
    publish(&broker, &note("test-box", 1, &json!({ second: "rtmps://push.example.cn/live/a-key-of-the-platform" })));
    let report = wait_for_code(&mut operator, 1, second, "pending-idle");
    assert!(report["keys"][second]["text"].as_str().unwrap().contains("hold the button for 2 s"), "{report}");
    shop.wait_for_phase("policy");
    wait_until("the lamp asks", || shop.lamp() == "triple-blink");
    // A press starts nothing, and a restart forgets nothing.
    shop.press();
    run.kill();
    wait_until("the old guard is gone", || shop.processes("guard").is_empty());
    run = shop.start("run");
    shop.wait_for_phase("policy");
    assert!(shop.captures().is_empty() && applied(&shop).is_empty());
    wait_until("a hold is heard", || {
        shop.hold("2.4");
        shop.phase() == "idle"
    });
    let report = wait_for_code(&mut operator, 1, second, "ok");
    assert_eq!(report["keys"][second]["value"], "rtmps://push.example.cn");
    let kinds = shop.kinds();
    let order = ["desired-received", "desired-pending", "desired-agreed", "desired-applied"];
    let found: Vec<_> = kinds.iter().filter(|kind| order.contains(&kind.as_str())).collect();
    assert_eq!(found, order, "each once, in this order");
    assert!(shop.path("data/desired.note").exists());
    for message in &operator.log {
        let said = message["topic"] != "config/desired" && message.to_string().contains("a-key-of-the-platform");
        assert!(!said, "a key is told: {message}");
    }
    assert!(!shop.log().contains("a-key-of-the-platform"), "a key is in the log");
    shop.hold("10.6");
    wait_until("it is unbound", || shop.status().unwrap()["unbound"] == true);
    assert!(!shop.path("data/desired.note").exists());
    assert_eq!(shop.status().unwrap()["desired"], json!({"version": null, "taken": [], "waiting": null}));
    drop(run);
}
