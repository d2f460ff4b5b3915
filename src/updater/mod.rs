//! The updater: verifies what the guard asks for once more, hands it to `tallybox-upgrade`, and tells the guard how it
//! ended. Each run does the next step that is due and ends; what comes next starts another run. Power may fail between
//! any two steps.

mod home;
mod package;
mod verify;

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use rollout::{BoxView, Decision, SessionView};

use crate::config::Config;
use crate::disk;
use crate::exit::Exit;
use crate::installed_package::{self, InstalledPackage};
use crate::ipc::{Response, UpdateOutcome, WHY, clean};
use crate::{atomic_file, clock, untrusted_file, update_files};
use home::{Ending, Home, Pending};
pub(crate) use verify::read as read_release;

/// The updater's folder, below the machine's root.
pub(crate) const HOME: &str = "var/lib/tallybox-update";
/// Puts a package in place of the installed one, and the former one back if the box is not well.
const UPGRADE: &str = "/usr/libexec/tallybox-upgrade";
/// Where that one keeps how far it came, below the machine's root.
const UPGRADE_STAGE: &str = "var/lib/tallybox-upgrade/stage";
/// Longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 64;

/// What the updater uses of the machine besides its disk and its clock. A simulation plays it.
pub(crate) trait Machine {
    /// Where the machine's files lie that no configuration names: `/`.
    fn root(&self) -> &Path;

    /// Runs a command to its end, without input.
    ///
    /// # Errors
    /// Where it cannot be started.
    fn output(&self, command: Command) -> io::Result<Output>;

    /// Writes a line for whoever reads the journal.
    fn say(&self, line: &str);

    /// Tells the guard how an update ended, and returns what it says to that.
    ///
    /// # Errors
    /// Where the guard cannot be asked.
    fn tell_guard(&self, outcome: UpdateOutcome) -> Result<Response, Exit>;
}

/// Does the next step that is due, if one is. Call it as root.
///
/// # Errors
/// What has to be tried again: the guard is away, another updater is at work, or the disk fails.
pub(crate) fn run(config: &Config, machine: &dyn Machine) -> Result<(), Exit> {
    let home = Home::open(&machine.root().join(HOME))?;
    let request = config.device.data_dir.join(update_files::REQUEST);
    let updater = Updater { config, machine, home: &home, request: &request };
    let attempt = read_request(&request);
    match (home.pending(), home.ending()) {
        (Some(pending), Some(ending)) => updater.report(pending, ending),
        (None, Some(_)) => home.clear().map_err(|error| failed(&error)),
        (Some(pending), None) if updater.is_under_way() => {
            machine.say(&format!("{} is being installed", pending.version));
            remove(&request)
        }
        (Some(pending), None) => updater.begin(&pending.attempt),
        (None, None) => match attempt {
            Some(attempt) => updater.begin(&attempt),
            // Nothing that makes sense: nothing is done about it, again and again, unless it is removed.
            None => remove(&request),
        },
    }
}

/// The box as it is but for sessions, about which the guard decides.
pub(crate) fn view<'a>(config: &'a Config, package: &'a InstalledPackage, id: &'a str) -> BoxView<'a> {
    let reading = clock::read();
    let is_right = reading.synchronised && clock::is_plausible(reading.utc);
    BoxView {
        id,
        channel: &config.update.channel,
        architecture: &package.architecture,
        installed: &package.version,
        automatic: config.update.automatic,
        window: None,
        second_of_day: 0,
        now: is_right.then_some(reading.utc),
        session: SessionView::None,
        postponed: None,
        asked: false,
        given_up: false,
    }
}

fn failed(error: &std::io::Error) -> Exit {
    Exit::io(format!("/{HOME}: {error}"))
}

fn read_request(path: &Path) -> Option<String> {
    let bytes = untrusted_file::read(path, MAX_REQUEST_BYTES).ok()?;
    update_files::attempt_of(&String::from_utf8(bytes).ok()?).map(str::to_owned)
}

fn remove(request: &Path) -> Result<(), Exit> {
    atomic_file::remove(request).map_err(|error| Exit::io(format!("{}: {error}", request.display())))
}

/// One run.
struct Updater<'a> {
    config: &'a Config,
    machine: &'a dyn Machine,
    home: &'a Home,
    /// The guard's request.
    request: &'a Path,
}

impl Updater<'_> {
    /// Whether `tallybox-upgrade` is at work, or will go on after a power cut.
    fn is_under_way(&self) -> bool {
        disk::read_to_string(&self.machine.root().join(UPGRADE_STAGE)).is_ok_and(|stage| stage.trim_end() != "ended")
    }

    /// Verifies, copies, and hands over. What keeps the update is its ending.
    fn begin(&self, attempt: &str) -> Result<(), Exit> {
        let mut pending = Pending { attempt: attempt.to_owned(), version: String::new() };
        let prepared = self.prepare(&mut pending);
        self.home.set_pending(&pending).map_err(|error| failed(&error))?;
        let ending = match prepared {
            Ok(()) => match self.hand_over() {
                Ok(()) => return remove(self.request),
                Err(ending) => ending,
            },
            Err(ending) => ending,
        };
        self.home.set_ending(&ending).map_err(|error| failed(&error))?;
        self.report(pending, ending)
    }

    /// Whether the release still counts, and the package is the right one.
    fn prepare(&self, pending: &mut Pending) -> Result<(), Ending> {
        let note = self.config.device.data_dir.join(update_files::NOTE);
        let found = verify::read(self.config, &note).map_err(Ending::Again)?;
        let release = found.release;
        pending.version = release.version.to_string();
        if release.serial < self.home.serial(&release.channel) {
            let known = self.home.serial(&release.channel);
            return Err(Ending::Again(format!(
                "serial {} is older than {known}, which was tried before",
                release.serial
            )));
        }
        let package = installed_package::find(self.machine.root());
        let package = package.ok_or_else(|| Ending::Again("tallybox is not installed as a package".to_owned()))?;
        // Turn, window and sessions are the guard's matter; the rest is not believed.
        let decision = rollout::decide(&release, &BoxView { asked: true, ..view(self.config, &package, "") });
        if decision != Decision::Start {
            return Err(Ending::Again(decision.explain().to_owned()));
        }
        let Some(file) = release.files.of(&package.architecture) else {
            return Err(Ending::Again(Decision::OtherArchitecture.explain().to_owned()));
        };
        let from = update_files::package(&self.config.agent_dir(), &file.sha256);
        package::take(&from, file, (&release, &package), self.home, self.machine)?;
        let kept = self.home.set_serial(&release.channel, release.serial);
        kept.map_err(|error| Ending::Again(format!("/{HOME}: {error}")))
    }

    /// `tallybox-upgrade` goes on in a unit of its own, and writes the ending.
    fn hand_over(&self) -> Result<(), Ending> {
        let mut command = Command::new(UPGRADE);
        // A box with a part that does not work gets its update all the same: it may be what mends it.
        command.arg("begin").arg(self.home.package()).args(["--unwell", "--report"]).arg(self.home.result());
        let begun = self.machine.output(command).map_err(|error| Ending::Again(format!("{UPGRADE}: {error}")))?;
        if begun.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&begun.stderr).into_owned();
        let last = said.lines().last().unwrap_or("it said nothing").trim_start_matches("tallybox-upgrade: ").to_owned();
        // sysexits' EX_TEMPFAIL: a session, or another upgrade.
        Err(if begun.status.code() == Some(75) { Ending::Again(last) } else { Ending::Failed(last) })
    }

    /// Tells the guard, and forgets the attempt once that is in the ledger.
    fn report(&self, pending: Pending, ending: Ending) -> Result<(), Exit> {
        let Pending { attempt, version } = pending;
        let (error, again) = match ending {
            Ending::Good => (None, false),
            Ending::Again(why) => (Some(clean(&why, WHY)), true),
            Ending::Failed(why) => (Some(clean(&why, WHY)), false),
        };
        self.machine.say(&format!("{version}: {}", error.as_deref().unwrap_or("installed, and the box is well")));
        let outcome = UpdateOutcome { attempt, version, error, again };
        let response = self.machine.tell_guard(outcome)?;
        if response != Response::Done {
            return Err(Exit::temporary(format!("the guard has not written it down yet: {response:?}")));
        }
        // The request first: with it a run without the rest would begin anew.
        remove(self.request)?;
        self.home.clear().map_err(|error| failed(&error))
    }
}
