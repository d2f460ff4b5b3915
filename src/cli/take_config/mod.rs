//! `tallybox take-config`: a configuration that somebody brings, on a USB stick for the most part. It is judged before
//! it is taken, never while the box is on air, and what it replaces is kept.

mod history;
mod install;
mod policy;
mod stick;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::Client;
use crate::config::{Config, STICK_FILE};
use crate::exit::Exit;
use crate::ipc::Request;
use crate::runtime::block_on;
use crate::untrusted_file;

use history::History;
use install::OverrideFile;
pub(super) use stick::run as take_stick;

/// Longest file that is taken, in bytes; one with every key and its comments has 4,000.
const MAX_BYTES: u64 = 64 * 1024;
/// The roles that know a configuration. Capture is not among them: without a guard there is none.
const ROLES: [&str; 2] = ["tallybox-guard.service", "tallybox-agent.service"];

/// What to take, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file that somebody brought.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Stop guard and agent with systemctl before it is taken, and start them after.
    #[arg(long)]
    restart: bool,
}

/// Takes the file for the box whose main file is `config`.
pub(crate) fn run(config: &Path, args: &Args) -> Result<(), Exit> {
    let text = read(&args.file)?;
    let place = OverrideFile::beside(config);
    let _alone = place.lock()?;
    let present = Config::load(config)?;
    let wanted = Config::load_with(config, STICK_FILE, &args.file, text.clone())?;
    if place.contains(&text) {
        println!("{}: is the box's configuration already", args.file.display());
        return Ok(());
    }
    judged(&present, &wanted, &args.file)?;
    for note in &wanted.warnings {
        println!("note: {note}");
    }
    let running = guard_that_may_stop(&present)?;
    if running && !args.restart {
        return Err(Exit::unavailable("a guard runs on this configuration: stop it first, or give --restart"));
    }
    if args.restart {
        systemctl("stop")?;
        if crate::guard::is_running(&present) {
            // Not one of systemd's.
            return Err(Exit::unavailable("a guard goes on that systemctl does not know: stop it first"));
        }
    }
    // Once more, now that no session can begin: the first one ever may have begun and ended meanwhile.
    let taken = judged(&present, &wanted, &args.file).and_then(|()| {
        place.install(&text).map_err(|error| Exit::io(format!("{place}: {error}; nothing was changed")))
    });
    if args.restart {
        start_again(&place, &wanted, taken.is_ok())?;
    }
    taken?;
    println!("{}: taken as {place}; where streams go: {}", args.file.display(), wanted.ingest.hosts());
    Ok(())
}

/// Whether `wanted` may follow on `present`, for whoever brought `file`.
fn judged(present: &Config, wanted: &Config, file: &Path) -> Result<(), Exit> {
    let wrong = policy::refusals(present, wanted, &History::of(present));
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Exit::permission(format!("{} is not taken: {}", file.display(), wrong.join("; "))))
}

fn read(path: &Path) -> Result<String, Exit> {
    let shown = path.display();
    let content = untrusted_file::read(path, MAX_BYTES).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Exit::no_input(format!("there is no {shown}"));
        }
        if error.kind() == io::ErrorKind::FileTooLarge {
            return Exit::data(format!("{shown} is not taken: it is longer than 64 KiB"));
        }
        Exit::data(format!("{shown} is not taken: {error}; it must be a plain file"))
    })?;
    Config::text_of(path, content).map_err(|mistake| Exit::data(format!("{shown} is not taken: {mistake}")))
}

/// Whether a guard runs; an error if it may be capturing, or does not say.
fn guard_that_may_stop(config: &Config) -> Result<bool, Exit> {
    if !crate::guard::is_running(config) {
        return Ok(false);
    }
    let status = block_on(async { Client::connect(config).await?.call(Request::Status {}).await })?;
    match status {
        Some(status) if status.phase.may_capture() => Err(Exit::temporary(format!(
            "the box is {}: a configuration is taken only when nothing is captured; try again after the session",
            status.phase.as_str()
        ))),
        Some(_) => Ok(true),
        None => Err(Exit::software("the guard answered without a status")),
    }
}

fn systemctl(verb: &str) -> Result<(), Exit> {
    let done = Command::new("systemctl").arg(verb).args(ROLES).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let roles = ROLES.join(" ");
            Err(Exit::unavailable(format!("systemctl {verb} {roles}: {status}; see journalctl -u {}", ROLES[0])))
        }
        Err(error) => Err(Exit::unavailable(format!("systemctl cannot be started: {error}"))),
    }
}

/// Starts the roles; if they do not start with what was taken, then with what was there before.
fn start_again(place: &OverrideFile, wanted: &Config, taken: bool) -> Result<(), Exit> {
    let started = systemctl("start");
    if !taken {
        return started;
    }
    if let Err(exit) = started {
        place.roll_back().map_err(|error| Exit::io(format!("{exit}; and {place}.bak cannot be put back: {error}")))?;
        systemctl("start")?;
        return Err(Exit::unavailable(format!("{exit}; the configuration from before is in force again")));
    }
    // The lamp tells whoever brought the stick that it may be pulled out.
    let shown = block_on(async { Client::connect(wanted).await?.call(Request::Identify {}).await });
    if let Err(exit) = shown {
        println!("note: the lamp does not show that it was taken: {exit}");
    }
    Ok(())
}
