//! Minors' mode on real processes: a press starts nothing, a guardian's hold after it does, and no footage is stored.

use std::process::Command;

use notes::Role;
use serde_json::json;

use crate::kept_footage;
use crate::ledger::ControlSocket;
use crate::rig::{signer, trust};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{TALLYBOX, wait_until};

/// Frames wait for a server that is away: on disk, as the configuration has it.
fn shop() -> TestBox {
    let more = format!(
        "outage-buffer = \"disk\"\n[consent]\nminors-mode = true\nrequest-timeout = \"5s\"\n{}",
        trust(&signer(), &[Role::RequestStart])
    );
    TestBox::new(&BoxConfig { more, ..BoxConfig::default() })
}

#[test]
fn a_press_and_a_guardians_hold_start_a_session_that_stores_nothing() {
    let shop = shop();
    let _guard = shop.start("guard");
    assert_eq!(shop.status().unwrap()["minors-mode"], true);
    shop.press();
    let status = shop.status().unwrap();
    assert_eq!((&status["phase"], &status["reason"]), (&"requested".into(), &"guardian-hold".into()), "{status}");
    assert!(status["message"].as_str().unwrap().contains("guardian") && shop.lamp() == "slow-pulse");
    assert!(shop.captures().is_empty(), "a press starts nothing");
    // Too short, too long, and none at all.
    shop.press();
    assert_eq!((shop.phase(), &shop.status().unwrap()["reason"]), ("idle".to_owned(), &"declined".into()));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    shop.press();
    shop.hold("3.5");
    assert_eq!(shop.phase(), "idle");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    shop.press();
    wait_until("nobody held it in time", || shop.status().unwrap()["reason"] == "request-timeout");
    assert!(!shop.kinds().contains(&"session-started".to_owned()), "{:?}", shop.kinds());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    shop.press();
    shop.hold("2.4");
    shop.wait_for_phase("connecting");
    wait_until("capture exists", || !shop.captures().is_empty());
    // What waits for the server waits in memory: no file without a name either.
    let pid = shop.captures()[0];
    let data = shop.path("data").canonicalize().unwrap();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let ours: Vec<_> =
        open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).filter(|target| target.starts_with(&data)).collect();
    assert!(ours.is_empty() && !shop.path("data/footage").exists(), "{ours:?}");
    shop.press();
    shop.wait_for_phase("idle");
    let started = shop.ledger().into_iter().find(|fact| fact["kind"] == "session-started").unwrap();
    assert_eq!((&started["guardian"], &started["sound"]), (&true.into(), &true.into()), "{started}");
    shop.verify();
}

#[test]
fn the_platform_cannot_ask_for_a_start() {
    let shop = shop();
    let _guard = shop.start("guard");
    let status = shop.status().unwrap();
    let command = json!({
        "box": "test-box", "verb": "request-start", "id": "c1", "epoch": status["epoch"], "seq": 1,
        "deadline-s": status["uptime-s"].as_u64().unwrap() + 200,
    });
    let mut socket = ControlSocket::new(&shop);
    let payload = crate::rig::signed("command", &command);
    socket.send(1, &json!({ "ask": "command", "verb": "request-start", "payload": payload }));
    let answer = loop {
        let message = socket.receive();
        if message["tell"] == "answer" {
            break message["answer"].to_string();
        }
    };
    assert!(answer.contains("refused") && answer.contains("minors' mode"), "{answer}");
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("idle", "dark"));
    let checked = Command::new(TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("does not count in minors-mode"), "{said}");
}

/// Kept for the operator until the mode is switched on: then nothing of it stays, and nothing is added.
#[test]
fn a_box_that_kept_footage_keeps_none_in_minors_mode() {
    let shop = kept_footage::shop("");
    let mut guard = shop.start("guard");
    kept_footage::session(&shop);
    assert_eq!(kept_footage::footage(&shop).len(), 1);
    guard.kill();
    let text = std::fs::read_to_string(&shop.config).unwrap();
    std::fs::write(&shop.config, format!("{text}\n[consent]\nminors-mode = true\n")).unwrap();
    let checked = Command::new(TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("footage-recipient does not count in minors-mode"), "{said}");
    let _guard = shop.start("guard");
    wait_until("what was kept is gone", || kept_footage::footage(&shop).is_empty());
    let gone = shop.ledger().into_iter().find(|fact| fact["kind"] == "footage-destroyed").expect("an entry");
    assert_eq!(gone["why"], "doubt", "{gone}");
    shop.press();
    shop.hold("2.4");
    shop.wait_for_phase("connecting");
    wait_until("some pictures wait", || {
        shop.status().and_then(|status| status["stream"]["queue-ms"].as_u64()).is_some_and(|queued| queued > 3000)
    });
    shop.press();
    shop.wait_for_phase("idle");
    let kinds = shop.kinds();
    assert_eq!(kinds.iter().filter(|kind| *kind == "footage-kept").count(), 1, "{kinds:?}");
    assert!(kept_footage::footage(&shop).is_empty());
    shop.verify();
}
