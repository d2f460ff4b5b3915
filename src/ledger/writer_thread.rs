//! The thread that writes the ledger, so that neither a disk that hangs nor another process that holds the file delays
//! lamp and buttons. What cannot be written waits here, in order, for as long as the guard lives.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use tokio::sync::watch;

use super::checkpoint::CheckpointSigner;
use super::error::LedgerError;
use super::mismatch::{self, LedgerFile, MismatchNote};
use super::progress::{LedgerHead, WriterProgress};
use super::reserve::Reserve;
use super::state::LedgerState;
use super::store::Ledger;
use crate::clock::ClockReading;
use crate::ipc::{Fact, Incident, LedgerCheck};
use crate::worker::{self, Commands, Service, SpawnError};

/// Between two attempts to write. Another process that holds the file was waited for already.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// A checkpoint is signed once nothing came to write for this long: it is synced too, and what is to be written does
/// not wait for that.
const CHECKPOINT_DELAY: Duration = Duration::from_secs(1);
/// Between two attempts to open a ledger that cannot be opened.
const REOPEN_INTERVAL: Duration = Duration::from_secs(5);

/// How often a ledger that is not written looks at the disk's room, and tries again to sign a checkpoint.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);
/// Why nothing is recorded on a full disk.
const FULL: &str = "the disk is full: entries go on in the room that was kept for them, and nothing is recorded; \
                    make room on the disk of data-dir";

/// A command of the guard's loop.
#[derive(Debug)]
pub(super) enum WriterCommand {
    /// Append these facts. `done` gets the result of the next attempt, unless another process holds the file.
    Write { facts: Vec<(ClockReading, Fact)>, done: SyncSender<Result<(), String>> },
    /// Remove entries older than this, now.
    Prune(Duration, ClockReading),
    /// Sign a checkpoint as soon as all that waits is written, and all is verified.
    Checkpoint,
    /// The background verification is over.
    Verified(Result<(), LedgerError>),
    /// Make one attempt to write what waits, store a resume point, and end.
    Close(SyncSender<()>),
}

/// The state of the thread.
pub(super) struct WriterThread {
    path: PathBuf,
    /// For the background verification, to report its result.
    commands: Commands<WriterCommand>,
    progress: watch::Sender<WriterProgress>,
    head: watch::Sender<LedgerHead>,
    signer: CheckpointSigner,
    ledger: Option<Ledger>,
    file: LedgerFile,
    mismatch: MismatchNote,
    /// A checkpoint was asked for.
    checkpoint_due: bool,
    /// Why the last one was not signed.
    checkpoint_error: Option<String>,
    reserve: Reserve,
    waiting: VecDeque<(ClockReading, Fact)>,
    waiters: Vec<SyncSender<Result<(), String>>>,
    closing: Option<SyncSender<()>>,
    /// Gets the result of the first opening.
    opened: SyncSender<Result<LedgerState, String>>,
}

impl Service for WriterThread {
    type Command = WriterCommand;

    fn begin(&mut self) {
        let first = self.open();
        // The receiver may have timed out.
        let _ = self.opened.try_send(first);
        self.look_for_room();
    }

    fn patience(&self) -> Duration {
        if self.ledger.is_none() {
            return REOPEN_INTERVAL;
        }
        if !self.waiting.is_empty() {
            return RETRY_INTERVAL;
        }
        let is_verified = self.progress.borrow().check == LedgerCheck::Good;
        if !self.checkpoint_due || !is_verified || self.checkpoint_error.is_some() {
            return LOOK_INTERVAL;
        }
        CHECKPOINT_DELAY
    }

    fn turn(&mut self, command: Option<WriterCommand>, more: &Receiver<WriterCommand>) -> bool {
        match command {
            Some(command) => self.handle(command),
            None if self.ledger.is_none() => drop(self.open()),
            None => self.checkpoint(),
        }
        // All commands that wait go into one transaction.
        while let Ok(command) = more.try_recv() {
            self.handle(command);
        }
        self.write();
        self.look_for_file();
        self.look_for_room();
        let Some(closing) = self.closing.take() else { return true };
        self.checkpoint();
        self.close();
        let _ = closing.try_send(());
        false
    }
}

impl WriterThread {
    /// Starts the thread; `opened` gets the result of the first opening.
    pub(super) fn spawn(
        path: &Path,
        signer: CheckpointSigner,
        (commands, inbox): (&Commands<WriterCommand>, Receiver<WriterCommand>),
        progress: watch::Sender<WriterProgress>,
        head: watch::Sender<LedgerHead>,
        opened: SyncSender<Result<LedgerState, String>>,
    ) -> Result<(), SpawnError> {
        let (waiting, waiters) = (VecDeque::new(), Vec::new());
        let writer = Self {
            path: path.to_owned(),
            commands: commands.clone(),
            progress,
            head,
            signer,
            ledger: None,
            file: LedgerFile::at(path),
            mismatch: MismatchNote::of(path),
            checkpoint_due: false,
            checkpoint_error: None,
            reserve: Reserve::of(path),
            waiting,
            waiters,
            closing: None,
            opened,
        };
        worker::serve("ledger", writer, (commands, inbox))
    }

    fn handle(&mut self, command: WriterCommand) {
        match command {
            WriterCommand::Write { facts, done } => {
                self.waiting.extend(facts);
                self.waiters.push(done);
            }
            WriterCommand::Prune(retention, now) => {
                self.write();
                self.prune(retention, &now);
            }
            WriterCommand::Checkpoint => self.checkpoint_due = true,
            WriterCommand::Verified(found) => self.on_verified(found),
            WriterCommand::Close(done) => self.closing = Some(done),
        }
    }

    fn open(&mut self) -> Result<LedgerState, String> {
        match Ledger::open(&self.path) {
            Ok(mut ledger) => {
                self.file.opened();
                let (state, unverified) = (ledger.state().clone(), ledger.unverified());
                if state.incidents.contains(&Incident::LedgerMismatch) {
                    self.mismatch.discard();
                }
                let former_mismatch = self.mismatch.read();
                let check = if unverified == 0 { LedgerCheck::Good } else { LedgerCheck::Running };
                if check == LedgerCheck::Good {
                    ledger.sign_with(self.signer.clone());
                }
                let checkpoint = ledger.checkpoint().map(str::to_owned);
                self.ledger = Some(ledger);
                self.publish_head();
                if check == LedgerCheck::Running {
                    self.check(unverified);
                }
                self.progress.send_modify(|progress| {
                    progress.open = true;
                    progress.error = None;
                    progress.check = check;
                    progress.checkpoint = checkpoint;
                    progress.former_mismatch = former_mismatch;
                });
                Ok(state)
            }
            Err(error) => {
                let text = error.to_string();
                self.set_error(Some(text.clone()));
                self.note_mismatch(&error);
                Err(text)
            }
        }
    }

    /// Remembers a ledger that cannot be trusted: it takes no entry about that.
    fn note_mismatch(&self, error: &LedgerError) {
        if error.is_mismatch() {
            self.progress.send_modify(|progress| progress.check = LedgerCheck::Bad);
            self.mismatch.keep(&error.to_string());
        }
    }

    /// Looks whether the ledger's name still leads to the file that is written.
    fn look_for_file(&mut self) {
        let check = self.progress.borrow().check;
        let Some((check, error)) = self.file.look(check) else { return };
        if let Some(text) = error {
            tracing::error!("{text}");
            self.mismatch.keep(text);
        }
        self.set_error(error.map(str::to_owned));
        self.progress.send_modify(|progress| progress.check = check);
    }

    /// Verifies the entries that were not verified at the opening, in a thread of its own with a handle of its own.
    fn check(&self, last: u64) {
        let (path, commands) = (self.path.clone(), self.commands.clone());
        let check = move || {
            let found = Ledger::open_read_only(&path).and_then(|ledger| ledger.verify_up_to(last));
            let _ = commands.send(WriterCommand::Verified(found));
        };
        if let Err(error) = worker::detached("ledger-check", check) {
            tracing::error!(%error, "the ledger cannot be checked in the background");
        }
    }

    fn on_verified(&mut self, found: Result<(), LedgerError>) {
        let check = match found {
            Ok(()) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.sign_with(self.signer.clone());
                }
                LedgerCheck::Good
            }
            Err(error) if error.is_mismatch() => {
                let text = error.to_string();
                tracing::error!("{text}");
                self.mismatch.keep(&text);
                self.set_error(Some(text));
                // The next start verifies all, and stops at the same entry.
                if let Some(Err(error)) = self.ledger.as_mut().map(Ledger::delete_resume) {
                    tracing::error!("{error}");
                }
                LedgerCheck::Bad
            }
            Err(error) => {
                tracing::error!("the ledger was not checked: {error}");
                LedgerCheck::Running
            }
        };
        if !self.file.defer(check) {
            self.progress.send_modify(|progress| progress.check = check);
        }
    }

    fn set_error(&self, error: Option<String>) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.error != error;
            progress.error = error;
            changed
        });
    }

    /// Writes what waits, and reports the result.
    fn write(&mut self) {
        let Some(ledger) = &mut self.ledger else { return self.fail_waiters() };
        if self.waiting.is_empty() {
            return;
        }
        let mut written = ledger.append(self.waiting.make_contiguous());
        if written.as_ref().is_err_and(LedgerError::is_full) && self.reserve.release() {
            written = ledger.append(self.waiting.make_contiguous());
        }
        match written {
            Ok(()) => {
                let count = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
                let is_told = self.waiting.iter().any(|(_, fact)| mismatch::is_entry(fact));
                self.waiting.clear();
                if is_told && self.progress.borrow().check != LedgerCheck::Bad {
                    self.mismatch.discard();
                }
                self.publish_head();
                let full = self.reserve.is_full().then(|| FULL.to_owned());
                self.progress.send_modify(|progress| {
                    progress.written += count;
                    if progress.check != LedgerCheck::Bad {
                        progress.error = full;
                    }
                });
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.try_send(Ok(()));
                }
            }
            // Those who wait go on waiting, up to their own timeouts.
            Err(error) if error.is_busy() => {}
            Err(error) => {
                self.set_error(Some(error.to_string()));
                self.note_mismatch(&error);
                self.fail_waiters();
            }
        }
    }

    /// A full disk is an error, although what has to be written still is.
    fn look_for_room(&mut self) {
        self.reserve.look();
        let is_told = self.progress.borrow().error.as_deref() == Some(FULL);
        if self.reserve.is_full() {
            // A ledger that is damaged, or cannot be written at all, says so itself.
            if self.progress.borrow().error.is_none() {
                self.set_error(Some(FULL.to_owned()));
            }
        } else if is_told {
            self.set_error(None);
        }
    }

    fn fail_waiters(&mut self) {
        let text = self.progress.borrow().error.clone().unwrap_or_default();
        for waiter in self.waiters.drain(..) {
            let _ = waiter.try_send(Err(text.clone()));
        }
    }

    fn prune(&mut self, retention: Duration, now: &ClockReading) {
        match self.ledger.as_mut().map(|ledger| ledger.prune(retention, now)) {
            Some(Ok(0)) | None => {}
            Some(Ok(removed)) => {
                tracing::info!(removed, "ledger entries past their retention were removed");
                self.publish_head();
                let newest = self.ledger.as_ref().and_then(|ledger| ledger.checkpoint().map(str::to_owned));
                self.progress.send_modify(|progress| progress.checkpoint = newest);
            }
            Some(Err(error)) => tracing::error!(%error, "the ledger cannot be pruned"),
        }
    }

    /// Signs the checkpoint that was asked for, unless entries wait: it is of what is on disk.
    fn checkpoint(&mut self) {
        let is_verified = self.progress.borrow().check == LedgerCheck::Good;
        let Some(ledger) = &mut self.ledger else { return };
        if !self.checkpoint_due || !is_verified || !self.waiting.is_empty() {
            return;
        }
        match ledger.sign_checkpoint() {
            Ok(()) => {
                (self.checkpoint_due, self.checkpoint_error) = (false, None);
                let newest = ledger.checkpoint().map(str::to_owned);
                self.progress.send_modify(|progress| progress.checkpoint = newest);
            }
            Err(error) => {
                if self.checkpoint_error.as_ref() != Some(&error) {
                    tracing::warn!("no checkpoint of the ledger: {error}");
                }
                self.checkpoint_error = Some(error);
            }
        }
    }

    fn publish_head(&self) {
        if let Some(ledger) = &self.ledger {
            let ledger_id = ledger.id().map(str::to_owned);
            let head = LedgerHead { ledger: ledger_id, seq: ledger.last(), unbound: ledger.state().unbound_entry };
            self.head.send_if_modified(|known| {
                let changed = *known != head;
                *known = head;
                changed
            });
        }
    }

    /// A resume point would hide an invalid entry from the next start.
    fn close(&mut self) {
        let is_invalid = self.progress.borrow().check == LedgerCheck::Bad;
        if let Some(Err(error)) = self.ledger.as_mut().filter(|_| !is_invalid).map(Ledger::write_resume) {
            tracing::warn!("no resume point of the ledger: {error}");
        }
    }
}
