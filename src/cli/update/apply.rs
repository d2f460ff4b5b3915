//! The updater: verifies what the guard asks for once more, hands it to `tallybox-upgrade`, and tells the guard how it
//! ended. Each run does the next step that is due and ends; what comes next starts another run. Power may fail between
//! any two steps.

use std::path::Path;
use std::process::{Command, Stdio};

use rollout::{BoxView, Decision};

use super::home::{Ending, Home, Pending};
use super::{package, verify, view};
use crate::atomic_file;
use crate::cli::client::Client;
use crate::config::Config;
use crate::exit::Exit;
use crate::installed_package;
use crate::ipc::{FromGuard, Request, Response, UpdateOutcome, WHY, clean};
use crate::runtime::block_on;
use crate::{untrusted_file, update_files};

/// The updater's folder.
const HOME: &str = "/var/lib/tallybox-update";
/// Puts a package in place of the installed one, and the former one back if the box is not well.
const UPGRADE: &str = "/usr/libexec/tallybox-upgrade";
/// Where that one keeps how far it came.
const UPGRADE_STAGE: &str = "/var/lib/tallybox-upgrade/stage";
/// Longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 64;

pub(super) fn run(config: &Config) -> Result<(), Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Exit::permission("call it as root: it installs packages"));
    }
    let home = Home::open(Path::new(HOME))?;
    let request = config.device.data_dir.join(update_files::REQUEST);
    let attempt = read_request(&request);
    match (home.pending(), home.ending()) {
        (Some(pending), Some(ending)) => report(config, &home, &request, pending, ending),
        (None, Some(_)) => home.clear().map_err(|error| failed(&error)),
        (Some(pending), None) if is_under_way() => {
            tracing::info!("{} is being installed", pending.version);
            remove(&request)
        }
        (Some(pending), None) => begin(config, &home, &request, &pending.attempt),
        (None, None) => match attempt {
            Some(attempt) => begin(config, &home, &request, &attempt),
            // Nothing that makes sense: nothing is done about it, again and again, unless it is removed.
            None => remove(&request),
        },
    }
}

fn failed(error: &std::io::Error) -> Exit {
    Exit::io(format!("{HOME}: {error}"))
}

fn read_request(path: &Path) -> Option<String> {
    let bytes = untrusted_file::read(path, MAX_REQUEST_BYTES).ok()?;
    update_files::attempt_of(&String::from_utf8(bytes).ok()?).map(str::to_owned)
}

fn remove(request: &Path) -> Result<(), Exit> {
    atomic_file::remove(request).map_err(|error| Exit::io(format!("{}: {error}", request.display())))
}

/// Whether `tallybox-upgrade` is at work, or will go on after a power cut.
fn is_under_way() -> bool {
    std::fs::read_to_string(UPGRADE_STAGE).is_ok_and(|stage| stage.trim_end() != "ended")
}

/// Verifies, copies, and hands over. What keeps the update is its ending.
fn begin(config: &Config, home: &Home, request: &Path, attempt: &str) -> Result<(), Exit> {
    let mut pending = Pending { attempt: attempt.to_owned(), version: String::new() };
    let prepared = prepare(config, home, &mut pending);
    home.set_pending(&pending).map_err(|error| failed(&error))?;
    let ending = match prepared {
        Ok(()) => match hand_over(home) {
            Ok(()) => return remove(request),
            Err(ending) => ending,
        },
        Err(ending) => ending,
    };
    home.set_ending(&ending).map_err(|error| failed(&error))?;
    report(config, home, request, pending, ending)
}

/// Whether the release still counts, and the package is the right one.
fn prepare(config: &Config, home: &Home, pending: &mut Pending) -> Result<(), Ending> {
    let note = config.device.data_dir.join(update_files::NOTE);
    let found = verify::read(config, &note).map_err(Ending::Again)?;
    let release = found.release;
    pending.version = release.version.to_string();
    if release.serial < home.serial(&release.channel) {
        let known = home.serial(&release.channel);
        return Err(Ending::Again(format!("serial {} is older than {known}, which was tried before", release.serial)));
    }
    let package = installed_package::find(Path::new("/"));
    let package = package.ok_or_else(|| Ending::Again("tallybox is not installed as a package".to_owned()))?;
    // Turn, window and sessions are the guard's matter; the rest is not believed.
    let decision = rollout::decide(&release, &BoxView { asked: true, ..view(config, &package, "") });
    if decision != Decision::Start {
        return Err(Ending::Again(decision.explain().to_owned()));
    }
    let Some(file) = release.files.of(&package.architecture) else {
        return Err(Ending::Again(Decision::OtherArchitecture.explain().to_owned()));
    };
    let from = update_files::package(&config.agent_dir(), &file.sha256);
    package::take(&from, file, &release, home)?;
    let kept = home.set_serial(&release.channel, release.serial);
    kept.map_err(|error| Ending::Again(format!("{HOME}: {error}")))
}

/// `tallybox-upgrade` goes on in a unit of its own, and writes the ending.
fn hand_over(home: &Home) -> Result<(), Ending> {
    let begun = Command::new(UPGRADE)
        .arg("begin")
        .arg(home.package())
        // A box with a part that does not work gets its update all the same: it may be what mends it.
        .args(["--unwell", "--report"])
        .arg(home.result())
        .stdin(Stdio::null())
        .output();
    let begun = begun.map_err(|error| Ending::Again(format!("{UPGRADE}: {error}")))?;
    if begun.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&begun.stderr).into_owned();
    let last = said.lines().last().unwrap_or("it said nothing").trim_start_matches("tallybox-upgrade: ").to_owned();
    // sysexits' EX_TEMPFAIL: a session, or another upgrade.
    Err(if begun.status.code() == Some(75) { Ending::Again(last) } else { Ending::Failed(last) })
}

/// Tells the guard, and forgets the attempt once that is in the ledger.
fn report(config: &Config, home: &Home, request: &Path, pending: Pending, ending: Ending) -> Result<(), Exit> {
    let Pending { attempt, version } = pending;
    let (error, again) = match ending {
        Ending::Good => (None, false),
        Ending::Again(why) => (Some(clean(&why, WHY)), true),
        Ending::Failed(why) => (Some(clean(&why, WHY)), false),
    };
    println!("{version}: {}", error.as_deref().unwrap_or("installed, and the box is well"));
    let outcome = UpdateOutcome { attempt, version, error, again };
    let response = block_on(async {
        let mut client = Client::connect(config).await?;
        let number = client.send(Request::UpdateEnded(outcome)).await?;
        loop {
            if let FromGuard::Response { call, response } = client.receive().await?
                && call == number
            {
                return Ok(response);
            }
        }
    })?;
    if response != Response::Done {
        return Err(Exit::temporary(format!("the guard has not written it down yet: {response:?}")));
    }
    // The request first: with it a run without the rest would begin anew.
    remove(request)?;
    home.clear().map_err(|error| failed(&error))
}
