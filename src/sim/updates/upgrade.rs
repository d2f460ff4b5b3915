//! `tallybox-upgrade`, played: the stages of packaging/upgrade, with a package database and a guard that are simulated.
//! The power may fail wherever it waits, and it goes on from its stage at the next boot.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::database;
use crate::atomic_file::{self, Durability, PRIVATE};
use crate::clock;
use crate::disk;
use crate::sim::guard_unit::GuardUnit;
use crate::sim::releases::Handed;
use crate::sim::releases::package::{Label, Quality};
use crate::sim::settings::MACHINE;
use crate::sim::truth::Shared;
use crate::sync::LockExt;
use crate::worker::simulated::unstalled;

/// How long a box may take to become well, and how long it has to stay so.
const PATIENCE: Duration = Duration::from_mins(1);
const SETTLE: Duration = Duration::from_secs(5);
/// A unit that failed is started again after this.
const RESTART: Duration = Duration::from_secs(30);
/// Files of its folder.
const FILES: [&str; 9] = ["boot", "interrupt", "report", "new.deb", "former.deb", "upgrade", "why", "outcome", "stage"];

/// The script, and how far it is.
pub(super) struct Upgrade {
    truth: Shared,
    unit: Rc<GuardUnit>,
    is_running: Cell<bool>,
}

fn home(name: &str) -> PathBuf {
    Path::new(MACHINE).join("var/lib/tallybox-upgrade").join(name)
}

/// What the installed package was made of.
pub(super) fn installed() -> PathBuf {
    Path::new(MACHINE).join("installed.deb")
}

/// A file whose content is on the disk before anything else is done.
pub(super) async fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    unstalled().await;
    atomic_file::replace(path, content, PRIVATE, Durability::Synced)
}

fn get(name: &str) -> String {
    disk::read_to_string(&home(name)).map(|text| text.trim_end().to_owned()).unwrap_or_default()
}

async fn put_line(name: &str, text: &str) -> io::Result<()> {
    put(&home(name), format!("{text}\n").as_bytes()).await
}

async fn remove(names: &[&str]) -> io::Result<()> {
    unstalled().await;
    names.iter().try_for_each(|name| atomic_file::remove(&home(name)))
}

fn boot() -> String {
    clock::read().boot.to_string()
}

impl Upgrade {
    pub(super) fn new(truth: Shared, unit: Rc<GuardUnit>) -> Self {
        Self { truth, unit, is_running: Cell::new(false) }
    }

    /// Whether an upgrade goes on at a boot.
    pub(super) fn is_left_unfinished() -> bool {
        disk::exists(&home("upgrade"))
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.truth.lock_unpoisoned().note(what);
    }

    /// A session, or a guard that runs and does not answer.
    async fn occupied(&self) -> Option<&'static str> {
        if !self.unit.is_running() {
            return None;
        }
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(20) {
            if let Some(phase) = self.truth.lock_unpoisoned().status.as_ref().map(|status| status.phase) {
                return phase.may_capture().then_some(phase.as_str());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Some("silent")
    }

    /// The exit code, and what was said. The work is left to [`Upgrade::run`] where that is 0.
    pub(super) async fn begin(&self, new: &Path, report: &Path) -> (i32, String) {
        if self.is_running.get() {
            return (75, "another upgrade is under way".to_owned());
        }
        if disk::exists(&home("stage")) && get("stage") != "ended" {
            return (75, "another upgrade was left unfinished: it is being ended now, try again then".to_owned());
        }
        let Some(label) = disk::read(new).ok().and_then(|bytes| Label::of(&bytes)) else {
            return (65, "it is no package".to_owned());
        };
        sleep(Duration::from_millis(300)).await;
        if let Some(phase) = self.occupied().await {
            return (75, format!("the box is {phase}: a session is not interrupted (--interrupt does)"));
        }
        match self.prepare(new, report).await {
            Ok(()) => {
                self.hand_over(&label);
                (0, String::new())
            }
            Err(error) => (1, error.to_string()),
        }
    }

    async fn prepare(&self, new: &Path, report: &Path) -> io::Result<()> {
        remove(&FILES).await?;
        if !disk::is_dir(&home("")) {
            disk::create_dir(&home(""), 0o700)?;
            atomic_file::sync_parent(&home(""))?;
        }
        put_line("boot", &boot()).await?;
        sleep(Duration::from_millis(500)).await;
        put(&home("former.deb"), &disk::read(&installed())?).await?;
        put(&home("new.deb"), &disk::read(new)?).await?;
        put_line("upgrade", "this script").await?;
        put_line("report", &report.to_string_lossy()).await?;
        sleep(Duration::from_millis(100)).await;
        put_line("stage", "begin").await
    }

    /// What the checks have to know of an upgrade that begins.
    fn hand_over(&self, label: &Label) {
        let reading = clock::read();
        let mut truth = self.truth.lock_unpoisoned();
        let attempt = super::pending_attempt();
        truth.note(format_args!("{} is handed over for {attempt}", label.version));
        let (at, digest) = (truth.now(), label.digest.to_string());
        truth.updates.handed.push(Handed {
            at,
            attempt,
            digest,
            wall: reading.utc,
            synchronised: reading.synchronised,
        });
    }

    /// The unit: whatever ends it half-way, it goes on where it was.
    pub(super) async fn run(&self) {
        if self.is_running.replace(true) {
            return;
        }
        while let Err(error) = self.go_on().await {
            self.note(format_args!("tallybox-upgrade fails: {error}"));
            sleep(RESTART).await;
        }
        self.is_running.set(false);
    }

    async fn go_on(&self) -> io::Result<()> {
        match get("stage").as_str() {
            "try" => self.back("the power failed during the upgrade").await?,
            "back" => self.back(&get("why")).await?,
            "ended" => self.report(&get("outcome")).await?,
            _ => self.try_new().await?,
        }
        self.leave().await
    }

    async fn try_new(&self) -> io::Result<()> {
        if get("boot") != boot() {
            return self
                .finish("the former version is still there: the power failed before anything was changed")
                .await;
        }
        if let Some(phase) = self.occupied().await {
            return self.finish(&format!("refused: a session began meanwhile, the box is {phase}")).await;
        }
        self.unit.stop().await;
        put_line("stage", "try").await?;
        if let Err(error) = self.install("new.deb").await {
            return self.back(&format!("the package could not be installed: {error}")).await;
        }
        match self.gate().await {
            None => self.finish("good").await,
            Some(lack) => self.back(&format!("not well within 60 s: {lack}")).await,
        }
    }

    async fn back(&self, why: &str) -> io::Result<()> {
        put_line("why", why).await?;
        put_line("stage", "back").await?;
        if self.install("former.deb").await.is_err() {
            self.install("former.deb").await?;
        }
        match self.gate().await {
            None => self.finish(&format!("the former version is back: {why}")).await,
            Some(lack) => self.finish(&format!("the former version is back and not well either ({lack}): {why}")).await,
        }
    }

    /// What dpkg does: the guard is stopped first, and runs again at the end.
    async fn install(&self, name: &str) -> io::Result<()> {
        let bytes = disk::read(&home(name))?;
        let label = Label::of(&bytes).ok_or_else(|| io::Error::other("it is no package"))?;
        self.note(format_args!("dpkg installs {}", label.version));
        self.unit.stop().await;
        database(&label.version, "reinstreq half-installed").await?;
        sleep(Duration::from_millis(700)).await;
        if label.quality == Quality::Broken {
            return Err(io::Error::other("dpkg fails"));
        }
        put(&installed(), &bytes).await?;
        database(&label.version, "ok half-configured").await?;
        sleep(Duration::from_millis(300)).await;
        self.unit.start_again();
        sleep(Duration::from_millis(100)).await;
        database(&label.version, "ok installed").await
    }

    /// `None`: the box is well, and stays so.
    async fn gate(&self) -> Option<String> {
        let (begun, mut since) = (Instant::now(), Instant::now());
        loop {
            let is_fit = disk::read(&installed()).ok().and_then(|bytes| Label::of(&bytes));
            let is_fit = is_fit.is_some_and(|label| label.quality != Quality::Unwell);
            let (is_up, streams) = {
                let truth = self.truth.lock_unpoisoned();
                (truth.status.is_some(), truth.status.as_ref().is_some_and(|status| status.phase.may_capture()))
            };
            if !is_fit || !is_up {
                since = Instant::now();
            }
            if is_fit && is_up && since.elapsed() >= SETTLE {
                return None;
            }
            if begun.elapsed() >= PATIENCE && !streams {
                return Some(if is_up { "camera" } else { "guard" }.to_owned());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn finish(&self, outcome: &str) -> io::Result<()> {
        put_line("outcome", outcome).await?;
        put_line("stage", "ended").await?;
        self.report(outcome).await
    }

    async fn report(&self, outcome: &str) -> io::Result<()> {
        let file = get("report");
        if file.is_empty() {
            return Ok(());
        }
        let is_again = outcome.contains("the power failed") || outcome.contains("a session began");
        let text = match outcome {
            "good" => "good\n".to_owned(),
            outcome if is_again => format!("again {outcome}\n"),
            outcome => format!("failed {outcome}\n"),
        };
        self.note(format_args!("tallybox-upgrade: {}", text.trim_end()));
        put(Path::new(&file), text.as_bytes()).await
    }

    async fn leave(&self) -> io::Result<()> {
        remove(&["new.deb", "former.deb", "upgrade"]).await?;
        // Not in an order that a power cut could tell: the stage goes last.
        remove(&FILES).await
    }
}
