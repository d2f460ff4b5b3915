//! What lies below data-dir and runtime-dir, looked at again and again while the box works.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::names::{flatten, of_text};

/// Contents by the names of their files; a file that changed is there with each content that was seen.
type Seen = BTreeMap<PathBuf, BTreeSet<Vec<u8>>>;

/// Looks into folders until it is dropped.
pub(super) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    pub(super) fn new(root: &Path) -> Self {
        let (seen, stop): (Arc<Mutex<Seen>>, Arc<AtomicBool>) = Default::default();
        let (root, shared, ended) = (root.to_owned(), seen.clone(), stop.clone());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for folder in ["data", "run"] {
                    look(&root, &root.join(folder), &shared);
                }
                std::thread::park_timeout(Duration::from_millis(25));
            }
        });
        Self { seen, stop }
    }

    /// All that was there at any time it looked.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn look(root: &Path, dir: &Path, seen: &Mutex<Seen>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            look(root, &path, seen);
            continue;
        }
        // The ledger is read as a whole, and a package is none of the box's words.
        let name = path.strip_prefix(root).unwrap().to_owned();
        let is_large = name.to_string_lossy().contains("ledger.db") || !kind.is_file();
        let content = if is_large { Some(Vec::new()) } else { std::fs::read(&path).ok() };
        // One that is gone by now is seen the next time, or was never whole.
        let Some(content) = content else { continue };
        seen.lock().unwrap().entry(name).or_default().insert(content);
    }
}

/// The names of everything in the files that were seen; a file that is not known has a name of its own.
pub(super) fn names(seen: &Seen, found: &mut BTreeSet<String>) {
    for (path, contents) in seen {
        let path = path.to_string_lossy();
        // Written beside the file that it replaces.
        let path = path.strip_suffix(".new").unwrap_or(&path);
        for content in contents {
            of_file(path, content, found);
        }
    }
}

fn of_file(path: &str, content: &[u8], found: &mut BTreeSet<String>) {
    let text = String::from_utf8_lossy(content);
    let json = || serde_json::from_slice::<Value>(content);
    let mut add = |name: &str| found.insert(name.to_owned());
    match path {
        "data/ledger.db" | "data/ledger.db-wal" | "data/ledger.db-shm" | "data/ledger.db-journal" => {}
        "data/credentials/identity" => {
            let blocks: Vec<_> = text.lines().filter(|line| line.starts_with("-----BEGIN")).collect();
            for block in blocks {
                add(&format!("identity.{}", if block.contains("PRIVATE") { "private-key" } else { "public-key" }));
            }
        }
        "data/agent/outbox-cursor" => {
            assert!(text.split_whitespace().count() <= 2, "{text}");
            add("outbox-cursor.seq");
            add("outbox-cursor.ledger");
        }
        "data/ledger.reserve" => {
            assert!(content.iter().all(|byte| *byte == 0));
            add("ledger-reserve");
        }
        "data/ledger.mismatch" => drop(add("ledger-mismatch")),
        "data/update-request" => drop(add("update-attempt")),
        "run/guard.lock" => {
            assert!(content.is_empty());
            add("guard-lock");
        }
        "run/guard.sock" => drop(add("guard-sock")),
        "run/capture.pid" => drop(add("capture-pid")),
        "run/lamp" => drop(add("lamp")),
        _ => {
            let name = path.rsplit('/').next().unwrap();
            let store = name.strip_suffix(".note").unwrap_or(name);
            // What is being written may be cut off; whole it is seen the next time.
            match (json(), text.starts_with("tallybox/")) {
                (_, true) if text.ends_with('\n') && text.contains("\n\n\u{2014} ") => of_text(store, &text, found),
                (Ok(value @ (Value::Object(_) | Value::Array(_))), _) => flatten(store, &value, found),
                _ if content.is_empty() => {}
                _ => drop(found.insert(store.to_owned())),
            }
        }
    }
}

/// The names of everything in the ledger's database, whatever tables and columns it has.
pub(super) fn of_ledger(file: &Path, found: &mut BTreeSet<String>) {
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = store.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let mut rows = store.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = rows.column_names().map(str::to_owned).collect();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cell = |index: usize| match row.get_ref(index).unwrap() {
                ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => String::new(),
                ValueRef::Blob(_) => panic!("{table} has bytes that nobody can read"),
            };
            for (index, column) in columns.iter().enumerate() {
                of_cell(&table, column, &cell(0), &cell(index), found);
            }
        }
    }
}

/// An entry's columns are fields of `ledger export`; the other tables have marks, by their names, and JSON.
fn of_cell(table: &str, column: &str, first: &str, text: &str, found: &mut BTreeSet<String>) {
    let json = serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array());
    let name = match (table, column) {
        ("entry", "monotonic") => "ledger.monotonic-ms".to_owned(),
        ("entry", _) => format!("ledger.{column}"),
        ("mark", "name") | ("anchor", "one") => return,
        ("mark", "value") => format!("ledger.{first}"),
        ("anchor", "memory") => "ledger.anchor.state".to_owned(),
        _ => format!("ledger.{table}.{column}"),
    };
    match json {
        // The position that a start resumes from.
        Some(Value::Array(parts)) if first == "resume" => {
            for (part, value) in ["seq", "hash", "tree", "state"].iter().zip(&parts) {
                flatten(&format!("{name}.{part}"), value, found);
            }
            assert_eq!(parts.len(), 4, "{name}: {text}");
        }
        Some(value) => flatten(&name, &value, found),
        None => drop(found.insert(name)),
    }
}
