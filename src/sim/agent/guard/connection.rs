//! One connection of an agent to the played guard: status at each change, or the ledger's entries in order, and answers
//! to its calls.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{PlayedGuard, PlayedLedger};
use crate::agent::GuardChannel;
use crate::ipc::{FromGuard, LedgerCursor, ReportedConfig, Request, Response, Status, ToGuard};
use crate::sync::LockExt;

/// What the agent has subscribed to.
enum Subscription {
    None,
    Status,
    Entries { after: Option<LedgerCursor>, named: Option<String> },
}

struct Told {
    status: watch::Receiver<Status>,
    reported: watch::Receiver<ReportedConfig>,
    ledger: watch::Receiver<PlayedLedger>,
    started: Instant,
}

impl Told {
    /// The newest status, with the time that it is now.
    fn newest_status(&mut self) -> FromGuard {
        let uptime_s = self.started.elapsed().as_secs();
        FromGuard::Status(Box::new(Status { uptime_s, ..self.status.borrow_and_update().clone() }))
    }
}

/// Serves until the agent goes away.
pub(super) async fn serve(GuardChannel { mut requests, messages }: GuardChannel, guard: PlayedGuard) {
    let mut told = {
        let core = guard.0.lock_unpoisoned();
        Told {
            status: core.status.subscribe(),
            reported: core.reported.subscribe(),
            ledger: core.ledger.subscribe(),
            started: core.started,
        }
    };
    let mut subscription = Subscription::None;
    let mut answers: JoinSet<(u64, Response)> = JoinSet::new();
    loop {
        let is_told = matches!(subscription, Subscription::Status);
        let sent = tokio::select! {
            biased;
            request = requests.recv() => {
                let Some(ToGuard { call, request }) = request else { return };
                if matches!(request, Request::Subscribe { .. }) {
                    told.status.mark_changed();
                    told.reported.mark_changed();
                    told.ledger.mark_changed();
                }
                take(call, request, &guard, &mut subscription, &mut answers);
                true
            }
            // What was done shows in the status: whoever hears the answer has heard that before.
            changed = told.status.changed(), if is_told => {
                changed.is_ok() && messages.send(told.newest_status()).await.is_ok()
            }
            changed = told.reported.changed(), if is_told => {
                let reported = Box::new(told.reported.borrow_and_update().clone());
                changed.is_ok() && messages.send(FromGuard::Reported(reported)).await.is_ok()
            }
            Some(Ok((call, response))) = answers.join_next() => {
                messages.send(FromGuard::Response { call, response }).await.is_ok()
            }
            changed = told.ledger.changed(), if matches!(subscription, Subscription::Entries { .. }) => {
                changed.is_ok() && send_entries(&messages, &mut told.ledger, &mut subscription).await
            }
        };
        if !sent {
            return;
        }
    }
}

fn take(
    call: u64,
    request: Request,
    guard: &PlayedGuard,
    subscription: &mut Subscription,
    answers: &mut JoinSet<(u64, Response)>,
) {
    if let Request::Subscribe { entries, after } = request {
        *subscription = if entries { Subscription::Entries { after, named: None } } else { Subscription::Status };
        answers.spawn(async move { (call, Response::Done) });
        return;
    }
    let answer = guard.ask(request);
    answers.spawn(async move {
        match answer {
            None => std::future::pending().await,
            Some((late, response)) => {
                sleep(late).await;
                (call, response)
            }
        }
    });
}

/// Sends all entries that there are. Returns whether the agent still listens.
async fn send_entries(
    messages: &mpsc::Sender<FromGuard>,
    ledger: &mut watch::Receiver<PlayedLedger>,
    subscription: &mut Subscription,
) -> bool {
    let Subscription::Entries { after, named } = subscription else { return true };
    loop {
        let (id, entry) = {
            let ledger = ledger.borrow_and_update();
            let behind = after.as_ref().filter(|after| after.ledger == ledger.id).map_or(0, |after| after.seq);
            let next = usize::try_from(behind).ok().and_then(|behind| ledger.entries.get(behind));
            (ledger.id.clone(), next.cloned())
        };
        let Some(entry) = entry else { return true };
        if named.as_ref() != Some(&id) && messages.send(FromGuard::Ledger { id: id.clone() }).await.is_err() {
            return false;
        }
        *named = Some(id.clone());
        *after = Some(LedgerCursor { ledger: id, seq: entry.seq });
        if messages.send(FromGuard::Entry(Box::new(entry))).await.is_err() {
            return false;
        }
    }
}
