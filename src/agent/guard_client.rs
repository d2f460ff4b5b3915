//! The agent's end of the control socket: stays connected to the guard, and reports when there is none.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::guard_link::{GuardAddress, GuardConnection};
use crate::clock::Clock;
use crate::ipc::{FromGuard, LedgerCursor, LedgerEntry, ReportedConfig, Request, Response, Status, ToGuard};
use monotonic::Monotonic;

/// Between two attempts to reach a guard that restarts: it is back within a second.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Entries that are held for the broker; the rest stay in the ledger.
const MAX_HELD_ENTRIES: usize = 32;
/// Calls that wait for the guard at once.
const MAX_CALLS: usize = 16;

/// A request, and where its answer goes.
type Call = (Request, oneshot::Sender<Response>);

/// A guard that is away for this many attempts, two seconds, is said to be away; one that restarts is back before.
const PATIENCE: u32 = 4;

/// What is known of the guard.
#[derive(Clone, Debug)]
pub(super) enum GuardState {
    /// Nothing yet: the agent has just started.
    Unknown,
    /// It is out of reach.
    Unreachable,
    /// What it said last, and when.
    Connected(Box<Status>, Monotonic),
}

impl GuardState {
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Unknown | Self::Unreachable => None,
            Self::Connected(status, _) => Some(status),
        }
    }
}

/// What the rest of the agent sees of the guard.
#[derive(Debug)]
pub(super) struct GuardHandle {
    pub(super) state: watch::Receiver<GuardState>,
    /// What became of the platform's desired configuration, as the guard said last.
    pub(super) reported: watch::Receiver<Option<ReportedConfig>>,
    /// Ledger entries in order, each with the place that it has in its ledger.
    pub(super) entries: mpsc::Receiver<(LedgerCursor, LedgerEntry)>,
    pub(super) calls: GuardClient,
    clock: Clock,
}

impl GuardHandle {
    /// What it said last, with the uptime that it has now.
    pub(super) fn present_status(&self) -> Option<Status> {
        match &*self.state.borrow() {
            GuardState::Unknown | GuardState::Unreachable => None,
            GuardState::Connected(status, heard) => {
                let uptime_s = status.uptime_s + self.clock.now().duration_since(*heard).as_secs();
                Some(Status { uptime_s, ..(**status).clone() })
            }
        }
    }
}

/// Calls the guard.
#[derive(Clone, Debug)]
pub(super) struct GuardClient {
    calls: mpsc::Sender<Call>,
    /// A way of their own for stops, so that nothing else keeps them waiting.
    stops: mpsc::Sender<Call>,
}

impl GuardClient {
    /// Asks the guard; where it is out of reach that is the answer.
    pub(super) async fn call(&self, request: Request) -> Response {
        let away = || Response::unavailable("the guard is out of reach");
        let (reply, answer) = oneshot::channel();
        let way = if matches!(request, Request::Stop {}) { &self.stops } else { &self.calls };
        if way.send((request, reply)).await.is_err() {
            return away();
        }
        answer.await.unwrap_or_else(|_| away())
    }
}

/// Starts the tasks that keep two connections, until `ending`: one for entries, which may wait for the broker for days,
/// and one for what cannot wait.
pub(super) fn connect(
    address: GuardAddress,
    after: Option<LedgerCursor>,
    ending: CancellationToken,
    tasks: &mut JoinSet<()>,
) -> GuardHandle {
    let (seen, state_rx) = watch::channel(GuardState::Unknown);
    let (reported, reported_rx) = watch::channel(None);
    let (entry, entries) = mpsc::channel(MAX_HELD_ENTRIES);
    let (calls, inbox) = mpsc::channel(MAX_CALLS);
    let (stops, stop_inbox) = mpsc::channel(1);
    let clock = Clock::start();
    let mut link = Link { address: address.clone(), seen, reported, clock, attempts: 0, inbox, stop_inbox };
    let stop = ending.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(link.run()).await;
    });
    tasks.spawn(async move {
        ending.run_until_cancelled(stream_entries(address, after, entry)).await;
    });
    GuardHandle { state: state_rx, reported: reported_rx, entries, calls: GuardClient { calls, stops }, clock }
}

/// Hands on each ledger entry after `after`, in order and without a gap, whatever becomes of the connection.
async fn stream_entries(
    address: GuardAddress,
    mut after: Option<LedgerCursor>,
    entries: mpsc::Sender<(LedgerCursor, LedgerEntry)>,
) {
    loop {
        // The other connection says why when the guard is out of reach.
        if let Ok(mut guard) = address.connect().await {
            let subscribe = ToGuard { call: 1, request: Request::Subscribe { entries: true, after: after.clone() } };
            let mut ledger = None;
            let mut subscribed = guard.send(subscribe).await.is_ok();
            while subscribed {
                match guard.receive().await {
                    Ok(Some(FromGuard::Ledger { id })) => ledger = Some(id),
                    Ok(Some(FromGuard::Entry(entry))) => {
                        // The guard names the ledger before its first entry.
                        let Some(ledger) = ledger.clone() else { break };
                        let place = LedgerCursor { ledger, seq: entry.seq };
                        if entries.send((place.clone(), *entry)).await.is_err() {
                            return;
                        }
                        after = Some(place);
                    }
                    Ok(Some(FromGuard::Status(_) | FromGuard::Reported(_) | FromGuard::Response { .. })) => {}
                    Ok(None) | Err(_) => subscribed = false,
                }
            }
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

struct Link {
    address: GuardAddress,
    seen: watch::Sender<GuardState>,
    reported: watch::Sender<Option<ReportedConfig>>,
    clock: Clock,
    attempts: u32,
    inbox: mpsc::Receiver<Call>,
    stop_inbox: mpsc::Receiver<Call>,
}

impl Link {
    async fn run(&mut self) {
        let mut known = String::new();
        loop {
            let why = match self.address.connect().await {
                Ok(guard) => self.talk(guard).await,
                Err(why) => why,
            };
            self.attempts += 1;
            if self.attempts == PATIENCE {
                self.seen.send_replace(GuardState::Unreachable);
            }
            // A connection that worked makes the next trouble news again.
            if why != known || self.attempts == 1 {
                tracing::warn!("the guard at {} is out of reach: {why}", self.address);
                known = why;
            }
            self.reject_calls_until_retry().await;
        }
    }

    /// Waits before the next attempt; whoever calls meanwhile is told that there is no guard.
    async fn reject_calls_until_retry(&mut self) {
        let mut again = std::pin::pin!(tokio::time::sleep(RETRY_INTERVAL));
        loop {
            tokio::select! {
                biased;
                () = &mut again => return,
                Some((_, reply)) = self.stop_inbox.recv() => drop(reply),
                Some((_, reply)) = self.inbox.recv() => drop(reply),
            }
        }
    }

    /// Talks until the connection ends; returns why it did.
    async fn talk(&mut self, mut guard: GuardConnection) -> String {
        let mut number = 1;
        let mut waiting: HashMap<u64, oneshot::Sender<Response>> = HashMap::new();
        let subscribe = ToGuard { call: number, request: Request::Subscribe { entries: false, after: None } };
        if let Err(error) = guard.send(subscribe).await {
            return error.to_string();
        }
        loop {
            // Calls are bounded by the answers that they wait for: what the guard says has its turn.
            tokio::select! {
                biased;
                Some((request, reply)) = self.stop_inbox.recv() => {
                    number += 1;
                    waiting.insert(number, reply);
                    if let Err(error) = guard.send(ToGuard { call: number, request }).await {
                        return error.to_string();
                    }
                }
                // One place is left for a stop: the guard takes no more of one connection.
                Some((request, reply)) = self.inbox.recv(), if waiting.len() + 1 < MAX_CALLS => {
                    number += 1;
                    waiting.insert(number, reply);
                    if let Err(error) = guard.send(ToGuard { call: number, request }).await {
                        return error.to_string();
                    }
                }
                received = guard.receive() => match received {
                    Err(error) => return error.to_string(),
                    Ok(None) => return "it closed the connection".to_owned(),
                    Ok(Some(FromGuard::Status(status))) => {
                        self.attempts = 0;
                        self.seen.send_replace(GuardState::Connected(status, self.clock.now()));
                    }
                    Ok(Some(FromGuard::Response { call, response })) => {
                        if let Some(reply) = waiting.remove(&call) {
                            let _ = reply.send(response);
                        }
                    }
                    Ok(Some(FromGuard::Reported(reported))) => drop(self.reported.send_replace(Some(*reported))),
                    Ok(Some(FromGuard::Ledger { .. } | FromGuard::Entry(_))) => {}
                },
            }
        }
    }
}
