//! The ledger as the guard uses it: in order, with a memory for what a failing disk did not take, and a limit on what
//! strangers can make it write.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::ledger::{Ledger, LedgerError};
use super::recall::Recall;
use crate::clock;
use crate::consent::Time;
use crate::ipc::Fact;

/// At most this many facts wait for a disk that fails; a box in that state starts nothing, so few come.
const WAITING: usize = 1000;
/// Refusals that are written one by one in each [`WINDOW`]; the rest are counted.
const REFUSALS: u32 = 10;
/// See [`REFUSALS`].
const WINDOW: Duration = Duration::from_mins(1);

/// Where the ledger ends, for those to whom entries are handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The ledger's id; `None`: it is not open, or empty.
    pub(super) ledger: Option<String>,
    /// The last entry's number.
    pub(super) seq: u64,
    /// The last `unbound` entry's number; 0: none.
    pub(super) unbound: u64,
}

/// The ledger, or the reason why there is none.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    ledger: Option<Ledger>,
    waiting: VecDeque<(jiff::Timestamp, Fact)>,
    head: watch::Sender<Head>,
    window: Time,
    refusals: u32,
}

impl Journal {
    /// Not opened yet.
    pub(super) fn new(path: &Path) -> Self {
        let (path, waiting, head) = (path.to_owned(), VecDeque::new(), watch::Sender::new(Head::default()));
        Self { path, ledger: None, waiting, head, window: Time::default(), refusals: 0 }
    }

    /// Where the ledger ends, as it grows.
    pub(super) fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// The ledger's id, once it has an entry.
    pub(super) fn ledger_id(&self) -> Option<String> {
        self.head.borrow().ledger.clone()
    }

    /// Opens the ledger and tells what it remembers.
    pub(super) fn open(&mut self, policy_version: &str) -> Result<Recall, LedgerError> {
        let ledger = Ledger::open(&self.path)?;
        let recall = ledger.recall(policy_version)?;
        let (id, seq, unbound) = (ledger.id().map(str::to_owned), ledger.last(), recall.unbound_entry);
        self.head.send_replace(Head { ledger: id, seq, unbound });
        self.ledger = Some(ledger);
        Ok(recall)
    }

    /// Writes `fact`, durably, behind what waits. What cannot be written waits, in order.
    pub(super) fn write(&mut self, fact: Fact) -> Result<(), LedgerError> {
        if self.waiting.len() < WAITING {
            self.waiting.push_back((clock::utc(), fact));
        } else {
            tracing::error!(?fact, "the ledger does not take this, and too much waits already");
        }
        self.flush()
    }

    /// Tries again what waits.
    pub(super) fn flush(&mut self) -> Result<(), LedgerError> {
        if self.ledger.is_none() {
            self.ledger = Some(Ledger::open(&self.path)?);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.append(self.waiting.make_contiguous())?;
            let last = ledger.last();
            let back = self.waiting.iter().rev().position(|(_, fact)| matches!(fact, Fact::Unbound { .. }));
            let back = back.and_then(|back| u64::try_from(back).ok());
            self.waiting.clear();
            self.head.send_modify(|head| {
                head.ledger = ledger.id().map(str::to_owned);
                head.seq = last;
                head.unbound = back.map_or(head.unbound, |back| last.saturating_sub(back));
            });
        }
        Ok(())
    }

    /// Writes a refusal, or only counts it when many come.
    pub(super) fn refuse(&mut self, fact: Fact) -> Result<(), LedgerError> {
        self.refusals += 1;
        if self.refusals <= REFUSALS { self.write(fact) } else { Ok(()) }
    }

    /// Closes the window of refusals when it is over.
    pub(super) fn count_refusals(&mut self, now: Time) -> Result<(), LedgerError> {
        if now.since(self.window) < WINDOW {
            return Ok(());
        }
        self.window = now;
        match std::mem::take(&mut self.refusals).saturating_sub(REFUSALS) {
            0 => Ok(()),
            count => self.write(Fact::CommandsRefused { count: count.into() }),
        }
    }

    /// Removes what is older than `retention`.
    pub(super) fn prune(&mut self, retention: Duration) -> Result<u64, LedgerError> {
        let now = clock::utc();
        if !clock::is_set(now) {
            return Ok(0);
        }
        let horizon = jiff::SignedDuration::try_from(retention).ok().and_then(|age| now.checked_sub(age).ok());
        match (&mut self.ledger, horizon) {
            (Some(ledger), Some(horizon)) => ledger.prune(horizon),
            (None, _) | (_, None) => Ok(0),
        }
    }
}
