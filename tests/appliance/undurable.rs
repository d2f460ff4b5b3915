//! What cannot be undone needs its entry in the ledger first: on a disk that is full, that fails or that hangs each
//! such verb is refused, and nothing of it happens.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::ledger::ControlSocket;
use crate::rig::{ALL_ROLES, signed, signer, trust};
use crate::support::disk::make_library;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, TALLYBOX, wait_until};

/// What is wrong with the disk.
enum Disk {
    /// A small file system without room, and what fills it.
    Full(PathBuf),
    /// Every sync fails for as long as this file is there.
    Failing(PathBuf),
    /// Another program holds the ledger for longer than anybody waits.
    Held(Option<rusqlite::Connection>),
}

struct Bench {
    shop: TestBox,
    guard: Program,
    disk: Disk,
    seq: u64,
}

fn shop() -> TestBox {
    let more = trust(&signer(), &ALL_ROLES) + "[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\"]\n";
    TestBox::new(&BoxConfig { more, ..BoxConfig::default() })
}

impl Bench {
    fn full() -> Self {
        let shop = shop();
        let data = shop.path("data");
        let mount = format!("mkdir {0}; mount -t tmpfs -o size=20m tmpfs {0}", data.display());
        let guard = shop.start_guard_with(&mount);
        let inside = Path::new("/proc").join(guard.pid().to_string()).join("root");
        let filler = inside.join(data.strip_prefix("/").unwrap()).join("filler");
        Self { shop, guard, disk: Disk::Full(filler), seq: 0 }
    }

    fn failing() -> Self {
        let shop = shop();
        let (library, broken) = (shop.path("disk.so"), shop.path("broken"));
        make_library(&library);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
        let mut command = shop.command(&["guard"]);
        command.env("LD_PRELOAD", library).env("FAKE_DISK", &broken).stdin(Stdio::null()).stderr(log);
        let guard = Program::start(&mut command);
        wait_until("the guard answers", || shop.status().is_some());
        Self { shop, guard, disk: Disk::Failing(broken), seq: 0 }
    }

    fn held() -> Self {
        let shop = shop();
        let guard = shop.start("guard");
        Self { shop, guard, disk: Disk::Held(None), seq: 0 }
    }

    fn set_broken(&mut self) {
        match &mut self.disk {
            Disk::Full(filler) => {
                // The room that is kept for the ledger is used up too.
                std::fs::remove_file(filler.with_file_name("ledger.reserve")).unwrap();
                std::fs::write(filler, vec![0; 32 << 20]).unwrap_err();
            }
            Disk::Failing(broken) => std::fs::write(broken, "").unwrap(),
            Disk::Held(holder) => {
                let store = rusqlite::Connection::open(self.shop.path("data/ledger.db")).unwrap();
                store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                store.execute_batch("BEGIN EXCLUSIVE").unwrap();
                *holder = Some(store);
            }
        }
    }

    fn mend(&mut self) {
        match &mut self.disk {
            Disk::Full(file) | Disk::Failing(file) => std::fs::remove_file(file).unwrap(),
            Disk::Held(holder) => holder.take().unwrap().execute_batch("ROLLBACK").unwrap(),
        }
        self.shop.wait_for_phase("idle");
    }

    fn ask(&mut self, verb: &str, fields: &Value) -> Value {
        self.seq += 1;
        let status = self.shop.status().unwrap();
        let mut command = json!({
            "box": "test-box", "verb": verb, "id": format!("{verb}-{}", self.seq), "epoch": status["epoch"],
            "seq": self.seq, "deadline-s": status["uptime-s"].as_u64().unwrap() + 200,
        });
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let mut socket = ControlSocket::new(&self.shop);
        socket.send(1, &json!({ "ask": "command", "verb": verb, "payload": signed("command", &command) }));
        socket.receive()["answer"].take()
    }

    /// The ledger, read where the guard has it.
    fn facts(&self) -> Vec<Value> {
        let pid = self.guard.pid().to_string();
        let mut export = Command::new("nsenter");
        export.args(["--target", &pid, "--mount"]);
        if matches!(self.disk, Disk::Full(_)) {
            export.args(["--user", "--preserve-credentials"]);
        }
        let output = export.args([TALLYBOX, "ledger", "export", "--config"]).arg(&self.shop.config).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fact"].take()).collect()
    }
}

/// Each verb that needs a signature on every box, with good parameters.
fn verbs() -> [(&'static str, Value); 5] {
    let policy = signed("policy", &json!({ "version": "2027-01-01", "material": true }));
    [
        ("erase", json!({})),
        ("unbind", json!({})),
        ("set-policy", json!({ "note": policy })),
        ("set-ingest", json!({ "url": "rtmp://127.0.0.1:19/live/x" })),
        ("update", json!({ "version": "9.0.0-1" })),
    ]
}

fn nothing_happens(what: &str, mut bench: Bench) {
    let before = bench.shop.status().unwrap();
    bench.set_broken();
    for (verb, fields) in verbs() {
        let answer = bench.ask(verb, &fields);
        assert_eq!(answer["not-now"]["code"], "unavailable", "{what}, {verb}: {answer}");
        assert_ne!(bench.shop.lamp(), "unbind-request", "{what}");
    }
    let status = bench.shop.status().unwrap();
    assert_eq!((&status["phase"], &status["lamp"]), (&"fault".into(), &"sos".into()), "{what}: {status}");
    bench.mend();
    // Nor does it happen later, when the disk takes what waited.
    let facts = bench.facts();
    for (verb, _) in verbs() {
        let kinds: Vec<&str> = facts.iter().filter(|fact| fact["verb"] == verb).map(kind).collect();
        assert_eq!(kinds, ["commanded", "command-refused"], "{what}, {verb}: {facts:?}");
    }
    let effects = ["erasure-started", "erased", "unbind-requested", "unbound", "policy-updated", "ingest-set"];
    assert!(!facts.iter().any(|fact| effects.contains(&kind(fact))), "{what}: {facts:?}");
    let after = bench.shop.status().unwrap();
    for name in ["policy-version", "policy", "ingest", "identity", "receipt", "unbound", "command"] {
        assert_eq!(after[name], before[name], "{what}: {name}");
    }
    // The box works again.
    assert_eq!(bench.ask("set-ingest", &verbs()[3].1), "done", "{what}");
    assert!(bench.ask("erase", &json!({}))["erased"].is_string(), "{what}");
}

fn kind(fact: &Value) -> &str {
    fact["kind"].as_str().unwrap()
}

#[test]
fn nothing_that_cannot_be_undone_happens_without_its_entry() {
    std::thread::scope(|scope| {
        scope.spawn(|| nothing_happens("full", Bench::full()));
        scope.spawn(|| nothing_happens("failing", Bench::failing()));
        scope.spawn(|| nothing_happens("held", Bench::held()));
    });
}

/// It does not know what happened before it started: which releases counted, and whether an update is under way.
#[test]
fn a_guard_that_cannot_read_its_ledger_does_nothing_that_goes_far() {
    let mut bench = Bench::held();
    bench.shop.wait_for_phase("idle");
    bench.guard.kill();
    // Readers are kept out too.
    let holder = rusqlite::Connection::open(bench.shop.path("data/ledger.db")).unwrap();
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").unwrap();
    bench.guard = bench.shop.start("guard");
    wait_until("the box is in a fault", || bench.shop.status().is_some_and(|status| status["phase"] == "fault"));
    let why = |answer: &Value| answer["not-now"]["why"].as_str().unwrap_or_default().to_owned();
    for (verb, fields) in verbs() {
        let answer = bench.ask(verb, &fields);
        assert!(why(&answer).contains("the ledger cannot be read"), "{verb}: {answer}");
    }
    let mut socket = ControlSocket::new(&bench.shop);
    socket.send(1, &json!({ "ask": "release", "note": signed("release", &json!({})) }));
    let answer = socket.receive()["answer"].take();
    assert!(why(&answer).contains("the ledger cannot be read"), "{answer}");
    drop(holder);
    wait_until("the guard starts anew", || !bench.guard.is_running());
    bench.guard = bench.shop.start("guard");
    bench.shop.wait_for_phase("idle");
    let facts = bench.facts();
    let effects =
        ["commanded", "erasure-started", "unbind-requested", "policy-updated", "ingest-set", "update-offered"];
    assert!(!facts.iter().any(|fact| effects.contains(&kind(fact))), "{facts:?}");
}

#[test]
fn a_full_disk_keeps_the_log_and_records_nothing() {
    let mut bench = Bench::full();
    let Disk::Full(filler) = &bench.disk else { panic!("not this disk") };
    assert_eq!(std::fs::metadata(filler.with_file_name("ledger.reserve")).unwrap().len(), 8 << 20);
    std::fs::write(filler, vec![0; 32 << 20]).unwrap_err();
    wait_until("the box is in a fault", || bench.shop.status().unwrap()["phase"] == "fault");
    let status = bench.shop.status().unwrap();
    assert_eq!((&status["reason"], &status["lamp"]), (&"ledger-fault".into(), &"sos".into()), "{status}");
    assert!(status["message"].as_str().unwrap().starts_with("the disk is full"), "{status}");
    // What happens is written down: here commands that nobody signed.
    for number in 0..20 {
        let mut socket = ControlSocket::new(&bench.shop);
        let note = format!("no note {number}");
        socket.send(1, &json!({ "ask": "command", "verb": "erase", "payload": note }));
        socket.receive();
    }
    let count = |kind_of: &str| bench.facts().iter().filter(|fact| kind(fact) == kind_of).count();
    wait_until("the refusals are in the ledger", || count("command-refused") >= 10);
    // And nothing is recorded.
    bench.shop.press();
    assert_eq!(count("session-started"), 0);
    assert_eq!(bench.shop.status().unwrap()["phase"], "fault");
    bench.mend();
    bench.shop.press();
    wait_until("a press starts a session", || bench.shop.status().unwrap()["phase"] != "idle");
}
