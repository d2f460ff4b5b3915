//! The role that reaches the broker: state, telemetry and ledger events out, commands in. It cannot start a capture:
//! the guard's socket has no verb for it.

mod admission;
mod backoff;
mod binding;
pub(crate) mod broker;
mod commands;
mod context;
mod dial;
mod disconnect;
mod events;
mod explain;
mod guard_client;
mod guard_link;
mod home_assistant;
mod messages;
mod outbox;
mod payload;
mod publisher;
mod reply_store;
mod requests;
mod session;
pub mod state;
pub(crate) mod systemd_notifier;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod updates;
mod validator;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, Mqtt};
use crate::exit::Exit;
use crate::runtime::{self, ShutdownSignals};

use backoff::Backoff;
use binding::Ready;
use broker::RefusedFeatures;
use context::Agent;
use outbox::Outbox;
use session::ConnectionEnd;
use updates::ReleaseInbox;

pub use guard_link::{GuardAddress, GuardChannel};

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
    // What is wrong with certificates and secrets now is said at once; later it may heal, and is tried again.
    broker::prepare("", mqtt, RefusedFeatures::default().at(Clock::start().now()))?;
    let ending = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let outbox = Outbox::open(&config.agent_dir());
    let guard = guard_client::connect(guard, outbox.acknowledged().cloned(), ending.clone(), &mut tasks);
    let link = (guard.calls.clone(), guard.state.clone());
    let releases = ReleaseInbox::start(config, mqtt, link, ending.clone(), &mut tasks);
    let clock = Clock::start();
    let mut agent = Agent::new(config, mqtt, clock, guard, outbox, releases);
    let mut backoff = Backoff::new();
    agent.notifier.ready();
    let mut stop = std::pin::pin!(stop);
    let mut known = String::new();
    loop {
        match agent.ready(stop.as_mut()).await {
            Ready::Connect => {}
            Ready::Stop => break,
            // With another configuration than the one that is in memory here.
            Ready::Claimed => return Err(Exit::temporary("the box was claimed: the agent starts anew")),
        }
        let begun = clock.now();
        let loss = match agent.connection(stop.as_mut()).await {
            ConnectionEnd::Lost(loss) => loss,
            ConnectionEnd::Unbound => continue,
            ConnectionEnd::Stopped => break,
        };
        if clock.now().duration_since(begun) >= backoff::STABLE_AFTER {
            backoff.reset();
            known.clear();
        }
        let wait = if loss.patient { backoff.next_long_delay() } else { backoff.next_delay() };
        agent.notifier.disconnected(&loss);
        // Once for each cause, not for each attempt: a broker that is away for a day must not fill the journal.
        if loss.reason != known {
            let said = loss.said.map_or_else(String::new, |said| format!("; it says {said:?}"));
            tracing::warn!("the broker {} is out of reach: {}{said}", mqtt.origin(), loss.reason);
            known = loss.reason;
        }
        let mut waited = std::pin::pin!(tokio::time::sleep(wait));
        let stopped = loop {
            tokio::select! {
                () = waited.as_mut() => break false,
                () = stop.as_mut() => break true,
                () = agent.notifier.feed_watchdog() => {}
            }
        };
        if stopped {
            break;
        }
    }
    ending.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}
