//! `tallybox doctor`: what works here, as a table that a person can act on. Reads sysfs and asks the network; opens no
//! camera and no microphone itself (`--probe` asks the guard, and the guard staff).

mod board;
mod boot;
mod camera;
mod certificates;
mod connectivity;
pub(super) mod desired;
mod devices;
mod disk;
mod fonts;
mod groups;
pub(super) mod identity;
mod kernel;
mod network;
mod power;
mod privacy;
mod probe;
pub(super) mod requirements;
mod roles;
mod time;
mod tls;
mod updates;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::client::Client;
use super::host::{self, HostFiles};
use super::units::{self, Runner};
use crate::clock;
use crate::config::{Config, Diagnostic, PanelBackend};
use crate::exit::Exit;
use crate::ipc::{Request, Status};
use crate::ledger::Ledger;
use crate::runtime::block_on;

use board::Board;
use requirements::Requirements;
use roles::Roles;

/// How it is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As JSON, with stable fields.
    #[arg(long)]
    json: bool,
    /// Try camera, microphone and encoder for some seconds too: the lamp asks for a press of the button.
    #[arg(long)]
    probe: bool,
    /// Where the files of the machine are that is looked at.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CheckStatus {
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
pub(super) struct CheckResult {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How it looks.
    pub(super) verdict: CheckStatus,
    /// What was found.
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: String,
}

pub(super) fn ok(check: &'static str, found: impl Into<String>) -> CheckResult {
    CheckResult { check, verdict: CheckStatus::Ok, found: found.into(), advice: String::new() }
}

pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> CheckResult {
    CheckResult { check, verdict: CheckStatus::Warn, found: found.into(), advice: advice.into() }
}

pub(super) fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> CheckResult {
    CheckResult { check, verdict: CheckStatus::Fail, found: found.into(), advice: advice.into() }
}

/// A line for each role that runs `config`, and more where something is to be said about them.
pub(super) fn roles(config: &Config, status: Option<&Status>) -> Vec<CheckResult> {
    let machine = HostFiles::new(Path::new("/"));
    let runner = Runner::of(&machine, &config.path);
    let needs = Requirements::of(&runner, &machine, config);
    let told = match runner {
        Runner::Units(_) => units::ask(),
        Runner::Caller(_) => None,
    };
    Roles { machine: &machine, config, runner: &runner, states: told.as_ref(), status, needs: &needs }.rows()
}

/// Checks everything, and prints it. Ends with 69 if something fails.
pub(crate) fn run(config: &Config, args: &Args) -> Result<(), Exit> {
    let rows = check(config, args);
    if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|error| Exit::software(error.to_string()))?;
        println!("{text}");
    } else {
        print(&rows);
    }
    let failed = rows.iter().filter(|row| row.verdict == CheckStatus::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(Exit::unavailable("one check fails")),
        more => Err(Exit::unavailable(format!("{more} checks fail"))),
    }
}

/// All checks, in the order in which they are printed: what runs here, the machine, the configuration, the network.
fn check(config: &Config, args: &Args) -> Vec<CheckResult> {
    let machine = HostFiles::new(&args.root);
    let status = block_on(async { Client::connect(config).await?.call(Request::Status {}).await }).ok().flatten();
    let runner = Runner::of(&machine, &config.path);
    let needs = Requirements::of(&runner, &machine, config);
    let config = &runner.seen_by_roles(config, &machine);
    let mut rows = configuration(&machine, config);
    let status = status.as_ref();
    let units = machine.is_here().then(units::ask).flatten();
    let roles = Roles { machine: &machine, config, runner: &runner, states: units.as_ref(), status, needs: &needs };
    rows.extend(roles.rows());
    rows.push(identity::row(config, status));
    rows.extend(identity::at_rest(&machine, config, &runner, status));
    rows.push(updates::row(config, status));
    rows.extend(desired::row(status));
    rows.extend(privacy::rows(config, status));
    rows.extend(host(&machine, config, &runner));
    rows.extend(match runner {
        Runner::Units(_) => needs.rows(),
        Runner::Caller(_) => missing(config),
    });
    rows.extend(unusable(config));
    let reached = connectivity::rows(config, identity::device_id(config, status).as_deref());
    rows.extend(network::rows(&machine, config, connectivity::all_answer(&reached)));
    rows.extend(reached);
    if args.probe {
        rows.extend(probe::rows(config));
    }
    rows
}

/// The machine: board, power, groups, disk, clock, devices.
fn host(machine: &HostFiles, config: &Config, runner: &Runner) -> Vec<CheckResult> {
    let board = Board::of(machine);
    let mut rows = vec![panel(config), board::row(&board, machine, config), kernel::row(&board, machine)];
    rows.extend(power::rows(machine));
    rows.extend(boot::rows(&board, machine, config));
    rows.push(groups::row(machine, config));
    rows.extend(disk::rows(machine, config, runner));
    rows.extend([ledger(config), time::row(machine)]);
    rows.extend(camera::rows(machine, config));
    rows.extend(devices::rows(machine, config));
    rows.extend(fonts::row(machine, config));
    rows
}

fn print(rows: &[CheckResult]) {
    for row in rows {
        let verdict = match row.verdict {
            CheckStatus::Ok => "ok  ",
            CheckStatus::Warn => "warn",
            CheckStatus::Fail => "FAIL",
        };
        println!("{verdict}  {:<12} {}", row.check, row.found);
        if !row.advice.is_empty() {
            println!("{:20}→ {}", "", row.advice);
        }
    }
}

fn configuration(machine: &HostFiles, config: &Config) -> Vec<CheckResult> {
    let path = config.path.display().to_string();
    let exposed = crate::config::exposed_secrets(&config.path);
    let notes: Vec<String> = config.warnings.iter().chain(&exposed).map(ToString::to_string).collect();
    let read = if notes.is_empty() { ok("config", path) } else { warn("config", path, notes.join("; ")) };
    let misplaced = units::misplaced(machine, config).into_iter().map(|Diagnostic { file, at, message, help }| {
        let at = at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        fail("config", format!("{}{at}: {message}", file.display()), help)
    });
    std::iter::once(read).chain(misplaced).collect()
}

fn panel(config: &Config) -> CheckResult {
    let name = config.panel.backend.as_str();
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

fn ledger(config: &Config) -> CheckResult {
    let path = config.ledger();
    if path.try_exists().is_err() {
        return warn("ledger", "not judged: this user may not look into its folder", "call doctor as root");
    }
    if !path.exists() {
        return warn("ledger", format!("none yet at {}", path.display()), "the guard makes it when it first starts");
    }
    let looked = Ledger::open_read_only(&path).and_then(|ledger| {
        let (last, _, kept) = ledger.verify()?;
        Ok((last, kept, ledger.entries_after(last.saturating_sub(1), 1)?.pop()))
    });
    match looked {
        Ok((last, kept, newest)) => {
            let found = format!("{kept} entries up to number {last} verify");
            match newest.filter(|newest| newest.at.duration_since(clock::utc_now()) > AHEAD) {
                Some(newest) => fail(
                    "ledger",
                    format!("{found}, and the newest is of {:.0}, in the future", newest.at),
                    "the clock was wrong when it was written, or is wrong now: see timedatectl; entries that come later \
                     have their own time again",
                ),
                None => ok("ledger", found),
            }
        }
        // Whose file it is says nothing about what is in it.
        Err(_) if is_closed(&path) => warn("ledger", "not judged: this user may not read it", "call doctor as root"),
        Err(error) => fail("ledger", "does not verify", error.to_string()),
    }
}

/// Whether `path` is kept from whoever calls.
pub(super) fn is_closed(path: &Path) -> bool {
    !rustix::process::geteuid().is_root() && rustix::fs::access(path, rustix::fs::Access::READ_OK).is_err()
}

/// An entry that lies further ahead than this was not written under the clock of now, nor under one that is being
/// slewed.
const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// Secrets that whoever calls does not have.
fn missing(config: &Config) -> Vec<CheckResult> {
    let advice = "systemd hands it to the unit only; from a shell, export it to try";
    let missing = config.missing_secrets().into_iter().map(|missing| warn("secrets", missing.to_string(), advice));
    let all: Vec<_> = missing.collect();
    if all.is_empty() { vec![ok("secrets", "all found")] } else { all }
}

/// Secrets whose values cannot be used.
fn unusable(config: &Config) -> impl Iterator<Item = CheckResult> {
    config.unusable_secrets().into_iter().map(|found| fail("secrets", found.message, found.help))
}

/// What each question to the network may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_a_row_are_pinned() {
        let rows = [ok("x", ""), warn("x", "", ""), fail("x", "", "")];
        let verdicts = rows.each_ref().map(|row| crate::wire::listed(&row.verdict));
        crate::wire::pin("doctor", &format!("{}{}\n", crate::wire::written(&rows[0]), verdicts.join("\n")));
    }
}
