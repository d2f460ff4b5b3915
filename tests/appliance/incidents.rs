//! Incidents on real processes: each is told by lamp, status, state, entry and event, and is over when its cause is
//! gone.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::odd_broker::OddBroker;
use crate::support::clock::WrongClock;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{wait_for, wait_until};

struct Shop {
    broker: OddBroker,
    shop: TestBox,
}

impl Shop {
    fn new(more: &str) -> Self {
        let broker = OddBroker::new();
        let more = format!("[panel]\nbackend = \"sim\"\n{more}");
        let shop = TestBox::new(&BoxConfig { mqtt: broker.url(), ..BoxConfig::default() });
        let text = std::fs::read_to_string(&shop.config).unwrap().replace("[panel]\nbackend = \"sim\"\n", &more);
        std::fs::write(&shop.config, text).unwrap();
        Self { broker, shop }
    }

    /// Incidents that are not over, by the status.
    fn open(&self) -> Vec<String> {
        let status = self.shop.status().unwrap_or_default();
        let all = status["incidents"].as_array().cloned().unwrap_or_default();
        all.iter().map(|open| open["incident"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn wait_open(&self, incident: &str) {
        wait_until(&format!("{incident} is in the status"), || self.open() == [incident]);
    }

    /// Waits until the platform knows it by the box's state.
    #[track_caller]
    fn wait_told(&self, incident: &str) {
        let has =
            |state: &Value| state["incidents"].as_array().is_some_and(|all| all.iter().any(|one| one == incident));
        wait_until(&format!("{incident} is in the state"), || {
            self.broker.on("state").last().is_some_and(|state| has(&state.payload))
        });
    }

    /// The event that tells of it.
    #[track_caller]
    fn event(&self, incident: &str) -> Value {
        wait_for(&format!("{incident} is an event"), std::time::Duration::from_secs(60), || {
            let mut events = self.broker.on("event").into_iter().map(|event| event.payload["fact"].clone());
            events.find(|fact| fact["kind"] == "incident-detected" && fact["incident"] == incident)
        })
    }

    #[track_caller]
    fn wait_over(&self, incident: &str) {
        wait_until(&format!("{incident} is over, and the platform knows"), || {
            let events = self.broker.on("event");
            events.iter().any(|event| {
                let fact = &event.payload["fact"];
                fact["kind"] == "incident-cleared" && fact["incident"] == incident
            })
        });
        assert!(self.open().is_empty());
    }

    fn count(&self, kind: &str) -> usize {
        self.shop.kinds().iter().filter(|known| *known == kind).count()
    }
}

fn tampered(shop: &TestBox) {
    wait_until("it is a fault", || shop.phase() == "fault");
    let status = shop.status().unwrap();
    assert_eq!((&status["reason"], shop.lamp().as_str()), (&"tamper".into(), "sos"), "{status}");
    assert!(shop.captures().is_empty());
}

#[test]
fn an_open_case_ends_capture_until_it_is_closed_and_tested() {
    let all = Shop::new("case-pin = 24\n");
    let (shop, case) = (&all.shop, all.shop.path("run/case-open"));
    let mut guard = shop.start("guard");
    let _agent = shop.start("agent");
    shop.press();
    wait_until("capture exists", || !shop.captures().is_empty());
    std::fs::write(&case, "").unwrap();
    tampered(shop);
    assert_eq!(all.open(), ["case-opened"]);
    all.wait_told("case-opened");
    let event = all.event("case-opened");
    for field in ["what", "impact", "done", "advice"] {
        assert!(event[field].as_str().unwrap().ends_with('.'), "{event}");
    }
    shop.press();
    assert_eq!((shop.captures(), shop.phase().as_str()), (vec![], "fault"));
    std::fs::remove_file(&case).unwrap();
    shop.wait_for_phase("idle");
    all.wait_over("case-opened");
    // Opened in the same moment as somebody presses, and while the box is off.
    std::fs::write(&case, "").unwrap();
    shop.press();
    tampered(shop);
    std::fs::remove_file(&case).unwrap();
    shop.wait_for_phase("idle");
    guard.finish();
    std::fs::write(&case, "").unwrap();
    let _guard = shop.start("guard");
    shop.press();
    tampered(shop);
    assert_eq!(all.count("session-started"), 1, "{:?}", shop.kinds());
    std::fs::remove_file(&case).unwrap();
    shop.wait_for_phase("idle");
    assert_eq!((all.count("incident-detected"), all.count("incident-cleared")), (3, 3));
    shop.verify();
}

const LEDGER: [&str; 3] = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];

/// What lies where the ledger was, put aside.
fn take(shop: &TestBox, to: &Path) {
    for name in LEDGER {
        let _ = std::fs::rename(shop.path("data").join(name), to.join(name));
    }
}

fn put(shop: &TestBox, from: &Path) {
    for name in LEDGER {
        let _ = std::fs::remove_file(shop.path("data").join(name));
        let _ = std::fs::copy(from.join(name), shop.path("data").join(name));
    }
}

/// A box whose ledger was cut off at its beginning, filled with other bytes, or taken away: told at once by status and
/// state, and by an event as soon as a ledger can take the entry, whatever happens to the guard meanwhile.
#[test]
fn a_ledger_that_cannot_be_trusted_is_told_though_it_cannot_be_written() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("replaced by noise", |file| std::fs::write(file, vec![0x5a; 40_000]).unwrap()),
        ("rolled back", |file| std::fs::remove_file(file).unwrap()),
        ("forked", |file| {
            let store = rusqlite::Connection::open(file).unwrap();
            store.execute("UPDATE entry SET hash = 'x' WHERE seq = 2", []).unwrap();
        }),
    ];
    std::thread::scope(|scope| {
        for (name, harm) in harms {
            scope.spawn(move || is_told(name, harm));
        }
    });
}

fn is_told(name: &str, harm: fn(&Path)) {
    let all = Shop::new("");
    let (shop, kept) = (&all.shop, tempfile::tempdir().unwrap());
    let mut guard = shop.start("guard");
    let _agent = shop.start("agent");
    all.broker.wait_for_phase("idle");
    wait_until("something is signed", || shop.path("data/ledger.checkpoint").exists());
    wait_until("something is delivered", || shop.path("data/agent/outbox-cursor").exists());
    guard.finish();
    take(shop, kept.path());
    put(shop, kept.path());
    // All of it is in the one file then.
    rusqlite::Connection::open(shop.path("data/ledger.db"))
        .unwrap()
        .execute_batch("PRAGMA journal_mode = DELETE")
        .unwrap();
    harm(&shop.path("data/ledger.db"));
    let mut guard = shop.start("guard");
    shop.wait_for_phase("fault");
    all.wait_open("ledger-mismatch");
    all.wait_told("ledger-mismatch");
    let status = shop.status().unwrap();
    assert_eq!(
        (&status["reason"], &status["ledger-check"]),
        (&"ledger-fault".into(), &"bad".into()),
        "{name}: {status}"
    );
    assert_eq!(status["faults"], serde_json::json!(["ledger", "tamper"]), "{name}");
    shop.press();
    assert!(shop.captures().is_empty(), "{name}");
    // What waits in memory is lost; what was found is not.
    guard.kill();
    put(shop, kept.path());
    let _guard = shop.start("guard");
    let event = all.event("ledger-mismatch");
    assert!(event["what"].as_str().unwrap().contains("ledger"), "{name}: {event}");
    all.wait_over("ledger-mismatch");
    shop.wait_for_phase("idle");
    assert!(!shop.path("data/ledger.mismatch").exists(), "{name}");
    assert_eq!((all.count("incident-detected"), all.count("incident-cleared")), (1, 1), "{name}");
    shop.verify();
}

#[test]
fn a_ledger_that_is_taken_away_under_the_guard_ends_the_session_until_it_is_back() {
    let all = Shop::new("");
    let (shop, kept) = (&all.shop, tempfile::tempdir_in(all.shop.dir.path()).unwrap());
    let _guard = shop.start("guard");
    shop.press();
    wait_until("capture exists", || !shop.captures().is_empty());
    take(shop, kept.path());
    all.wait_open("ledger-mismatch");
    shop.wait_for_phase("fault");
    wait_until("capture is gone", || shop.captures().is_empty());
    for name in LEDGER {
        let _ = std::fs::rename(kept.path().join(name), shop.path("data").join(name));
    }
    shop.wait_for_phase("idle");
    wait_until("the ledger has it", || all.count("incident-cleared") == 1);
    assert_eq!(all.count("incident-detected"), 1);
    shop.verify();
}

#[test]
fn many_refused_commands_are_a_notice_until_somebody_touches_the_button() {
    let all = Shop::new("");
    let shop = &all.shop;
    let _guard = shop.start("guard");
    let _agent = shop.start("agent");
    all.broker.wait_for_phase("idle");
    assert_eq!(shop.lamp(), "dark");
    let replies = || all.broker.on("reply").len();
    for sent in 1..=30 {
        all.broker.command("set-video", "nonsense");
        wait_until("it is refused", || replies() >= sent);
    }
    all.wait_open("repeated-refusals");
    wait_until("the lamp says so", || shop.lamp() == "notice");
    all.wait_told("repeated-refusals");
    assert!(all.event("repeated-refusals")["advice"].as_str().unwrap().contains("who may publish"));
    assert_eq!(shop.phase(), "idle", "nothing is stopped by what was refused");
    shop.press();
    all.wait_over("repeated-refusals");
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(shop.lamp(), "dark");
}

#[test]
fn a_clock_that_was_right_and_goes_back_is_a_notice() {
    let all = Shop::new("");
    let shop = &all.shop;
    let clock = WrongClock::new(shop.dir.path(), 0, true);
    let _guard = clock.guard(shop, "one");
    let _agent = shop.start("agent");
    clock.set(-3600, true);
    wait_until("the step is an entry", || all.count("clock-stepped") == 1);
    assert!(all.open().is_empty(), "an hour is a correction");
    clock.set(-6 * 3600, true);
    all.wait_open("clock-rolled-back");
    wait_until("the lamp says so", || shop.lamp() == "notice");
    assert!(all.event("clock-rolled-back")["what"].as_str().unwrap().contains("went back from"));
    clock.set(0, true);
    shop.press();
    all.wait_over("clock-rolled-back");
}

/// Three looks, a minute apart: only in the long form.
#[test]
fn a_changed_program_stops_the_box_and_a_changed_unit_is_a_notice() {
    if std::env::var_os("TALLYBOX_LONG").is_none() {
        return;
    }
    let all = Shop::new("");
    let shop = &all.shop;
    let (program, unit) = ("usr/bin/env", "usr/lib/systemd/system/tallybox-none.service");
    let good = format!("{}  {program}\n", digest(Path::new("/usr/bin/env")));
    let bad = format!("{}  {program}\n{}  {unit}\n", "0".repeat(64), "0".repeat(64));
    let package = "Package: tallybox\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0.0-1\n\n";
    std::fs::write(shop.path("manifest"), bad).unwrap();
    std::fs::write(shop.path("dpkg"), package).unwrap();
    let mounts = format!(
        "mount -t tmpfs tmpfs /usr/share; mkdir /usr/share/tallybox; cp {} /usr/share/tallybox/manifest; mount --bind {} \
         /var/lib/dpkg/status",
        shop.path("manifest").display(),
        shop.path("dpkg").display()
    );
    let guard = shop.start_guard_with(&mounts);
    let _agent = shop.start("agent");
    let patience = std::time::Duration::from_mins(4);
    wait_for("both are found", patience, || (all.open() == ["program-changed", "unit-changed"]).then_some(()));
    tampered(shop);
    assert!(all.event("program-changed")["what"].as_str().unwrap().starts_with("/usr/bin/env is not the program"));
    assert!(all.event("unit-changed")["what"].as_str().unwrap().contains("tallybox-none.service"));
    let inside = PathBuf::from(format!("/proc/{}/root/usr/share/tallybox/manifest", guard.pid()));
    std::fs::write(inside, good).unwrap();
    wait_for("both are over", patience, || all.open().is_empty().then_some(()));
    shop.wait_for_phase("idle");
    assert_eq!((all.count("incident-detected"), all.count("incident-cleared")), (2, 2));
}

fn digest(file: &Path) -> String {
    use std::fmt::Write as _;
    let hash = Sha256::digest(std::fs::read(file).unwrap());
    hash.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[test]
fn many_refused_connections_at_the_guard_are_a_notice() {
    let all = Shop::new("");
    let shop = &all.shop;
    let _guard = shop.start("guard");
    for _ in 0..30 {
        use std::io::{Read, Write};
        let mut socket = std::os::unix::net::UnixStream::connect(shop.path("run/guard.sock")).unwrap();
        socket.write_all(&[0, 0, 0, 2, b'{', b'!']).unwrap();
        // Until it hangs up.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    all.wait_open("repeated-refusals");
    let _agent = shop.start("agent");
    all.wait_told("repeated-refusals");
}
