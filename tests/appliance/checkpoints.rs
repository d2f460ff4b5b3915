//! Checkpoints of a real box: signed at the start and at each session's end, told over MQTT, proved without the box,
//! and binding: a ledger that does not continue them is not used.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::broker::{Broker, Operator};
use crate::handed_out::{python, text};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{TALLYBOX, wait_until};

/// Which entry of the ledger its newest checkpoint is of.
fn size(shop: &TestBox) -> u64 {
    let status = shop.status().unwrap_or_default();
    status["checkpoint"].as_str().and_then(|note| note.lines().nth(1)?.parse().ok()).unwrap_or(0)
}

fn key(shop: &TestBox) -> String {
    shop.status().unwrap()["identity"]["verifier-key"].as_str().unwrap().to_owned()
}

fn session(shop: &TestBox) {
    shop.press();
    shop.wait_for_phase("connecting");
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("its end is signed", || size(shop) == shop.ledger().len() as u64);
}

fn write(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Verifies a file with no configuration anywhere.
fn verify(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(TALLYBOX);
    command.args(["ledger", "verify"]).arg(file).args(more).args(["--config", "/nowhere/tallybox.toml"]);
    command.output().unwrap()
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_session_is_proved_without_the_box() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("run");
    wait_until("the start is signed", || size(&shop) > 0);
    let dir = tempfile::tempdir().unwrap();
    let older = write(dir.path(), "older", &shop.call(&["ledger", "checkpoint"]).stdout);
    session(&shop);
    let (key, key_option) = (key(&shop), ["--key", &key(&shop)].map(str::to_owned));
    let key_option = key_option.each_ref().map(String::as_str);
    let newest = write(dir.path(), "newest", &shop.call(&["ledger", "checkpoint"]).stdout);
    let export = write(dir.path(), "export", &shop.call(&["ledger", "export"]).stdout);
    let (newest_path, export_path) = (newest.to_str().unwrap(), export.to_str().unwrap());
    // On the box, and off it, by both programs.
    for checkpoint in [&older, &newest] {
        let checkpoint = ["--checkpoint", checkpoint.to_str().unwrap()];
        good(&shop.call(&[&["ledger", "verify"], checkpoint.as_slice()].concat()));
        assert!(good(&verify(&export, &[checkpoint, key_option].concat())).contains("signed: root"));
        good(&python(&[&["export", export_path], checkpoint.as_slice(), &key_option].concat()));
    }
    let refused = verify(&export, &["--checkpoint", newest_path]);
    assert!(refused.status.code() == Some(64) && text(&refused).contains("--key is missing"), "{refused:?}");
    // Cut before its last line.
    let lines = std::fs::read_to_string(&export).unwrap();
    let cut = write(dir.path(), "cut", lines.trim_end().rsplit_once('\n').unwrap().0.as_bytes());
    let refused = verify(&cut, &[&["--checkpoint", newest_path], key_option.as_slice()].concat());
    assert!(refused.status.code() == Some(65) && text(&refused).contains("and the checkpoint is of"), "{refused:?}");
    // Consistency, and a proof for each end of the session.
    let growth = shop.call(&["ledger", "checkpoint", "--since", older.to_str().unwrap()]);
    let growth = write(dir.path(), "growth", good(&growth).as_bytes());
    let against = ["--checkpoint", older.to_str().unwrap()];
    assert!(good(&verify(&growth, &[against, key_option].concat())).contains("and changed none"));
    let (old, new) = (older.to_str().unwrap(), growth.to_str().unwrap());
    good(&python(&[&["consistency", old, new], key_option.as_slice()].concat()));
    good(&python(&[&["consistency", old, newest_path, "--export", export_path], key_option.as_slice()].concat()));
    assert!(!python(&[&["consistency", old, newest_path], key_option.as_slice()].concat()).status.success());
    let both = write(dir.path(), "proofs", good(&shop.call(&["ledger", "prove", "1"])).as_bytes());
    let told = good(&verify(&both, &key_option));
    assert!(told.contains("session-started") && told.contains("session-stopped"), "{told}");
    let told = good(&python(&[&["proof", both.to_str().unwrap()], key_option.as_slice()].concat()));
    assert_eq!(told.matches("good: {").count(), 2, "{told}");
    let folder = dir.path().to_str().unwrap();
    let files = good(&shop.call(&["ledger", "prove", "1", "--output", folder]));
    assert_eq!(files.lines().count(), 3, "{files}");
    for file in files.lines().filter(|file| file.ends_with(".tlog-proof")) {
        good(&verify(Path::new(file), &key_option));
    }
    good(&python(&["checkpoint", newest_path, "--key", &key]));
    for (wrong, code) in [
        (&["ledger", "prove", "99"][..], 69),
        (&["ledger", "prove", "one"], 64),
        (&["ledger", "prove", "1", "--output", "/nowhere"], 74),
        (&["ledger", "checkpoint", "--since", "/nowhere"], 66),
        (&["ledger", "checkpoint", "--since", export_path], 65),
        (&["ledger", "verify", "--checkpoint", "/nowhere"], 66),
        (&["ledger", "verify", "--checkpoint", newest_path, "--key", "none"], 64),
    ] {
        let told = shop.call(wrong);
        assert!(told.status.code() == Some(code) && text(&told).len() > 20, "{wrong:?}: {told:?}");
    }
    guard.finish();
}

#[test]
fn the_broker_has_the_newest_checkpoint() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() });
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    session(&shop);
    let newest = shop.status().unwrap()["checkpoint"].clone();
    operator.wait("the newest checkpoint", |message| message["topic"] == "checkpoint" && message["payload"] == newest);
}

#[test]
fn an_older_ledger_is_a_fault_until_the_right_one_is_back() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("run");
    session(&shop);
    guard.finish();
    let (data, backup) = (shop.path("data"), tempfile::tempdir().unwrap());
    let copy = |from: &Path, to: &Path| {
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(to.join(name));
            let _ = std::fs::copy(from.join(name), to.join(name));
        }
    };
    copy(&data, backup.path());
    let mut guard = shop.start("run");
    session(&shop);
    let (signed, name) = (size(&shop), key(&shop));
    guard.finish();
    let newest = tempfile::tempdir().unwrap();
    copy(&data, newest.path());
    copy(backup.path(), &data);
    let mut guard = shop.start("run");
    shop.wait_for_phase("fault");
    let status: Value = shop.status().unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("put the newest ledger.db back"), "{status}");
    assert_eq!(status["checkpoint"], Value::Null, "nothing is signed");
    shop.call(&["press"]);
    assert!(shop.captures().is_empty());
    assert_eq!(shop.call(&["ledger", "verify"]).status.code(), Some(65));
    guard.finish();
    copy(newest.path(), &data);
    let _guard = shop.start("run");
    shop.wait_for_phase("idle");
    wait_until("it goes on", || size(&shop) > signed);
    assert_eq!(key(&shop), name);
}
