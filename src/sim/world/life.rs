//! The processes of a box: how they start, and how they end.

use tokio::time::sleep;

use super::{RESTART_AFTER, World};
use crate::clock::simulated::{self as clock, SimulatedClock};
use crate::disk::simulated::Loss;
use crate::ipc::LampPattern;
use crate::sim::settings::config;
use crate::sim::updates;
use crate::sync::LockExt;

impl World {
    /// The machine is switched on for the first time.
    pub(super) async fn begin(&mut self) {
        if self.updates.is_some() && updates::install_first().await.is_err() {
            self.truth.lock_unpoisoned().violated(format_args!("the simulated machine cannot be made"));
        }
        self.boot();
    }

    /// All processes start.
    fn boot(&mut self) {
        self.guard.boot();
        self.start_agent();
        let policy = self.truth.lock_unpoisoned().policy;
        if let (Some(updates), Some(config)) = (&mut self.updates, config(policy, self.platform)) {
            updates.boot(config);
        }
    }

    /// Starts the agent's process, with the configuration that there is.
    fn start_agent(&mut self) {
        let policy = self.truth.lock_unpoisoned().policy;
        if let (Some(remote), Some(config)) = (&mut self.remote, config(policy, self.platform)) {
            remote.start_agent(config);
        }
    }

    /// The guard is killed, and started again.
    pub(super) async fn kill(&mut self) {
        self.guard.kill().await;
        self.guard.bury().await;
        sleep(RESTART_AFTER).await;
        self.guard.start();
    }

    pub(super) async fn cut_power(&mut self) {
        self.guard.kill().await;
        if let Some(updates) = &mut self.updates {
            updates.kill().await;
        }
        if let Some(remote) = &mut self.remote {
            remote.kill_agent().await;
        }
        self.disk.cut();
        {
            let mut truth = self.truth.lock_unpoisoned();
            (0..truth.captures.len()).for_each(|number| truth.bury(number));
            truth.lamp = LampPattern::Dark;
        }
        self.guard.bury().await;
        self.boots += 1;
        self.installed = None;
        self.disk = self.disk.after_cut(Loss::Torn(self.seed ^ self.boots));
        self.installed = Some(self.disk.install());
        let boots = self.boots;
        clock::change(|clock| *clock = SimulatedClock::boot(boots, clock.wall()));
        sleep(RESTART_AFTER).await;
        self.boot();
    }

    pub(super) async fn restart(&mut self, policy: u8) {
        if self.guard.is_running() {
            self.guard.end().await;
        } else {
            self.guard.bury().await;
        }
        self.truth.lock_unpoisoned().policy = policy;
        sleep(RESTART_AFTER).await;
        self.guard.start();
        // Whoever changes the configuration starts all of it anew.
        if let Some(remote) = &mut self.remote {
            remote.kill_agent().await;
            self.start_agent();
        }
    }
}
