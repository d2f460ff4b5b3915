//! Storing, verifying, replaying and pruning.

mod power;
mod simulation;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::chain::RESUME_INTERVAL;
use super::entry_hash::{GENESIS, digest};
use super::store::MAX_VERIFIED_AT_OPEN;
use super::{Ledger, LedgerError};
use crate::clock::ClockReading;
use crate::ipc::{Fact, LedgerEntry, StoredFact};

const DAY: i64 = 86_400;

/// Noon of a day of 2026 or later, on a synchronised clock, in one long boot.
fn on_day(day: i64) -> ClockReading {
    reading(day, true, "a", day)
}

fn reading(day: i64, synchronised: bool, boot: &str, up: i64) -> ClockReading {
    let utc = jiff::Timestamp::from_second(1_782_864_000 + day * DAY).unwrap();
    ClockReading { utc, synchronised, boot: boot.into(), monotonic_ms: u64::try_from(up * DAY * 1000).unwrap() }
}

fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

/// A ledger of `count` entries, one a day.
fn daily(path: &Path, count: i64) -> Ledger {
    let mut ledger = Ledger::open(path).unwrap();
    for day in 0..count {
        ledger.append(&[(on_day(day), Fact::Locked {})]).unwrap();
    }
    ledger
}

fn all(ledger: &Ledger) -> Vec<LedgerEntry> {
    ledger.entries_after(0, 100_000).unwrap()
}

#[test]
fn what_was_pruned_is_still_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    // As an older version made it.
    let old = Connection::open(&path).unwrap();
    old.execute_batch("CREATE TABLE anchor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT").unwrap();
    drop(old);
    let mut ledger = Ledger::open(&path).unwrap();
    let policy_version = || "1".to_owned();
    let facts = [
        Fact::PolicyAcknowledged { policy_version: policy_version() },
        Fact::Identified { fingerprint: "f".to_owned() },
        Fact::SessionStarted { session: 7, sound: true, policy_version: policy_version(), guardian: false },
        Fact::Locked {},
        Fact::GuardStopped {},
        Fact::GuardStopped {},
        Fact::GuardStopped {},
        Fact::GuardStopped {},
    ];
    let facts: Vec<_> = (0_i64..).zip(facts).map(|(day, fact)| (on_day(day), fact)).collect();
    ledger.append(&facts).unwrap();
    let before = ledger.replay("2").unwrap();
    let first = all(&ledger).remove(0).hash;
    assert!(before.locked && before.policy_pending && before.last_session == 7);
    // In steps: the state of the first pruning survives the next.
    for (step, kept) in [7, 7, 7].into_iter().enumerate() {
        assert!(ledger.prune(days(2), &on_day(200 + i64::try_from(step).unwrap())).unwrap() > 0);
        let after = ledger.replay("2").unwrap();
        assert_eq!((after.locked, after.policy_pending, after.last_session), (true, true, 7));
        assert_eq!((after.identity.as_deref(), all(&ledger).len()), (Some("f"), kept));
    }
    assert_eq!(ledger.id(), Some(first.as_str()));
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.state().last_session, 7);
    assert_eq!(ledger.id(), Some(first.as_str()), "it is still the same ledger");
    ledger.verify().unwrap();
}

/// Regression: one boot with the clock years ahead removed all entries silently.
#[test]
fn no_clock_removes_what_was_not_seen_to_grow_old() {
    for synchronised in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = daily(&dir.path().join("ledger.db"), 100);
        for ahead in [reading(3650, synchronised, "a", 100), reading(3650, synchronised, "b", 0)] {
            ledger.append(&[(ahead.clone(), Fact::GuardStopped {})]).unwrap();
            assert_eq!(ledger.prune(days(184), &ahead).unwrap(), 0, "{ahead:?}");
        }
        assert_eq!(all(&ledger).len(), 102);
    }
}

#[test]
fn what_is_old_goes_in_parts_and_an_entry_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = daily(&dir.path().join("ledger.db"), 400);
    assert_eq!(ledger.prune(days(399), &on_day(400)).unwrap(), 2, "days 0 and 1 are past their time, and a day more");
    assert_eq!(ledger.prune(days(399), &on_day(401)).unwrap(), 0, "one is not worth an entry yet");
    let last = all(&ledger).pop().unwrap();
    assert_eq!(
        last.fact,
        StoredFact::Known(Fact::Pruned {
            first: 1,
            last: 2,
            from: on_day(0).utc,
            until: on_day(1).utc,
            checkpoint: None
        })
    );
    // Never all at once, after however long a time.
    assert_eq!(ledger.prune(days(184), &on_day(5000)).unwrap(), 99);
    assert_eq!(all(&ledger)[0].seq, 102);
    ledger.verify().unwrap();
}

/// Entries of older versions, without readings, stay as they are, and new ones follow them.
#[test]
fn an_old_ledger_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE entry (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, fact TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
         CREATE TABLE anchor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL, memory TEXT NOT NULL DEFAULT '{}') STRICT;",
    )
    .unwrap();
    let mut prev = GENESIS.to_owned();
    for seq in 1..=4 {
        let (at, fact) = (format!("2026-07-0{seq}T12:00:00Z"), r#"{"kind":"locked"}"#);
        let hash = digest(&prev, seq, &at, None, fact);
        old.execute("INSERT INTO entry (seq, at, fact, hash) VALUES (?1, ?2, ?3, ?4)", params![seq, at, fact, hash])
            .unwrap();
        prev = hash;
    }
    drop(old);
    assert_eq!(
        Ledger::open_read_only(&path).unwrap().verify().unwrap().0,
        4,
        "it can be read before a guard has opened it"
    );
    let mut ledger = Ledger::open(&path).unwrap();
    ledger.append(&[(on_day(30), Fact::Unlocked {})]).unwrap();
    let entries = all(&ledger);
    assert_eq!((entries.len(), entries[3].reading(), entries[4].reading()), (5, None, Some(on_day(30))));
    assert_eq!(ledger.verify().unwrap().0, 5);
    // Their age is known from an unverified clock only: it counts from the first reading on.
    assert_eq!(ledger.prune(days(184), &on_day(30 + 180)).unwrap(), 0);
    assert_eq!(ledger.prune(days(184), &on_day(30 + 186)).unwrap(), 1);
}

/// The hash covers each column.
#[test]
fn whatever_is_changed_shows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    drop(daily(&path, 3));
    let store = Connection::open(&path).unwrap();
    for change in [
        "at = '2026-01-01T00:00:00Z'",
        "fact = '{\"kind\":\"unlocked\"}'",
        "clock = '2026-01-01T00:00:00Z'",
        "synchronised = 0",
        "boot = 'b'",
        "monotonic = 5",
        "clock = NULL",
    ] {
        store.execute_batch(&format!("SAVEPOINT s; UPDATE entry SET {change} WHERE seq = 2; RELEASE s;")).unwrap();
        let problem = Ledger::open_read_only(&path).unwrap().verify();
        assert!(matches!(problem, Err(LedgerError::Invalid { seq: 2, .. })), "{change}: {problem:?}");
        let undo = "UPDATE entry SET at = '2026-07-02T00:00:00Z', fact = '{\"kind\":\"locked\"}', clock = '2026-07-02T00:00:00Z', synchronised = 1, boot = 'a', monotonic = 86400000 WHERE seq = 2";
        store.execute_batch(undo).unwrap();
        Ledger::open_read_only(&path).unwrap().verify().unwrap();
    }
}

/// A long ledger is opened from its resume point, and the entries before it are verified soon after.
#[test]
fn a_long_ledger_is_opened_from_its_resume_point() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let count = i64::try_from(MAX_VERIFIED_AT_OPEN).unwrap() + 600;
    let mut ledger = Ledger::open(&path).unwrap();
    let facts: Vec<_> = (0..count).map(|_| (on_day(0), Fact::Locked {})).collect();
    for part in facts.chunks(300) {
        ledger.append(part).unwrap();
    }
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    let unverified = ledger.unverified();
    assert!(unverified > MAX_VERIFIED_AT_OPEN && ledger.last() - unverified <= RESUME_INTERVAL + 300, "{unverified}");
    assert_eq!(ledger.state(), &ledger.replay("").unwrap());
    drop(ledger);
    Ledger::open_read_only(&path).unwrap().verify_up_to(unverified).unwrap();
    // An old entry, or the resume point's state or tree, is changed: the background verification finds it, not the
    // opening.
    let store = Connection::open(&path).unwrap();
    for (change, undo) in [
        (
            "UPDATE entry SET fact = replace(fact, 'locked', 'unlocked') WHERE seq = 5",
            "UPDATE entry SET fact = replace(fact, 'unlocked', 'locked') WHERE seq = 5",
        ),
        (
            "UPDATE mark SET value = replace(value, '\"locked\":true', '\"locked\":false')",
            "UPDATE mark SET value = replace(value, '\"locked\":false', '\"locked\":true')",
        ),
    ] {
        store.execute_batch(change).unwrap();
        Ledger::open(&path).unwrap();
        let found = Ledger::open_read_only(&path).unwrap().verify_up_to(unverified);
        assert!(matches!(found, Err(LedgerError::Invalid { .. })), "{change}: {found:?}");
        store.execute_batch(undo).unwrap();
    }
    // A resume point of another chain, or one without a tree that fits its number, is ignored.
    store
        .execute_batch("UPDATE mark SET value = replace(value, '\",[\"', '\",[\"no hash\",\"') WHERE name = 'resume'")
        .unwrap();
    assert_eq!(Ledger::open(&path).unwrap().unverified(), 0);
    store.execute_batch("UPDATE mark SET value = replace(value, '[', '[9') WHERE name = 'resume'").unwrap();
    assert_eq!(Ledger::open(&path).unwrap().unverified(), 0);
}

/// A ledger that was flooded for years opens at once. `TALLYBOX_LONG=1` makes one of a million entries, and prints how
/// long it takes whole, and from the resume point.
#[test]
fn a_million_entries_are_opened_at_once() {
    if std::env::var_os("TALLYBOX_LONG").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let clock = crate::clock::Clock::start();
    let fact = || Fact::OffAir { session: 7, reason: "the server does not answer within 5 s".to_owned() };
    let mut ledger = Ledger::open(&path).unwrap();
    let part: Vec<_> = (0..10_000).map(|_| (on_day(0), fact())).collect();
    for _ in 0..100 {
        ledger.append(&part).unwrap();
    }
    drop(ledger);
    let begun = clock.now();
    Ledger::open_read_only(&path).unwrap().replay("").unwrap();
    let whole = clock.now().duration_since(begun);
    let begun = clock.now();
    let ledger = Ledger::open(&path).unwrap();
    let opened = clock.now().duration_since(begun);
    println!("a million entries: followed whole in {whole:?}, opened from the resume point in {opened:?}");
    assert!(ledger.last() == 1_000_000 && opened < Duration::from_secs(1), "{opened:?}");
}
