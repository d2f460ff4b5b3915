//! Real connections to a database in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::*;

type Content = Arc<Mutex<Vec<u8>>>;

static FILES: LazyLock<Mutex<BTreeMap<PathBuf, Content>>> = LazyLock::new(Mutex::default);

struct Memory;

struct MemoryFile(Content);

impl Disk for Memory {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut files = FILES.lock().unwrap();
        let known = files.get(path).cloned();
        let made = || create.then(|| files.entry(path.to_owned()).or_default().clone());
        Ok(Box::new(MemoryFile(known.or_else(made).ok_or(io::ErrorKind::NotFound)?)))
    }

    fn delete(&self, path: &Path, _sync_dir: bool) -> io::Result<()> {
        FILES.lock().unwrap().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        FILES.lock().unwrap().contains_key(path)
    }
}

impl DiskFile for MemoryFile {
    fn id(&self) -> (u64, u64) {
        (0, Arc::as_ptr(&self.0) as u64)
    }

    fn read_at(&mut self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let from = usize::try_from(at).unwrap().min(content.len());
        let length = into.len().min(content.len() - from);
        into[..length].copy_from_slice(&content[from..from + length]);
        Ok(length)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        let from = usize::try_from(at).unwrap();
        let length = content.len().max(from + bytes.len());
        content.resize(length, 0);
        content[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}

fn open(name: &str) -> Connection {
    static REGISTERED: LazyLock<Result<(), i32>> = LazyLock::new(|| register(c"memory", Box::new(Memory)));
    (*REGISTERED).unwrap();
    Connection::open_with_flags_and_vfs(name, OpenFlags::default(), c"memory").unwrap()
}

fn count(store: &Connection) -> u64 {
    store.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn two_connections_share_a_write_ahead_log() {
    let (one, two) = (open("/shared"), open("/shared"));
    let mode: String = one.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    one.execute_batch("CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('a');").unwrap();
    assert_eq!(count(&two), 1);
    assert!(FILES.lock().unwrap().contains_key(Path::new("/shared-wal")));
    // One writes at a time; a reader sees what was there when it began.
    one.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES ('b');").unwrap();
    let refused = two.execute_batch("INSERT INTO t VALUES ('c')").unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    assert_eq!(count(&two), 1);
    one.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&two), 2);
    drop((one, two));
    assert!(!FILES.lock().unwrap().contains_key(Path::new("/shared-wal")), "the last one takes the log away");
    assert_eq!(count(&open("/shared")), 2);
}

#[test]
fn large_logs_and_journals_work_too() {
    for mode in ["WAL", "DELETE"] {
        let name = format!("/large-{mode}");
        let store = open(&name);
        store.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        store.execute_batch("PRAGMA cache_size = 10; CREATE TABLE t (x BLOB); BEGIN;").unwrap();
        for _ in 0..3_000 {
            store.execute("INSERT INTO t VALUES (randomblob(3000))", []).unwrap();
        }
        store.execute_batch("ROLLBACK; BEGIN; INSERT INTO t VALUES ('kept'); COMMIT; PRAGMA integrity_check").unwrap();
        assert_eq!(count(&open(&name)), 1, "{mode}");
    }
}
