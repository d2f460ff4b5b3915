//! Software updates of a simulated box: the releases and packages that there are, the server of packages, the updater
//! with the unit that starts it, and `tallybox-upgrade`.

mod server;
mod updater;
mod upgrade;

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::guard_unit::GuardUnit;
use super::releases::ServerFault;
use super::releases::package::{self, Build};
use super::remote::GuardDoor;
use super::settings::{DATA, MACHINE};
use super::truth::Shared;
use crate::atomic_file::{self, Durability, PRIVATE, sync_parent};
use crate::config::Config;
use crate::connect::simulated::packages::{self, Installed};
use crate::sync::LockExt;
use crate::update_files::{ARCHITECTURE, REQUEST};
use crate::worker::simulated::{self as threads, blocking::UPDATER};
use crate::{disk, installed_package};
use server::PackageServer;
use updater::{Begin, Ended, SimulatedMachine};
use upgrade::Upgrade;

/// How often systemd looks whether the updater has to be started.
const LOOK: Duration = Duration::from_millis(500);
/// systemd starts an updater that failed again after this.
const RESTART: Duration = Duration::from_secs(10);
/// So often in a row an updater may end well and leave something to do: each run does one step.
const MOST_TURNS: u32 = 4;

/// The updater's side of a box.
pub(super) struct Updates {
    truth: Shared,
    unit: Rc<GuardUnit>,
    door: GuardDoor,
    server: Arc<PackageServer>,
    upgrade: Rc<Upgrade>,
    /// What an agent that was taken over has in place of the package.
    swapped: Rc<Cell<Option<u8>>>,
    tasks: JoinSet<()>,
    _installed: Installed,
}

/// The version that the simulated dpkg has installed.
pub(super) fn installed_version() -> Option<String> {
    installed_package::find(Path::new(MACHINE)).map(|package| package.version.to_string())
}

/// The updater's folder.
pub(super) fn updater_home() -> PathBuf {
    Path::new(MACHINE).join(crate::updater::HOME)
}

/// The attempt that the updater is at.
fn pending_attempt() -> String {
    let text = disk::read_to_string(&updater_home().join("pending")).unwrap_or_default();
    let pending: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    pending["attempt"].as_str().unwrap_or_default().to_owned()
}

/// dpkg writes down what is installed.
async fn database(version: &str, state: &str) -> io::Result<()> {
    let text =
        format!("Package: tallybox\nStatus: install {state}\nArchitecture: {ARCHITECTURE}\nVersion: {version}\n\n");
    upgrade::put(&Path::new(MACHINE).join(installed_package::STATUS), text.as_bytes()).await
}

/// The folders of a machine, and the package that is installed first.
pub(super) async fn install_first() -> io::Result<()> {
    for dir in ["", "var", "var/lib", "var/lib/dpkg"] {
        let dir = Path::new(MACHINE).join(dir);
        if !disk::is_dir(&dir) {
            disk::create_dir(&dir, 0o755)?;
            sync_parent(&dir)?;
        }
    }
    upgrade::put(&upgrade::installed(), package::first().as_bytes()).await?;
    database(package::FIRST_VERSION, "ok installed").await
}

impl Updates {
    /// All of it, on a machine that is off.
    pub(super) fn new(truth: &Shared, unit: &Rc<GuardUnit>, door: GuardDoor) -> Self {
        let server = Arc::new(PackageServer::new(truth.clone()));
        Self {
            truth: truth.clone(),
            unit: unit.clone(),
            door,
            _installed: packages::install(server.clone()),
            server,
            upgrade: Rc::new(Upgrade::new(truth.clone(), unit.clone())),
            swapped: Rc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// From now on the server of packages is like this.
    pub(super) fn set_fault(&self, fault: ServerFault) {
        self.server.set_fault(fault);
    }

    /// The updater finds another package than the one that was downloaded, once.
    pub(super) fn swap_next(&self, build: u8) {
        self.swapped.set(Some(build));
    }

    /// The machine is switched on.
    pub(super) fn boot(&mut self, config: Arc<Config>) {
        self.upgrade = Rc::new(Upgrade::new(self.truth.clone(), self.unit.clone()));
        let (upgrades, begun) = mpsc::unbounded_channel();
        let machine = SimulatedMachine { truth: self.truth.clone(), door: self.door.clone(), upgrades };
        self.tasks.spawn_local(path_unit(config, machine, self.swapped.clone()));
        self.tasks.spawn_local(upgrade_unit(self.upgrade.clone(), begun));
    }

    /// The power fails.
    pub(super) async fn kill(&mut self) {
        self.tasks.shutdown().await;
        threads::kill(UPDATER);
        // Whatever waited for the updater is gone with it.
        tokio::task::yield_now().await;
    }
}

/// The script, whenever it is called, and at a boot where it was left unfinished.
async fn upgrade_unit(upgrade: Rc<Upgrade>, mut begun: mpsc::UnboundedReceiver<Begin>) {
    let mut runs = JoinSet::new();
    let mut run = |upgrade: &Rc<Upgrade>| {
        let upgrade = upgrade.clone();
        runs.spawn_local(async move { upgrade.run().await });
    };
    if Upgrade::is_left_unfinished() {
        run(&upgrade);
    }
    while let Some(Begin { package, report, ended }) = begun.recv().await {
        let (code, said) = upgrade.begin(&package, &report).await;
        let goes_on = code == 0;
        // An updater that systemd ended meanwhile hears nothing.
        let _ = ended.send((code, said));
        if goes_on {
            run(&upgrade);
        }
    }
}

/// Puts a package in place of those that the agent has; `false`: it has none.
fn swap(build: Build) -> bool {
    let dir = Path::new(DATA).join("agent");
    let names = disk::names(&dir).unwrap_or_default();
    let mut packages = names.iter().filter(|name| name.to_string_lossy().ends_with(".deb"));
    packages.any(|name| atomic_file::replace(&dir.join(name), &build.bytes(), PRIVATE, Durability::Unsynced).is_ok())
}

/// `tallybox-update.path` and its service.
async fn path_unit(config: Arc<Config>, machine: SimulatedMachine, swapped: Rc<Cell<Option<u8>>>) {
    let triggers = [Path::new(DATA).join(REQUEST), updater_home().join("result")];
    let mut turns = 0;
    loop {
        sleep(LOOK).await;
        if !triggers.iter().any(|file| disk::exists(file)) {
            turns = 0;
            continue;
        }
        turns += 1;
        if let Some(build) = swapped.get().filter(|build| swap(Build(*build))) {
            machine.truth.lock_unpoisoned().note(format_args!("the agent has package {build} in place of its own"));
            swapped.set(None);
        }
        let ended = updater::run(config.clone(), machine.clone()).await;
        match ended {
            Ended::Killed => return,
            Ended::Failed(why) => {
                turns = 0;
                machine.truth.lock_unpoisoned().note(format_args!("the updater fails: {why}"));
                sleep(RESTART).await;
            }
            Ended::Well if turns > MOST_TURNS => {
                machine
                    .truth
                    .lock_unpoisoned()
                    .violated(format_args!("updates: the updater is started again and again"));
            }
            Ended::Well => {}
        }
    }
}
