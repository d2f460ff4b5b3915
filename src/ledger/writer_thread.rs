//! The thread that writes the ledger: a disk that hangs, or another process that holds the file, keeps neither lamp nor
//! button waiting. What cannot be written waits here, in order, for as long as the guard lives.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use tokio::sync::watch;

use super::state::Recall;
use super::writer::Head;
use super::{Ledger, LedgerError};
use crate::clock::ClockReading;
use crate::ipc::{Fact, LedgerCheck};
use crate::worker::{self, SpawnError};

/// Between two attempts to write; another process that holds the file was waited for already.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two attempts to open a ledger that cannot be opened.
const REOPEN: Duration = Duration::from_secs(5);

/// What the guard's loop wants of the thread.
#[derive(Debug)]
pub(super) enum Order {
    /// Write this behind what waits. `done` hears how the next attempt goes, unless somebody else holds the file.
    Write { facts: Vec<(ClockReading, Fact)>, done: SyncSender<Result<(), String>> },
    /// Remove what is older than this, now.
    Prune(Duration, ClockReading),
    /// The background check is over.
    Checked(Result<(), LedgerError>),
    /// Write what waits if that works at once, keep a checkpoint, and end.
    Close(SyncSender<()>),
}

/// How far the thread is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The ledger is open.
    pub(crate) open: bool,
    /// How many facts are on disk, of those that were handed over.
    pub(crate) written: u64,
    /// Why the last attempt failed.
    pub(crate) trouble: Option<String>,
    /// What is known of the entries that were not verified when it was opened.
    pub(crate) check: LedgerCheck,
}

/// The thread's own.
pub(super) struct Writer {
    path: PathBuf,
    orders: Receiver<Order>,
    /// For the background check, to say what it found.
    back: Sender<Order>,
    progress: watch::Sender<Progress>,
    head: watch::Sender<Head>,
    ledger: Option<Ledger>,
    waiting: VecDeque<(ClockReading, Fact)>,
    waiters: Vec<SyncSender<Result<(), String>>>,
    closing: Option<SyncSender<()>>,
}

impl Writer {
    /// Starts the thread; `opened` hears once how the first opening went.
    pub(super) fn spawn(
        path: &Path,
        (back, orders): (Sender<Order>, Receiver<Order>),
        progress: watch::Sender<Progress>,
        head: watch::Sender<Head>,
        opened: SyncSender<Result<Recall, String>>,
    ) -> Result<(), SpawnError> {
        let (waiting, waiters) = (VecDeque::new(), Vec::new());
        let writer =
            Self { path: path.to_owned(), orders, back, progress, head, ledger: None, waiting, waiters, closing: None };
        worker::detached("ledger", move || writer.run(&opened))
    }

    fn run(mut self, opened: &SyncSender<Result<Recall, String>>) {
        let first = self.open();
        // Whoever waited for it may have given up.
        let _ = opened.try_send(first);
        loop {
            let order = match &self.ledger {
                Some(_) if self.waiting.is_empty() => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => self.orders.recv_timeout(AGAIN),
                None => self.orders.recv_timeout(REOPEN),
            };
            match order {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) if self.ledger.is_none() => drop(self.open()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // All that is there goes into one transaction.
            while let Ok(order) = self.orders.try_recv() {
                self.take(order);
            }
            self.write();
            if let Some(closing) = self.closing.take() {
                self.close();
                let _ = closing.try_send(());
                return;
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Write { facts, done } => {
                self.waiting.extend(facts);
                self.waiters.push(done);
            }
            Order::Prune(retention, now) => {
                self.write();
                self.prune(retention, &now);
            }
            Order::Checked(found) => self.checked(found),
            Order::Close(done) => self.closing = Some(done),
        }
    }

    fn open(&mut self) -> Result<Recall, String> {
        let opened = Ledger::open(&self.path).map_err(|error| error.to_string());
        match opened {
            Ok(ledger) => {
                let (recall, unverified) = (ledger.memory().clone(), ledger.unverified());
                let check = if unverified == 0 { LedgerCheck::Good } else { LedgerCheck::Running };
                self.ledger = Some(ledger);
                self.tell_head();
                if check == LedgerCheck::Running {
                    self.check(unverified);
                }
                self.progress.send_modify(|progress| {
                    progress.open = true;
                    progress.trouble = None;
                    progress.check = check;
                });
                Ok(recall)
            }
            Err(text) => {
                self.trouble(Some(text.clone()));
                Err(text)
            }
        }
    }

    /// Verifies what was not when the ledger was opened, in a thread of its own that only reads.
    fn check(&self, last: u64) {
        let (path, back) = (self.path.clone(), self.back.clone());
        let check = move || {
            let found = Ledger::open_to_read(&path).and_then(|ledger| ledger.verify_up_to(last));
            let _ = back.send(Order::Checked(found));
        };
        if let Err(error) = worker::detached("ledger-check", check) {
            tracing::error!(%error, "the ledger cannot be checked in the background");
        }
    }

    fn checked(&mut self, found: Result<(), LedgerError>) {
        let check = match found {
            Ok(()) => LedgerCheck::Good,
            Err(error @ LedgerError::Bad { .. }) => {
                let text = error.to_string();
                tracing::error!("{text}");
                self.trouble(Some(text));
                // The next start verifies all, and does not come as far as this one.
                if let Some(Err(error)) = self.ledger.as_mut().map(Ledger::drop_checkpoint) {
                    tracing::error!("{error}");
                }
                LedgerCheck::Bad
            }
            Err(error) => {
                tracing::error!("the ledger was not checked: {error}");
                LedgerCheck::Running
            }
        };
        self.progress.send_modify(|progress| progress.check = check);
    }

    fn trouble(&self, trouble: Option<String>) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.trouble != trouble;
            progress.trouble = trouble;
            changed
        });
    }

    /// Writes what waits, and says how it went.
    fn write(&mut self) {
        let Some(ledger) = &mut self.ledger else { return self.failed() };
        if self.waiting.is_empty() {
            return;
        }
        match ledger.append(self.waiting.make_contiguous()) {
            Ok(()) => {
                let count = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
                self.waiting.clear();
                self.tell_head();
                let bad = self.progress.borrow().check == LedgerCheck::Bad;
                self.progress.send_modify(|progress| {
                    progress.written += count;
                    progress.trouble = progress.trouble.take().filter(|_| bad);
                });
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.try_send(Ok(()));
                }
            }
            // Whoever waits goes on waiting, for as long as it likes.
            Err(error) if error.is_busy() => {}
            Err(error) => {
                self.trouble(Some(error.to_string()));
                self.failed();
            }
        }
    }

    fn failed(&mut self) {
        let text = self.progress.borrow().trouble.clone().unwrap_or_default();
        for waiter in self.waiters.drain(..) {
            let _ = waiter.try_send(Err(text.clone()));
        }
    }

    fn prune(&mut self, retention: Duration, now: &ClockReading) {
        match self.ledger.as_mut().map(|ledger| ledger.prune(retention, now)) {
            Some(Ok(0)) | None => {}
            Some(Ok(removed)) => {
                tracing::info!(removed, "ledger entries past their retention were removed");
                self.tell_head();
            }
            Some(Err(error)) => tracing::error!(%error, "the ledger cannot be pruned"),
        }
    }

    fn tell_head(&self) {
        if let Some(ledger) = &self.ledger {
            let ledger_id = ledger.id().map(str::to_owned);
            let head = Head { ledger: ledger_id, seq: ledger.last(), unbound: ledger.memory().unbound_entry };
            self.head.send_if_modified(|known| {
                let changed = *known != head;
                *known = head;
                changed
            });
        }
    }

    /// A checkpoint of a ledger that was found bad would hide it from the next start.
    fn close(&mut self) {
        let bad = self.progress.borrow().check == LedgerCheck::Bad;
        if let Some(Err(error)) = self.ledger.as_mut().filter(|_| !bad).map(Ledger::keep_checkpoint) {
            tracing::warn!("no checkpoint of the ledger: {error}");
        }
    }
}
