//! The guard's process, and systemd, which starts and ends it.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::board::Wires;
use super::remote::GuardWay;
use super::schedule::Platform;
use super::settings::{DATA, MACHINE, RUN, config};
use super::truth::Shared;
use super::{capture, peers};
use crate::atomic_file::sync_parent;
use crate::disk::{create_dir, is_dir};
use crate::exit::Exit;
use crate::guard::{self, GuardOptions, LaunchMode};
use crate::ipc::LampPattern;
use crate::sync::LockExt;
use crate::worker;

/// How long the stop hook waits for a capture before it kills it.
const HOOK_GRACE: Duration = Duration::from_millis(300);
/// A guard that is told to end does so within this.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Connections that wait for the guard.
const BACKLOG: usize = 64;

/// A guard that runs.
struct Running {
    task: JoinHandle<Result<(), Exit>>,
    door: peers::Door,
    shutdown: mpsc::Sender<()>,
}

/// The unit, for all who have systemd do something about it.
pub(super) struct GuardUnit {
    platform: Platform,
    truth: Shared,
    wires: Wires,
    /// The agent's way to it.
    way: Option<GuardWay>,
    running: RefCell<Option<Running>>,
    /// Whoever has stopped it starts it again.
    is_stopped: Cell<bool>,
}

impl GuardUnit {
    /// One that does not run yet.
    pub(super) fn new(platform: Platform, truth: &Shared, wires: &Wires, way: Option<GuardWay>) -> Self {
        let (running, is_stopped) = (RefCell::default(), Cell::new(false));
        Self { platform, truth: truth.clone(), wires: wires.clone(), way, running, is_stopped }
    }

    /// Where it accepts connections; `None`: it does not run.
    pub(super) fn door(&self) -> Option<peers::Door> {
        self.running.borrow().as_ref().map(|running| running.door.clone())
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.borrow().is_some()
    }

    /// Whether its process has ended by itself.
    pub(super) fn is_dead(&self) -> bool {
        self.running.borrow().as_ref().is_some_and(|running| running.task.is_finished())
    }

    /// Starts it, unless somebody keeps it stopped, or it runs.
    #[allow(clippy::disallowed_methods)] // a process of its own, which is killed or ends
    pub(super) fn start(&self) {
        if self.is_stopped.get() || self.is_running() {
            return;
        }
        let policy = self.truth.lock_unpoisoned().policy;
        let footage = Path::new(DATA).join("footage");
        let folders = [Path::new(DATA), Path::new(RUN), footage.as_path()];
        let made = folders.into_iter().filter(|dir| !is_dir(dir)).try_for_each(|dir| {
            // The package makes them long before.
            create_dir(dir, 0o700)?;
            sync_parent(dir)
        });
        let Some(config) = config(policy, self.platform).filter(|_| made.is_ok()) else {
            return self.truth.lock_unpoisoned().violated(format_args!("the simulated configuration is not valid"));
        };
        let (door, listener) = mpsc::channel(BACKLOG);
        let (shutdown, requests) = mpsc::channel(1);
        let options = GuardOptions {
            launch_mode: LaunchMode::Simulated(capture::launcher(&self.truth)),
            uids: vec![peers::AGENT],
            credentials_helper: !self.platform.is_none(),
            sealing_socket: None,
            root: MACHINE.into(),
        };
        {
            let mut truth = self.truth.lock_unpoisoned();
            truth.guard_since = Some(truth.now());
            truth.note(format_args!("a guard starts"));
        }
        let task = tokio::task::spawn_local(guard::simulate(config, options, listener, requests));
        tokio::task::spawn_local(peers::observe(self.truth.clone(), door.clone()));
        if let Some(way) = &self.way {
            way.open(door.clone());
        }
        *self.running.borrow_mut() = Some(Running { task, door, shutdown });
    }

    /// Starts it after [`GuardUnit::stop`].
    pub(super) fn start_again(&self) {
        self.is_stopped.set(false);
        self.start();
    }

    /// Has it end, and keeps it stopped.
    pub(super) async fn stop(&self) {
        self.is_stopped.set(true);
        self.end().await;
    }

    /// The machine is switched on anew: nobody keeps anything stopped.
    pub(super) fn boot(&self) {
        self.start_again();
    }

    /// Tells it to end, and waits for that.
    pub(super) async fn end(&self) {
        let Some(Running { task, shutdown, .. }) = self.take() else { return };
        let _ = shutdown.send(()).await;
        let ended = tokio::time::timeout(END_WITHIN, task).await;
        {
            let mut truth = self.truth.lock_unpoisoned();
            match ended {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => truth.violated(format_args!("the guard panics: {error}")),
                Err(_) => truth.violated(format_args!("the guard does not end when it is told to")),
            }
        }
        self.bury().await;
    }

    /// Kills it.
    pub(super) async fn kill(&self) {
        if let Some(running) = self.take() {
            running.task.abort();
            let _ = running.task.await;
        }
    }

    fn take(&self) -> Option<Running> {
        self.running.borrow_mut().take()
    }

    /// A process that ended by itself: it may, to start anew, and may not panic.
    pub(super) async fn bury_the_dead(&self) {
        let Some(guard) = self.take() else { return };
        let ended = guard.task.await;
        let mut truth = self.truth.lock_unpoisoned();
        match ended {
            Ok(Ok(())) => truth.violated(format_args!("the guard ends, and nobody told it to")),
            Ok(Err(why)) => truth.note(format_args!("the guard ends: {why}")),
            Err(error) => truth.violated(format_args!("the guard panics: {error}")),
        }
    }

    /// Its process is gone: its stop hook ends what captures, and then darkens the lamp.
    pub(super) async fn bury(&self) {
        if let Some(way) = &self.way {
            way.close();
        }
        self.wires.borrow_mut().take();
        worker::simulated::kill_all();
        {
            let mut truth = self.truth.lock_unpoisoned();
            (truth.guard_since, truth.status) = (None, None);
            truth.note(format_args!("the guard is gone"));
        }
        sleep(HOOK_GRACE).await;
        let mut truth = self.truth.lock_unpoisoned();
        let left: Vec<_> = truth.captures.iter().enumerate().filter(|(_, one)| one.alive).map(|(at, _)| at).collect();
        for number in left {
            truth.bury(number);
            truth.note(format_args!("the hook kills capture {number}"));
        }
        truth.lamp = LampPattern::Dark;
    }
}
