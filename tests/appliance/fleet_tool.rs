//! The fleet tool at a real box: real guard, agent and broker judge what it signs, and it says what came of it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::support::dates::days_from_now;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, TALLYBOX, wait_until};

const EVERYTHING: &str = r#""request-start", "unmute", "set-video", "set-ingest", "set-policy", "update", "identify",
    "diagnose", "erase", "unbind", "desired", "policy", "release""#;

/// A box that trusts one key with everything and another one with a request only, and the tool with its keys.
struct Bench {
    broker: Broker,
    shop: TestBox,
    run: Program,
    operator: String,
    asker: String,
    stranger: String,
}

/// The tool lies beside the program under test.
pub(crate) fn tool(port: u16, arguments: &[&str]) -> Output {
    let path = Path::new(TALLYBOX).with_file_name("tallybox-fleet");
    assert!(path.exists(), "{}: `cargo build -p tallybox-fleet` makes it", path.display());
    let mut command = Command::new(path);
    command.args(arguments).env("TALLYBOX_FLEET_BROKER", format!("mqtt://127.0.0.1:{port}"));
    command.env_remove("TALLYBOX_FLEET_KEY").output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

impl Bench {
    fn new() -> Self {
        let broker = Broker::new("");
        let shop = TestBox::new(&BoxConfig::default());
        let key = |name: &str| {
            let file = shop.path(&format!("{name}.key")).display().to_string();
            let made = tool(broker.port, &["key", "new", "--name", &format!("fleet.example.cn/{name}"), &file]);
            assert!(made.status.success(), "{}", said(&made));
            (file, String::from_utf8(made.stdout).unwrap().trim().to_owned())
        };
        let ((operator, trusted), (asker, may_ask), (stranger, _)) = (key("operator"), key("asker"), key("stranger"));
        let more = format!(
            "[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\", \"*.example.cn\"]\n\
             [[trust]]\nkey = \"{trusted}\"\nmay = [{EVERYTHING}]\n[[trust]]\nkey = \"{may_ask}\"\nmay = [\"request-start\"]\n"
        );
        shop.configure(&BoxConfig { mqtt: broker.url(), more, ..BoxConfig::default() });
        let run = shop.start("run");
        Operator::connect(broker.port).wait_for_phase("idle");
        Self { broker, shop, run, operator, asker, stranger }
    }

    /// Outcome, code and error of a command, whose exit code has to fit.
    fn tell(&self, arguments: &[&str], key: Option<&str>) -> (String, Value, String) {
        let key: Vec<&str> = key.into_iter().flat_map(|key| ["--key", key]).collect();
        let wait = ["--json", "--wait", "1s", "--timeout", "30s"];
        let output = tool(self.broker.port, &[arguments, &key, &wait].concat());
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let mut rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let row = rows.find(|row| row["outcome"].is_string()).unwrap_or_else(|| panic!("{}", said(&output)));
        let code = if row["outcome"] == "done" { 0 } else { 69 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        (text("outcome"), row["code"].clone(), text("error"))
    }

    fn done(&self, arguments: &[&str]) {
        let (outcome, code, error) = self.tell(arguments, Some(&self.operator));
        assert_eq!(outcome, "done", "{arguments:?}: {code} {error}");
    }

    /// Puts something else in the place of what the broker keeps of the box.
    fn retain(&self, name: &str, payload: &str) {
        let (port, topic) = (self.broker.port.to_string(), format!("tallybox/v1/test-box/{name}"));
        let arguments = ["-V", "5", "-p", &port, "-q", "1", "-r", "-t", &topic, "-m", payload];
        assert!(Command::new("mosquitto_pub").args(arguments).status().unwrap().success());
    }

    fn status(&self, field: &str) -> Value {
        self.shop.status().unwrap()[field].clone()
    }
}

#[test]
fn commands_run_when_the_right_key_signs_them_also_after_the_box_restarted() {
    let mut bench = Bench::new();
    for (key, outcome, code, advice) in [
        (None, "refused", "unsigned", "sign"),
        (Some(bench.stranger.as_str()), "failed", "bad-signature", "a key that the box has under [[trust]]"),
        (Some(bench.asker.as_str()), "refused", "not-allowed", "may not sign identify"),
    ] {
        let told = bench.tell(&["send", "identify", "test-box"], key);
        assert_eq!((told.0.as_str(), told.1.as_str()), (outcome, Some(code)), "{}", told.2);
        assert!(told.2.contains(advice), "{}", told.2);
    }
    let before = bench.status("epoch");
    bench.run.finish();
    bench.run = bench.shop.start("run");
    Operator::connect(bench.broker.port).wait_for_availability("online");
    wait_until("another epoch", || bench.shop.status().is_some_and(|status| status["epoch"] != before));
    // What the broker keeps is of another epoch, or of a guard that has run for long: the box says its own time, and
    // the tool signs once more.
    for (epoch, uptime) in [(before.clone(), 3), (bench.status("epoch"), 1_000_000)] {
        let state = json!({"phase": "idle", "epoch": epoch, "uptime-s": uptime});
        bench.retain("state", &state.to_string());
        bench.done(&["send", "identify", "test-box"]);
    }
    bench.done(&["set", "video", "test-box", "--bitrate-kbps", "700"]);
    assert_eq!(bench.status("video")["bitrate-kbps"], 700);
    bench.done(&["set", "ingest", "test-box", "--url", "rtmp://127.0.0.1:9/live/other"]);
    let told = bench.tell(&["set", "ingest", "test-box", "--url", "rtmp://example.org/live/a"], Some(&bench.operator));
    assert!(told.0 == "refused" && told.2.contains("allowed-ingest-hosts"), "{told:?}");

    assert_eq!(bench.tell(&["request", "test-box"], Some(&bench.asker)).0, "done");
    bench.shop.press();
    bench.shop.wait_for_phase("connecting");
    let told = bench.tell(&["stop", "test-box"], None);
    assert_eq!(told.0, "done", "{told:?}");
    bench.shop.wait_for_phase("idle");
}

#[test]
fn documents_are_answered_and_what_was_erased_has_a_receipt() {
    let bench = Bench::new();
    let desired =
        |values: &[&str], key: &str| bench.tell(&[&["set", "desired", "test-box"], values].concat(), Some(key));
    assert_eq!(desired(&["--value", "overlay.text=Shop 42"], &bench.operator).0, "done");
    let told = desired(&["--value", "video.bitrate-kbps=900"], &bench.operator);
    assert!(told.0 == "refused" && told.2.contains("video.bitrate-kbps: locked"), "a file says it: {told:?}");
    for _ in 0..2 {
        let told = desired(&["--value", "overlay.text=x"], &bench.asker);
        assert_eq!((told.0.as_str(), told.1.as_str()), ("refused", Some("not-allowed")), "{}", told.2);
    }
    assert_eq!(desired(&["--withdraw"], &bench.operator).0, "done");
    assert_eq!(bench.status("desired")["taken"], json!([]));

    let port = bench.broker.port;
    let sign = ["policy", "sign", "--version", "2027-01-01", "--material", "--key", &bench.operator];
    let note = bench.shop.path("policy.note");
    std::fs::write(&note, tool(port, &sign).stdout).unwrap();
    let published = tool(port, &["policy", "publish", &note.display().to_string(), "test-box", "--wait", "1s"]);
    assert!(published.status.success(), "{}", said(&published));
    bench.shop.wait_for_phase("policy");
    let status =
        || serde_json::from_slice::<Value>(&tool(port, &["policy", "status", "--json", "--wait", "1s"]).stdout);
    wait_until("the tool sees who waits", || status().unwrap()["policies"]["2027-01-01"]["waiting-for-staff"] == 1);
    bench.shop.hold("2.4");
    bench.shop.wait_for_phase("idle");

    let release = json!({
        "version": "99.0-1", "channel": "stable", "not-after": days_from_now(180), "security": true,
        "files": {"arm64": {"url": "https://updates.example.cn/t.deb", "size": 10, "sha256": "0f".repeat(32)}},
        "wave": {"start": days_from_now(-30), "stages": [{"permille": 1000}], "deadline-s": 600,
            "minimum-sample": 1, "abort": []},
    });
    let file = bench.shop.path("release.json");
    std::fs::write(&file, release.to_string()).unwrap();
    let published = tool(port, &["update", "publish", &file.display().to_string(), "--key", &bench.operator]);
    assert!(published.status.success(), "{}", said(&published));
    wait_until("the box has judged it", || bench.shop.kinds().contains(&"update-offered".to_owned()));
    let watched = tool(port, &["update", "status", "--json", "--wait", "1s"]);
    assert!(said(&watched).contains("\"boxes\":1"), "{}", said(&watched));

    bench.done(&["send", "erase", "test-box"]);
    let receipt = bench.status("receipt");
    assert!(receipt.as_str().unwrap().starts_with("tallybox/receipt/v1\n"), "{receipt}");
    // Nobody at the button: it waits, and a press declines.
    let told = std::thread::scope(|scope| {
        let asked = scope.spawn(|| bench.tell(&["send", "unbind", "test-box"], Some(&bench.operator)));
        bench.shop.wait_for_phase("requested");
        bench.shop.press();
        asked.join().unwrap()
    });
    assert!(told.0 == "refused" && told.2.contains("staff declined"), "{told:?}");
}

#[test]
fn a_box_without_trust_says_what_it_takes() {
    let broker = Broker::new("");
    let shop = TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() });
    let run = shop.start("run");
    Operator::connect(broker.port).wait_for_phase("idle");
    let file = shop.path("a.key").display().to_string();
    assert!(tool(broker.port, &["key", "new", "--name", "fleet.example.cn/a", &file]).status.success());
    let bench = Bench { broker, shop, run, operator: file, asker: String::new(), stranger: String::new() };
    // The box says that it knows no key: what it takes unsigned is not signed.
    for key in [None, Some(bench.operator.as_str())] {
        assert_eq!(bench.tell(&["send", "identify", "test-box"], key).0, "done");
    }
    let (outcome, code, error) = bench.tell(&["send", "erase", "test-box"], Some(&bench.operator));
    assert_ne!(outcome, "done");
    assert!(error.contains("[[trust]]"), "{code} {error}");
    let (outcome, code, error) = bench.tell(&["send", "erase", "test-box"], None);
    assert_eq!((outcome.as_str(), code.as_str()), ("refused", Some("unsigned")), "{error}");
    let set = ["set", "desired", "test-box", "--value", "overlay.text=x"];
    let (outcome, code, error) = bench.tell(&set, Some(&bench.operator));
    assert_eq!((outcome.as_str(), code.as_str()), ("refused", Some("unsigned")), "{error}");
    assert!(error.contains("[[trust]]"), "{error}");
}
