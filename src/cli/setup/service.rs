//! The roles under systemd: stopped while the files change, started with them, and whether they do well.

use std::process::Command;
use std::time::Duration;

use super::folders::{AGENT, Folders};
use super::interrupt::{Interrupt, LOOK};
use super::terminal::say;
use crate::cli::client::Client;
use crate::cli::units::{self, Role};
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{Request, Status};
use crate::runtime::block_on;

const GUARD: &str = Role::Guard.unit();
/// How long roles may take until they do well: a name server, a TCP connection and a handshake, each of which may take
/// 10 s on a bad line, and one more attempt.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the guard says now, if there is one that answers.
pub(super) fn status(config: &Config) -> Option<Status> {
    block_on(async { Client::connect(config).await?.call(Request::Status {}).await }).ok().flatten()
}

/// Refuses while the box may be capturing.
pub(super) fn must_not_capture(config: &Config) -> Result<(), Exit> {
    match status(config) {
        Some(status) if status.phase.may_capture() => Err(Exit::temporary(format!(
            "the box is {}: it is set up only when nothing is captured; press its button, and try again",
            status.phase.as_str()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Stops guard and agent, so that no session can begin on files that are half changed. Where one does not stop, both go
/// on.
pub(super) fn stop() -> Result<(), Exit> {
    systemctl(&["stop", GUARD, AGENT]).inspect_err(|_| {
        let _ = systemctl(&["start", GUARD, AGENT]);
    })
}

/// Starts them, with units as they are on the disk now.
pub(super) fn start() -> Result<(), Exit> {
    systemctl(&["daemon-reload"])?;
    // One that a wrong configuration had ended is not started by its path alone.
    let _ = systemctl(&["reset-failed", GUARD, AGENT]);
    systemctl(&["start", GUARD, AGENT])
}

/// Only has systemd read its units.
pub(super) fn reload() -> Result<(), Exit> {
    systemctl(&["daemon-reload"])
}

fn systemctl(arguments: &[&str]) -> Result<(), Exit> {
    let shown = arguments.join(" ");
    let done = Command::new("systemctl").args(arguments).output();
    let output = done.map_err(|error| Exit::unavailable(format!("systemctl cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Exit::unavailable(format!("systemctl {shown}: {}; see journalctl -u 'tallybox-*'", said.trim())))
}

/// What is not well yet; `None`: all is.
fn unwell(config: &Config) -> Option<String> {
    let [of_guard, of_agent, ..] = units::ask().unwrap_or_default();
    let guard = status(config).filter(|_| of_guard.is_active());
    match guard {
        None => return Some("the guard does not run".to_owned()),
        Some(status) if status.unbound => {
            let advice = "another one claims it: another device-id, server or broker";
            return Some(format!("the box was unbound with this very configuration; {advice}"));
        }
        Some(_) => {}
    }
    let Some(mqtt) = &config.mqtt else { return None };
    let says = of_agent.get("StatusText");
    if of_agent.is_active() && says.starts_with("connected to ") {
        return None;
    }
    let says = if says.is_empty() { "does not run" } else { says };
    Some(format!("the agent, which is to reach {}:{}, {says}", mqtt.host, mqtt.port))
}

/// Waits until guard and agent do well. Where they do not, what `doctor` says of it is shown.
pub(super) fn wait_until_well(config: &Config, folders: &Folders, interrupt: &Interrupt) -> Result<(), Exit> {
    let clock = Clock::start();
    let begun = clock.now();
    let mut last = None;
    loop {
        let Some(what) = unwell(config) else { return Ok(()) };
        if clock.now().duration_since(begun) > PATIENCE {
            doctor(folders)?;
            return Err(Exit::unavailable(format!(
                "{what}; the files are in place: do what the lines above say, then call tallybox doctor"
            )));
        }
        if last.as_ref() != Some(&what) {
            say(&format!("waiting: {what}"))?;
            last = Some(what);
        }
        std::thread::sleep(LOOK);
        interrupt.check_stopped()?;
    }
}

/// What `doctor` finds that is not as it should be.
pub(super) fn doctor(folders: &Folders) -> Result<(), Exit> {
    let output = crate::ipc::self_command().args(["doctor", "--json", "--config"]).arg(&folders.main).output();
    let output = output.map_err(|error| Exit::software(format!("doctor cannot be started: {error}")))?;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    for row in rows.iter().filter(|row| row["verdict"] != "ok") {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        say(&format!("{:<5} {:<12} {}", text("verdict"), text("check"), text("found")))?;
        if !text("advice").is_empty() {
            say(&format!("{:19}→ {}", "", text("advice")))?;
        }
    }
    Ok(())
}
