//! The ledger's store: an SQLite file with entries, the anchor of the chain after pruning, and a checkpoint.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::chain::{COLUMNS, ChainPosition, OLD_COLUMNS, StoredEntry};
use super::entry_hash::{GENESIS, StoredReading, digest};
use super::error::LedgerError;
use super::state::LedgerState;
use crate::clock::ClockReading;
use crate::ipc::{Fact, LedgerEntry};

/// How long a handle waits for another process that holds the ledger, before an error for which
/// [`LedgerError::is_busy`] holds.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// The same for commands, which have nothing else to do.
const READ_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache in KiB (negative is SQLite's form for a size). Entries are appended and read once: SQLite's default, 2
/// MB, would only fill up over the months.
const CACHE_KIB: i32 = -128;
/// Entries that are read at once.
pub(super) const PAGE_ENTRIES: u32 = 500;
/// A ledger of up to so many entries is verified whole before it is used: a tenth of a second, half a second on a small
/// board.
pub(super) const MAX_VERIFIED_AT_OPEN: u64 = 10_000;
/// Entries between two checkpoints: of a longer ledger at most so many are verified before it is used.
pub(super) const CHECKPOINT_INTERVAL: u64 = 256;

/// The ledger, open. Dropping it closes it; nothing is buffered.
#[derive(Debug)]
pub struct Ledger {
    pub(super) store: Connection,
    /// Its end.
    pub(super) position: ChainPosition,
    id: Option<String>,
    /// The columns that its entries have.
    columns: &'static str,
    /// Up to here it was not verified when it was opened; 0: it was, whole.
    unverified: u64,
    /// The last checkpoint's number.
    checkpoint: u64,
}

impl Ledger {
    /// Opens the ledger to write, making it if there is none. A short one is verified whole first, a long one from its
    /// last checkpoint on: see [`Ledger::unverified`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let store = Connection::open(path)?;
        store.busy_timeout(BUSY_TIMEOUT)?;
        store.pragma_update(None, "cache_size", CACHE_KIB)?;
        store.pragma_update(None, "journal_mode", "WAL")?;
        // On disk before a write returns, so that no power cut loses a start that took effect.
        store.pragma_update(None, "synchronous", "FULL")?;
        store.execute_batch(
            "CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, fact TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS anchor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;",
        )?;
        if !has_column(&store, "anchor", "memory")? {
            store.execute_batch("ALTER TABLE anchor ADD COLUMN memory TEXT NOT NULL DEFAULT '{}'")?;
        }
        if !has_column(&store, "entry", "clock")? {
            store.execute_batch(
                "BEGIN; ALTER TABLE entry ADD COLUMN synchronised INTEGER; ALTER TABLE entry ADD COLUMN boot TEXT;
                 ALTER TABLE entry ADD COLUMN monotonic INTEGER; ALTER TABLE entry ADD COLUMN clock TEXT; COMMIT;",
            )?;
        }
        let mut ledger = Self::from_store(store)?;
        let begin = ledger.anchor()?;
        let newest: u64 = ledger.store.query_row("SELECT coalesce(max(seq), 0) FROM entry", [], |row| row.get(0))?;
        let known = if newest.saturating_sub(begin.seq) > MAX_VERIFIED_AT_OPEN { ledger.checkpoint()? } else { None };
        ledger.unverified = known.as_ref().map_or(0, |known| known.seq);
        ledger.position = ledger.follow(known.unwrap_or(begin), u64::MAX)?;
        ledger.id = ledger.find_id()?;
        let id = ledger.id.clone();
        let kept =
            id.map_or(Ok(()), |id| insert_mark(&ledger.store, "ledger", &id)).and_then(|()| ledger.write_checkpoint());
        match kept {
            // Another process holds it: the next checkpoint will do.
            Err(error) if !error.is_busy() => Err(error),
            Ok(()) | Err(_) => Ok(ledger),
        }
    }

    /// Opens a copy of a ledger that nobody writes, also in a folder without write permission. Entries in a `-wal` file
    /// are missing where that was not copied too.
    pub fn open_copy(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let beside = |end: &str| Path::new(&format!("{}{end}", path.display())).exists();
        if beside("-wal") {
            return Self::open_read_only(path);
        }
        let text = path.display().to_string();
        let plain = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Self::from_store(Connection::open_with_flags(format!("file:{plain}?immutable=1"), flags)?)
    }

    /// Opens the ledger read-only, while a guard may write it.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        let store =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        store.busy_timeout(READ_BUSY_TIMEOUT)?;
        store.pragma_update(None, "cache_size", CACHE_KIB)?;
        Self::from_store(store)
    }

    fn from_store(store: Connection) -> Result<Self, LedgerError> {
        let columns = if has_column(&store, "entry", "clock")? { COLUMNS } else { OLD_COLUMNS };
        let position = ChainPosition { seq: 0, hash: GENESIS.to_owned(), state: LedgerState::default() };
        Ok(Self { store, position, id: None, columns, unverified: 0, checkpoint: 0 })
    }

    /// Which ledger this is: the hash of the very first entry that it had; `None`: it has none yet.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Number of the last entry that was written through this handle, or found when it was opened to write.
    pub fn last(&self) -> u64 {
        self.position.seq
    }

    /// The state after the last entry.
    pub fn state(&self) -> &LedgerState {
        &self.position.state
    }

    /// The same state replayed from the entries themselves, which are verified on the way.
    pub fn replay(&self, policy_version: &str) -> Result<LedgerState, LedgerError> {
        let _snapshot = self.store.unchecked_transaction()?;
        Ok(self.follow(self.anchor()?, u64::MAX)?.state.with_policy(policy_version))
    }

    /// Up to this entry the ledger was not verified when it was opened; 0: it was, whole. [`Ledger::verify_up_to`], on
    /// a handle of its own, makes up for it.
    pub fn unverified(&self) -> u64 {
        self.unverified
    }

    /// The first entry's hash, from the entry or, once that was pruned, from the mark. Where an older version pruned it
    /// without a mark, the newest pruned entry replaces it for good.
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

    /// Writes entries, all or none; they are on disk when this returns.
    pub fn append(&mut self, facts: &[(ClockReading, Fact)]) -> Result<(), LedgerError> {
        let mut position = self.position.clone();
        let transaction = self.store.transaction()?;
        let first = insert(&transaction, &mut position, facts)?;
        if let Some(first) = &first {
            insert_mark(&transaction, "ledger", first)?;
        }
        transaction.commit()?;
        self.position = position;
        self.id = first.or(self.id.take());
        // The entries are on disk, whatever becomes of this: an error here would have them written twice.
        if self.position.seq - self.checkpoint >= CHECKPOINT_INTERVAL
            && let Err(error) = self.write_checkpoint()
        {
            tracing::warn!("no checkpoint of the ledger: {error}");
        }
        Ok(())
    }

    /// Stores the position of the last entry, which was verified, so that the next opening begins there.
    pub fn write_checkpoint(&mut self) -> Result<(), LedgerError> {
        let ChainPosition { seq, hash, state } = &self.position;
        let text = serde_json::to_string(&(seq, hash, state)).unwrap_or_default();
        self.store.execute("INSERT OR REPLACE INTO mark (name, value) VALUES ('checkpoint', ?1)", [text])?;
        self.checkpoint = *seq;
        Ok(())
    }

    /// Deletes the checkpoint: the next opening verifies all.
    pub fn delete_checkpoint(&mut self) -> Result<(), LedgerError> {
        self.store.execute("DELETE FROM mark WHERE name = 'checkpoint'", [])?;
        Ok(())
    }

    /// The last checkpoint, if it is one of this chain.
    fn checkpoint(&self) -> Result<Option<ChainPosition>, LedgerError> {
        let query = "SELECT value FROM mark WHERE name = 'checkpoint'";
        let text: Option<String> = self.store.query_row(query, [], |row| row.get(0)).optional()?;
        let Some((seq, hash, state)) =
            text.and_then(|text| serde_json::from_str::<(u64, String, LedgerState)>(&text).ok())
        else {
            return Ok(None);
        };
        let stored: Option<String> =
            self.store.query_row("SELECT hash FROM entry WHERE seq = ?1", [seq], |row| row.get(0)).optional()?;
        Ok((stored.as_ref() == Some(&hash)).then_some(ChainPosition { seq, hash, state }))
    }

    /// Follows the chain from `position` up to entry `last`.
    fn follow(&self, mut position: ChainPosition, last: u64) -> Result<ChainPosition, LedgerError> {
        loop {
            let page = self.stored_after(position.seq, PAGE_ENTRIES)?;
            if page.is_empty() {
                return Ok(position);
            }
            for stored in page {
                if position.seq >= last {
                    return Ok(position);
                }
                position.follow(stored)?;
            }
        }
    }

    /// Verifies all entries up to `last`, which another handle skipped because of its checkpoint, and that the
    /// checkpoint's state is the one that follows from the entries.
    pub fn verify_up_to(&self, last: u64) -> Result<(), LedgerError> {
        // One state of it all, whatever is pruned meanwhile.
        let _snapshot = self.store.unchecked_transaction()?;
        let known = self.checkpoint()?.filter(|known| known.seq >= last);
        let found = self.follow(self.anchor()?, known.as_ref().map_or(last, |known| known.seq))?;
        let invalid = |problem: &str| Err(LedgerError::Invalid { seq: found.seq, problem: problem.to_owned() });
        match known {
            Some(known) if known.seq == found.seq && known.state != found.state => {
                invalid("what the box remembered at it is not what the entries say")
            }
            Some(_) | None if found.seq < last => invalid("the entries behind it are missing"),
            Some(_) | None => Ok(()),
        }
    }

    /// Verifies all entries: the last entry's number, its hash, and how many entries there are.
    pub fn verify(&self) -> Result<(u64, String, u64), LedgerError> {
        let _snapshot = self.store.unchecked_transaction()?;
        let begin = self.anchor()?;
        let first = begin.seq;
        let end = self.follow(begin, u64::MAX)?;
        Ok((end.seq, end.hash, end.seq - first))
    }

    /// The position where the chain begins: after the pruned entries, with the state that followed from them.
    pub(super) fn anchor(&self) -> Result<ChainPosition, LedgerError> {
        let memory = if has_column(&self.store, "anchor", "memory")? { "memory" } else { "'{}'" };
        let read = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get::<_, String>(2)?));
        let query = format!("SELECT seq, hash, {memory} FROM anchor");
        let Some((seq, hash, memory)) = self.store.query_row(&query, [], read).optional()? else {
            return Ok(ChainPosition { seq: 0, hash: GENESIS.to_owned(), state: LedgerState::default() });
        };
        let state = serde_json::from_str(&memory).map_err(|error| LedgerError::Invalid {
            seq,
            problem: format!("what is remembered of it and those before cannot be read: {error}"),
        })?;
        Ok(ChainPosition { seq, hash, state })
    }

    /// At most `limit` entries after number `after` as they are stored, in order.
    pub(super) fn stored_after(&self, after: u64, limit: u32) -> Result<Vec<StoredEntry>, LedgerError> {
        let query = format!("SELECT {} FROM entry WHERE seq > ?1 ORDER BY seq LIMIT ?2", self.columns);
        let mut statement = self.store.prepare_cached(&query)?;
        let mut rows = statement.query(params![after, limit])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(StoredEntry::read(row)?);
        }
        Ok(all)
    }

    /// At most `limit` entries after number `after`, in order.
    pub fn entries_after(&self, after: u64, limit: u32) -> Result<Vec<LedgerEntry>, LedgerError> {
        let _snapshot = self.store.unchecked_transaction()?;
        let begin = self.anchor()?;
        let mut prev = if after <= begin.seq {
            begin.hash
        } else {
            let known =
                self.store.query_row("SELECT hash FROM entry WHERE seq = ?1", [after], |row| row.get(0)).optional()?;
            known.unwrap_or_default()
        };
        let mut entries = Vec::new();
        for stored in self.stored_after(after, limit)? {
            let hash = stored.hash.clone();
            entries.push(stored.entry(std::mem::replace(&mut prev, hash))?);
        }
        Ok(entries)
    }
}

/// Appends entries at `position`, which advances; returns the hash of the very first entry, if that is among them.
pub(super) fn insert(
    store: &Connection,
    position: &mut ChainPosition,
    facts: &[(ClockReading, Fact)],
) -> Result<Option<String>, LedgerError> {
    let mut first = None;
    for (reading, fact) in facts {
        let at = position.state.time.ordering_time(reading).to_string();
        // A Fact is strings, numbers and flags: serialising it cannot fail, and an empty text would not verify.
        let fact = serde_json::to_string(fact).unwrap_or_default();
        let (seq, reading) = (position.seq + 1, Some(StoredReading::new(reading)));
        let hash = digest(&position.hash, seq, &at, reading.as_ref(), &fact);
        let stored = StoredEntry { seq, at, fact, hash, reading };
        if let Some(reading) = &stored.reading {
            store
                .prepare_cached(
                    "INSERT INTO entry (seq, at, fact, hash, clock, synchronised, boot, monotonic)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    seq,
                    stored.at,
                    stored.fact,
                    stored.hash,
                    reading.clock,
                    reading.synchronised,
                    reading.boot,
                    reading.monotonic_ms
                ])?;
        }
        let entry = position.follow(stored)?;
        if seq == 1 {
            first = Some(entry.hash);
        }
    }
    Ok(first)
}

/// Whether a table has a column: a ledger of an older version lacks some until a guard has opened it.
fn has_column(store: &Connection, table: &str, column: &str) -> Result<bool, LedgerError> {
    let count = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
    Ok(store.query_row(count, [table, column], |row| row.get::<_, u64>(0))? > 0)
}

/// Stores a mark, unless there is one of this name.
fn insert_mark(store: &Connection, name: &str, value: &str) -> Result<(), LedgerError> {
    store.execute("INSERT OR IGNORE INTO mark (name, value) VALUES (?1, ?2)", [name, value])?;
    Ok(())
}
