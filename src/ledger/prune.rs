//! Removes entries past their retention: by the time that the ledger itself has seen pass, never by a clock alone, and
//! never without an entry about it.

use std::time::Duration;

use rusqlite::params;

use super::chain::{ChainPosition, hashes};
use super::error::LedgerError;
use super::store::{self, Ledger, PAGE_ENTRIES};
use crate::clock::{self, ClockReading};
use crate::ipc::Fact;

/// Entries are removed when the oldest is this much past its retention: one entry about it each day, not one each hour.
const PRUNE_DELAY: Duration = Duration::from_hours(24);
/// At most a quarter of the entries is removed at once. After an unforeseen fault of the clock most entries are left,
/// and time to notice it.
const MAX_PRUNED_PART: u64 = 4;

impl Ledger {
    /// Removes entries that are older than `retention`, and writes down which in the same transaction; the chain goes
    /// on from the last of them. Returns how many went.
    pub fn prune(&mut self, retention: Duration, now: &ClockReading) -> Result<u64, LedgerError> {
        let seen = self.position.state.time.elapsed_ms(now);
        let retention = clock::millis(retention);
        let Some(oldest) = seen.checked_sub(retention.saturating_add(clock::millis(PRUNE_DELAY))) else { return Ok(0) };
        let begin = self.anchor()?;
        let most = (self.position.seq - begin.seq) / MAX_PRUNED_PART;
        let (mut at, mut first, mut cut) = (begin.clone(), None, None);
        'pages: loop {
            let page = self.stored_after(at.seq, PAGE_ENTRIES)?;
            if page.is_empty() {
                break;
            }
            for stored in page {
                let mut next = at;
                let entry = next.follow(stored)?;
                // The first entry decides whether to prune at all; then all go that are past their retention.
                let bound = if first.is_none() { oldest } else { seen - retention };
                if next.seq - begin.seq > most || next.state.time.seen_ms() > bound {
                    break 'pages;
                }
                let from = *first.get_or_insert(entry.at);
                // One that was written before the clock was set counts as written when the box was switched off. It may
                // be younger by all of that time, and goes together with the next one that knows better.
                let is_exact =
                    entry.synchronised != Some(false) || self.position.state.time.is_exact_since(&next.state.time, now);
                at = next;
                if is_exact {
                    cut = Some((at.clone(), from, entry.at));
                }
            }
        }
        let Some((to, from_time, to_time)) = cut else { return Ok(0) };
        let count = to.seq - begin.seq;
        let checkpoint = self.prune_checkpoint(&to);
        let fact = Fact::Pruned { first: begin.seq + 1, last: to.seq, from: from_time, until: to_time, checkpoint };
        self.prune_to(&to, now, fact)?;
        Ok(count)
    }

    /// The signed checkpoint of exactly what goes: whoever has an older copy can hold it against what is left. Without
    /// a key there is none, and entries go all the same when their time has come.
    fn prune_checkpoint(&mut self, to: &ChainPosition) -> Option<String> {
        let (tree, _) = to.tree.as_ref().zip(self.signer.as_ref())?;
        let signed = self.sign(&tree.clone());
        signed.inspect_err(|error| tracing::warn!("pruned without a checkpoint: {error}")).ok()
    }

    fn prune_to(&mut self, to: &ChainPosition, now: &ClockReading, fact: Fact) -> Result<(), LedgerError> {
        // Locks and acknowledged policies stay in force, however old their entries.
        let memory = serde_json::to_string(&to.state).unwrap_or_default();
        let tree = to.tree.as_ref().map(|tree| serde_json::to_string(&hashes(tree)).unwrap_or_default());
        let transaction = self.store.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO anchor (one, seq, hash, memory, tree) VALUES (1, ?1, ?2, ?3, ?4)",
            params![to.seq, to.hash, memory, tree],
        )?;
        transaction.execute("DELETE FROM entry WHERE seq <= ?1", [to.seq])?;
        let mut position = self.position.clone();
        store::insert(&transaction, &mut position, &[(now.clone(), fact)])?;
        transaction.commit()?;
        self.position = position;
        Ok(())
    }
}
