//! The ledger as clients follow it (which ledger, from which entry on), and as it is written: on a failing disk, while
//! another program holds it, and under a flood.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{timed, wait_until};

/// A client of the control socket.
pub(crate) struct ControlSocket(UnixStream);

impl ControlSocket {
    pub(crate) fn new(shop: &TestBox) -> Self {
        let stream = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(stream)
    }

    /// Sends a request and waits for the response.
    pub(crate) fn ask(&mut self, ask: &str) -> Value {
        self.send(7, &json!({ "ask": ask }));
        loop {
            let message = self.receive();
            if message["tell"] == "answer" && message["call"] == 7 {
                return message["answer"].clone();
            }
        }
    }

    pub(crate) fn send(&mut self, call: u64, request: &Value) {
        let text = json!({ "call": call, "request": request }).to_string();
        self.0.write_all(&u32::try_from(text.len()).unwrap().to_be_bytes()).unwrap();
        self.0.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Value {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The ledger's id and the numbers of the entries after `after`, up to entry `last`.
    fn follow(&mut self, after: &Value, last: u64) -> (String, Vec<u64>) {
        self.send(1, &json!({ "ask": "subscribe", "entries": true, "after": after }));
        let (mut name, mut seqs) = (String::new(), Vec::new());
        while seqs.last().is_none_or(|seq| *seq < last) {
            let message = self.receive();
            match message["tell"].as_str().unwrap() {
                "ledger" => message["id"].as_str().unwrap().clone_into(&mut name),
                "entry" => {
                    assert!(!name.is_empty(), "the ledger is named before its first entry");
                    seqs.push(message["seq"].as_u64().unwrap());
                }
                _ => {}
            }
        }
        (name, seqs)
    }
}

/// The ledger as it is exported, entry by entry.
pub(crate) fn export(shop: &TestBox) -> Vec<Value> {
    let output = shop.call(&["ledger", "export"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A damaged ledger is moved away and a new one counts from 1: a cursor of the old one does not count in it.
#[test]
fn a_cursor_counts_in_the_ledger_that_it_names() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    let status = shop.status().unwrap();
    let first = export(&shop)[0]["hash"].clone();
    assert_eq!(status["ledger"], first);
    let (name, seqs) = ControlSocket::new(&shop).follow(&Value::Null, 4);
    assert_eq!((json!(name), seqs), (first.clone(), vec![1, 2, 3, 4]));
    let (_, seqs) = ControlSocket::new(&shop).follow(&json!({ "ledger": first, "seq": 2 }), 4);
    assert_eq!(seqs, [3, 4]);
    guard.finish();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::rename(shop.path(&format!("data/{name}")), shop.path(name));
    }
    // The box's key signed for the old ledger: a new one under the same key would contradict it.
    let mut guard = shop.start("guard");
    shop.wait_for_phase("fault");
    assert!(shop.status().unwrap()["message"].as_str().unwrap().contains("put the newest ledger.db back"));
    guard.finish();
    for name in ["ledger.checkpoint", "credentials/identity"] {
        std::fs::remove_file(shop.path(&format!("data/{name}"))).unwrap();
    }
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(shop.path(&format!("data/{name}")));
    }
    let _guard = shop.start("guard");
    let second = shop.status().unwrap()["ledger"].clone();
    assert_ne!(first, second);
    // The cursor's number lies inside the second ledger: without the id two entries would be skipped.
    let (name, seqs) = ControlSocket::new(&shop).follow(&json!({ "ledger": first, "seq": 2 }), 4);
    assert_eq!((json!(name), seqs), (second, vec![1, 2, 3, 4]));
}

/// The next shop does not receive the entries of the shop before.
#[test]
fn a_new_binding_begins_at_the_unbound_entry() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    let ledger = shop.status().unwrap()["ledger"].clone();
    shop.hold("10.5");
    wait_until("the box has another key", || shop.kinds().iter().filter(|kind| *kind == "identified").count() == 2);
    let all = export(&shop);
    let unbound = all.iter().find(|entry| entry["fact"]["kind"] == "unbound").unwrap()["seq"].as_u64().unwrap();
    let last = all.len() as u64;
    assert!(unbound > 4 && last > unbound);
    for after in [Value::Null, json!({ "ledger": "0".repeat(64), "seq": last }), json!({ "ledger": ledger, "seq": 1 })]
    {
        let (_, seqs) = ControlSocket::new(&shop).follow(&after, last);
        assert_eq!(seqs, (unbound..=last).collect::<Vec<_>>(), "{after}");
    }
    let (_, seqs) = ControlSocket::new(&shop).follow(&json!({ "ledger": ledger, "seq": unbound }), last);
    assert_eq!(seqs, (unbound + 1..=last).collect::<Vec<_>>());
}

fn store(shop: &TestBox) -> rusqlite::Connection {
    let store = rusqlite::Connection::open(shop.path("data/ledger.db")).unwrap();
    store.busy_timeout(Duration::from_secs(30)).unwrap();
    store
}

/// Another program holds the ledger: a remote stop takes effect at once and its response is true, the box keeps
/// responding, and what waits is written once that program releases the file.
#[test]
fn a_ledger_that_somebody_holds_delays_neither_a_stop_nor_a_status() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    let holder = store(&shop);
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut socket = ControlSocket::new(&shop);
    let (answer, took) = timed(|| socket.ask("stop"));
    assert_eq!(answer, "unwritten");
    assert!(took < Duration::from_secs(4), "SQLite's own wait would be 5 s: {took:?}");
    assert!(shop.captures().is_empty());
    let (_, took) = timed(|| shop.status().unwrap());
    assert!(took < Duration::from_secs(2), "{took:?}");
    // An entry that is not on disk has no effect: a press starts nothing.
    shop.press();
    assert!(shop.captures().is_empty());
    wait_until("it is a fault", || shop.phase() == "fault");
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    shop.wait_for_phase("idle");
    let kinds = shop.kinds();
    let place =
        |kind: &str| kinds.iter().position(|known| known == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(place("session-started") < place("session-stopped") && place("session-stopped") < place("broke"));
    assert_eq!(shop.ledger()[place("session-stopped")]["reason"], "remote-stop");
    shop.verify();
}

/// One write fails while the guard starts: its entry and all that follow wait, and are written in order.
#[test]
fn what_could_not_be_written_at_boot_is_written_later() {
    let shop = TestBox::new(&BoxConfig::default());
    shop.start("guard").finish();
    let before = shop.kinds().len();
    shop.configure(&BoxConfig {
        more: "[consent]\npolicy-version = \"2026-12-01\"".to_owned(),
        ..BoxConfig::default()
    });
    let disk = store(&shop);
    disk.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.fact LIKE '%guard-started%' BEGIN SELECT RAISE(FAIL, 'full'); END",
    )
    .unwrap();
    let _guard = shop.start("guard");
    assert_eq!(shop.phase(), "fault");
    shop.press();
    assert!(shop.captures().is_empty());
    disk.execute_batch("DROP TRIGGER full").unwrap();
    shop.wait_for_phase("policy");
    let kinds = shop.kinds();
    assert_eq!(kinds[before..before + 3], ["guard-started", "policy-pending", "configured"], "{kinds:?}");
    shop.verify();
}

/// A platform, or a compromised agent, that requests without end.
#[test]
fn a_flood_of_commands_leaves_few_entries_and_a_stop_is_carried_out() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    let before = shop.kinds().len();
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let mut socket = ControlSocket::new(&shop);
            std::thread::spawn(move || {
                for _ in 0..250 {
                    for verb in ["request-start", "stop", "unmute", "identify", "mute"] {
                        socket.ask(verb);
                    }
                }
            })
        })
        .collect();
    shop.press();
    for flood in floods {
        flood.join().unwrap();
    }
    let kinds = shop.kinds();
    let written = kinds.len() - before;
    // 5,000 commands; a request and its end for each token, ten at once and one in 10 s, and ten refusals a minute.
    assert!(written < 250, "{written}: {kinds:?}");
    assert!(kinds.contains(&"requested".to_owned()) && kinds.contains(&"command-refused".to_owned()));
    let mut socket = ControlSocket::new(&shop);
    shop.wait_for_phase("idle");
    shop.press();
    shop.wait_for_phase("connecting");
    assert_eq!(socket.ask("stop"), "done");
    assert!(shop.captures().is_empty());
}

/// `identify` hides no pattern that people have to see.
#[test]
fn identify_hides_neither_a_lock_nor_a_fault() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    assert_eq!(ControlSocket::new(&shop).ask("identify"), "done");
    shop.hold("5.2");
    assert_eq!(shop.lamp(), "lock-flash");
    let answer = ControlSocket::new(&shop).ask("identify");
    assert!(answer["refused"]["why"].as_str().unwrap().contains("locked"), "{answer}");
    assert_eq!(shop.lamp(), "lock-flash");
}

/// An old entry was changed in a ledger too long to be verified at its opening: the background verification finds it,
/// and the next start finds it first.
#[test]
fn a_changed_entry_in_a_long_ledger_is_found_in_the_background() {
    use tallybox::ledger::Ledger;
    let shop = TestBox::new(&BoxConfig::default());
    shop.start("guard").finish();
    let mut ledger = Ledger::open(&shop.path("data/ledger.db")).unwrap();
    let fact = || (tallybox::clock::read(), tallybox::ipc::Fact::GuardStopped {});
    let facts: Vec<_> = (0..11_000).map(|_| fact()).collect();
    for part in facts.chunks(1000) {
        ledger.append(part).unwrap();
    }
    drop(ledger);
    let mut guard = shop.start("guard");
    wait_until("all is verified", || shop.status().unwrap()["ledger-check"] == "good");
    assert_eq!(shop.phase(), "idle");
    guard.finish();
    let disk = store(&shop);
    disk.execute("UPDATE entry SET fact = replace(fact, 'stopped', 'started') WHERE seq = 5", []).unwrap();
    drop(disk);
    for _ in 0..2 {
        let mut guard = shop.start("guard");
        shop.wait_for_phase("fault");
        let status = shop.status().unwrap();
        assert_eq!(status["faults"][0], "ledger");
        assert!(status["message"].as_str().unwrap().contains("entry 5 of the ledger is bad"), "{status}");
        shop.press();
        assert!(shop.captures().is_empty());
        guard.finish();
    }
    assert_eq!(shop.call(&["ledger", "verify"]).status.code(), Some(65));
}

/// The disk fails while staff lock a box that is on air: everything takes effect, and is written as soon as possible.
#[test]
fn a_lock_that_could_not_be_written_is_written_later_with_all_that_belongs_to_it() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    let disk = store(&shop);
    disk.execute_batch("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(FAIL, 'full'); END").unwrap();
    shop.hold("5.5");
    wait_until("nothing captures", || shop.captures().is_empty());
    wait_until("it is a fault", || shop.phase() == "fault");
    disk.execute_batch("DROP TRIGGER full").unwrap();
    shop.wait_for_phase("locked");
    let kinds = shop.kinds();
    for kind in ["session-stopped", "locked", "footage-destroyed", "broke", "mended"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind}: {kinds:?}");
    }
    shop.verify();
    guard.kill();
    let _guard = shop.start("guard");
    assert_eq!(shop.phase(), "locked");
}
