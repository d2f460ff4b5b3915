//! The ten rules of docs/consent.md, observed from outside the program.

use std::time::Duration;

use crate::support::test_box::{BoxConfig, TestBox, openers};
use crate::support::{TALLYBOX, footage, timed, wait_until};

/// Rule 4: 500 ms after consent ends nothing captures any more. Under the load of other tests the scheduler may add to
/// it; the product's own figure is in docs/benchmarks.
const GONE: Duration = Duration::from_millis(500);

fn footage_is_open(shop: &TestBox) -> bool {
    let captures = shop.captures();
    openers(&footage()).iter().any(|pid| captures.iter().any(|capture| capture.to_string() == *pid))
}

#[test]
fn a_press_starts_and_the_next_touch_stops() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    assert_eq!(shop.phase(), "idle");
    assert!(shop.captures().is_empty() && !shop.lamp_says_capturing());

    shop.press();
    shop.wait_for_phase("connecting");
    assert!(shop.lamp_says_capturing());
    wait_until("the camera's file is open", || footage_is_open(&shop));
    assert_eq!(shop.captures().len(), 1);
    let status = shop.status().unwrap();
    assert_eq!(status["capture-pid"], shop.captures()[0]);
    assert!(!status.to_string().contains("key-of-the-stream"), "{status}");

    // The button goes down and stays down: that alone has to stop it.
    let mut finger = crate::support::Program::start(&mut shop.command(&["press", "--hold", "3.5"]));
    wait_until("the touch is seen", || shop.phase() != "connecting");
    let ((), took) = timed(|| wait_until("nothing captures", || shop.captures().is_empty()));
    assert!(took < GONE, "{took:?}");
    assert!(!footage_is_open(&shop));
    assert!(finger.is_running(), "it was stopped on the way down");
    wait_until("letting go starts nothing", || !finger.is_running());
    assert_eq!(shop.phase(), "idle");
    assert_eq!(shop.lamp(), "dark");
    assert_eq!(guard.finish(), Some(0));
    let kinds = shop.kinds();
    assert_eq!(kinds[..4], ["guard-started", "policy-acknowledged", "configured", "identified"]);
    assert_eq!(kinds[4..], ["session-started", "session-stopped", "guard-stopped"]);
    assert_eq!(shop.ledger()[5]["reason"], "press");
    shop.verify();
}

/// A press shorter than the debounce would be a bounce: the simulated panel has none.
#[test]
fn the_shortest_simulated_press_is_felt() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    for phase in ["connecting", "idle", "connecting"] {
        shop.hold("0");
        shop.wait_for_phase(phase);
    }
}

#[test]
fn an_unbound_box_captures_nothing_until_another_configuration_claims_it() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    let is_unbound = |when: &str| {
        let status = shop.status().unwrap();
        assert_eq!((&status["phase"], &status["reason"]), (&"locked".into(), &"unbind".into()), "{when}: {status}");
        assert!(status["message"].as_str().unwrap().contains("until it is claimed"), "{when}: {status}");
    };
    shop.hold("12");
    wait_until("the ledger says so", || shop.kinds().contains(&"unbound".to_owned()));
    is_unbound("just now");
    shop.hold("2.5");
    shop.press();
    is_unbound("after a hold and a press");
    guard.kill();
    let mut guard = shop.start("guard");
    shop.press();
    is_unbound("after a restart");
    assert!(shop.captures().is_empty() && !shop.kinds().contains(&"session-started".to_owned()));
    guard.finish();
    shop.configure(&BoxConfig { more: "[consent]\nmax-session = \"3h\"".to_owned(), ..BoxConfig::default() });
    let mut guard = shop.start("guard");
    assert_eq!(shop.phase(), "idle");
    guard.finish();
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    shop.verify();
}

#[test]
fn a_button_that_does_not_come_up_in_time_destroys_nothing() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    let key = std::fs::read(shop.path("data/credentials/identity")).unwrap();
    let mut finger = crate::support::Program::start(&mut shop.command(&["press", "--hold", "32"]));
    wait_until("the lamp warns", || shop.lamp() == "unbind-warning");
    shop.wait_for_phase("fault");
    assert_eq!(shop.status().unwrap()["faults"][0], "button");
    wait_until("it comes up after all", || !finger.is_running());
    shop.wait_for_phase("locked");
    let kinds = shop.kinds();
    assert!(kinds.contains(&"locked".to_owned()), "{kinds:?}");
    assert!(!kinds.contains(&"unbound".to_owned()) && !kinds.contains(&"footage-destroyed".to_owned()), "{kinds:?}");
    assert_eq!(std::fs::read(shop.path("data/credentials/identity")).unwrap(), key);
}

#[test]
fn a_lock_survives_a_restart_and_a_hold_ends_it() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    shop.hold("5.2");
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("locked", "lock-flash"));
    assert!(shop.captures().is_empty());
    guard.kill();
    let _guard = shop.start("guard");
    assert_eq!(shop.phase(), "locked");
    shop.press();
    assert_eq!(shop.phase(), "locked");
    shop.hold("2.2");
    assert_eq!(shop.phase(), "idle");
    assert!(shop.kinds().contains(&"footage-destroyed".to_owned()));
}

#[test]
fn a_new_policy_waits_for_staff() {
    let shop = TestBox::new(&BoxConfig::default());
    shop.start("guard").finish();
    shop.configure(&BoxConfig {
        more: "[consent]\npolicy-version = \"2026-12-01\"".to_owned(),
        ..BoxConfig::default()
    });
    let mut guard = shop.start("guard");
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("policy", "triple-blink"));
    shop.press();
    assert_eq!(shop.phase(), "policy");
    assert!(shop.captures().is_empty());
    shop.hold("2.2");
    assert_eq!(shop.phase(), "idle");
    guard.finish();
    shop.start("guard").finish();
    // An older policy than the acknowledged one is pending too, and reported as older.
    shop.configure(&BoxConfig {
        more: "[consent]\npolicy-version = \"2022-07-11\"".to_owned(),
        ..BoxConfig::default()
    });
    let _guard = shop.start("guard");
    let status = shop.status().unwrap();
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("policy"), Some("policy-change")));
    assert!(status["message"].as_str().unwrap().contains("older than 2026-12-01"), "{status}");
    shop.press();
    assert!(shop.captures().is_empty() && shop.phase() == "policy");
    shop.configure(&BoxConfig { more: "[consent]\npolicy-version = \"v2\"".to_owned(), ..BoxConfig::default() });
    let checked = std::process::Command::new(TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
    assert_eq!(checked.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&checked.stderr).contains("is no date; write the day of the policy"),
        "{checked:?}"
    );
}

#[test]
fn without_a_lamp_there_is_no_capture() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    // The lamp cannot be driven any more: the next pattern fails, which ends the session.
    std::fs::remove_file(shop.path("run/lamp")).unwrap();
    std::fs::create_dir(shop.path("run/lamp")).unwrap();
    std::fs::write(shop.path("run/lamp/in-the-way"), "").unwrap();
    shop.press();
    shop.wait_for_phase("fault");
    wait_until("nothing captures", || shop.captures().is_empty());
    let status = shop.status().unwrap();
    assert_eq!(status["faults"][0], "lamp");
    assert!(status["message"].as_str().unwrap().contains("lamp"), "{status}");
    shop.press();
    assert!(shop.captures().is_empty());
    std::fs::remove_dir_all(shop.path("run/lamp")).unwrap();
    shop.wait_for_phase("idle");
    assert!(shop.kinds().contains(&"mended".to_owned()));
}

/// The kernel's sensor, in a file system that only the guard sees.
#[test]
fn a_weak_supply_ends_the_session_and_keeps_it_ended_until_it_holds() {
    let shop = TestBox::new(&BoxConfig::default());
    let sensor = "/sys/class/hwmon/hwmon0";
    let mut guard = shop.start_guard_with(&format!(
        "mount -t tmpfs tmpfs /sys/class; mkdir -p {sensor}; echo rpi_volt >{sensor}/name; echo 0 >{sensor}/in0_lcrit_alarm"
    ));
    let alarm = format!("/proc/{}/root{sensor}/in0_lcrit_alarm", guard.pid());
    shop.press();
    shop.wait_for_phase("connecting");
    std::fs::write(&alarm, "1\n").unwrap();
    shop.wait_for_phase("fault");
    wait_until("nothing captures", || shop.captures().is_empty());
    let status = shop.status().unwrap();
    assert_eq!((&status["faults"][0], &status["reason"]), (&"power".into(), &"low-power".into()), "{status}");
    assert_eq!(shop.lamp(), "sos");
    // The voltage recovers as soon as nothing draws current: that alone does not clear the fault.
    std::fs::write(&alarm, "0\n").unwrap();
    shop.press();
    assert_eq!((shop.phase().as_str(), shop.captures().len()), ("fault", 0));
    shop.wait_for_phase("idle");
    let stopped = shop.ledger().into_iter().find(|fact| fact["kind"] == "session-stopped").unwrap();
    assert_eq!(stopped["reason"], "low-power");
    let parts: Vec<_> = shop.ledger().into_iter().filter(|fact| fact["part"] == "power").collect();
    assert_eq!(parts.len(), 2, "{parts:?}");
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn without_a_ledger_there_is_no_capture() {
    let shop = TestBox::new(&BoxConfig::default());
    shop.start("guard").finish();
    let store = rusqlite::Connection::open(shop.path("data/ledger.db")).unwrap();
    store.execute("UPDATE entry SET fact = replace(fact, 'stopped', 'started') WHERE seq = 5", []).unwrap();
    drop(store);
    let proof = shop.call(&["ledger", "verify"]);
    assert_eq!(proof.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&proof.stderr).contains("entry 5 of the ledger is bad"), "{proof:?}");
    let _guard = shop.start("guard");
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("fault", "sos"));
    shop.press();
    assert_eq!(shop.phase(), "fault");
    assert!(shop.captures().is_empty());
}

/// An upgrade that was rolled back leaves entries that the older guard does not know: they are kept byte for byte.
#[test]
fn entries_of_a_newer_version_stay_as_they_are() {
    use sha2::{Digest, Sha256};
    let shop = TestBox::new(&BoxConfig::default());
    shop.start("guard").finish();
    let store = rusqlite::Connection::open(shop.path("data/ledger.db")).unwrap();
    let last = "SELECT seq, at, hash FROM entry ORDER BY seq DESC LIMIT 1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?));
    let (seq, at, prev) = store.query_row(last, [], row).unwrap();
    let fact = r#"{"kind":"from-tomorrow","b":1,"a":"\u00e9","kinds":{"z":0.5,"y":null}}"#;
    let fact = serde_json::from_str::<serde_json::Value>(fact).unwrap().to_string();
    let digest = Sha256::digest(format!("{prev}\n{}\n{at}\n{fact}", seq + 1));
    let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let insert = "INSERT INTO entry (seq, at, fact, hash) VALUES (?1, ?2, ?3, ?4)";
    store.execute(insert, rusqlite::params![seq + 1, at, fact, hash]).unwrap();
    drop(store);
    let mut guard = shop.start("guard");
    assert_eq!(shop.phase(), "idle");
    guard.finish();
    assert!(shop.call(&["ledger", "verify"]).status.success());
    let exported = String::from_utf8(shop.call(&["ledger", "export"]).stdout).unwrap();
    assert!(exported.contains(&fact), "{exported}");
    assert!(String::from_utf8(shop.call(&["ledger", "show"]).stdout).unwrap().contains("from-tomorrow"));
}

fn kind(line: &str) -> String {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["fact"]["kind"].as_str().unwrap().to_owned()
}

#[test]
fn a_full_disk_ends_the_session_and_loses_nothing() {
    let shop = TestBox::new(&BoxConfig::default());
    let data = shop.path("data");
    let mut guard = shop.start_guard_with(&format!("mkdir {0}; mount -t tmpfs -o size=20m tmpfs {0}", data.display()));
    let inside = std::path::PathBuf::from(format!("/proc/{}/root", guard.pid())).join(data.strip_prefix("/").unwrap());
    shop.press();
    shop.wait_for_phase("connecting");
    let full = std::fs::write(inside.join("filler"), vec![0; 32 << 20]);
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    // What is kept for the ledger has room for the stop; then the box reports a fault.
    shop.call(&["press"]);
    shop.wait_for_phase("fault");
    assert!(shop.captures().is_empty());
    assert_eq!(shop.lamp(), "sos");
    let status = shop.status().unwrap();
    assert!(status["message"].as_str().unwrap().starts_with("the disk is full"), "{status}");
    shop.call(&["press"]);
    assert_eq!((shop.phase().as_str(), shop.captures().len()), ("fault", 0));
    std::fs::remove_file(inside.join("filler")).unwrap();
    shop.wait_for_phase("idle");
    let pid = guard.pid().to_string();
    let mut export = std::process::Command::new("nsenter");
    export.args([
        "--target",
        &pid,
        "--user",
        "--preserve-credentials",
        "--mount",
        crate::support::TALLYBOX,
        "ledger",
        "export",
    ]);
    let exported = export.arg("--config").arg(&shop.config).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");
    let mut kinds: Vec<String> = String::from_utf8(exported.stdout).unwrap().lines().map(kind).collect();
    // Whether the disk or the press ended the session.
    kinds[5..].sort();
    assert_eq!(kinds[4..], ["session-started", "broke", "mended", "session-stopped"]);
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn a_ledger_that_another_program_holds_ends_the_session_and_loses_nothing() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    // Another writer holds the ledger for longer than the guard waits: the same to the guard as a disk that does not
    // write.
    let store = rusqlite::Connection::open(shop.path("data/ledger.db")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    shop.call(&["press", "--hold", "0.15"]);
    wait_until("the guard says so", || shop.phase() == "fault");
    assert!(shop.captures().is_empty());
    assert_eq!(shop.lamp(), "sos");
    store.execute_batch("ROLLBACK").unwrap();
    shop.wait_for_phase("idle");
    let kinds = shop.kinds();
    for kind in ["session-started", "session-stopped", "broke", "mended"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind} in {kinds:?}");
    }
    shop.verify();
}

#[test]
fn a_session_ends_by_itself() {
    let more = "reconnect-window = \"2s\"\n[consent]\nmax-session = \"5s\"".to_owned();
    let shop = TestBox::new(&BoxConfig { more, ..BoxConfig::default() });
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    shop.wait_for_phase("idle");
    assert_eq!(shop.status().unwrap()["reason"], "reconnect-window");
    assert!(shop.captures().is_empty());
}

#[test]
fn one_guard_at_a_time_and_an_ordered_end() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut supervisor = shop.start("run");
    let second = shop.call(&["guard"]);
    assert_eq!(second.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another guard runs"));
    shop.press();
    shop.wait_for_phase("connecting");
    assert_eq!(supervisor.finish(), Some(0));
    assert!(shop.captures().is_empty() && shop.processes("guard").is_empty());
    assert_eq!(shop.lamp(), "dark");
    assert_eq!(shop.ledger().iter().rev().nth(1).unwrap()["reason"], "shutdown");
    assert_eq!(shop.kinds().last().unwrap(), "guard-stopped");
}

#[test]
fn capture_started_by_systemd_keeps_the_same_contract() {
    let shop = TestBox::new(&BoxConfig::default());
    let socket = shop.path("capture.sock");
    let mut listener = std::process::Command::new("systemd-socket-activate");
    listener.args(["--accept", "--inetd", "-l"]).arg(&socket).arg(crate::support::TALLYBOX);
    listener.args(["capture", "--config"]).arg(&shop.config).stderr(std::process::Stdio::null());
    let _listener = crate::support::Program::start(&mut listener);
    wait_until("the socket is there", || socket.exists());
    let mut guard = shop.command(&["guard", &format!("--capture-socket={}", socket.display())]);
    let mut guard = crate::support::Program::start(guard.stderr(std::process::Stdio::null()));
    wait_until("the guard answers", || shop.status().is_some());
    shop.press();
    shop.wait_for_phase("connecting");
    wait_until("the camera's file is open", || footage_is_open(&shop));
    shop.press();
    wait_until("nothing captures", || shop.captures().is_empty());
    shop.wait_for_phase("idle");
    shop.press();
    wait_until("the camera's file is open", || footage_is_open(&shop));
    // A guard that dies takes capture with it.
    guard.kill();
    let ((), took) = timed(|| wait_until("nothing captures", || shop.captures().is_empty()));
    assert!(took < Duration::from_secs(2), "{took:?}");
}
