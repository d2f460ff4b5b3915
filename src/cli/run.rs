//! `tallybox run`: guard and agent under one supervisor, for development. systemd does this on a box.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Config;
use crate::exit::Exit;
use crate::runtime::{ShutdownSignals, block_on};

/// Before a role that died is started again; doubles up to [`SLOWEST`] while it keeps dying at once.
const FIRST: Duration = Duration::from_millis(200);
/// See [`FIRST`].
const SLOWEST: Duration = Duration::from_secs(10);
/// A role that lived this long was well.
const WELL: Duration = Duration::from_secs(10);
/// What a role is given to end in order: a capture's half second, an acknowledgement from the broker, and room.
const PATIENCE: Duration = Duration::from_secs(8);

/// The role that may be missing.
const AGENT: &str = "agent";

struct Role {
    name: &'static str,
    child: Option<Child>,
    started: Instant,
    wait: Duration,
    due: Instant,
}

impl Role {
    fn new(name: &'static str) -> Self {
        let now = Instant::now();
        Self { name, child: None, started: now, wait: FIRST, due: now }
    }

    fn start(&mut self, config: &Path) -> Result<(), Exit> {
        let child = Command::from(crate::ipc::self_command())
            .args([self.name, "--supervised", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Exit::software(format!("{} cannot be started: {error}", self.name)))?;
        tracing::info!(role = self.name, pid = child.id(), "started");
        self.started = Instant::now();
        self.child = Some(child);
        Ok(())
    }

    /// Returns when it has ended, or when it is due to start again.
    async fn next_event(&mut self) -> Option<ExitStatus> {
        if let Some(child) = &mut self.child {
            return child.wait().await.ok();
        }
        sleep_until(self.due).await;
        None
    }

    /// It ended: when is it started again?
    fn ended(&mut self, status: ExitStatus) {
        self.child = None;
        let now = Instant::now();
        self.wait = if now - self.started >= WELL { FIRST } else { (self.wait * 2).min(SLOWEST) };
        self.due = now + self.wait;
        tracing::warn!(role = self.name, %status, again_in_ms = crate::clock::millis(self.wait), "ended by itself");
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it in order, or by force when it takes too long.
    async fn finish(&mut self, force: &mut ShutdownSignals) {
        self.signal(Signal::TERM);
        let Some(child) = &mut self.child else { return };
        let ended = tokio::select! {
            ended = timeout(PATIENCE, child.wait()) => ended.is_ok(),
            () = force.interrupt() => false,
        };
        if !ended {
            tracing::error!(role = self.name, "did not end in time: killed");
            let _ = child.kill().await;
        }
        self.child = None;
    }
}

/// Runs until SIGINT or SIGTERM; a second SIGINT does not wait.
pub(crate) fn run(config: &Config) -> Result<(), Exit> {
    block_on(async {
        let mut shutdown = ShutdownSignals::listen()?;
        let mut guard = Role::new("guard");
        let mut agent = config.mqtt.as_ref().map(|_| Role::new(AGENT));
        guard.start(&config.path)?;
        loop {
            let (role, status) = tokio::select! {
                biased;
                _ = shutdown.recv() => break,
                status = guard.next_event() => (&mut guard, status),
                Some(status) = async {
                    match &mut agent {
                        Some(agent) => Some(agent.next_event().await),
                        None => std::future::pending().await,
                    }
                } => match &mut agent {
                    Some(agent) => (agent, status),
                    None => continue,
                },
            };
            match status {
                // A configuration that is wrong does not become right by trying again. The guard needs no broker:
                // button, lamp and stream go on without the agent.
                Some(status) if status.code() == Some(78) && role.name == AGENT => {
                    tracing::error!("the agent cannot use this configuration: the box goes on without a broker");
                    agent = None;
                }
                Some(status) if status.code() == Some(78) => {
                    return Err(Exit::config(format!("{} cannot use this configuration", role.name)));
                }
                Some(status) => role.ended(status),
                None => role.start(&config.path)?,
            }
        }
        // The guard first: capture ends, the ledger says so, and the agent can still tell it.
        guard.finish(&mut shutdown).await;
        if let Some(agent) = &mut agent {
            agent.finish(&mut shutdown).await;
        }
        Ok(())
    })
}

/// For roles under `tallybox run`: they end in order when the supervisor dies.
pub(crate) fn die_with_supervisor() {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
}
