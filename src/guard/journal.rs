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

/// The ledger, or the reason why there is none.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    ledger: Option<Ledger>,
    waiting: VecDeque<(jiff::Timestamp, Fact)>,
    head: watch::Sender<u64>,
    window: Time,
    refusals: u32,
}

impl Journal {
    /// Not opened yet.
    pub(super) fn new(path: &Path) -> Self {
        let (path, waiting, head) = (path.to_owned(), VecDeque::new(), watch::Sender::new(0));
        Self { path, ledger: None, waiting, head, window: Time::default(), refusals: 0 }
    }

    /// The number of the last entry, as it grows.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Opens the ledger and tells what it remembers.
    pub(super) fn open(&mut self, policy_version: &str) -> Result<Recall, LedgerError> {
        let ledger = Ledger::open(&self.path)?;
        let recall = ledger.recall(policy_version)?;
        self.head.send_replace(ledger.last());
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
            self.waiting.clear();
            self.head.send_replace(ledger.last());
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
