//! Where a long ledger's verification resumes when it is opened: a position that was verified before, stored with it.

use rusqlite::OptionalExtension;

use super::chain::{ChainPosition, hashes, tree};
use super::error::LedgerError;
use super::state::LedgerState;
use super::store::Ledger;

/// The name of the mark. Older versions had one called `checkpoint`, without a tree.
const MARK: &str = "resume";

/// As it is stored: number and hash of the entry, the tree's hashes, the state.
type Stored = (u64, String, Option<Vec<String>>, LedgerState);

impl Ledger {
    /// Stores the position of the last entry, which was verified, so that the next opening begins there.
    pub fn write_resume(&mut self) -> Result<(), LedgerError> {
        let ChainPosition { seq, hash, tree, state } = &self.position;
        let text = serde_json::to_string(&(seq, hash, tree.as_ref().map(hashes), state)).unwrap_or_default();
        self.store.execute("INSERT OR REPLACE INTO mark (name, value) VALUES (?1, ?2)", [MARK, &text])?;
        self.resume = *seq;
        Ok(())
    }

    /// Deletes it: the next opening verifies all.
    pub fn delete_resume(&mut self) -> Result<(), LedgerError> {
        self.store.execute("DELETE FROM mark WHERE name = ?1", [MARK])?;
        Ok(())
    }

    /// The last one, if it is one of this chain.
    pub(super) fn resume_point(&self) -> Result<Option<ChainPosition>, LedgerError> {
        let query = "SELECT value FROM mark WHERE name = ?1";
        let text: Option<String> = self.store.query_row(query, [MARK], |row| row.get(0)).optional()?;
        let Some((seq, hash, known, state)) = text.and_then(|text| serde_json::from_str::<Stored>(&text).ok()) else {
            return Ok(None);
        };
        let stored: Option<String> =
            self.store.query_row("SELECT hash FROM entry WHERE seq = ?1", [seq], |row| row.get(0)).optional()?;
        let tree = known.as_ref().map(|known| tree(seq, known));
        // A tree that cannot be one: all is verified.
        let is_good = stored.as_ref() == Some(&hash) && tree != Some(None);
        Ok(is_good.then_some(ChainPosition { seq, hash, tree: tree.flatten(), state }))
    }
}
