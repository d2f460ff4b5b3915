//! The processes of a box: how they start, and how they end.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{BACKLOG, HOOK_GRACE, RESTART_AFTER, Running, World};
use crate::atomic_file::sync_parent;
use crate::clock::simulated::{self as clock, SimulatedClock};
use crate::disk::simulated::Loss;
use crate::disk::{create_dir, is_dir};
use crate::guard::{self, GuardOptions, LaunchMode};
use crate::ipc::LampPattern;
use crate::sim::settings::{DATA, RUN, config};
use crate::sim::{capture, peers};
use crate::sync::LockExt;
use crate::worker;

impl World {
    /// Starts a guard.
    #[allow(clippy::disallowed_methods)] // a process of its own, which is killed or ends
    pub(super) fn start(&mut self) {
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
            root: "/nowhere".into(),
        };
        {
            let mut truth = self.truth.lock_unpoisoned();
            truth.guard_since = Some(truth.now());
            truth.note(format_args!("a guard starts"));
        }
        let task = tokio::task::spawn_local(guard::simulate(config, options, listener, requests));
        tokio::task::spawn_local(peers::observe(self.truth.clone(), door.clone()));
        if let Some(remote) = &mut self.remote {
            remote.guard_started(door.clone());
        }
        self.guard = Some(Running { task, door, shutdown });
    }

    /// Starts the agent's process, with the configuration that there is.
    pub(super) fn start_agent(&mut self) {
        let policy = self.truth.lock_unpoisoned().policy;
        if let (Some(remote), Some(config)) = (&mut self.remote, config(policy, self.platform)) {
            remote.start_agent(config);
        }
    }

    /// The guard's process is gone: its stop hook ends what captures, and then darkens the lamp.
    pub(super) async fn buried(&mut self) {
        self.guard = None;
        if let Some(remote) = &self.remote {
            remote.guard_gone();
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

    pub(super) async fn kill(&mut self, power: bool) {
        if let Some(guard) = self.guard.take() {
            guard.task.abort();
            let _ = guard.task.await;
        }
        if let Some(remote) = self.remote.as_mut().filter(|_| power) {
            remote.kill_agent().await;
        }
        if power {
            self.disk.cut();
            let mut truth = self.truth.lock_unpoisoned();
            (0..truth.captures.len()).for_each(|number| truth.bury(number));
            truth.lamp = LampPattern::Dark;
        }
        self.buried().await;
        if power {
            self.boots += 1;
            self.installed = None;
            self.disk = self.disk.after_cut(Loss::Torn(self.seed ^ self.boots));
            self.installed = Some(self.disk.install());
            let boots = self.boots;
            clock::change(|clock| *clock = SimulatedClock::boot(boots, clock.wall()));
        }
        sleep(RESTART_AFTER).await;
        self.start();
        if power {
            self.start_agent();
        }
    }

    pub(super) async fn restart(&mut self, policy: u8) {
        if let Some(guard) = self.guard.take() {
            let _ = guard.shutdown.send(()).await;
            let ended = tokio::time::timeout(Duration::from_secs(10), guard.task).await;
            let mut truth = self.truth.lock_unpoisoned();
            match ended {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => truth.violated(format_args!("the guard panics: {error}")),
                Err(_) => truth.violated(format_args!("the guard does not end when it is told to")),
            }
        }
        self.buried().await;
        self.truth.lock_unpoisoned().policy = policy;
        sleep(RESTART_AFTER).await;
        self.start();
        // Whoever changes the configuration starts all of it anew.
        if let Some(remote) = &mut self.remote {
            remote.kill_agent().await;
            self.start_agent();
        }
    }

    /// A guard that ended by itself: it may, to start anew, and may not panic.
    pub(super) async fn bury_the_dead(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        let ended = guard.task.await;
        let mut truth = self.truth.lock_unpoisoned();
        match ended {
            Ok(Ok(())) => truth.violated(format_args!("the guard ends, and nobody told it to")),
            Ok(Err(why)) => truth.note(format_args!("the guard ends: {why}")),
            Err(error) => truth.violated(format_args!("the guard panics: {error}")),
        }
    }
}
