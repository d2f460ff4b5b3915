//! Tells the guard how the agent's connections are, for the ledger: the newest state of the broker, again after the
//! guard was started anew, and each connection that was not made.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::guard_client::{GuardClient, GuardState};
use crate::connect::{Refusals, RefusedDestination};
use crate::ipc::{NetworkReport, Request, Response};

/// How often connections that were not made are looked for.
const LOOK: Duration = Duration::from_secs(10);
/// Reports that wait for a guard that is away.
const MAX_PENDING: usize = 32;
/// How long the agent's end waits for its last report.
const LAST_REPORT: Duration = Duration::from_millis(500);

/// Takes reports, and never waits.
#[derive(Debug)]
pub(super) struct NetworkReporter {
    broker: watch::Sender<Option<NetworkReport>>,
    /// What the guard was told last.
    told: watch::Receiver<Option<NetworkReport>>,
}

impl NetworkReporter {
    /// Starts the task that hands reports on, until `ending`.
    pub(super) fn start(
        (calls, state): (GuardClient, watch::Receiver<GuardState>),
        refusals: Refusals,
        ending: CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let ((broker, newest), (tell, told)) = (watch::channel(None), watch::channel(None));
        let task = Task { calls, state, broker: newest, told: tell, refusals, epoch: None, pending: VecDeque::new() };
        tasks.spawn(async move {
            ending.run_until_cancelled(task.run()).await;
        });
        Self { broker, told }
    }

    /// How it is with the broker from now on.
    pub(super) fn report(&self, report: NetworkReport) {
        self.broker.send_if_modified(|known| {
            let is_news = known.as_ref() != Some(&report);
            *known = Some(report);
            is_news
        });
    }

    /// There is no broker any more, if there was one.
    pub(super) fn leave(&self, why: &str) {
        if *self.broker.borrow() == Some(NetworkReport::BrokerConnected {}) {
            self.report(NetworkReport::BrokerLost { reason: why.to_owned() });
        }
    }

    /// The last report: the agent ends. Waits a moment until the guard has it.
    pub(super) async fn finish(&mut self) {
        self.leave("the agent was stopped");
        let last = self.broker.borrow().clone();
        if matches!(last, Some(NetworkReport::BrokerLost { .. })) {
            // A guard that is away, or ends too, is not waited for any longer.
            let _ = tokio::time::timeout(LAST_REPORT, self.told.wait_for(|told| *told == last)).await;
        }
    }
}

struct Task {
    calls: GuardClient,
    state: watch::Receiver<GuardState>,
    broker: watch::Receiver<Option<NetworkReport>>,
    told: watch::Sender<Option<NetworkReport>>,
    refusals: Refusals,
    /// The guard's, when it was told last.
    epoch: Option<String>,
    pending: VecDeque<NetworkReport>,
}

impl Task {
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                changed = self.broker.changed() => if changed.is_err() { return },
                changed = self.state.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
            }
            self.deliver().await;
        }
    }

    async fn deliver(&mut self) {
        let epoch = self.state.borrow_and_update().status().map(|status| status.epoch.clone());
        let Some(epoch) = epoch else { return };
        if self.epoch.as_ref() != Some(&epoch) {
            self.epoch = Some(epoch);
            self.told.send_replace(None);
        }
        let newest = self.broker.borrow_and_update().clone();
        if let Some(report) = newest.clone().filter(|_| newest != *self.told.borrow())
            && self.is_taken(report).await
        {
            self.told.send_replace(newest);
        }
        let refused = self.refusals.take().into_iter();
        let refused = refused.map(|RefusedDestination { host, why }| NetworkReport::DestinationRefused { host, why });
        self.pending.extend(refused.take(MAX_PENDING.saturating_sub(self.pending.len())));
        while let Some(report) = self.pending.front().cloned() {
            if !self.is_taken(report).await {
                return;
            }
            self.pending.pop_front();
        }
    }

    /// Whether the guard has it, or will never take it.
    async fn is_taken(&self, report: NetworkReport) -> bool {
        !matches!(self.calls.call(Request::Network(report)).await, Response::Unavailable(_))
    }
}
