//! Secrets that are planted are found nowhere but where they were put: a full run of the real roles, and then all that
//! it wrote, said and sent, and what other processes could see of it.

use std::path::Path;
use std::process::{Command, Stdio};

use base64ct::{Base64Unpadded, Encoding};

use crate::broker::Broker;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

const NAMES: [&str; 3] = ["STREAM_KEY", "MQTT_PASSWORD", "PASSPHRASE"];

/// Letters and digits, so that it reads the same in a URL.
fn canary(name: &str) -> String {
    format!("Canary{}4711wLanPsk", name.replace('_', ""))
}

/// A secret as it is, in hex, and in base64 at each place that it can have in a longer text.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec(), tallybox::hex(secret.as_bytes()).into_bytes()];
    for before in 0..3 {
        let encoded = Base64Unpadded::encode_string(&[&b"xyz"[..before], secret.as_bytes()].concat());
        // Without the letters that its neighbours change.
        forms.push(encoded.as_bytes()[(before * 8).div_ceil(6)..encoded.len() - 2].to_vec());
    }
    forms
}

/// Which secrets are in `text`.
fn found_in(text: &[u8]) -> Vec<&'static str> {
    let holds = |form: &Vec<u8>| text.windows(form.len()).any(|window| window == form.as_slice());
    NAMES.into_iter().filter(|name| forms(&canary(name)).iter().any(holds)).collect()
}

/// Files below `dir` that hold a secret.
fn leaks(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(leaks(&path));
        } else if let Ok(content) = std::fs::read(&path) {
            found.extend(found_in(&content).into_iter().map(|name| format!("{name} in {}", path.display())));
        }
    }
    found
}

/// Processes whose arguments or environment hold a secret.
fn visible_in_proc() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let path = entry.path().join(file);
            let names = std::fs::read(&path).map(|text| found_in(&text)).unwrap_or_default();
            found.extend(names.into_iter().map(|name| format!("{name} in {}", path.display())));
        }
    }
    found
}

struct Run {
    shop: TestBox,
    _broker: Broker,
    secrets: tempfile::TempDir,
    roles: Program,
    _listener: Program,
}

impl Run {
    /// Guard, agent and, after a press, capture; all that the broker hears goes into a file.
    fn begin() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        for name in NAMES {
            std::fs::write(secrets.path().join(name), canary(name) + "\n").unwrap();
        }
        let passwords = secrets.path().join("passwords");
        // Through its standard input no process has the password as an argument.
        let text = format!("shop:{}\nwatcher:watcher\n", canary("MQTT_PASSWORD"));
        std::fs::write(&passwords, text).unwrap();
        assert!(Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status().unwrap().success());
        std::fs::set_permissions(&passwords, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::set_permissions(secrets.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let broker = Broker::new(&format!("allow_anonymous false\npassword_file {}", passwords.display()));
        let ingest = "rtmp://127.0.0.1:9/live/${STREAM_KEY}\"\noutage-buffer = \"disk\"\n\
                      [ingest.second]\nurl = \"srt://127.0.0.1:9\"\npassphrase = \"${PASSPHRASE}";
        let mqtt = format!(
            "url = \"mqtt://127.0.0.1:{}\"\nuser = \"shop\"\npassword = \"${{MQTT_PASSWORD}}\"\nallow-plain = true",
            broker.port
        );
        let shop = TestBox::new(&BoxConfig { ingest: ingest.to_owned(), mqtt, ..BoxConfig::default() });
        let heard = std::fs::File::create(shop.path("heard")).unwrap();
        let mut listener = Command::new("mosquitto_sub");
        listener.args(["-p", &broker.port.to_string(), "-u", "watcher", "-P", "watcher", "-v", "-t", "#"]);
        let listener = Program::start(listener.stdin(Stdio::null()).stdout(heard));
        let log = std::fs::File::create(shop.path("log")).unwrap();
        let mut command = shop.command(&["run"]);
        command.env("TALLYBOX_LOG", "debug").env("CREDENTIALS_DIRECTORY", secrets.path());
        let roles = Program::start(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log));
        wait_until("the guard answers", || shop.status().is_some());
        Self { shop, _broker: broker, secrets, roles, _listener: listener }
    }

    fn heard(&self, part: &str) -> bool {
        std::fs::read(self.shop.path("heard")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(part))
    }

    fn call(&self, name: &str, arguments: &[&str]) {
        let output = self.shop.command(arguments).env("CREDENTIALS_DIRECTORY", self.secrets.path()).output().unwrap();
        std::fs::write(self.shop.path(name), [output.stdout, output.stderr].concat()).unwrap();
    }
}

#[test]
fn planted_secrets_are_nowhere_else() {
    let mut run = Run::begin();
    wait_until("the agent is online with the password", || run.heard("tallybox/v1/test-box/state"));
    run.shop.press();
    run.shop.wait_for_phase("connecting");
    wait_until("telemetry and events are heard", || run.heard("test-box/telemetry") && run.heard("session-started"));
    assert_eq!(visible_in_proc(), [""; 0]);
    let export = run.shop.path("export.tar");
    run.call("export.txt", &["privacy", "export", export.to_str().unwrap()]);
    assert!(export.exists(), "{}", std::fs::read_to_string(run.shop.path("export.txt")).unwrap());
    run.call("status.txt", &["status", "--json"]);
    run.call("doctor.txt", &["doctor", "--json"]);
    run.call("report.txt", &["privacy", "report"]);
    run.call("check.txt", &["check-config", run.shop.config.to_str().unwrap()]);
    run.shop.press();
    run.shop.wait_for_phase("idle");
    // With SQLite's files as they are while it runs, and after its end.
    assert!(run.shop.path("data/ledger.db").exists());
    assert_eq!(leaks(run.shop.dir.path()), [""; 0]);
    run.roles.finish();
    assert_eq!(leaks(run.shop.dir.path()), [""; 0]);
    let log = run.shop.log();
    assert!(log.contains("ledger: ") && log.contains("DEBUG"), "the log has what it could leak into");
}

/// The search finds what somebody leaks on purpose, in each of the places and forms.
#[test]
fn a_leak_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let secret = canary("STREAM_KEY");
    for (number, text) in [
        format!("rtmp://a/{secret}"),
        tallybox::hex(format!("x{secret}").as_bytes()),
        Base64Unpadded::encode_string(format!("user:{secret}.").as_bytes()),
        Base64Unpadded::encode_string(format!("us:{secret}.").as_bytes()),
        Base64Unpadded::encode_string(format!("u:{secret}.").as_bytes()),
    ]
    .iter()
    .enumerate()
    {
        std::fs::write(dir.path().join(format!("{number}.db-wal")), text).unwrap();
    }
    assert_eq!(leaks(dir.path()).len(), 5, "{:?}", leaks(dir.path()));
    let _sleeper = Program::start(Command::new("sleep").arg("60").env("LEAKED", &secret));
    wait_until("it is seen", || visible_in_proc().iter().any(|found| found.starts_with("STREAM_KEY in")));
}
