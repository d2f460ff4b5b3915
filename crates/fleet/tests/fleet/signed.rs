//! What is signed, at simulated boxes that judge it with the box's own code: who may, what comes of it, and what the
//! operator is told.

use std::process::Output;

use crate::support::{Broker, Keys, Running, lines, said, wait_until};
use serde_json::{Value, json};

/// Boxes that trust a key with everything, and one that may ask only; nobody presses by themselves, and staff answer.
struct Fleet {
    broker: Broker,
    operator: String,
    asker: String,
    stranger: String,
    _boxes: Running,
}

const ROLES: [&str; 12] = [
    "request-start",
    "unmute",
    "set-video",
    "set-ingest",
    "set-policy",
    "update",
    "identify",
    "diagnose",
    "erase",
    "unbind",
    "desired",
    "policy",
];

fn fleet(boxes: u32) -> Fleet {
    let broker = Broker::start();
    let mut keys = Keys::new(&broker);
    let operator = keys.add(&broker, "operator", &ROLES);
    let asker = keys.add(&broker, "asker", &["request-start"]);
    let stranger = keys.add(&broker, "stranger", &[]);
    let config = keys.config("[privacy]\nallowed-ingest-hosts = [\"*.example.cn\"]\n");
    let boxes = broker.simulate(boxes, &["--idle", "100h", "--config", &config]);
    Fleet { broker, operator, asker, stranger, _boxes: boxes }
}

/// The first box of a command.
fn row(output: &Output) -> Value {
    let rows = lines(output);
    rows.into_iter().find(|row| row["outcome"].is_string()).unwrap_or_else(|| panic!("{}", said(output)))
}

impl Fleet {
    /// Runs a command, and returns the outcome of its first box; the exit code has to fit it.
    fn outcome(&self, arguments: &[&str]) -> (Value, Value, String) {
        let output = self.broker.run(&[arguments, &["--json", "--wait", "500ms"]].concat());
        let row = row(&output);
        let code = if row["outcome"] == "done" { 0 } else { 69 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        (row["outcome"].clone(), row["code"].clone(), row["error"].as_str().unwrap_or_default().to_owned())
    }

    fn diagnosis(&self, id: &str) -> Value {
        let output = self.broker.run(&["send", "diagnose", id, "--json", "--key", &self.operator]);
        row(&output)["diagnosis"]["status"].clone()
    }

    fn phases(&self, phase: &str) -> usize {
        lines(&self.broker.run(&["list", "--json", "--phase", phase, "--wait", "300ms"])).len()
    }
}

#[test]
fn commands_are_judged_by_key_role_epoch_and_time_and_staff_answer_a_request() {
    let fleet = fleet(4);
    let (operator, asker, stranger) = (&fleet.operator, &fleet.asker, &fleet.stranger);
    // Without a signature, with a key that nobody trusts, and with one that may do something else.
    for (key, code, outcome, advice) in [
        (None, "unsigned", "refused", "sign"),
        (Some(stranger), "bad-signature", "failed", "sign it with a key that the box has under [[trust]]"),
        (Some(asker), "not-allowed", "refused", "the key operator.example.cn/asker may not sign identify"),
    ] {
        let mut arguments = vec!["send", "identify", "sim-0001"];
        arguments.extend(key.iter().flat_map(|key| ["--key", key.as_str()]));
        let (told, why, error) = fleet.outcome(&arguments);
        assert_eq!((told.as_str(), why.as_str()), (Some(outcome), Some(code)), "{error}");
        assert!(error.contains(advice), "{error}");
    }
    assert_eq!(fleet.outcome(&["send", "identify", "sim-0001", "--key", operator]).0, "done");

    // What the operator knows of the guard's time is of another epoch, over, or far ahead: the box says its own, and
    // the command is signed once more.
    let epoch = fleet.diagnosis("sim-0002")["epoch"].as_str().unwrap().to_owned();
    assert_eq!(epoch.len(), 32);
    for (epoch, uptime) in [("0f".repeat(16), 3), (epoch, 1_000_000)] {
        let state = json!({"phase": "idle", "epoch": epoch, "uptime-s": uptime});
        fleet.broker.retain("tallybox/v1/sim-0002/state", &state.to_string());
        assert_eq!(fleet.outcome(&["send", "identify", "sim-0002", "--key", operator]).0, "done");
    }

    // Asked, all of them; of those whose staff press, a session follows.
    let sent = fleet.broker.run(&["request", "--match", "sim-*", "--json", "--key", asker, "--wait", "500ms"]);
    assert_eq!(lines(&sent).last().unwrap()["outcomes"], json!({"done": 4}), "{}", said(&sent));
    wait_until("staff press", || fleet.phases("live") > 0);
    // Stopping needs no key.
    let stopped = fleet.broker.run(&["stop", "--phase", "live", "--json", "--wait", "500ms"]);
    assert!(stopped.status.success(), "{}", said(&stopped));
}

#[test]
fn settings_are_taken_within_their_bounds_and_another_server_needs_staff() {
    let fleet = fleet(2);
    let key = &fleet.operator;
    let video = ["set", "video", "sim-0001", "--key", key, "--bitrate-kbps"];
    let events = fleet.broker.subscribe("tallybox/v1/sim-0001/event", None);
    assert_eq!(fleet.outcome(&[&video[..], &["1500"]].concat()).0, "done");
    let (outcome, code, error) = fleet.outcome(&[&video[..], &["999999"]].concat());
    assert_eq!((outcome, code), (json!("failed"), json!("malformed")), "{error}");
    let ingest = ["set", "ingest", "sim-0001", "--key", key, "--timeout", "40s", "--url"];
    let (outcome, _, error) = fleet.outcome(&[&ingest[..], &["rtmps://evil.example.org/live/a"]].concat());
    assert!(outcome == "refused" && error.contains("allowed-ingest-hosts"), "{error}");
    // Staff hold the button, some seconds later.
    assert_eq!(fleet.outcome(&[&ingest[..], &["rtmps://other.example.cn/live/a"]].concat()).0, "done");
    let told = String::from_utf8(events.interrupt().stdout).unwrap();
    let agreed = r#""kind":"ingest-set","ingest-host":"other.example.cn","agreed":true"#;
    assert!(told.contains(agreed), "{told}");
}

#[test]
fn a_desired_configuration_is_answered_key_by_key_and_can_be_withdrawn() {
    let fleet = fleet(2);
    let (key, asker) = (&fleet.operator, &fleet.asker);
    let set = |key: &str, values: &[&str]| {
        let values: Vec<&str> = values.iter().flat_map(|value| ["--value", value]).collect();
        fleet.outcome(&[&["set", "desired", "sim-0001", "--key", key], &values[..]].concat())
    };
    assert_eq!(set(key, &["video.bitrate-kbps=1700"]).0, "done");
    let reported = || fleet.broker.retained("tallybox/v1/sim-0001/config/reported");
    assert_eq!(reported()["keys"]["video.bitrate-kbps"], json!({"value": 1700, "code": "ok"}));
    // The same refusal twice is told twice.
    for _ in 0..2 {
        let (outcome, code, error) = set(asker, &["video.bitrate-kbps=1800"]);
        assert_eq!((outcome, code), (json!("refused"), json!("not-allowed")), "{error}");
        assert!(error.contains("may not sign desired"), "{error}");
    }
    let (outcome, _, error) = set(key, &["video.bitrate-kbps=1800", "video.colour=5", "device.id=x"]);
    assert!(outcome == "refused" && error.contains("video.colour: unknown"), "{error}");
    assert_eq!(reported()["keys"]["video.bitrate-kbps"]["value"], 1800, "the other keys count");
    let (outcome, _, error) = set(key, &["ingest.url=rtmps://other.example.cn/live/a"]);
    assert!(outcome == "refused" && error.contains("ingest.url: locked"), "{error}");
    assert_eq!(fleet.outcome(&["set", "desired", "sim-0001", "--withdraw", "--key", key]).0, "done");
    assert_eq!((&reported()["keys"], &reported()["code"]), (&json!({}), &Value::Null));
}

#[test]
fn a_material_policy_locks_boxes_until_staff_acknowledge_it() {
    let fleet = fleet(3);
    let sign = |key: &str, version: &str| {
        let signed = fleet.broker.run(&["policy", "sign", "--version", version, "--material", "--key", key]);
        assert!(signed.status.success(), "{}", said(&signed));
        let note =
            crate::support::write(fleet.broker.dir.path(), "policy.note", &String::from_utf8(signed.stdout).unwrap());
        let published = fleet.broker.run(&["policy", "publish", note.to_str().unwrap(), "--all", "--wait", "500ms"]);
        assert!(published.status.success(), "{}", said(&published));
    };
    let status = || lines(&fleet.broker.run(&["policy", "status", "--json", "--wait", "300ms"])).remove(0);
    let before = status()["policies"].clone();
    sign(&fleet.operator, "2026-12-01");
    wait_until("boxes wait for staff", || status()["policies"]["2026-12-01"]["waiting-for-staff"].as_u64() > Some(0));
    let acknowledged = json!({"2026-12-01": {"boxes": 3, "waiting-for-staff": 0}});
    wait_until("staff acknowledge it", || status()["policies"] == acknowledged);
    // One that no key signed that may, and an older one, change nothing.
    sign(&fleet.asker, "2026-12-02");
    sign(&fleet.operator, "2026-11-30");
    let answered = fleet.broker.run(&["send", "identify", "--all", "--key", &fleet.operator, "--wait", "500ms"]);
    assert!(answered.status.success(), "{}", said(&answered));
    assert_eq!(status()["policies"], acknowledged, "before: {before}");
}

#[test]
fn all_that_a_policy_says_is_signed_and_a_box_reads_it() {
    use crate::support::write;
    use tallybox::ipc::{PolicyReason, PolicyText};
    use tallybox::judges::policy_note::PolicyNote;

    let broker = Broker::start();
    let mut keys = Keys::new(&broker);
    let key = keys.add(&broker, "policy", &["policy"]);
    let dir = broker.dir.path();
    let file = |name: &str, text: &str| write(dir, name, text).to_str().unwrap().to_owned();
    let (zh, en) = (file("zh.txt", "隐私政策\n"), file("en.txt", "the policy\n"));
    let sign = |arguments: &[&str]| broker.run(&[&["policy", "sign", "--key", &key], arguments].concat());
    let config = tallybox::config::Config::load(keys.config("[ingest]\nurl = \"rtmps://p.example.cn/l/k\"\n").as_ref());
    let trust = config.unwrap().trust;
    let whole = [
        "--version",
        "2027-01-01",
        "--material",
        "--reasons",
        "recipients,contacts",
        "--effective",
        "2027-01-15",
        "--text-zh",
        &zh,
        "--text-en",
        &en,
        "--contact",
        "privacy@example.cn",
        "--contact",
        "+86 10 0000 0000",
        "--answer-days",
        "10",
    ];
    let signed = sign(&whole);
    assert!(signed.status.success(), "{}", said(&signed));
    let note = PolicyNote::verify(&trust, std::str::from_utf8(&signed.stdout).unwrap()).unwrap();
    let document = note.document;
    let told = (document.material, document.answer_days, document.contacts.len(), document.effective.as_deref());
    assert_eq!(told, (true, Some(10), 2, Some("2027-01-15")));
    assert_eq!(document.reasons, Some(vec![PolicyReason::Recipients, PolicyReason::Contacts]));
    assert_eq!(document.texts.unwrap().zh.text.as_deref(), Some("隐私政策"));
    // With addresses the note has hashes.
    let hashed =
        sign(&[&whole[..], &["--url-zh", "https://example.cn/zh", "--url-en", "https://example.cn/en"]].concat());
    let note = PolicyNote::verify(&trust, std::str::from_utf8(&hashed.stdout).unwrap()).unwrap();
    let PolicyText { text, sha256, url } = note.document.texts.unwrap().en;
    assert_eq!((text, sha256.map(|hash| hash.len()), url.as_deref()), (None, Some(64), Some("https://example.cn/en")));
}

#[test]
fn a_policy_that_no_box_would_take_is_not_signed() {
    use crate::support::write;

    let broker = Broker::start();
    let key = Keys::new(&broker).add(&broker, "policy", &["policy"]);
    let dir = broker.dir.path();
    let file = |name: &str, text: &str| write(dir, name, text).to_str().unwrap().to_owned();
    let (zh, en) = (file("zh.txt", "隐私政策\n"), file("en.txt", "the policy\n"));
    let sign = |arguments: &[&str]| broker.run(&[&["policy", "sign", "--key", &key], arguments].concat());
    let signed = String::from_utf8(sign(&["--version", "2027-01-01"]).stdout).unwrap();
    let long = file("long.txt", &"x".repeat(2001));
    for (arguments, code, advice) in [
        (&["--version", "1.0"][..], 65, "write it as 2026-11-29"),
        (&["--version", "2027-01-01", "--reasons", "rights"], 64, "--material"),
        (&["--version", "2027-01-01", "--material", "--reasons", "profit"], 64, "possible values: purposes"),
        (&["--version", "2027-01-01", "--text-zh", &zh], 64, "--text-en"),
        (&["--version", "2027-01-01", "--text-zh", &zh, "--text-en", &long], 65, "write url and sha256"),
        (&["--version", "2027-01-01", "--material", "--text-zh", &zh, "--text-en", &en], 65, "write reasons"),
        (&["--version", "2027-01-01", "--effective", "soon"], 65, "effective is no day"),
        (&["--version", "2027-01-01", "--answer-days", "0"], 64, "1..=365"),
        (&["--version", "2027-01-01", "--contact", "two\nlines"], 65, "contacts are at most four"),
        (
            &["--version", "2027-01-01", "--text-zh", &zh, "--text-en", &en, "--url-en", "http://example.cn"],
            65,
            "https",
        ),
    ] {
        let output = sign(arguments);
        assert!(
            output.status.code() == Some(code) && said(&output).contains(advice),
            "{arguments:?}: {}",
            said(&output)
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    // What another program signed wrongly is not published either.
    let odd = file("odd.note", &signed.replace("false", "0"));
    let published = broker.run(&["policy", "publish", &odd, "--all"]);
    assert!(published.status.code() == Some(65) && said(&published).contains("no policy"), "{}", said(&published));
}
