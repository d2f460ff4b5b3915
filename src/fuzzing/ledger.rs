//! Ledgers that somebody hands in: exports, and whole databases.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

use super::input::Input;
use super::oracle::{assert_told, round_trip};
use crate::clock::ClockReading;
use crate::ipc::{Fact, LedgerEntry};
use crate::ledger::{Ledger, LedgerError, following, verify_export};

/// Most entries that are made.
const MAX_ENTRIES: usize = 32;

/// Any bytes as an export.
pub(super) fn export(bytes: &[u8]) {
    match verify_export(bytes) {
        Ok(verified) => {
            assert_eq!(verified.entries, verified.last - verified.first + 1);
            assert!(verified.tree.is_none_or(|tree| tree.size() == verified.last));
            // Without any one of its entries in the middle it is another ledger.
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            for left_out in 1..lines.len().saturating_sub(1) {
                let kept = lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line);
                let shorter: String = kept.flat_map(|line| [line, "\n"]).collect();
                assert!(verify_export(shorter.as_bytes()).is_err(), "without line {left_out}");
            }
        }
        Err(error) => assert_told(&error.to_string()),
    }
}

/// Facts as lines of JSON, with whatever clock, chained as a box would: they verify, replay, and survive a database.
pub(super) fn facts(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut entries: Vec<LedgerEntry> = Vec::new();
    let clocks = [0, 1, 1_790_000_000, Timestamp::MAX.as_second(), Timestamp::MIN.as_second()];
    for line in input.rest().split(|byte| *byte == b'\n').take(MAX_ENTRIES) {
        let (&kind, json) = line.split_first().unwrap_or((&0, &[]));
        let Some(fact) = round_trip::<Fact>(json) else { continue };
        let at = Timestamp::from_second(clocks[usize::from(kind) % clocks.len()]).expect("a time");
        let boot = ["0123456789abcdef", "fedcba9876543210"][usize::from(kind >> 3) % 2].into();
        let monotonic_ms = [0, 1000, u64::from(u32::MAX), i64::MAX.unsigned_abs()][usize::from(kind >> 4) % 4];
        let reading = ClockReading { utc: at, synchronised: kind & 1 == 1, boot, monotonic_ms };
        let before = entries.last().map(|entry| (entry.seq, entry.hash.as_str()));
        entries.push(following(before, at, &reading, fact).expect("a fact can be written"));
    }
    let text: String = entries.iter().flat_map(|entry| [entry.line(), "\n".to_owned()]).collect();
    let verified = verify_export(text.as_bytes());
    assert_eq!(verified.as_ref().ok().map_or(0, |verified| verified.entries), entries.len() as u64, "{verified:?}");
    let dir = scratch();
    let path = dir.path().join("ledger.db");
    drop(Ledger::open(&path).expect("a new one"));
    let store = Connection::open(&path).expect("a database");
    for entry in &entries {
        let fact = serde_json::to_string(&entry.fact).expect("a fact");
        let reading = entry.reading().expect("made with one");
        store
            .execute(
                "INSERT INTO entry (seq,at,fact,hash,clock,synchronised,boot,monotonic) VALUES (?,?,?,?,?,?,?,?)",
                rusqlite::params![
                    entry.seq,
                    entry.at.to_string(),
                    fact,
                    entry.hash,
                    reading.utc.to_string(),
                    reading.synchronised,
                    &*reading.boot,
                    reading.monotonic_ms
                ],
            )
            .expect("a row");
    }
    drop(store);
    let ledger = Ledger::open(&path).expect("what follows from its entries");
    assert_eq!(ledger.last(), entries.len() as u64);
    assert_eq!(ledger.replay("").expect("it verifies"), ledger.state().clone().with_policy(""));
    assert_eq!(ledger.entries_after(0, 100).expect("entries"), entries);
}

/// A folder in memory, where there is one.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for the database")
}

/// Any bytes as a ledger's database; and rows that SQLite takes and no box wrote.
pub(super) fn database(bytes: &[u8]) {
    let dir = scratch();
    let path = dir.path().join("ledger.db");
    if bytes.starts_with(b"SQLite format 3\0") {
        std::fs::write(&path, bytes).expect("a file in memory");
    } else {
        drop(Ledger::open(&path).expect("a new one"));
        let store = Connection::open(&path).expect("a database");
        // What is no SQL is no row.
        let _ = store.execute_batch(&format!("PRAGMA ignore_check_constraints = 1;{}", statements(bytes)));
    }
    judge(Ledger::open_copy(&path));
    judge(Ledger::open_read_only(&path));
    judge(Ledger::open(&path));
}

/// Rows for the tables, each value as its bytes say.
fn statements(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let mut all = String::new();
    while !input.is_empty() && all.len() < 8192 {
        let table = *input.choose(&["entry(seq,at,fact,hash)", "mark(name,value)", "anchor(one,seq,hash,memory,tree)"]);
        let count = table.matches(',').count() + 1;
        let values: Vec<String> = (0..count).map(|_| value(&mut input)).collect();
        all = format!("{all}INSERT OR REPLACE INTO {table} VALUES({});\n", values.join(","));
    }
    all
}

fn value(input: &mut Input<'_>) -> String {
    match input.byte() % 8 {
        0 => "NULL".to_owned(),
        1 => i64::from_be_bytes(input.number().to_be_bytes()).to_string(),
        2 => input.byte().to_string(),
        3 => format!("x'{}'", crate::hex(input.part())),
        4 => "1".to_owned(),
        5 => format!("'{}'", "0".repeat(64)),
        6 => "'2026-11-29T10:00:00Z'".to_owned(),
        _ => format!("'{}'", input.text().replace(['\'', '\0'], " ")),
    }
}

/// Whatever it is: an answer, or a reason.
fn judge(opened: Result<Ledger, LedgerError>) {
    let told = |error: LedgerError| assert!(!error.to_string().is_empty());
    let ledger = match opened {
        Ok(ledger) => ledger,
        Err(error) => return told(error),
    };
    if let Err(error) = ledger.verify() {
        told(error);
    }
    if let Err(error) = ledger.replay("2026-11-29") {
        told(error);
    }
    match ledger.entries_after(0, 64) {
        Ok(entries) => assert!(entries.len() <= 64),
        Err(error) => told(error),
    }
    match ledger.pruned().and_then(|_| ledger.root_at(1)) {
        Ok(_) => {}
        Err(error) => told(error),
    }
}
