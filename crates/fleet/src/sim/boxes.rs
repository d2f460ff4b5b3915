//! The boxes: each a real agent and a simulated guard in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tallybox::agent::{self, GuardAddress};
use tallybox::config::Config;
use tallybox::exit::Exit;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::args::Args;
use super::guard::{self, Control, SimGuard};
use super::ledger::SimLedger;
use super::staff::Staff;
use crate::options;

/// systemd starts an agent that ended again after this.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// What an agent is to do.
#[derive(Clone, Debug)]
enum Agent {
    /// Run until the token is cancelled.
    Run(CancellationToken),
    /// Stay away.
    Stop,
}

/// One box, from outside.
#[derive(Debug)]
pub(super) struct SimBox {
    pub(super) id: String,
    /// Where it stands among all boxes: a script's share takes the lowest.
    pub(super) rank: u64,
    pub(super) ledger: watch::Receiver<SimLedger>,
    pub(super) verifier_key: String,
    guard: mpsc::Sender<Control>,
    agent: watch::Sender<Agent>,
    ending: CancellationToken,
    config: Arc<Config>,
}

impl SimBox {
    /// Whether the broker has acknowledged all that its ledger has.
    pub(super) fn has_sent_all(&self) -> bool {
        let written = self.ledger.borrow().last().map_or(0, |(seq, _)| seq);
        agent::acknowledged(&self.config).is_some_and(|cursor| cursor.seq == written)
    }

    /// Tells the guard. One that is so busy that it has not heard the last order yet misses this one.
    pub(super) fn control(&self, order: Control) {
        let _ = self.guard.try_send(order);
    }

    /// Ends the agent cleanly; it comes back only if it is to run.
    pub(super) fn set_agent(&self, runs: bool) {
        let next = if runs { Agent::Run(self.ending.child_token()) } else { Agent::Stop };
        if let Agent::Run(token) = self.agent.send_replace(next) {
            token.cancel();
        }
    }
}

/// Makes box number `index` and starts it after `delay`; its tasks end soon after `ending`.
pub(super) fn start(
    args: &Args,
    config: Config,
    (index, delay): (u32, Duration),
    ending: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<SimBox, Exit> {
    let id = config.device.id.clone().unwrap_or_default();
    let config = Arc::new(config);
    let mut random = fastrand::Rng::with_seed(args.seed ^ (u64::from(index) << 32));
    let (seed, rank) = (random.u64(..), random.u64(..));
    let staff = Staff::new(seed, args.activity());
    let guard = SimGuard::new(config.clone(), seed, staff, args.update_failures)?;
    let (ledger, verifier_key) = (guard.ledger(), guard.verifier_key());
    let (connect, agents) = mpsc::channel(2);
    let (control, orders) = mpsc::channel(4);
    let (agent, wanted) = watch::channel(Agent::Run(ending.child_token()));
    let stop = ending.clone();
    tasks.spawn(guard.run(agents, orders));
    let own = config.clone();
    tasks.spawn(async move {
        if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_some() {
            keep_agent(&own, GuardAddress::InProcess(connect), wanted, &stop).await;
        }
    });
    Ok(SimBox { id, rank, ledger, verifier_key, guard: control, agent, ending: ending.clone(), config })
}

/// Runs the agent as systemd would, until `ending`.
async fn keep_agent(
    config: &Config,
    guard: GuardAddress,
    mut wanted: watch::Receiver<Agent>,
    ending: &CancellationToken,
) {
    while !ending.is_cancelled() {
        let now = wanted.borrow_and_update().clone();
        let again = match now {
            Agent::Stop => ending.run_until_cancelled(wanted.changed()).await.is_some_and(|changed| changed.is_ok()),
            Agent::Run(token) => {
                if let Err(exit) = agent::run_until(config, guard.clone(), token.clone()).await {
                    eprintln!("{}: its agent ended: {exit}", config.device.id.as_deref().unwrap_or_default());
                }
                let crashed = !token.is_cancelled();
                let wait = tokio::time::sleep(RESTART_DELAY);
                !crashed || ending.run_until_cancelled(wait).await.is_some()
            }
        };
        if !again {
            return;
        }
    }
}

/// Writes a box's configuration into `dir`, with what its agent keeps beside it, and reads it as an agent does.
pub(super) fn configure(args: &Args, broker: &str, dir: &Path, id: &str, more: &str) -> Result<Config, Exit> {
    let own = |text: &str| toml_text(&text.replace("{id}", id));
    let mut mqtt = vec![
        format!("url = {}", own(broker)),
        format!("topic-prefix = {}", own(&args.prefix)),
        format!("telemetry-interval = \"{}ms\"", args.telemetry_interval.as_millis()),
    ];
    mqtt.extend(args.ca_file.iter().map(|file| format!("ca-file = {}", own(&file.to_string_lossy()))));
    mqtt.extend(args.cert.iter().map(|cert| format!("client-cert = {}", own(cert))));
    mqtt.extend(args.key.iter().map(|key| format!("client-key = {}", own(key))));
    if let Some(user) = &args.user {
        mqtt.push(format!("user = {}", own(user)));
        let password = options::PASSWORD;
        mqtt.extend(std::env::var_os(password).map(|_| format!("password = \"${{{password}}}\"")));
    }
    let mqtt = mqtt.join("\n");
    let home = dir.join(id);
    let failed = |error: std::io::Error| Exit::io(format!("{}: {error}", home.display()));
    std::fs::create_dir_all(&home).map_err(failed)?;
    let place = toml_text(&home.to_string_lossy());
    let text = format!(
        "[device]\nid = {}\ndata-dir = {place}\nruntime-dir = {place}\n\n[panel]\nbackend = \"sim\"\n\n\
         [ingest]\nurl = \"rtmps://push.example.cn/live/simulated\"\n\n[mqtt]\n{mqtt}\n\n\
         [privacy]\nallowed-ingest-hosts = [\"push.example.cn\"]\n",
        own(id)
    );
    let file = home.join("tallybox.toml");
    std::fs::write(&file, text).map_err(failed)?;
    if !more.is_empty() {
        let overrides = home.join("conf.d");
        std::fs::create_dir_all(&overrides).map_err(failed)?;
        std::fs::write(overrides.join("50-sim.toml"), more).map_err(failed)?;
    }
    let config = Config::load(&file)?;
    if config.trust.keys.iter().any(|key| key.may.contains(&notes::Role::Release)) {
        guard::install(&config.device.data_dir, &guard::first_version()).map_err(failed)?;
    }
    Ok(config)
}

/// A text as TOML writes one.
fn toml_text(text: &str) -> String {
    // A string of JSON is one of TOML too.
    serde_json::Value::from(text).to_string()
}
