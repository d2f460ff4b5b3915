//! The consent ledger: append-only, hash-chained, on disk before `append` returns.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::recall::Recall;
use crate::ipc::{Entry, Fact, Recorded};

/// What stands before the first entry.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why the ledger cannot be used, with advice.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed: disk full, not writable, not a database.
    #[error("the ledger cannot be read or written: {0}; look at the disk's free space and at who owns data-dir")]
    Store(#[from] rusqlite::Error),
    /// The chain is broken: entries were changed, removed or damaged.
    #[error(
        "entry {seq} of the ledger is bad: {wrong}; keep the file as evidence, move it out of data-dir, and the box starts a new one"
    )]
    Bad {
        /// The first bad entry.
        seq: u64,
        /// What is wrong with it.
        wrong: String,
    },
}

/// The ledger, open. Dropping it closes it; nothing is buffered.
#[derive(Debug)]
pub struct Ledger {
    store: Connection,
    head: Head,
    id: Option<String>,
}

/// Pages that are kept in memory, in KiB (negative, as SQLite has it): entries are written behind each other and read once,
/// and what SQLite keeps otherwise, 2 MB, would only fill up over the months.
const CACHE: i32 = -128;

#[derive(Clone, Debug)]
struct Head {
    seq: u64,
    hash: String,
    at: Option<Timestamp>,
}

/// Hash of an entry: SHA-256 over the four parts with a line feed after each of the first three.
fn hash(prev: &str, seq: u64, at: &str, fact: &str) -> String {
    crate::hex(&Sha256::digest(format!("{prev}\n{seq}\n{at}\n{fact}")))
}

impl Ledger {
    /// Opens the ledger to write, making it if there is none, and verifies the whole chain first.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let store = Connection::open(path)?;
        store.busy_timeout(Duration::from_secs(5))?;
        store.pragma_update(None, "cache_size", CACHE)?;
        store.pragma_update(None, "journal_mode", "WAL")?;
        // On disk before a write returns, so that no power cut loses a start that took effect.
        store.pragma_update(None, "synchronous", "FULL")?;
        store.execute_batch(
            "CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, fact TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS anchor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;",
        )?;
        if !has_memory(&store)? {
            store.execute_batch("ALTER TABLE anchor ADD COLUMN memory TEXT NOT NULL DEFAULT '{}'")?;
        }
        let mut ledger = Self { store, head: Head { seq: 0, hash: GENESIS.to_owned(), at: None }, id: None };
        ledger.head = ledger.verify()?;
        ledger.id = ledger.find_id()?;
        if let Some(id) = &ledger.id {
            keep_id(&ledger.store, id)?;
        }
        Ok(ledger)
    }

    /// Opens the ledger to read only, beside a guard that writes it.
    pub fn open_to_read(path: &Path) -> Result<Self, LedgerError> {
        let store =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        store.busy_timeout(Duration::from_secs(5))?;
        store.pragma_update(None, "cache_size", CACHE)?;
        Ok(Self { store, head: Head { seq: 0, hash: GENESIS.to_owned(), at: None }, id: None })
    }

    /// Which ledger this is: the hash of the very first entry that it had; `None`: it has none yet.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The first entry's hash, from the entry itself or from what is kept of it once it was pruned. Where an older
    /// version pruned it without keeping it, the newest pruned entry stands for it, from then on.
    fn find_id(&self) -> Result<Option<String>, LedgerError> {
        let text = |query: &str| self.store.query_row(query, [], |row| row.get::<_, String>(0)).optional();
        if let Some(first) = text("SELECT hash FROM entry WHERE seq = 1")? {
            return Ok(Some(first));
        }
        if let Some(kept) = text("SELECT value FROM mark WHERE name = 'ledger'")? {
            return Ok(Some(kept));
        }
        Ok(text("SELECT hash FROM anchor")?)
    }

    /// Number of the last entry that was written through this handle, or found when it was opened to write.
    pub fn last(&self) -> u64 {
        self.head.seq
    }

    /// Writes entries, all or none; they are on disk when this returns. An `at` before the last entry's is lifted to
    /// it: a clock that was set back, or is not set yet, does not turn history round.
    pub fn append(&mut self, facts: &[(Timestamp, Fact)]) -> Result<(), LedgerError> {
        let mut head = self.head.clone();
        let mut first = None;
        let transaction = self.store.transaction()?;
        for (at, fact) in facts {
            let at = head.at.map_or(*at, |last| last.max(*at));
            let (at_text, fact) = (at.to_string(), text(fact));
            let seq = head.seq + 1;
            let hash = hash(&head.hash, seq, &at_text, &fact);
            transaction
                .prepare_cached("INSERT INTO entry (seq, at, fact, hash) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![seq, at_text, fact, hash])?;
            if seq == 1 {
                keep_id(&transaction, &hash)?;
                first = Some(hash.clone());
            }
            head = Head { seq, hash, at: Some(at) };
        }
        transaction.commit()?;
        self.head = head;
        self.id = first.or(self.id.take());
        Ok(())
    }

    /// Follows the chain from its anchor to its end. Returns the last entry's number and hash.
    fn verify(&self) -> Result<Head, LedgerError> {
        let (seq, hash) = self.anchor()?;
        let mut head = Head { seq, hash, at: None };
        let mut statement = self.store.prepare("SELECT seq, at, fact, hash FROM entry ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq: u64 = row.get(0)?;
            let bad = |wrong: &str| LedgerError::Bad { seq, wrong: wrong.to_owned() };
            if seq != head.seq + 1 {
                let wrong =
                    if seq <= head.seq { "is older than what was pruned" } else { "the entries before it are missing" };
                return Err(bad(wrong));
            }
            let column = |index| row.get::<_, String>(index).map_err(|_| bad("is not text"));
            let (at, fact, stored) = (column(1)?, column(2)?, column(3)?);
            if stored != self::hash(&head.hash, seq, &at, &fact) {
                return Err(bad("its hash does not fit what it says and what stands before it"));
            }
            let at = at.parse().map_err(|_| bad("its time cannot be read"))?;
            head = Head { seq, hash: stored, at: Some(at) };
        }
        Ok(head)
    }

    /// Verifies and counts: the last entry's number, its hash, and how many entries are kept.
    pub fn prove(&self) -> Result<(u64, String, u64), LedgerError> {
        let head = self.verify()?;
        let (anchor, _) = self.anchor()?;
        Ok((head.seq, head.hash, head.seq - anchor))
    }

    fn anchor(&self) -> Result<(u64, String), LedgerError> {
        let anchor = self
            .store
            .query_row("SELECT seq, hash FROM anchor", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(anchor.unwrap_or((0, GENESIS.to_owned())))
    }

    /// At most `limit` entries after number `after`, in order.
    pub fn entries_after(&self, after: u64, limit: u32) -> Result<Vec<Entry>, LedgerError> {
        let (anchor, anchor_hash) = self.anchor()?;
        let mut prev = if after <= anchor {
            anchor_hash
        } else {
            let known =
                self.store.query_row("SELECT hash FROM entry WHERE seq = ?1", [after], |row| row.get(0)).optional()?;
            known.unwrap_or_default()
        };
        let mut statement =
            self.store.prepare_cached("SELECT seq, at, fact, hash FROM entry WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = statement.query(params![after, limit])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            let bad = |wrong: String| LedgerError::Bad { seq, wrong };
            let (at, fact, hash): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let at = at.parse().map_err(|_| bad(format!("its time {at:?} cannot be read")))?;
            let fact = serde_json::from_str(&fact).map_err(|error| bad(format!("it cannot be read: {error}")))?;
            entries.push(Entry { seq, at, fact, prev: std::mem::replace(&mut prev, hash.clone()), hash });
        }
        Ok(entries)
    }

    /// Removes entries from before `horizon`; the chain goes on from the last of them.
    pub fn prune(&mut self, horizon: Timestamp) -> Result<u64, LedgerError> {
        let mut memory = self.memory()?;
        let transaction = self.store.transaction()?;
        // The newest entry always stays, so that numbers go on where they were.
        let last: Option<(u64, String)> = transaction
            .query_row(
                "SELECT seq, hash FROM entry WHERE at < ?1 AND seq < (SELECT max(seq) FROM entry) ORDER BY seq DESC LIMIT 1",
                [horizon.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((seq, hash)) = last else { return Ok(0) };
        // A lock is a lock, and a policy acknowledged, however long ago that was.
        for (seq, fact) in facts(&transaction, seq)? {
            memory.learn(seq, &fact);
        }
        let memory = serde_json::to_string(&memory).unwrap_or_default();
        transaction.execute(
            "INSERT OR REPLACE INTO anchor (one, seq, hash, memory) VALUES (1, ?1, ?2, ?3)",
            params![seq, hash, memory],
        )?;
        let removed = transaction.execute("DELETE FROM entry WHERE seq <= ?1", [seq])?;
        transaction.commit()?;
        Ok(removed as u64)
    }

    /// What is remembered of the entries that were removed.
    fn memory(&self) -> Result<Recall, LedgerError> {
        if !has_memory(&self.store)? {
            return Ok(Recall::default());
        }
        let stored: Option<(u64, String)> = self
            .store
            .query_row("SELECT seq, memory FROM anchor", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((seq, text)) = stored else { return Ok(Recall::default()) };
        let bad = |error: serde_json::Error| LedgerError::Bad {
            seq,
            wrong: format!("what is remembered of it and those before cannot be read: {error}"),
        };
        serde_json::from_str(&text).map_err(bad)
    }

    /// What the box has to remember across a power cut, from what was written down.
    pub fn recall(&self, policy_version: &str) -> Result<Recall, LedgerError> {
        let mut recall = self.memory()?;
        let mut after = 0;
        loop {
            let page = self.entries_after(after, 500)?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for entry in &page {
                recall.learn(entry.seq, &entry.fact);
            }
        }
        recall.policy_pending = recall.acknowledged.as_deref().is_some_and(|known| known != policy_version);
        Ok(recall)
    }
}

/// Whether the table can hold what is remembered: a ledger of before this could cannot until the guard has opened it.
fn has_memory(store: &Connection) -> Result<bool, LedgerError> {
    let columns = "SELECT count(*) FROM pragma_table_info('anchor') WHERE name = 'memory'";
    Ok(store.query_row(columns, [], |row| row.get::<_, u64>(0))? > 0)
}

/// Keeps the ledger's id for when its first entry has been pruned.
fn keep_id(store: &Connection, id: &str) -> Result<(), LedgerError> {
    store.execute("INSERT OR IGNORE INTO mark (name, value) VALUES ('ledger', ?1)", [id])?;
    Ok(())
}

/// The facts up to number `last`, with their numbers, in order.
fn facts(store: &Connection, last: u64) -> Result<Vec<(u64, Recorded)>, LedgerError> {
    let mut statement = store.prepare("SELECT seq, fact FROM entry WHERE seq <= ?1 ORDER BY seq")?;
    let mut rows = statement.query([last])?;
    let mut facts = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, text): (u64, String) = (row.get(0)?, row.get(1)?);
        let bad = |error: serde_json::Error| LedgerError::Bad { seq, wrong: format!("it cannot be read: {error}") };
        facts.push((seq, serde_json::from_str(&text).map_err(bad)?));
    }
    Ok(facts)
}

/// A fact as it is hashed and stored.
fn text(fact: &Fact) -> String {
    // A Fact is strings, numbers and flags: serialising it cannot fail, and an empty text would not verify.
    serde_json::to_string(fact).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pruned_is_still_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        // As tallybox made it before.
        let old = Connection::open(&path).unwrap();
        old.execute_batch("CREATE TABLE anchor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT").unwrap();
        drop(old);
        let mut ledger = Ledger::open(&path).unwrap();
        let at = |day: i64| Timestamp::from_second(1_770_000_000 + day * 86_400).unwrap();
        let policy_version = || "1".to_owned();
        let facts = [
            Fact::PolicyAcknowledged { policy_version: policy_version() },
            Fact::Identified { fingerprint: "f".to_owned() },
            Fact::SessionStarted { session: 7, sound: true, policy_version: policy_version() },
            Fact::Locked {},
            Fact::GuardStopped {},
        ];
        let facts: Vec<_> = (0_i64..).zip(facts).map(|(day, fact)| (at(day), fact)).collect();
        ledger.append(&facts).unwrap();
        let before = ledger.recall("2").unwrap();
        let first = ledger.entries_after(0, 1).unwrap().remove(0).hash;
        assert_eq!(ledger.id(), Some(first.as_str()));
        assert!(before.locked && before.policy_pending && before.last_session == 7);
        // In two steps: what was remembered in the first is not forgotten in the second.
        assert_eq!(ledger.prune(at(2)).unwrap(), 2);
        assert_eq!(ledger.recall("2").unwrap(), before);
        assert_eq!(ledger.prune(at(100)).unwrap(), 2);
        assert_eq!(ledger.recall("2").unwrap(), before);
        drop(ledger);
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!((ledger.recall("2").unwrap(), ledger.prove().unwrap().2), (before, 1));
        assert_eq!(ledger.id().unwrap(), first, "it is still the same ledger");
    }
}
