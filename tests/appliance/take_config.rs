//! A configuration that somebody brings: judged, never taken on air, and what it replaces is kept.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

struct Stick(tempfile::TempDir);

impl Stick {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("tallybox.toml")
    }

    fn brings(&self, shop: &TestBox, text: &str) -> Output {
        std::fs::write(self.file(), text).unwrap();
        self.taken(shop, &[])
    }

    fn taken(&self, shop: &TestBox, more: &[&str]) -> Output {
        let file = self.file();
        shop.command(&["take-config", file.to_str().unwrap()]).args(more).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    let said = said(output);
    assert!(output.status.code() == Some(code) && said.contains(why), "{:?} {said}", output.status);
}

fn here(shop: &TestBox) -> Option<String> {
    std::fs::read_to_string(shop.path("conf.d/50-usb.toml")).ok()
}

/// A session, so that staff have agreed to something.
fn use_once(shop: &TestBox) {
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn what_is_no_configuration_is_not_taken() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    refused(&stick.taken(&shop, &[]), 66, "there is no");
    let wrong = stick.brings(&shop, "[video]\nwidht = 1\nfps = 0\n");
    refused(&wrong, 78, "tallybox.toml:2:1: [video] widht is not known; did you mean \"width\"?");
    refused(&wrong, 78, "tallybox.toml:3:7: fps = 0 is out of range");
    // Right by itself, wrong with what the box has.
    refused(&stick.brings(&shop, "[video]\nmin-bitrate-kbps = 3000\n"), 78, "is above bitrate-kbps 400");
    refused(&stick.brings(&shop, &"# much\n".repeat(10_000)), 65, "longer than 64 KiB");
    std::fs::write(stick.file(), b"\xff\xfe").unwrap();
    refused(&stick.taken(&shop, &[]), 65, "save the file as UTF-8");
    std::fs::remove_file(stick.file()).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", stick.file()).unwrap();
    refused(&stick.taken(&shop, &[]), 65, "must be a plain file");
    std::fs::remove_file(stick.file()).unwrap();
    assert!(Command::new("mkfifo").arg(stick.file()).status().unwrap().success());
    refused(&stick.taken(&shop, &[]), 65, "must be a plain file");
    std::fs::remove_file(stick.file()).unwrap();
    std::fs::create_dir(stick.file()).unwrap();
    refused(&stick.taken(&shop, &[]), 65, "must be a plain file");
    assert_eq!(here(&shop), None);
}

#[test]
fn a_new_box_is_configured_and_the_ledger_says_so() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    std::fs::set_permissions(&shop.config, std::fs::Permissions::from_mode(0o640)).unwrap();
    let one = "[ingest]\nurl = \"rtmp://127.0.0.2/live/key\"\n[panel]\nlamp-pin = 5\n";
    let taken = stick.brings(&shop, one);
    assert!(taken.status.success() && said(&taken).contains("where streams go: 127.0.0.2"), "{}", said(&taken));
    assert_eq!(here(&shop).as_deref(), Some(one));
    let mode = std::fs::metadata(shop.path("conf.d/50-usb.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "as the main file");
    assert!(said(&stick.taken(&shop, &[])).contains("already"));
    shop.start("guard").finish();
    // Another one: what it replaces is kept, and the ledger tells the two apart.
    assert!(stick.brings(&shop, "[ingest]\nurl = \"rtmp://127.0.0.3/live/key\"\n").status.success());
    assert_eq!(std::fs::read_to_string(shop.path("conf.d/50-usb.toml.bak")).unwrap(), one);
    shop.start("guard").finish();
    shop.start("guard").finish();
    let told: Vec<_> = shop.ledger().into_iter().filter(|fact| fact["kind"] == "configured").collect();
    let hosts: Vec<_> = told.iter().map(|fact| fact["ingest-host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["127.0.0.2", "127.0.0.3"], "once for each");
    assert_ne!(told[0]["hash"], told[1]["hash"]);
}

#[test]
fn nothing_is_taken_on_air() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    for more in [&[][..], &["--restart"]] {
        std::fs::write(stick.file(), "[video]\nfps = 10\n").unwrap();
        refused(&stick.taken(&shop, more), 75, "the box is connecting");
    }
    assert_eq!(shop.phase(), "connecting");
    shop.press();
    shop.wait_for_phase("idle");
    // A guard that nobody stops would let capture start with what it does not know.
    refused(&stick.taken(&shop, &[]), 69, "stop it first");
    // One that does not answer may be capturing.
    guard.signal(rustix::process::Signal::STOP);
    refused(&stick.taken(&shop, &["--restart"]), 69, "does not answer");
    guard.signal(rustix::process::Signal::CONT);
    assert_eq!(here(&shop), None);
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn another_server_waits_for_staff() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    use_once(&shop);
    let other = "[ingest]\nurl = \"rtmp://127.0.0.2/live/key\"\n";
    refused(&stick.brings(&shop, other), 77, "a server that staff did not agree to");
    refused(&stick.brings(&shop, "[panel]\nlamp-pin = 5\n"), 77, "its lamp could be left dark");
    refused(&stick.brings(&shop, "[device]\ndata-dir = \"/tmp/another-ledger\"\n"), 77, "data-dir");
    assert_eq!(here(&shop), None);
    let taken = stick.brings(&shop, &format!("{other}[consent]\npolicy-version = \"2026-12-01\"\n"));
    assert!(taken.status.success(), "{}", said(&taken));
    // A second stick cannot take the question back, for the same server: staff acknowledged the former policy only.
    for version in ["[consent]\npolicy-version = \"2022-07-11\"\n", ""] {
        refused(&stick.brings(&shop, &format!("{other}{version}")), 77, "is older than \"2026-12-01\"");
    }
    let _guard = shop.start("guard");
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("policy", "triple-blink"));
    shop.press();
    assert!(shop.captures().is_empty() && shop.phase() == "policy");
    shop.hold("2.2");
    assert_eq!(shop.phase(), "idle");
}

#[test]
fn a_used_box_takes_a_short_list_of_keys_and_no_other() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    use_once(&shop);
    for (text, why) in [
        ("[ingest]\nurl = \"rtmp://127.0.0.1:9/live/another-key\"\n", "under another key"),
        ("[ingest]\nurl = \"srt://127.0.0.1:9\"\n", "how the stream is encrypted"),
        ("[ingest.second]\nurl = \"rtmp://127.0.0.1:9/live/second\"\n", "a second place"),
        ("[ingest]\nreconnect-window = \"1h\"\n", "reconnect-window"),
        ("[audio]\nsource = \"alsa\"\ndevice = \"default\"\n", "another microphone"),
        ("[video]\ndevice = \"/dev/video2\"\nsource = \"v4l2\"\n", "another camera"),
        ("[consent]\nmax-session = \"24h\"\n", "max-session"),
        ("[consent]\nrequest-timeout = \"1h\"\n", "request-timeout"),
        ("[privacy]\nfootage-retention = \"30d\"\n", "footage-retention"),
        ("[privacy]\nledger-retention = \"3660d\"\n", "ledger-retention"),
        ("[device]\nid = \"another-shop\"\n", "[device] id"),
        ("[panel]\ndebounce = \"200ms\"\n", "a touch unheard"),
        ("[mqtt]\nurl = \"mqtts://attacker.example\"\n", "who asks and stops"),
        ("[consent]\npolicy-version = \"1999-01-01\"\n", "is older than"),
        ("[device]\nid = \"another-shop\"\n[consent]\npolicy-version = \"2030-01-01\"\n", "[device] id"),
    ] {
        refused(&stick.brings(&shop, text), 77, why);
        assert_eq!(here(&shop), None);
    }
    refused(&stick.brings(&shop, "[consent]\npolicy-version = \"\"\n"), 78, "is no date");
    let free = "[video]\nfps = 10\nbitrate-kbps = 500\n[overlay]\ntext = \"Tea\"\n[consent]\nmax-session = \"1h\"\n";
    let taken = stick.brings(&shop, free);
    assert!(taken.status.success() && here(&shop).as_deref() == Some(free), "{}", said(&taken));
    let _guard = shop.start("guard");
    assert_eq!(shop.phase(), "idle", "nobody has to be asked for that");
}

#[test]
fn a_stick_does_not_send_the_boxs_secrets_to_anybody() {
    let attacker = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    attacker.set_nonblocking(true).unwrap();
    let mqtt = "url = \"mqtt://box:${BROKER_PASSWORD}@127.0.0.1:9\"".to_owned();
    let ingest = "rtmp://127.0.0.1:9/live/${STREAM_KEY}".to_owned();
    let (shop, stick) = (TestBox::new(&BoxConfig { ingest, mqtt, ..BoxConfig::default() }), Stick::new());
    let bait =
        format!("[mqtt]\nurl = \"mqtt://${{BROKER_PASSWORD}}:${{STREAM_KEY}}@{}\"\n", attacker.local_addr().unwrap());
    // A box with secrets is worth it before its first session too.
    refused(&stick.brings(&shop, &bait), 78, "tallybox.toml:2:7: [mqtt] url: a stick cannot send the secret");
    assert_eq!(here(&shop), None);
    // What an older version took, or somebody put there by hand, is not followed either.
    std::fs::create_dir_all(shop.path("conf.d")).unwrap();
    std::fs::write(shop.path("conf.d/50-usb.toml"), bait).unwrap();
    for role in ["agent", "guard", "capture"] {
        let mut command = shop.command(&[role]);
        let ended = command.env("BROKER_PASSWORD", "pass").env("STREAM_KEY", "key").output().unwrap();
        refused(&ended, 78, "50-usb.toml:2:7: [mqtt] url: a stick cannot send the secret");
    }
    assert_eq!(attacker.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_secret_that_everybody_can_read_is_told() {
    let shop = TestBox::new(&BoxConfig::default());
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let warned = || {
        let checked = Command::new(crate::support::TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
        assert!(checked.status.success(), "{}", said(&checked));
        let told = said(&checked).contains("[ingest] url: everybody on this machine can read the secret");
        assert_eq!(said(&shop.call(&["doctor"])).contains("everybody on this machine can read the secret"), told);
        assert!(!said(&checked).contains("key-of-the-stream"));
        told
    };
    mode(shop.dir.path(), 0o755);
    mode(&shop.config, 0o644);
    assert!(warned());
    mode(&shop.config, 0o640);
    assert!(!warned());
    mode(&shop.config, 0o644);
    mode(shop.dir.path(), 0o750);
    assert!(!warned(), "nobody else can enter the folder");
}

#[test]
fn two_sticks_are_taken_one_after_the_other() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    let other = std::fs::File::open(shop.dir.path()).unwrap();
    other.lock().unwrap();
    refused(&stick.brings(&shop, "[video]\nfps = 10\n"), 75, "another configuration is being taken");
    drop(other);
    assert!(stick.taken(&shop, &[]).status.success());
}

/// What systemctl does for the roles, for a box that systemd does not know: ends the guard, and starts it.
const SERVICES: &str = r#"#!/bin/sh -e
cd "$(dirname "$0")"
case $1 in
  stop) if [ -e pid ]; then kill "$(cat pid)"; while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.02; done; fi ;;
  start)
    "$TALLYBOX" guard --config "$CONFIG" >/dev/null 2>>log & echo $! > pid
    until "$TALLYBOX" status --config "$CONFIG" >/dev/null 2>&1; do kill -0 $! && sleep 0.02; done ;;
esac
"#;

/// Another process writes it: a file that this one wrote may still be open in a child that another test starts at this
/// moment, and the kernel runs no program that somebody can write to.
fn write_program(path: &Path, text: &str) {
    let mut install = Command::new("install");
    let mut install = install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
}

#[test]
fn a_running_box_is_stopped_for_it_and_its_lamp_says_when_it_is_done() {
    let (shop, stick) = (TestBox::new(&BoxConfig::default()), Stick::new());
    let systemctl = shop.path("systemctl");
    write_program(&systemctl, SERVICES);
    let path = format!("{}:{}", shop.dir.path().display(), std::env::var("PATH").unwrap());
    let services = |command: &mut Command| {
        command.env("PATH", &path).env("TALLYBOX", crate::support::TALLYBOX).env("CONFIG", &shop.config);
        command.output().unwrap()
    };
    assert!(services(Command::new(&systemctl).arg("start")).status.success());
    let file = stick.file();
    let take = || services(&mut shop.command(&["take-config", file.to_str().unwrap(), "--restart"]));
    std::fs::write(&file, "[consent]\nmax-session = \"1h\"\n").unwrap();
    let taken = take();
    assert!(taken.status.success(), "{}", said(&taken));
    assert_eq!(shop.lamp(), "identify");
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "configured").count(), 2);
    // What is right and does not start all the same is taken back, and the box goes on with what it had.
    let before = here(&shop);
    let broken = SERVICES.replace("start)", "start) if grep -qs 2h conf.d/50-usb.toml; then exit 1; fi");
    write_program(&systemctl, &broken);
    std::fs::write(&file, "[consent]\nmax-session = \"2h\"\n").unwrap();
    refused(&take(), 69, "the configuration from before is in force again");
    assert_eq!(here(&shop), before);
    wait_until("the guard is back", || shop.phase() == "idle");
    assert!(services(Command::new(&systemctl).arg("stop")).status.success());
    // A guard that systemctl does not know is not overrun.
    let _guard = shop.start("guard");
    std::fs::remove_file(shop.path("pid")).unwrap();
    refused(&take(), 69, "that systemctl does not know");
    assert_eq!(here(&shop), before);
}

#[test]
fn identity_is_made_once_told_and_destroyed_by_unbind() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    let identity = || shop.status().unwrap()["identity"].clone();
    let first = identity();
    assert_eq!(shop.kinds()[3], "identified");
    assert_eq!(shop.ledger()[3]["fingerprint"], first["fingerprint"]);
    let key = shop.path("data/credentials/identity");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    // openssl, another program, reads the same public key out of it.
    let openssl =
        Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&key).output().unwrap();
    let mut sum = Program::start(
        Command::new("sha256sum").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()),
    );
    std::io::Write::write_all(&mut sum.0.stdin.take().unwrap(), &openssl.stdout).unwrap();
    let told = std::io::read_to_string(sum.0.stdout.take().unwrap()).unwrap();
    assert_eq!(told.split(' ').next().unwrap(), first["fingerprint"], "{openssl:?}");
    guard.finish();
    let mut guard = shop.start("guard");
    assert_eq!(identity(), first);
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "identified").count(), 1);
    shop.hold("12");
    wait_until("another identity", || identity()["fingerprint"].is_string() && identity() != first);
    let kinds = shop.kinds();
    assert!(kinds.ends_with(&["unbound".to_owned(), "identified".to_owned()]), "{kinds:?}");
    guard.finish();
    // Damage is told, and the box goes on.
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let _guard = shop.start("guard");
    assert!(identity().is_null() && shop.phase() == "locked", "{:?}", shop.status());
    let doctor = String::from_utf8(shop.call(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("FAIL  identity") && doctor.contains("put it back from a backup"), "{doctor}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "-----BEGIN PRIVATE KEY-----\n");
}
