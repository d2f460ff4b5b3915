//! The ledger as the guard's loop uses it: in order, without waiting for a disk that hangs, with a memory for what a
//! failing one did not take, and a limit on what others can make it write.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use super::state::Recall;
use super::writer_thread::{Order, Progress, Writer};
use crate::clock::{self, Clock};
use crate::ipc::{Actor, Fact, LedgerCheck};
use crate::token_bucket::Allowance;
use monotonic::Monotonic;

/// At most this many facts wait for a disk that fails; a box in that state starts nothing, so few come.
const WAITING: usize = 1000;
/// What the guard's loop waits for the disk, in the usual case: longer than a card's write, shorter than anybody
/// notices.
const PATIENCE: Duration = Duration::from_millis(100);
/// The same for what has to be on disk before it takes effect: nothing is captured yet, and staff stand at the button.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);
/// A fact that is not on disk after this is a fault: no card's own housekeeping takes so long.
const LATE: Duration = Duration::from_secs(5);
/// What opening the ledger may take before the guard goes on without it, in fault.
const OPENING: Duration = Duration::from_secs(3);
/// What a clean end waits for the last entry.
const CLOSING: Duration = Duration::from_secs(2);
/// Refusals that are written one by one in each [`WINDOW`]; the rest are counted.
const REFUSALS: u32 = 10;
/// See [`REFUSALS`].
const WINDOW: Duration = Duration::from_mins(1);
/// Of what others can bring about (a platform that asks, a wire that is loose, a clock that is set to and fro) so many
/// entries of a kind are written at once, and one each [`REFILL`]; the rest are counted. Some 700 a day and kind.
const BURST: u32 = 30;
/// See [`BURST`].
const REFILL: Duration = Duration::from_mins(2);

/// Where the ledger ends, for those to whom entries are handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The ledger's id; `None`: it is not open, or empty.
    pub(crate) ledger: Option<String>,
    /// The last entry's number.
    pub(crate) seq: u64,
    /// The last `unbound` entry's number; 0: none.
    pub(crate) unbound: u64,
}

/// How many of a kind may be written, and how many were not.
#[derive(Debug)]
struct Quota {
    allowance: Allowance,
    left_out: u64,
}

/// The way to the thread that writes the ledger.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    clock: Clock,
    orders: Option<mpsc::Sender<Order>>,
    progress: watch::Sender<Progress>,
    head: watch::Sender<Head>,
    /// How many facts were handed over.
    sent: u64,
    /// When those were that are not on disk: by number, in order.
    since: VecDeque<(u64, Monotonic)>,
    /// Facts that there was no room for, not yet written down as such.
    lost: u64,
    quotas: BTreeMap<&'static str, Quota>,
    window: Monotonic,
    refusals: u32,
}

impl Journal {
    /// Not opened yet.
    pub(crate) fn new(path: &Path, clock: Clock) -> Self {
        Self {
            path: path.to_owned(),
            clock,
            orders: None,
            progress: watch::Sender::new(Progress::default()),
            head: watch::Sender::new(Head::default()),
            sent: 0,
            since: VecDeque::new(),
            lost: 0,
            quotas: BTreeMap::new(),
            window: Monotonic::default(),
            refusals: 0,
        }
    }

    /// Where the ledger ends, as it grows.
    pub(crate) fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// How far the thread is, as it gets on.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The ledger's id, once it has an entry.
    pub(crate) fn ledger_id(&self) -> Option<String> {
        self.head.borrow().ledger.clone()
    }

    /// What is known of the entries that were not verified when the ledger was opened.
    pub(crate) fn check(&self) -> LedgerCheck {
        self.progress.borrow().check
    }

    /// Opens the ledger and tells what it remembers. Where that takes long it goes on in the background:
    /// see [`Journal::is_open`].
    pub(crate) fn open(&mut self) -> Result<Recall, String> {
        let (orders, inbox) = mpsc::channel();
        let (opened, hear) = mpsc::sync_channel(1);
        Writer::spawn(&self.path, (orders.clone(), inbox), self.progress.clone(), self.head.clone(), opened)
            .map_err(|error| error.to_string())?;
        self.orders = Some(orders);
        let late = |_| Err("the ledger is being verified, or its disk does not answer".to_owned());
        hear.recv_timeout(OPENING).unwrap_or_else(late)
    }

    /// Whether the ledger is open.
    pub(crate) fn is_open(&self) -> bool {
        self.progress.borrow().open
    }

    /// How many facts were handed over; with [`Journal::has`] tells when a fact is on disk.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether fact number `sent`, and all before it, are on disk.
    pub(crate) fn has(&self, sent: u64) -> bool {
        self.progress.borrow().written >= sent
    }

    /// Whether all that was handed over is on disk, and nothing is wrong with what is there.
    pub(crate) fn is_well(&self) -> bool {
        let progress = self.progress.borrow();
        progress.open
            && progress.written >= self.sent
            && progress.trouble.is_none()
            && progress.check != LedgerCheck::Bad
    }

    /// Why the ledger does not do its work; `None`: it does.
    pub(crate) fn trouble(&mut self) -> Option<String> {
        let (written, trouble) = {
            let progress = self.progress.borrow();
            (progress.written, progress.trouble.clone())
        };
        while self.since.front().is_some_and(|(number, _)| *number <= written) {
            self.since.pop_front();
        }
        let now = self.clock.now();
        let late = self.since.front().is_some_and(|(_, since)| now.duration_since(*since) >= LATE);
        let held = || {
            "the ledger is not written: its disk does not answer, or another program holds the file (see: fuser -v ledger.db)"
                .to_owned()
        };
        trouble.or_else(|| late.then(held))
    }

    /// Writes `fact` behind what waits. Done, or under way and sure to be written as long as the disk comes back; an
    /// error is a fault, and the fact waits all the same, or is counted where there is no room.
    pub(crate) fn write(&mut self, fact: Fact) -> Result<(), String> {
        if !self.admits(&fact) {
            return Ok(());
        }
        self.hand_over(fact, PATIENCE).map(drop)
    }

    /// Writes `fact`, and all that waits before it, durably: what has not happened when this fails must not take
    /// effect.
    pub(crate) fn write_durably(&mut self, fact: Fact) -> Result<(), String> {
        let written = self.hand_over(fact, PATIENCE_AT_START)?;
        let late = || "the ledger's disk does not answer: nothing starts without an entry".to_owned();
        if written { Ok(()) } else { Err(late()) }
    }

    /// Returns whether it is on disk.
    fn hand_over(&mut self, fact: Fact, patience: Duration) -> Result<bool, String> {
        let waiting = self.sent - self.progress.borrow().written;
        let room = WAITING.saturating_sub(usize::try_from(waiting).unwrap_or(usize::MAX));
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
            self.sent += 1;
            self.since.push_back((self.sent, now));
        }
        let Some(orders) = &self.orders else { return Err("the ledger is not open".to_owned()) };
        let (done, hear) = mpsc::sync_channel(1);
        if orders.send(Order::Write { facts, done }).is_err() {
            return Err("the ledger's thread has ended".to_owned());
        }
        // Behind others that wait there is no use in waiting, unless it has to be.
        if waiting > 0 && patience < PATIENCE_AT_START {
            return self.trouble().map_or(Ok(false), Err);
        }
        match hear.recv_timeout(patience) {
            Ok(Ok(())) => Ok(true),
            Ok(Err(text)) => Err(text),
            Err(_) => Ok(false),
        }
    }

    /// Whether a fact of this kind may be written now; those that are not are counted. What staff do, and what
    /// a session begins and ends with, always may.
    fn admits(&mut self, fact: &Fact) -> bool {
        let Some(kind) = limited(fact) else { return true };
        let now = self.clock.now();
        let fresh = || Quota { allowance: Allowance::new(BURST, REFILL, now), left_out: 0 };
        let quota = self.quotas.entry(kind).or_insert_with(fresh);
        if quota.allowance.take(now) {
            return true;
        }
        quota.left_out += 1;
        false
    }

    /// Writes a refusal, or only counts it when many come.
    pub(crate) fn refuse(&mut self, fact: Fact) -> Result<(), String> {
        self.refusals += 1;
        if self.refusals <= REFUSALS { self.write(fact) } else { Ok(()) }
    }

    /// Closes the window of refusals when it is over, and writes down how many facts were left out.
    pub(crate) fn count(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        if now.duration_since(self.window) < WINDOW {
            return Ok(());
        }
        self.window = now;
        let refused = std::mem::take(&mut self.refusals).saturating_sub(REFUSALS);
        let refused = (refused > 0).then(|| Fact::CommandsRefused { count: refused.into() });
        let ready = self.quotas.iter_mut().filter(|(_, quota)| quota.left_out > 0);
        let left_out = ready.map(|(kind, quota)| Fact::EntriesLeftOut {
            of: (*kind).to_owned(),
            count: std::mem::take(&mut quota.left_out),
        });
        let facts: Vec<_> = refused.into_iter().chain(left_out).collect();
        facts.into_iter().map(|fact| self.hand_over(fact, PATIENCE).map(drop)).fold(Ok(()), Result::and)
    }

    /// Removes what is older than `retention`, when it comes to it.
    pub(crate) fn prune(&self, retention: Duration) {
        if let Some(orders) = &self.orders {
            // Without the thread there is nothing to prune.
            let _ = orders.send(Order::Prune(retention, clock::read()));
        }
    }

    /// Waits, not for long, until all is written, and closes the ledger.
    pub(crate) fn close(&mut self) {
        let Some(orders) = self.orders.take() else { return };
        let (done, hear) = mpsc::sync_channel(1);
        if orders.send(Order::Close(done)).is_err() || hear.recv_timeout(CLOSING).is_err() {
            tracing::error!("the ledger does not take its last entries");
        }
    }
}

/// The kind of a fact that others can bring about as often as they like.
fn limited(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Requested { .. } => Some("requested"),
        Fact::RequestEnded { .. } => Some("request-ended"),
        Fact::Muted { by: Actor::Remote, .. } => Some("muted"),
        Fact::FaultDetected { .. } => Some("broke"),
        Fact::FaultCleared { .. } => Some("mended"),
        Fact::ClockStepped { .. } => Some("clock-stepped"),
        // What capture reports is limited where it is heard, so that the last word stays true.
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
        | Fact::FootageDestroyed { .. }
        | Fact::Unbound { .. }
        | Fact::CommandRefused { .. }
        | Fact::CommandsRefused { .. }
        | Fact::ConnectionRefused { .. }
        | Fact::Probed { .. }
        | Fact::Pruned { .. }
        | Fact::EntriesLost { .. }
        | Fact::EntriesLeftOut { .. } => None,
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
        let mut journal = Journal::new(&path, Clock::start());
        journal.open().unwrap_err();
        for _ in 0..WAITING + 3 {
            journal.write(Fact::Locked {}).unwrap_err();
        }
        assert_eq!(journal.lost, 3);
        std::fs::create_dir(dir.path().join("away")).unwrap();
        let mut progress = journal.progress();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let written = progress.wait_for(|progress| progress.written >= WAITING as u64);
            tokio::time::timeout(Duration::from_mins(1), written).await.unwrap().unwrap();
        });
        journal.write_durably(Fact::Unlocked {}).unwrap();
        let entries = Ledger::open_to_read(&path).unwrap().entries_after(WAITING as u64, 10).unwrap();
        let facts: Vec<_> = entries.into_iter().map(|entry| serde_json::to_value(entry.fact).unwrap()).collect();
        assert_eq!(facts[0], serde_json::json!({ "kind": "entries-lost", "count": 3 }));
        assert_eq!(facts[1]["kind"], "unlocked");
    }
}
