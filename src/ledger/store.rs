//! The ledger's store: an SQLite file with entries, the anchor of the chain after pruning, and a resume point.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tlog::{CompactRange, Hash};

use super::chain::{COLUMNS, ChainPosition, OLD_COLUMNS, RESUME_INTERVAL, StoredEntry, tree};
use super::checkpoint::{CheckpointSigner, SignedHead};
use super::entry_hash::{StoredReading, digest};
use super::error::LedgerError;
use super::state::LedgerState;
use crate::clock::ClockReading;
use crate::disk;
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

/// The ledger, open. Dropping it closes it; nothing is buffered.
#[derive(Debug)]
pub struct Ledger {
    pub(super) store: Connection,
    pub(super) path: PathBuf,
    /// Its end.
    pub(super) position: ChainPosition,
    id: Option<String>,
    /// The columns that its entries have.
    columns: &'static str,
    /// Up to here it was not verified when it was opened; 0: it was, whole.
    unverified: u64,
    /// The last resume point's number.
    pub(super) resume: u64,
    /// The largest checkpoint that the box signed, where it stands beside this ledger.
    pub(super) signed: Option<SignedHead>,
    /// `None`: no checkpoints are signed.
    pub(super) signer: Option<CheckpointSigner>,
}

impl Ledger {
    /// Opens the ledger to write, making it if there is none. A short one is verified whole first, a long one from its
    /// last resume point on: see [`Ledger::unverified`]. One that does not continue what the box signed is an error.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let signed = SignedHead::read(path)?;
        let store = disk::open_database(path, OpenFlags::default())?;
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
        if !has_column(&store, "anchor", "tree")? {
            store.execute_batch("ALTER TABLE anchor ADD COLUMN tree TEXT")?;
        }
        if !has_column(&store, "entry", "clock")? {
            store.execute_batch(
                "BEGIN; ALTER TABLE entry ADD COLUMN synchronised INTEGER; ALTER TABLE entry ADD COLUMN boot TEXT;
                 ALTER TABLE entry ADD COLUMN monotonic INTEGER; ALTER TABLE entry ADD COLUMN clock TEXT; COMMIT;",
            )?;
        }
        let mut ledger = Self { signed, ..Self::from_store(store, path)? };
        let begin = ledger.anchor()?;
        let newest: u64 = ledger.store.query_row("SELECT coalesce(max(seq), 0) FROM entry", [], |row| row.get(0))?;
        let known = if newest.saturating_sub(begin.seq) > MAX_VERIFIED_AT_OPEN { ledger.resume_point()? } else { None };
        ledger.unverified = known.as_ref().map_or(0, |known| known.seq);
        ledger.position = ledger.follow_to_end(known.unwrap_or(begin))?;
        ledger.id = ledger.find_id()?;
        let id = ledger.id.clone();
        let kept =
            id.map_or(Ok(()), |id| insert_mark(&ledger.store, "ledger", &id)).and_then(|()| ledger.write_resume());
        match kept {
            // Another process holds it: the next resume point will do.
            Err(error) if !error.is_busy() => Err(error),
            Ok(()) | Err(_) => Ok(ledger),
        }
    }

    /// Opens a copy of a ledger that nobody writes, also in a folder without write permission. Entries in a `-wal` file
    /// are missing where that was not copied too.
    pub fn open_copy(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let beside = |end: &str| disk::exists(Path::new(&format!("{}{end}", path.display())));
        if beside("-wal") {
            return Self::open_read_only(path);
        }
        let text = path.display().to_string();
        let plain = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Self::from_store(disk::open_database(Path::new(&format!("file:{plain}?immutable=1")), flags)?, path)
    }

    /// Opens the ledger read-only, while a guard may write it.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        // Before the entries, which the guard writes before it signs them.
        let signed = SignedHead::read(path)?;
        let store = disk::open_database(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        store.busy_timeout(READ_BUSY_TIMEOUT)?;
        store.pragma_update(None, "cache_size", CACHE_KIB)?;
        Ok(Self { signed, ..Self::from_store(store, path)? })
    }

    fn from_store(store: Connection, path: &Path) -> Result<Self, LedgerError> {
        let columns = if has_column(&store, "entry", "clock")? { COLUMNS } else { OLD_COLUMNS };
        let (path, position) = (path.to_owned(), ChainPosition::genesis());
        Ok(Self { store, path, position, id: None, columns, unverified: 0, resume: 0, signed: None, signer: None })
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
        Ok(self.follow_to_end(self.anchor()?)?.state.with_policy(policy_version))
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
        if self.position.seq - self.resume >= RESUME_INTERVAL
            && let Err(error) = self.write_resume()
        {
            tracing::warn!("no resume point of the ledger: {error}");
        }
        Ok(())
    }

    /// Follows the chain from `position` to its end, which may not lie before what the box signed.
    fn follow_to_end(&self, position: ChainPosition) -> Result<ChainPosition, LedgerError> {
        let end = self.follow(position, u64::MAX)?;
        self.signed.as_ref().map_or(Ok(()), |signed| signed.admits_end(&end))?;
        Ok(end)
    }

    /// Follows the chain from `position` up to entry `last`.
    fn follow(&self, mut position: ChainPosition, last: u64) -> Result<ChainPosition, LedgerError> {
        let admit = |position: &_| self.signed.as_ref().map_or(Ok(()), |signed| signed.admits(position));
        admit(&position)?;
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
                admit(&position)?;
            }
        }
    }

    /// Verifies all entries up to `last`, which another handle skipped because of its resume point, and that the state
    /// and the tree at that are those that follow from the entries.
    pub fn verify_up_to(&self, last: u64) -> Result<(), LedgerError> {
        // One state of it all, whatever is pruned meanwhile.
        let _snapshot = self.store.unchecked_transaction()?;
        let known = self.resume_point()?.filter(|known| known.seq >= last);
        let found = self.follow(self.anchor()?, known.as_ref().map_or(last, |known| known.seq))?;
        let invalid = |problem: &str| Err(LedgerError::Invalid { seq: found.seq, problem: problem.to_owned() });
        match known {
            Some(known) if known.seq == found.seq && (&known.state, &known.tree) != (&found.state, &found.tree) => {
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
        let end = self.follow_to_end(begin)?;
        Ok((end.seq, end.hash, end.seq - first))
    }

    /// The position where the chain begins: after the pruned entries, with the state that followed from them.
    pub(super) fn anchor(&self) -> Result<ChainPosition, LedgerError> {
        let memory = if has_column(&self.store, "anchor", "memory")? { "memory" } else { "'{}'" };
        let kept = if has_column(&self.store, "anchor", "tree")? { "tree" } else { "NULL" };
        let read = |row: &Row<'_>| {
            Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?))
        };
        let query = format!("SELECT seq, hash, {memory}, {kept} FROM anchor");
        let Some((seq, hash, memory, kept)) = self.store.query_row(&query, [], read).optional()? else {
            return Ok(ChainPosition::genesis());
        };
        let unreadable = |why: String| LedgerError::Invalid {
            seq,
            problem: format!("what is remembered of it and those before cannot be read: {why}"),
        };
        let state = serde_json::from_str(&memory).map_err(|error| unreadable(error.to_string()))?;
        let hashes = |text: String| serde_json::from_str::<Vec<String>>(&text).ok().and_then(|text| tree(seq, &text));
        let tree = match kept.map(hashes) {
            Some(None) => return Err(unreadable("its tree is none".to_owned())),
            known => known.flatten(),
        };
        Ok(ChainPosition { seq, hash, tree, state })
    }

    /// The Merkle root of the first `size` entries; `None`: it has fewer, they were pruned, or it has no tree.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, LedgerError> {
        let _snapshot = self.store.unchecked_transaction()?;
        let tree = self.follow(self.anchor()?, size)?.tree;
        Ok(tree.filter(|tree| tree.size() == size).map(|tree| tree.root()))
    }

    /// The tree of what was pruned, empty where nothing was; `None`: an older version pruned it, without a tree.
    pub fn pruned(&self) -> Result<Option<CompactRange>, LedgerError> {
        Ok(self.anchor()?.tree)
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
    Ok(store.prepare_cached(count)?.query_row([table, column], |row| row.get::<_, u64>(0))? > 0)
}

/// Stores a mark, unless there is one of this name.
fn insert_mark(store: &Connection, name: &str, value: &str) -> Result<(), LedgerError> {
    store.execute("INSERT OR IGNORE INTO mark (name, value) VALUES (?1, ?2)", [name, value])?;
    Ok(())
}
