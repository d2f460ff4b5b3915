//! Wall clocks that are wrong, under the real guard: nothing that cannot be undone follows them, nor anything that
//! keeps people safe. docs/clocks.md has the table that these tests hold up.

use std::process::Command;

use serde_json::Value;

use crate::ledger::export;
use crate::support::clock::{DAY, WrongClock};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{TALLYBOX, wait_until};

/// The clocks of the table that are wrong from the start: years, a year, ten years, in seconds.
const WRONG: [(&str, i64); 3] =
    [("1970", -56 * 365 * DAY), ("a year behind", -365 * DAY), ("ten years ahead", 3650 * DAY)];

fn time(entry: &Value, key: &str) -> jiff::Timestamp {
    entry[key].as_str().unwrap_or_else(|| panic!("{key} in {entry}")).parse().unwrap()
}

/// By how many seconds a time is off.
fn off(time: jiff::Timestamp) -> i64 {
    time.duration_since(jiff::Timestamp::now()).as_secs()
}

/// A box that has run for a while with a clock that is kept.
fn settled(shop: &TestBox) -> WrongClock {
    let clock = WrongClock::new(shop.dir.path(), 0, true);
    let mut guard = clock.guard(shop, "one");
    shop.press();
    shop.wait_for_phase("connecting");
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
    clock
}

/// A clock that is wrong for a while, synchronised or not: no entry goes, and what comes later is stamped with its own
/// time.
#[test]
fn a_wrong_clock_removes_nothing_and_stamps_nothing_that_comes_later() {
    for (name, offset) in WRONG {
        for synchronised in [false, true] {
            let shop = TestBox::new(&BoxConfig::default());
            let clock = settled(&shop);
            let before = export(&shop);
            clock.set(offset, synchronised);
            let mut guard = clock.guard(&shop, "one");
            shop.press();
            shop.wait_for_phase("connecting");
            shop.press();
            shop.wait_for_phase("idle");
            guard.finish();
            let wrong = export(&shop).len();
            clock.set(0, true);
            clock.guard(&shop, "one").finish();
            let after = export(&shop);
            assert_eq!(after[..before.len()], before, "{name} {synchronised}");
            let last = after.last().unwrap();
            assert!(off(time(last, "at")).abs() < 600, "{name} {synchronised}: {last}");
            for (place, entry) in after.iter().enumerate().skip(before.len()) {
                let (is_wrong, clock) = (place < wrong, off(time(entry, "clock")));
                let expected = if is_wrong { offset } else { 0 };
                assert!((clock - expected).abs() < 3600, "the clock's own reading stays what it was: {entry}");
                assert_eq!(entry["synchronised"], !is_wrong || synchronised);
            }
            shop.verify();
            let doctor = shop.call(&["doctor", "--json"]);
            let rows: Vec<Value> = serde_json::from_slice(&doctor.stdout).unwrap();
            let row = rows.iter().find(|row| row["check"] == "ledger").unwrap();
            assert_eq!(row["verdict"], "ok", "{row}");
        }
    }
}

/// A clock that goes to and fro under a guard on air: the session goes on, its lease too, and each step is an entry.
#[test]
fn a_clock_that_is_set_while_capturing_is_written_down_and_changes_nothing_else() {
    let shop = TestBox::new(&BoxConfig::default());
    let clock = WrongClock::new(shop.dir.path(), 0, true);
    let _guard = clock.guard(&shop, "one");
    shop.press();
    shop.wait_for_phase("connecting");
    let captures = shop.captures();
    for offset in [-3600, DAY, 0] {
        clock.set(offset, true);
        let steps = || export(&shop).iter().filter(|entry| entry["fact"]["kind"] == "clock-stepped").count();
        let before = steps();
        wait_until("the step is an entry", || steps() > before || stepped_to(&shop, offset));
    }
    assert_eq!((shop.phase().as_str(), shop.captures()), ("connecting", captures));
    let steps: Vec<i64> = export(&shop)
        .iter()
        .filter(|entry| entry["fact"]["kind"] == "clock-stepped")
        .map(|entry| time(&entry["fact"], "to").duration_since(time(&entry["fact"], "from")).as_secs())
        .collect();
    let near = |step: i64, wanted: i64| (step - wanted).abs() < 10;
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert!(near(steps[0], -3600) && near(steps[1], DAY + 3600) && near(steps[2], -DAY), "{steps:?}");
    shop.press();
    shop.wait_for_phase("idle");
    assert!(off(time(export(&shop).last().unwrap(), "at")).abs() < 60);
}

/// Whether the last entry says that the clock is off by that much now.
fn stepped_to(shop: &TestBox, offset: i64) -> bool {
    let all = export(shop);
    let last = all.last().unwrap();
    last["fact"]["kind"] == "clock-stepped" && (off(time(&last["fact"], "to")) - offset).abs() < 30
}

/// The newest entry lies in the future: somebody has to know.
#[test]
fn doctor_fails_when_the_newest_entry_is_in_the_future() {
    let shop = TestBox::new(&BoxConfig::default());
    let clock = WrongClock::new(shop.dir.path(), 3650 * DAY, false);
    clock.guard(&shop, "ahead").finish();
    let doctor = shop.call(&["doctor", "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&doctor.stdout).unwrap();
    let row = rows.iter().find(|row| row["check"] == "ledger").unwrap();
    assert_eq!(row["verdict"], "fail", "{row}");
    assert!(row["found"].as_str().unwrap().contains("in the future"), "{row}");
    assert_eq!(doctor.status.code(), Some(69));
}

/// Six months can have 184 days.
#[test]
fn retention_under_184_days_is_refused() {
    for (days, fine) in [(183, false), (184, true)] {
        let more = format!("[privacy]\nledger-retention = \"{days}d\"\n");
        let shop = TestBox::new(&BoxConfig { more, ..BoxConfig::default() });
        let checked = Command::new(TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
        assert_eq!(checked.status.success(), fine, "{checked:?}");
    }
    let shop = TestBox::new(&BoxConfig::default());
    let report = String::from_utf8(shop.call(&["privacy", "report"]).stdout).unwrap();
    assert!(report.contains("184 days") && !report.contains("183 days"), "{report}");
}
