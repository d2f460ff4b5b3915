//! The role that reaches the broker: state, telemetry and ledger events out, commands in. It cannot start a capture:
//! the guard's socket has no verb for it.

mod admission;
mod backoff;
mod binding;
mod broker;
mod broker_session;
mod certificates;
mod checkpoint;
mod commands;
mod context;
mod dial;
mod disconnect;
pub(crate) mod due_answers;
mod events;
mod explain;
#[cfg(all(feature = "box", any(test, feature = "fuzzing")))]
pub(crate) mod fuzzing;
mod guard_client;
mod guard_link;
mod home_assistant;
pub(crate) mod messages;
mod network_reporter;
mod outbox;
mod parting;
mod payload;
mod policy_relay;
pub(crate) mod publisher;
mod renewal;
pub(crate) mod reply_store;
mod requests;
mod session;
pub mod state;
mod subscriptions;
pub(crate) mod systemd_notifier;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod twin;
mod twin_relay;
mod updates;
mod validator;
mod waiting_answers;

#[cfg(test)]
pub(crate) use home_assistant::message as home_assistant_message;

use std::ops::ControlFlow;
use std::pin::Pin;

use monotonic::Monotonic;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, Mqtt};
use crate::connect::Refusals;
use crate::exit::Exit;
use crate::ipc::LedgerCursor;
use crate::runtime::{self, ShutdownSignals};

use backoff::{Backoff, Ended};
use binding::Ready;
use context::Agent;
use explain::ConnectionLoss;
use network_reporter::NetworkReporter;
use outbox::Outbox;
use session::ConnectionEnd;
use updates::ReleaseInbox;

pub use guard_link::{GuardAddress, GuardChannel};

/// The last event that the broker acknowledged, with all before it: for simulations, whose events are counted.
pub fn acknowledged(config: &Config) -> Option<LedgerCursor> {
    Outbox::open(&config.agent_dir()).acknowledged().cloned()
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<(), Exit> {
    crate::log::init("agent");
    tracing::info!("the agent starts: {}", config.summary());
    let Some(mqtt) = &config.mqtt else {
        tracing::info!(
            "there is no [mqtt] url: this box is not controlled from outside, and the agent has nothing to do"
        );
        // What a deployment takes for well, instead of a connection.
        systemd_notifier::notify(&[
            sd_notify::NotifyState::Ready,
            sd_notify::NotifyState::Status("no broker is configured"),
        ]);
        return Ok(());
    };
    runtime::block_on(async {
        let mut shutdown = ShutdownSignals::listen()?;
        let stop = async {
            shutdown.recv().await;
        };
        serve(config, mqtt, GuardAddress::Socket(config.guard_socket()), stop).await
    })
}

/// The same in a runtime that is there already, until `stop`, with the guard at `guard`. It logs and keeps files as the
/// program does, and installs no signal handlers: many can run in one process.
pub async fn run_until(config: &Config, guard: GuardAddress, stop: CancellationToken) -> Result<(), Exit> {
    let missing = || Exit::config("there is no [mqtt] url: set the broker's address");
    serve(config, config.mqtt.as_ref().ok_or_else(missing)?, guard, stop.cancelled_owned()).await
}

async fn serve(config: &Config, mqtt: &Mqtt, guard: GuardAddress, stop: impl Future<Output = ()>) -> Result<(), Exit> {
    let ending = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let outbox = Outbox::open(&config.agent_dir());
    let guard = guard_client::connect(guard, outbox.acknowledged().cloned(), ending.clone(), &mut tasks);
    let link = (guard.calls.clone(), guard.state.clone());
    let refusals = Refusals::default();
    let network = NetworkReporter::start(link.clone(), refusals.clone(), ending.clone(), &mut tasks);
    let releases = ReleaseInbox::start(config, mqtt, link, refusals.clone(), ending.clone(), &mut tasks);
    let clock = Clock::start();
    let mut agent = Agent::new(config, mqtt, clock, guard, outbox, releases, (network, refusals));
    // What is wrong with certificates and secrets now is said at once; later it may heal, and is tried again.
    agent.prepare()?;
    agent.notifier.ready();
    let kept = agent.keep_connected(std::pin::pin!(stop)).await;
    agent.network.finish().await;
    kept?;
    ending.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

impl Agent<'_> {
    /// One connection after the other, until `stop` comes.
    async fn keep_connected(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Result<(), Exit> {
        let mut backoff = Backoff::new(fastrand::Rng::new());
        let mut next_attempt = self.clock.now();
        let mut known = String::new();
        loop {
            match self.ready(stop.as_mut()).await {
                Ready::Connect => {}
                Ready::Stop => return Ok(()),
                // With another configuration than the one that is in memory here.
                Ready::Claimed => return Err(Exit::temporary("the box was claimed: the agent starts anew")),
            }
            if self.clock.now() < next_attempt {
                let moment = self.parting.until().map_or(next_attempt, |until| next_attempt.min(until));
                if self.wait_until(moment, stop.as_mut()).await.is_break() {
                    return Ok(());
                }
                // The box may have been unbound meanwhile.
                continue;
            }
            backoff.begin(self.clock.now());
            tracing::debug!("an attempt to connect");
            let ended = match self.connection(stop.as_mut()).await {
                ConnectionEnd::Stopped => return Ok(()),
                ConnectionEnd::Unbound => Ended::Failed,
                ConnectionEnd::Renewed => Ended::Meant,
                ConnectionEnd::Lost { loss, was_stable } => {
                    if was_stable {
                        known.clear();
                    }
                    self.report_loss(&loss, &mut known);
                    match loss.patient {
                        true => Ended::ThrownOut,
                        false if was_stable => Ended::Stable,
                        false => Ended::Failed,
                    }
                }
            };
            let spread = self.reconnect_spread();
            next_attempt = backoff.next_attempt(self.clock.now(), ended, spread);
        }
    }

    /// Once for each cause, not for each attempt: a broker that is away for a day must not fill the journal.
    fn report_loss(&mut self, loss: &ConnectionLoss, known: &mut String) {
        self.notifier.disconnected(loss);
        if loss.reason != *known {
            let said = loss.said.as_ref().map_or_else(String::new, |said| format!("; it says {said:?}"));
            tracing::warn!("the broker {} is out of reach: {}{said}", self.mqtt.origin(), loss.reason);
            known.clone_from(&loss.reason);
        }
    }

    /// Breaks when `stop` comes first.
    async fn wait_until(&mut self, moment: Monotonic, mut stop: Pin<&mut impl Future<Output = ()>>) -> ControlFlow<()> {
        let mut waited = std::pin::pin!(tokio::time::sleep_until(self.clock.to_instant(moment)));
        loop {
            tokio::select! {
                biased;
                () = stop.as_mut() => return ControlFlow::Break(()),
                () = waited.as_mut() => return ControlFlow::Continue(()),
                () = self.notifier.feed_watchdog() => {}
                Some(done) = self.requests.next() => self.done(done),
            }
        }
    }
}
