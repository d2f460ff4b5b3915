//! `tallybox doctor`: what works here, as a table that a person can act on. Reads sysfs and asks the network; opens no
//! camera and no microphone itself (`--probe` asks the guard, and the guard staff).

mod devices;
mod network;
mod probe;

use std::time::Duration;

use serde::Serialize;

use super::client::{Client, block_on};
use crate::clock;
use crate::config::{Config, PanelBackend};
use crate::exit::Exit;
use crate::guard::ledger::Ledger;
use crate::ipc::Request;

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It works.
    Ok,
    /// It works, but somebody should know.
    Warn,
    /// The box cannot do its work with this.
    Fail,
}

/// One line of the table; `--json` prints a list of these, with these names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Row {
    /// What was looked at.
    check: &'static str,
    /// How it looks.
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    advice: String,
}

pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Row {
    Row { check, verdict: Verdict::Ok, found: found.into(), advice: String::new() }
}

pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Row {
    Row { check, verdict: Verdict::Warn, found: found.into(), advice: advice.into() }
}

pub(super) fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Row {
    Row { check, verdict: Verdict::Fail, found: found.into(), advice: advice.into() }
}

/// Looks at everything, and prints it. Ends with 69 if something fails.
pub(crate) fn run(config: &Config, json: bool, probe: bool) -> Result<(), Exit> {
    let mut rows = vec![configuration(config), guard(config), panel(config), disk(config), ledger(config), clock_row()];
    rows.extend(devices::rows(config));
    rows.extend(secrets(config));
    rows.extend(network::rows(config));
    if probe {
        rows.extend(probe::rows(config));
    }
    if json {
        let text = serde_json::to_string_pretty(&rows).map_err(|error| Exit::software(error.to_string()))?;
        println!("{text}");
    } else {
        print(&rows);
    }
    let failed = rows.iter().filter(|row| row.verdict == Verdict::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(Exit::unavailable("one check fails")),
        more => Err(Exit::unavailable(format!("{more} checks fail"))),
    }
}

fn print(rows: &[Row]) {
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        println!("{verdict}  {:<11} {}", row.check, row.found);
        if !row.advice.is_empty() {
            println!("{:19}→ {}", "", row.advice);
        }
    }
}

fn configuration(config: &Config) -> Row {
    let path = config.path.display().to_string();
    if config.notes.is_empty() {
        return ok("config", path);
    }
    let notes: Vec<String> = config.notes.iter().map(ToString::to_string).collect();
    warn("config", path, notes.join("; "))
}

fn guard(config: &Config) -> Row {
    let status = block_on(async { Client::connect(config).await?.call(Request::Status {}).await });
    match status {
        Ok(Some(status)) if status.faults.is_empty() => ok("guard", format!("runs, phase {}", status.phase.word())),
        Ok(Some(status)) => {
            fail("guard", format!("runs, faults {:?}", status.faults), status.message.unwrap_or_default())
        }
        Ok(None) | Err(_) => warn(
            "guard",
            "does not run, or may not be asked",
            "start it: systemctl start tallybox-guard, or tallybox run; or call doctor as root",
        ),
    }
}

fn panel(config: &Config) -> Row {
    let name = config.panel.backend.word();
    match config.panel.backend {
        PanelBackend::Sim => {
            warn("panel", "simulated: no button, no lamp", "set [panel] backend = \"auto\" on a real box")
        }
        PanelBackend::Auto | PanelBackend::Cdev | PanelBackend::Rppal => match gpiocdev::chip::chips() {
            Ok(chips) if !chips.is_empty() => ok(
                "panel",
                format!(
                    "{name}: {} GPIO chip(s); button {}, lamp {}",
                    chips.len(),
                    config.panel.button_pin,
                    config.panel.lamp_pin
                ),
            ),
            Ok(_) | Err(_) => fail(
                "panel",
                format!("{name}: no GPIO chip that may be opened"),
                "connect button and lamp to GPIO, and add the user to the group gpio",
            ),
        },
    }
}

fn disk(config: &Config) -> Row {
    let dir = &config.device.data_dir;
    let shown = dir.display().to_string();
    let Ok(disk) = rustix::fs::statvfs(dir) else {
        return fail(
            "disk",
            format!("{shown} is not there"),
            "the guard makes it when it starts; or set [device] data-dir",
        );
    };
    if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err() {
        return fail(
            "disk",
            format!("{shown} cannot be written by this user"),
            "call doctor as root, or give the directory to the guard's user",
        );
    }
    let free = disk.f_bavail * disk.f_frsize / (1024 * 1024);
    // A ledger of six busy months has some 50,000 entries of 400 bytes: 20 MB.
    match free {
        0..100 => {
            fail("disk", format!("{free} MiB free in {shown}"), "make room: without its ledger the box starts nothing")
        }
        100..500 => warn("disk", format!("{free} MiB free in {shown}"), "make room"),
        500.. => ok("disk", format!("{free} MiB free in {shown}")),
    }
}

fn ledger(config: &Config) -> Row {
    let path = config.ledger();
    if !path.exists() {
        return warn("ledger", format!("none yet at {}", path.display()), "the guard makes it when it first starts");
    }
    match Ledger::open_to_read(&path).and_then(|ledger| ledger.prove()) {
        Ok((last, _, kept)) => ok("ledger", format!("{kept} entries up to number {last} verify")),
        Err(error) => fail("ledger", "does not verify", error.to_string()),
    }
}

fn clock_row() -> Row {
    let now = clock::utc();
    if !clock::is_set(now) {
        return fail(
            "clock",
            format!("{now} is long past"),
            "connect the network and wait for NTP: certificates cannot be judged without a clock",
        );
    }
    // systemd-timesyncd touches this when it has the time.
    if std::path::Path::new("/run/systemd/timesync/synchronized").exists() {
        ok("clock", "set, and kept by NTP")
    } else {
        warn("clock", format!("set to {now:.0}, but systemd-timesyncd does not keep it"), "see timedatectl")
    }
}

fn secrets(config: &Config) -> Vec<Row> {
    let missing = config.missing_secrets();
    if missing.is_empty() {
        return vec![ok("secrets", "all found")];
    }
    let advice = "systemd hands it to the unit only; from a shell, export it to try";
    missing.into_iter().map(|missing| warn("secrets", missing.to_string(), advice)).collect()
}

/// What each question to the network may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
