//! The guard's side of the ledger: appends in order without waiting for a disk that hangs, holds what a failing disk
//! does not accept, and limits what others can make it record.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use super::checkpoint::CheckpointSigner;
use super::progress::{LedgerHead, WriterProgress};
use super::quotas::FactQuotas;
use super::state::LedgerState;
use super::writer_thread::{WriterCommand, WriterThread};
use crate::clock::{self, Clock};
use crate::ipc::{Fact, LedgerCheck};
use crate::worker::{self, Commands};
use monotonic::Monotonic;

/// Facts that may wait for a disk that fails. A box in that state starts nothing, so few come.
const MAX_PENDING: usize = 1000;
/// How long the guard's loop usually waits for the disk: longer than a card's write, shorter than anybody notices.
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);
/// The same for a fact that has to be on disk before it takes effect: nothing is captured yet, and staff wait at the
/// button.
const DURABLE_WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// A fact that is not on disk after this time is a fault: no card's housekeeping takes so long.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long opening the ledger may take before the guard starts without it, with a fault.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a clean end waits for the last entry.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Sends facts to the thread that writes the ledger.
#[derive(Debug)]
pub(crate) struct LedgerWriter {
    path: PathBuf,
    signer: CheckpointSigner,
    clock: Clock,
    commands: Option<Commands<WriterCommand>>,
    progress: watch::Sender<WriterProgress>,
    head: watch::Sender<LedgerHead>,
    /// Facts submitted so far.
    submitted: u64,
    /// When each fact that is not on disk was submitted: by number, in order.
    submitted_at: VecDeque<(u64, Monotonic)>,
    /// Facts that there was no room for, not recorded as lost yet.
    lost: u64,
    quotas: FactQuotas,
}

impl LedgerWriter {
    /// Not opened yet.
    pub(crate) fn new(path: &Path, clock: Clock, signer: CheckpointSigner) -> Self {
        Self {
            path: path.to_owned(),
            signer,
            clock,
            commands: None,
            progress: watch::Sender::new(WriterProgress::default()),
            head: watch::Sender::new(LedgerHead::default()),
            submitted: 0,
            submitted_at: VecDeque::new(),
            lost: 0,
            quotas: FactQuotas::new(clock.now()),
        }
    }

    /// Where the ledger ends, as it grows.
    pub(crate) fn head(&self) -> watch::Receiver<LedgerHead> {
        self.head.subscribe()
    }

    /// The thread's progress, as it changes.
    pub(crate) fn progress(&self) -> watch::Receiver<WriterProgress> {
        self.progress.subscribe()
    }

    /// The ledger's id, once it has an entry.
    pub(crate) fn ledger_id(&self) -> Option<String> {
        self.head.borrow().ledger.clone()
    }

    /// Whether the entries verify that were not verified at the opening.
    pub(crate) fn check(&self) -> LedgerCheck {
        self.progress.borrow().check
    }

    /// What was found wrong with the ledger in a former life of the guard, and is in no ledger yet.
    pub(crate) fn former_mismatch(&self) -> Option<String> {
        self.progress.borrow().former_mismatch.clone()
    }

    /// The newest checkpoint that was signed.
    pub(crate) fn checkpoint(&self) -> Option<String> {
        self.progress.borrow().checkpoint.clone()
    }

    /// Asks for a checkpoint of all that was submitted so far: signed once it is on disk.
    pub(crate) fn request_checkpoint(&self) {
        if let Some(commands) = &self.commands {
            // Without the thread nothing is signed.
            let _ = commands.send(WriterCommand::Checkpoint);
        }
    }

    /// Opens the ledger and returns its state. Where that takes long it continues in the background: see
    /// [`LedgerWriter::is_open`].
    pub(crate) fn open(&mut self) -> Result<LedgerState, String> {
        let (commands, inbox) = Commands::channel();
        let (opened, result) = mpsc::sync_channel(1);
        let (progress, head) = (self.progress.clone(), self.head.clone());
        WriterThread::spawn(&self.path, self.signer.clone(), (&commands, inbox), progress, head, opened)
            .map_err(|error| error.to_string())?;
        self.commands = Some(commands);
        let late = |_| Err("the ledger is being verified, or its disk does not answer".to_owned());
        worker::wait(&result, OPEN_TIMEOUT).unwrap_or_else(late)
    }

    /// Whether the ledger is open.
    pub(crate) fn is_open(&self) -> bool {
        self.progress.borrow().open
    }

    /// How many facts were submitted: the number for [`LedgerWriter::is_written`].
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Whether fact number `sent`, and all before it, are on disk.
    pub(crate) fn is_written(&self, sent: u64) -> bool {
        self.progress.borrow().written >= sent
    }

    /// Whether all submitted facts are on disk and all entries are valid.
    pub(crate) fn is_healthy(&self) -> bool {
        let progress = self.progress.borrow();
        progress.open
            && progress.written >= self.submitted
            && progress.error.is_none()
            && progress.check != LedgerCheck::Bad
    }

    /// Why the ledger does not work; `None`: it does.
    pub(crate) fn error(&mut self) -> Option<String> {
        let (written, trouble) = {
            let progress = self.progress.borrow();
            (progress.written, progress.error.clone())
        };
        while self.submitted_at.front().is_some_and(|(number, _)| *number <= written) {
            self.submitted_at.pop_front();
        }
        let now = self.clock.now();
        let late = self.submitted_at.front().is_some_and(|(_, since)| now.duration_since(*since) >= STALL_TIMEOUT);
        let held = || {
            "the ledger is not written: its disk does not answer, or another program holds the file (see: fuser -v ledger.db)"
                .to_owned()
        };
        trouble.or_else(|| late.then(held))
    }

    /// Appends `fact`. `Ok`: it is on disk, or will be as soon as the disk works. An error is a fault; the fact waits
    /// all the same, or is counted as lost where there is no room.
    pub(crate) fn append(&mut self, fact: Fact) -> Result<(), String> {
        if !self.quotas.admits(self.clock.now(), &fact) {
            return Ok(());
        }
        self.submit(fact, WRITE_TIMEOUT).map(drop)
    }

    /// Appends `fact` durably, with all facts before it. What it announces must not take effect where this fails.
    pub(crate) fn append_durably(&mut self, fact: Fact) -> Result<(), String> {
        let written = self.submit(fact, DURABLE_WRITE_TIMEOUT)?;
        let late = || "the ledger's disk does not answer: nothing starts without an entry".to_owned();
        if written { Ok(()) } else { Err(late()) }
    }

    /// Returns whether it is on disk.
    fn submit(&mut self, fact: Fact, timeout: Duration) -> Result<bool, String> {
        let waiting = self.submitted - self.progress.borrow().written;
        let room = MAX_PENDING.saturating_sub(usize::try_from(waiting).unwrap_or(usize::MAX));
        if room == 0 {
            self.lost += 1;
            tracing::error!(?fact, "the ledger does not take this, and too much waits already");
            return Err("the ledger takes nothing, and too much waits for it already".to_owned());
        }
        let mut facts = vec![(clock::read(), fact)];
        if self.lost > 0 && room > 1 {
            facts.insert(0, (clock::read(), Fact::EntriesLost { count: std::mem::take(&mut self.lost) }));
        }
        let now = self.clock.now();
        for _ in &facts {
            self.submitted += 1;
            self.submitted_at.push_back((self.submitted, now));
        }
        let Some(commands) = &self.commands else { return Err("the ledger is not open".to_owned()) };
        let (done, result) = mpsc::sync_channel(1);
        if commands.send(WriterCommand::Write { facts, done }).is_err() {
            return Err("the ledger's thread has ended".to_owned());
        }
        // After others that wait, waiting is no use unless the fact has to be durable.
        if waiting > 0 && timeout < DURABLE_WRITE_TIMEOUT {
            return self.error().map_or(Ok(false), Err);
        }
        match worker::wait(&result, timeout) {
            Ok(Ok(())) => Ok(true),
            Ok(Err(text)) => Err(text),
            Err(_) => Ok(false),
        }
    }

    /// Records a refusal, or only counts it when there are many.
    pub(crate) fn append_refusal(&mut self, fact: Fact) -> Result<(), String> {
        if self.quotas.admits_refusal(self.clock.now()) { self.append(fact) } else { Ok(()) }
    }

    /// Records how many facts were left out, when that is due.
    pub(crate) fn flush_counts(&mut self) -> Result<(), String> {
        let facts = self.quotas.counts(self.clock.now());
        facts.into_iter().map(|fact| self.submit(fact, WRITE_TIMEOUT).map(drop)).fold(Ok(()), Result::and)
    }

    /// Removes entries older than `retention`, in the thread.
    pub(crate) fn prune(&self, retention: Duration) {
        if let Some(commands) = &self.commands {
            // Without the thread nothing is pruned.
            let _ = commands.send(WriterCommand::Prune(retention, clock::read()));
        }
    }

    /// Waits for a bounded time until all is written, and closes the ledger.
    pub(crate) fn close(&mut self) {
        let Some(commands) = self.commands.take() else { return };
        let (done, result) = mpsc::sync_channel(1);
        if commands.send(WriterCommand::Close(done)).is_err() || worker::wait(&result, CLOSE_TIMEOUT).is_err() {
            tracing::error!("the ledger does not take its last entries");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    /// A disk that fails for long: what there is no room for is an error, and is counted in the ledger later.
    #[test]
    fn what_there_is_no_room_for_is_an_error_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("away").join("ledger.db");
        let mut ledger_writer =
            LedgerWriter::new(&path, Clock::start(), CheckpointSigner::new(|_| Err("no key".to_owned())));
        ledger_writer.open().unwrap_err();
        for _ in 0..MAX_PENDING + 3 {
            ledger_writer.append(Fact::Locked {}).unwrap_err();
        }
        assert_eq!(ledger_writer.lost, 3);
        std::fs::create_dir(dir.path().join("away")).unwrap();
        let mut progress = ledger_writer.progress();
        let runtime = crate::runtime::build().unwrap();
        runtime.block_on(async {
            let written = progress.wait_for(|progress| progress.written >= MAX_PENDING as u64);
            tokio::time::timeout(Duration::from_mins(1), written).await.unwrap().unwrap();
        });
        ledger_writer.append_durably(Fact::Unlocked {}).unwrap();
        let entries = Ledger::open_read_only(&path).unwrap().entries_after(MAX_PENDING as u64, 10).unwrap();
        let facts: Vec<_> = entries.into_iter().map(|entry| serde_json::to_value(entry.fact).unwrap()).collect();
        assert_eq!(facts[0], serde_json::json!({ "kind": "entries-lost", "count": 3 }));
        assert_eq!(facts[1]["kind"], "unlocked");
    }
}
