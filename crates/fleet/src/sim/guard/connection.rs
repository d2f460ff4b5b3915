//! One connection of an agent: status at each change, or the ledger's entries in order, and answers to its calls.

use tallybox::agent::GuardChannel;
use tallybox::ipc::{FromGuard, LedgerCursor, Request, Response, Status, ToGuard};
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

/// Serves until the agent goes away.
pub(super) async fn serve(
    GuardChannel { mut requests, messages }: GuardChannel,
    mut status: watch::Receiver<Status>,
    mut ledger: watch::Receiver<SimLedger>,
    calls: mpsc::Sender<Call>,
) {
    let mut subscription = Subscription::None;
    let mut answers: JoinSet<(u64, Response)> = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(ToGuard { call, request }) = request else { return };
                if let Request::Subscribe { entries, after } = request {
                    status.mark_changed();
                    ledger.mark_changed();
                    subscription =
                        if entries { Subscription::Entries { after, named: false } } else { Subscription::Status };
                    answers.spawn(async move { (call, Response::Done) });
                } else {
                    let calls = calls.clone();
                    answers.spawn(async move { (call, ask(&calls, request).await) });
                }
            }
            Some(Ok((call, response))) = answers.join_next() => {
                if messages.send(FromGuard::Response { call, response }).await.is_err() {
                    return;
                }
            }
            changed = status.changed(), if matches!(subscription, Subscription::Status) => {
                let now = Box::new(status.borrow_and_update().clone());
                if changed.is_err() || messages.send(FromGuard::Status(now)).await.is_err() {
                    return;
                }
            }
            changed = ledger.changed(), if matches!(subscription, Subscription::Entries { .. }) => {
                let Subscription::Entries { after, named } = &mut subscription else { continue };
                if changed.is_err() || !send_entries(&messages, &mut ledger, after, named).await {
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
