//! One connection of an agent: status at each change, or the ledger's entries in order, and answers to its calls.

use monotonic::Monotonic;
use tallybox::agent::GuardChannel;
use tallybox::clock::Clock;
use tallybox::ipc::{FromGuard, LedgerCursor, ReportedConfig, Request, Response, Status, ToGuard};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Call;
use crate::sim::ledger::SimLedger;

/// What the agent has subscribed to.
enum Subscription {
    None,
    Status,
    Entries { after: Option<LedgerCursor>, named: bool },
}

/// What an agent is told, as it changes.
pub(super) struct Told {
    pub(super) status: watch::Receiver<Status>,
    pub(super) reported: watch::Receiver<ReportedConfig>,
    pub(super) ledger: watch::Receiver<SimLedger>,
    pub(super) clock: Clock,
    /// When the guard started.
    pub(super) since: Monotonic,
}

impl Told {
    /// The newest status, with the time that it is now.
    fn newest_status(&mut self) -> FromGuard {
        let uptime_s = self.clock.now().duration_since(self.since).as_secs();
        FromGuard::Status(Box::new(Status { uptime_s, ..self.status.borrow_and_update().clone() }))
    }
}

/// Serves until the agent goes away.
pub(super) async fn serve(
    GuardChannel { mut requests, messages }: GuardChannel,
    mut told: Told,
    calls: mpsc::Sender<Call>,
) {
    let mut subscription = Subscription::None;
    let mut answers: JoinSet<(u64, Response)> = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(ToGuard { call, request }) = request else { return };
                if let Request::Subscribe { entries, after } = request {
                    told.status.mark_changed();
                    told.reported.mark_changed();
                    told.ledger.mark_changed();
                    subscription =
                        if entries { Subscription::Entries { after, named: false } } else { Subscription::Status };
                    answers.spawn(async move { (call, Response::Done) });
                } else {
                    let calls = calls.clone();
                    answers.spawn(async move { (call, ask(&calls, request).await) });
                }
            }
            Some(Ok((call, response))) = answers.join_next() => {
                // What was done shows in the status: whoever hears the answer has heard that before.
                let is_news = matches!(subscription, Subscription::Status) && told.status.has_changed().unwrap_or(false);
                if is_news && messages.send(told.newest_status()).await.is_err() {
                    return;
                }
                if messages.send(FromGuard::Response { call, response }).await.is_err() {
                    return;
                }
            }
            changed = told.status.changed(), if matches!(subscription, Subscription::Status) => {
                if changed.is_err() || messages.send(told.newest_status()).await.is_err() {
                    return;
                }
            }
            changed = told.reported.changed(), if matches!(subscription, Subscription::Status) => {
                let reported = Box::new(told.reported.borrow_and_update().clone());
                if changed.is_err() || messages.send(FromGuard::Reported(reported)).await.is_err() {
                    return;
                }
            }
            changed = told.ledger.changed(), if matches!(subscription, Subscription::Entries { .. }) => {
                let Subscription::Entries { after, named } = &mut subscription else { continue };
                if changed.is_err() || !send_entries(&messages, &mut told.ledger, after, named).await {
                    return;
                }
            }
        }
    }
}

async fn ask(calls: &mpsc::Sender<Call>, request: Request) -> Response {
    let away = || Response::unavailable("the guard is ending");
    let (reply, answer) = oneshot::channel();
    if calls.send((request, reply)).await.is_err() {
        return away();
    }
    answer.await.unwrap_or_else(|_| away())
}

/// Sends all that there are behind `after`. Returns whether the agent still listens.
async fn send_entries(
    messages: &mpsc::Sender<FromGuard>,
    ledger: &mut watch::Receiver<SimLedger>,
    after: &mut Option<LedgerCursor>,
    named: &mut bool,
) -> bool {
    loop {
        let (id, entry) = {
            let ledger = ledger.borrow_and_update();
            let Some(id) = ledger.id().map(str::to_owned) else { return true };
            (id, ledger.next(after.as_ref()).cloned())
        };
        let Some(entry) = entry else { return true };
        if !*named && messages.send(FromGuard::Ledger { id: id.clone() }).await.is_err() {
            return false;
        }
        *named = true;
        *after = Some(LedgerCursor { ledger: id, seq: entry.seq });
        if messages.send(FromGuard::Entry(Box::new(entry))).await.is_err() {
            return false;
        }
    }
}
