//! The updater's process: the production code, with a machine that is simulated.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::disk;
use crate::exit::Exit;
use crate::ipc::{Response, UpdateOutcome};
use crate::sim::peers;
use crate::sim::releases::package::Label;
use crate::sim::remote::GuardDoor;
use crate::sim::settings::MACHINE;
use crate::sim::truth::Shared;
use crate::sync::LockExt;
use crate::updater::{self, Machine};
use crate::worker;
use crate::worker::simulated::blocking::{UPDATER, wait_for};

/// systemd ends an updater that takes longer.
const START_TIMEOUT: Duration = Duration::from_mins(10);

/// `tallybox-upgrade begin` is called.
pub(super) struct Begin {
    pub(super) package: PathBuf,
    pub(super) report: PathBuf,
    /// For the exit code, and what is said.
    pub(super) ended: oneshot::Sender<(i32, String)>,
}

/// What the updater sees of the machine.
#[derive(Clone)]
pub(super) struct SimulatedMachine {
    pub(super) truth: Shared,
    pub(super) door: GuardDoor,
    pub(super) upgrades: mpsc::UnboundedSender<Begin>,
}

/// How a run of the updater ended.
pub(super) enum Ended {
    Well,
    Failed(String),
    /// The power failed.
    Killed,
}

/// Runs the updater once.
pub(super) async fn run(config: Arc<Config>, machine: SimulatedMachine) -> Ended {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // Nobody waits any more where the power failed.
        let _ = tell.send(updater::run(&config, &machine).map_err(|exit| exit.to_string()));
    };
    if let Err(error) = worker::detached(UPDATER, work) {
        return Ended::Failed(error.to_string());
    }
    match told.await {
        Ok(Ok(())) => Ended::Well,
        Ok(Err(why)) => Ended::Failed(why),
        Err(_) => Ended::Killed,
    }
}

fn output(code: i32, stdout: String, stderr: String) -> Output {
    Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
}

fn killed() -> io::Error {
    io::Error::other("the power failed")
}

impl Machine for SimulatedMachine {
    fn root(&self) -> &Path {
        Path::new(MACHINE)
    }

    fn output(&self, command: Command) -> io::Result<Output> {
        let words: Vec<PathBuf> = command.get_args().map(PathBuf::from).collect();
        if command.get_program() == "dpkg-deb" {
            let package = words.get(1).ok_or_else(|| io::Error::other("no package is named"))?;
            wait_for(|| sleep(Duration::from_millis(80))).ok_or_else(killed)?;
            let label = disk::read(package).ok().and_then(|bytes| Label::of(&bytes));
            return Ok(label.map_or_else(
                || output(2, String::new(), "it is no package".to_owned()),
                |label| output(0, label.fields, String::new()),
            ));
        }
        let (Some(package), Some(report)) = (words.get(1).cloned(), words.last().cloned()) else {
            return Err(io::Error::other("tallybox-upgrade is called wrongly"));
        };
        let upgrades = self.upgrades.clone();
        let begun = wait_for(move || async move {
            let (ended, told) = oneshot::channel();
            upgrades.send(Begin { package, report, ended }).ok()?;
            told.await.ok()
        });
        let (code, said) = begun.flatten().ok_or_else(killed)?;
        Ok(output(code, String::new(), said))
    }

    fn say(&self, line: &str) {
        let (truth, line) = (self.truth.clone(), line.to_owned());
        wait_for(move || async move { truth.lock_unpoisoned().note(format_args!("the updater says: {line}")) });
    }

    fn tell_guard(&self, outcome: UpdateOutcome) -> Result<Response, Exit> {
        let door = self.door.clone();
        let told = wait_for(move || async move {
            let door = door.lock_unpoisoned().clone()?;
            timeout(START_TIMEOUT, peers::tell_ended(&door, outcome)).await.ok()?
        });
        told.flatten().ok_or_else(|| Exit::unavailable("no guard answers"))
    }
}
