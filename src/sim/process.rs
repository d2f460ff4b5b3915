//! The agent's process in a simulation: the production code, started again by whoever ends it, as by systemd.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::agent::{self, GuardAddress};
use crate::config::Config;
use crate::worker::simulated::{self as threads, blocking::DOWNLOAD};

/// systemd starts an agent that ended again after this.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// So often an agent is woken at one moment at most: what a flood at once needs, many times over.
const MAX_POLLS: u32 = 20_000;

/// What happens to the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProcessAction {
    /// It is killed, and started anew.
    Kill,
    /// It is told to end, and started anew.
    Stop,
}

impl ProcessAction {
    /// One of them, as the dice fall.
    pub(super) fn any(random: &mut fastrand::Rng) -> Self {
        if random.bool() { Self::Kill } else { Self::Stop }
    }
}

/// The process, and what happened to it.
#[derive(Debug)]
pub(super) struct AgentProcess {
    config: Arc<Config>,
    guard: GuardAddress,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    disturbed: Vec<Instant>,
    is_spinning: Arc<AtomicBool>,
}

impl AgentProcess {
    /// One that does not run yet.
    pub(super) fn new(config: Arc<Config>, guard: GuardAddress) -> Self {
        let (stop, tasks) = (CancellationToken::new(), JoinSet::new());
        Self { config, guard, stop, tasks, disturbed: Vec::new(), is_spinning: Arc::default() }
    }

    /// Starts it. An agent that ends by itself is started again until it is told to end.
    pub(super) fn start(&mut self) {
        self.stop = CancellationToken::new();
        self.disturbed.push(Instant::now());
        let (config, guard, stop) = (self.config.clone(), self.guard.clone(), self.stop.clone());
        let is_spinning = self.is_spinning.clone();
        self.tasks.spawn(async move {
            loop {
                let run = agent::run_until(&config, guard.clone(), stop.clone());
                let ended = until_it_spins(run).await;
                // Its threads end with a process.
                threads::kill(DOWNLOAD);
                match ended {
                    None => return is_spinning.store(true, Ordering::Relaxed),
                    Some(Ok(())) => return,
                    Some(Err(exit)) => tracing::info!("the agent ended: {exit}"),
                }
                sleep(RESTART_DELAY).await;
            }
        });
    }

    /// Does it now.
    pub(super) async fn act(&mut self, action: ProcessAction) {
        self.disturbed.push(Instant::now());
        match action {
            ProcessAction::Kill => self.kill().await,
            ProcessAction::Stop => {
                self.stop.cancel();
                while self.tasks.join_next().await.is_some() {}
                threads::kill(DOWNLOAD);
            }
        }
        self.start();
    }

    /// Ends it, in the middle of whatever it does.
    pub(super) async fn kill(&mut self) {
        self.tasks.shutdown().await;
        threads::kill(DOWNLOAD);
    }

    /// The next start has this configuration.
    pub(super) fn configure(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// When something happened to it, its starts among that.
    pub(super) fn disturbed(&self) -> &[Instant] {
        &self.disturbed
    }

    /// Whether it turned without a pause, so that no time passed.
    pub(super) fn is_spinning(&self) -> bool {
        self.is_spinning.load(Ordering::Relaxed)
    }
}

/// What the agent ends with; `None`: it turns without a pause.
async fn until_it_spins<T>(agent: impl Future<Output = T>) -> Option<T> {
    let mut agent = std::pin::pin!(agent);
    let mut polls = (Instant::now(), 0_u32);
    poll_fn(|context| {
        let now = Instant::now();
        polls = if polls.0 == now { (now, polls.1 + 1) } else { (now, 0) };
        if polls.1 > MAX_POLLS { Poll::Ready(None) } else { agent.as_mut().poll(context).map(Some) }
    })
    .await
}
