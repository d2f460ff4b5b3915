//! The guard's side of the ledger: appends in order without waiting for a disk that hangs, holds what a failing disk
//! does not accept, and limits what others can make it record.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use super::checkpoint::CheckpointSigner;
use super::state::LedgerState;
use super::writer_thread::{LedgerHead, WriterCommand, WriterProgress, WriterThread};
use crate::clock::{self, Clock};
use crate::ipc::{Actor, Fact, LedgerCheck};
use crate::token_bucket::TokenBucket;
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
/// Refusals recorded one by one in each [`REFUSAL_WINDOW`]; the rest are counted.
const MAX_REFUSALS: u32 = 10;
/// See [`MAX_REFUSALS`].
const REFUSAL_WINDOW: Duration = Duration::from_mins(1);
/// Entries at once, and then one each [`QUOTA_REFILL`], of each kind that others can cause (a platform that asks, a
/// loose wire, a clock that is set to and fro); the rest are counted. Some 700 a day and kind.
const QUOTA_BURST: u32 = 30;
/// See [`QUOTA_BURST`].
const QUOTA_REFILL: Duration = Duration::from_mins(2);

/// What may be recorded of one kind, and how many facts were left out.
#[derive(Debug)]
struct FactQuota {
    bucket: TokenBucket,
    left_out: u64,
}

/// Sends facts to the thread that writes the ledger.
#[derive(Debug)]
pub(crate) struct LedgerWriter {
    path: PathBuf,
    signer: CheckpointSigner,
    clock: Clock,
    commands: Option<mpsc::Sender<WriterCommand>>,
    progress: watch::Sender<WriterProgress>,
    head: watch::Sender<LedgerHead>,
    /// Facts submitted so far.
    submitted: u64,
    /// When each fact that is not on disk was submitted: by number, in order.
    submitted_at: VecDeque<(u64, Monotonic)>,
    /// Facts that there was no room for, not recorded as lost yet.
    lost: u64,
    quotas: BTreeMap<&'static str, FactQuota>,
    refusal_window_start: Monotonic,
    refusals: u32,
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
            quotas: BTreeMap::new(),
            refusal_window_start: Monotonic::default(),
            refusals: 0,
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
        let (commands, inbox) = mpsc::channel();
        let (opened, result) = mpsc::sync_channel(1);
        let (progress, head) = (self.progress.clone(), self.head.clone());
        WriterThread::spawn(&self.path, self.signer.clone(), (commands.clone(), inbox), progress, head, opened)
            .map_err(|error| error.to_string())?;
        self.commands = Some(commands);
        let late = |_| Err("the ledger is being verified, or its disk does not answer".to_owned());
        result.recv_timeout(OPEN_TIMEOUT).unwrap_or_else(late)
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
        if !self.is_within_quota(&fact) {
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
        match result.recv_timeout(timeout) {
            Ok(Ok(())) => Ok(true),
            Ok(Err(text)) => Err(text),
            Err(_) => Ok(false),
        }
    }

    /// Whether a fact of this kind may be recorded now; others are counted. What staff do, and the begin and end of
    /// sessions, always may.
    fn is_within_quota(&mut self, fact: &Fact) -> bool {
        let Some(kind) = quota_kind(fact) else { return true };
        let now = self.clock.now();
        let fresh = || FactQuota { bucket: TokenBucket::new(QUOTA_BURST, QUOTA_REFILL, now), left_out: 0 };
        let quota = self.quotas.entry(kind).or_insert_with(fresh);
        if quota.bucket.try_take(now) {
            return true;
        }
        quota.left_out += 1;
        false
    }

    /// Records a refusal, or only counts it when there are many.
    pub(crate) fn append_refusal(&mut self, fact: Fact) -> Result<(), String> {
        self.refusals += 1;
        if self.refusals <= MAX_REFUSALS { self.append(fact) } else { Ok(()) }
    }

    /// Ends the window of refusals when it is over, and records how many facts were left out.
    pub(crate) fn flush_counts(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        if now.duration_since(self.refusal_window_start) < REFUSAL_WINDOW {
            return Ok(());
        }
        self.refusal_window_start = now;
        let refused = std::mem::take(&mut self.refusals).saturating_sub(MAX_REFUSALS);
        let refused = (refused > 0).then(|| Fact::CommandsRefused { count: refused.into() });
        let ready = self.quotas.iter_mut().filter(|(_, quota)| quota.left_out > 0);
        let left_out = ready.map(|(kind, quota)| Fact::EntriesLeftOut {
            of: (*kind).to_owned(),
            count: std::mem::take(&mut quota.left_out),
        });
        let facts: Vec<_> = refused.into_iter().chain(left_out).collect();
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
        if commands.send(WriterCommand::Close(done)).is_err() || result.recv_timeout(CLOSE_TIMEOUT).is_err() {
            tracing::error!("the ledger does not take its last entries");
        }
    }
}

/// The kind of a fact that others can cause as often as they like.
fn quota_kind(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Requested { .. } => Some("requested"),
        Fact::UnbindRequested {} => Some("unbind-requested"),
        Fact::RequestEnded { .. } => Some("request-ended"),
        Fact::Muted { by: Actor::Remote, .. } => Some("muted"),
        Fact::FaultDetected { .. } => Some("broke"),
        Fact::FaultCleared { .. } => Some("mended"),
        Fact::ClockStepped { .. } => Some("clock-stepped"),
        // Capture's reports are limited by `LinkLog`, so that the last entry stays true.
        Fact::OnAir { .. }
        | Fact::OffAir { .. }
        | Fact::EncoderFallback { .. }
        | Fact::GuardStarted { .. }
        | Fact::GuardStopped {}
        | Fact::Identified { .. }
        | Fact::Configured { .. }
        | Fact::SessionStarted { .. }
        | Fact::SessionStopped { .. }
        | Fact::SessionInterrupted { .. }
        | Fact::Muted { by: Actor::Staff, .. }
        | Fact::Locked {}
        | Fact::Unlocked {}
        | Fact::PolicyPending { .. }
        | Fact::PolicyAcknowledged { .. }
        // Each ends a service, and a box has one at a time.
        | Fact::EndOfServiceReceived { .. }
        | Fact::ServiceEnded { .. }
        | Fact::FootageDestroyed { .. }
        | Fact::ErasureStarted { .. }
        | Fact::Erased { .. }
        | Fact::IngestSet { .. }
        | Fact::PolicyUpdated { .. }
        | Fact::Unbound { .. }
        // Limited by the guard's quotas; each one has to be accounted for.
        | Fact::Commanded { .. }
        | Fact::CommandRefused { .. }
        | Fact::CommandsRefused { .. }
        | Fact::ConnectionRefused { .. }
        | Fact::Probed { .. }
        | Fact::Pruned { .. }
        | Fact::EntriesLost { .. }
        | Fact::EntriesLeftOut { .. }
        // Signed by as many keys as it takes, and the highest serial has to be known.
        | Fact::UpdateOffered { .. }
        | Fact::UpdatePostponed { .. }
        | Fact::UpdateAnnounced { .. }
        | Fact::UpdateStarted { .. }
        | Fact::UpdateSucceeded { .. }
        | Fact::UpdateFailed { .. }
        | Fact::DesiredReceived { .. }
        | Fact::DesiredPending { .. }
        | Fact::DesiredAgreed { .. }
        | Fact::DesiredApplied { .. }
        | Fact::DesiredDropped { .. } => None,
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
