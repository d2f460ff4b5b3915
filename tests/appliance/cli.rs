//! Commands, exit codes, and advice.

use std::process::{Command, Output};

use serde_json::json;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, TALLYBOX, free_port, wait_until};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn tallybox(arguments: &[&str]) -> Output {
    Command::new(TALLYBOX).args(arguments).output().unwrap()
}

#[test]
fn check_config_names_place_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    let check = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        tallybox(&["check-config", path.to_str().unwrap()])
    };
    let good = check(b"[ingest]\nurl = \"rtmps://a.cn/live/${KEY_THAT_IS_NOT_HERE}\"\n");
    assert_eq!(good.status.code(), Some(0));
    assert!(text(&good.stdout).contains("KEY_THAT_IS_NOT_HERE"), "{good:?}");
    let bad = check(b"[panel]\nbuton-pin = 17\n[ingest]\nurl = \"rtmps://a.cn/live/k\"\n");
    assert_eq!(bad.status.code(), Some(78));
    assert!(
        text(&bad.stderr).contains("a.toml:2:1: [panel] buton-pin is not known; did you mean \"button-pin\"?"),
        "{bad:?}"
    );
    for garbage in [&b"\x00\xff\xfe"[..], b"[[[[", b"a = ", b"\"\"\"", &[b'['; 5000]] {
        let output = check(garbage);
        assert_eq!(output.status.code(), Some(78), "{garbage:?}");
        assert!(!text(&output.stderr).contains("panicked"));
    }
    assert_eq!(tallybox(&["check-config", "/nonexistent.toml"]).status.code(), Some(78));
    assert_eq!(tallybox(&["check-config", "/tmp"]).status.code(), Some(78));
    assert_eq!(tallybox(&["check-config"]).status.code(), Some(64));
    assert_eq!(tallybox(&["dance"]).status.code(), Some(64));
}

#[test]
fn check_config_judges_a_part_together_with_what_it_belongs_to() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("tallybox.toml"), "[ingest]\nurl = \"rtmps://a.cn/live/k\"\n").unwrap();
    let check = |name: &str, content: &str| {
        let path = dir.path().join("conf.d").join(name);
        std::fs::write(&path, content).unwrap();
        let output = tallybox(&["check-config", path.to_str().unwrap()]);
        std::fs::remove_file(path).unwrap();
        output
    };
    let good = check("20-own.toml", "[video]\nfps = 25\n");
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert!(text(&good.stdout).contains("tallybox.toml: ok"), "{good:?}");
    let bad = check("20-own.toml", "[video]\nfsp = 25\n");
    assert_eq!(bad.status.code(), Some(78), "{bad:?}");
    assert!(text(&bad.stderr).contains("20-own.toml:2:1: [video] fsp is not known"), "{bad:?}");
    let idle = check("20-own.conf", "[video]\nfps = 25\n");
    assert_eq!(idle.status.code(), Some(78), "{idle:?}");
    assert!(text(&idle.stderr).contains("give it a name that ends in .toml"), "{idle:?}");
}

#[test]
fn the_shipped_configuration_is_valid() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tallybox.toml");
    let output = tallybox(&["check-config", shipped]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn without_a_guard_the_advice_is_to_start_one() {
    let shop = TestBox::new(&BoxConfig::default());
    for command in [&["status"][..], &["press"]] {
        let output = shop.call(command);
        assert_eq!(output.status.code(), Some(69));
        assert!(text(&output.stderr).contains("no guard answers at"), "{output:?}");
    }
    assert_eq!(shop.call(&["press", "--hold", "-1"]).status.code(), Some(64));
    assert_eq!(shop.call(&["ledger", "show"]).status.code(), Some(69));
}

#[test]
fn status_and_log_say_who_the_box_is_and_never_its_keys() {
    let plan = BoxConfig { mqtt: "url = \"mqtt://127.0.0.1:9\"".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    // Also of a box whose guard does not run.
    let without = text(&shop.call(&["status"]).stdout);
    let _run = shop.start("run");
    let with = text(&shop.call(&["status"]).stdout);
    for told in [&without, &with] {
        for line in ["id        test-box\n", "broker    mqtt://127.0.0.1:9\n", "streams   to rtmp://127.0.0.1/live\n"] {
            let line = line.replace("rtmp://127.0.0.1/live", "rtmp://127.0.0.1:9/live");
            assert!(told.contains(&line), "{line:?}: {told}");
        }
    }
    assert!(with.contains("guard     runs, phase idle"), "{with}");
    let status = shop.status().unwrap();
    assert_eq!((&status["device-id"], &status["broker"]), (&"test-box".into(), &"mqtt://127.0.0.1:9".into()));
    assert_eq!(status["destinations"], serde_json::json!(["rtmp://127.0.0.1:9/live"]));
    // Nobody here knows how it stands with the broker, and nobody says so.
    assert!(status["broker-state"].is_null() && status["roles"][1]["check"] == "guard", "{status}");
    let summary = "starts: id test-box, broker mqtt://127.0.0.1:9, streams to rtmp://127.0.0.1:9/live";
    wait_until("guard and agent have said it", || shop.log().matches(summary).count() == 2);
    assert!(!format!("{without}{with}{status}{}", shop.log()).contains("key-of-the-stream"));
}

#[test]
fn a_box_without_gpio_says_so_and_starts_nothing() {
    let shop = TestBox::new(&BoxConfig::default());
    let config = std::fs::read_to_string(&shop.config).unwrap().replace("\"sim\"", "\"cdev\"");
    std::fs::write(&shop.config, config).unwrap();
    let _guard = shop.start("guard");
    let status = shop.status().unwrap();
    assert_eq!(status["phase"], "fault");
    assert!(status["message"].as_str().unwrap().contains("GPIO"), "{status}");
    let pressed = shop.call(&["press"]);
    assert_eq!(pressed.status.code(), Some(69));
}

fn row<'a>(rows: &'a serde_json::Value, check: &str) -> &'a serde_json::Value {
    rows.as_array().unwrap().iter().find(|row| row["check"] == check).unwrap()
}

fn doctor(shop: &TestBox) -> (Option<i32>, serde_json::Value) {
    let output = shop.call(&["doctor", "--json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn doctor_tells_what_works_and_what_to_do() {
    let shop =
        TestBox::new(&BoxConfig { mqtt: "url = \"mqtts://no-such-host.invalid\"".to_owned(), ..BoxConfig::default() });
    let (code, rows) = doctor(&shop);
    assert_eq!(code, Some(69));
    let names: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    let listed = include_str!("../../docs/names.md");
    let is_listed = |name: &String| {
        let mut rows = listed.lines().filter_map(|line| line.strip_prefix(&format!("| `{name}` | ")));
        rows.any(|row| row.starts_with("doctor"))
    };
    assert!(names.iter().all(|name| is_listed(name)), "{names:?}");
    assert_eq!(row(&rows, "broker")["verdict"], "fail");
    assert!(row(&rows, "broker")["found"].as_str().unwrap().contains("has no address"));
    assert!(row(&rows, "ingest")["found"].as_str().unwrap().contains("refused"));
    assert_eq!(row(&rows, "disk")["verdict"], "fail");
    let table = text(&shop.call(&["doctor"]).stdout);
    assert!(table.contains("FAIL  broker") && table.contains("→ see the network's DNS"), "{table}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    shop.configure(&BoxConfig {
        ingest: format!("rtmp://127.0.0.1:{port}/live/k"),
        mqtt: format!("url = \"mqtt://127.0.0.1:{port}\""),
        ..BoxConfig::default()
    });
    let _guard = shop.start("guard");
    let (code, rows) = doctor(&shop);
    assert_eq!(code, Some(0), "{rows}");
    for check in ["guard", "disk", "ledger", "ingest", "broker", "gstreamer", "secrets"] {
        assert_eq!(row(&rows, check)["verdict"], "ok", "{rows}");
    }
}

#[test]
fn a_probe_asks_for_a_press_and_sends_nothing() {
    let nginx = crate::ingest::Nginx::new();
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    let doctor =
        || shop.command(&["doctor", "--probe", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let probing = doctor();
    wait_until("the lamp asks for a press", || shop.lamp() == "slow-pulse");
    assert!(shop.captures().is_empty(), "nothing is opened before the press");
    shop.press();
    wait_until("devices are tried, with the lamp lit", || !shop.captures().is_empty());
    assert!(shop.lamp_says_capturing());
    let output = probing.wait_with_output().unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let probes: Vec<_> = rows.as_array().unwrap().iter().filter(|row| row["check"] == "probe").collect();
    assert!(probes.len() == 2 && probes.iter().all(|row| row["verdict"] == "ok"), "{rows}");
    assert!(probes[0]["found"].as_str().unwrap().contains("of 30 frames per second"), "{rows}");
    assert!(shop.captures().is_empty());
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("idle", "dark"));
    assert_eq!(shop.kinds()[4..], ["requested", "probed", "session-stopped"]);
    assert_eq!(shop.ledger().last().unwrap()["reason"], "probed");
    assert!(nginx.recordings().is_empty(), "nothing left the box");

    // A touch ends it like any capture; and a box that is not idle is not probed.
    let probing = doctor();
    wait_until("the lamp asks for a press", || shop.lamp() == "slow-pulse");
    shop.press();
    wait_until("devices are tried", || !shop.captures().is_empty());
    let second = text(&shop.call(&["doctor", "--probe"]).stdout);
    assert!(second.contains("only an idle box is probed"), "{second}");
    shop.press();
    let output = probing.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stdout).contains("refused: press"), "{output:?}");
    assert!(shop.captures().is_empty());
}

#[test]
fn doctor_tells_a_certificate_for_another_name() {
    let shop = TestBox::new(&BoxConfig::default());
    let authority = Authority::new();
    let port = free_port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
    server.args(["-key", &authority.file("server.key"), "-cert", &authority.file("server.pem")]);
    let _server = Program::start(server.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()));
    wait_until("the server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mqtt = format!("url = \"mqtts://127.0.0.1:{port}\"\nca-file = \"{}\"", authority.file("ca.pem"));
    shop.configure(&BoxConfig { mqtt, ..BoxConfig::default() });
    let (_, rows) = doctor(&shop);
    let broker = row(&rows, "broker");
    assert_eq!(broker["verdict"], "fail");
    assert!(broker["advice"].as_str().unwrap().contains("the name that its certificate has"), "{broker}");
}

#[test]
fn the_privacy_report_covers_what_is_sent() {
    let shop = TestBox::new(&BoxConfig {
        mqtt: "url = \"mqtt://broker.example\"\nallow-plain = true".to_owned(),
        ..BoxConfig::default()
    });
    let output = shop.call(&["privacy", "report", "--format", "json"]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = report["items"].as_array().unwrap();
    let item = |name: &str| items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    for name in ["stream.sound", "state.muted", "telemetry.disk-free-mib", "ledger.fact.kind", "identity.claim-code"] {
        let columns: Vec<_> = item(name).as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(columns, ["name", "purpose", "basis", "recipient", "retention", "category"]);
    }
    assert_eq!(item("telemetry.fps")["recipient"], "the platform, at broker.example");
    assert_eq!((&item("stream.sound")["category"], &report["third-parties"]), (&"sensitive".into(), &json!([])));
    let chinese = shop.call(&["privacy", "report", "--language", "zh"]);
    let text = String::from_utf8(chinese.stdout).unwrap();
    assert!(text.contains("敏感个人信息") && text.contains("broker.example"), "{text}");
    // A configuration that cannot be read is told, and nothing is made up.
    let missing = Command::new(TALLYBOX).args(["privacy", "report", "--config", "/nowhere/tallybox.toml"]).output();
    let missing = missing.unwrap();
    assert!(!missing.status.success() && missing.stdout.is_empty(), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/tallybox.toml"), "{missing:?}");
}
