//! The guard's end of the capture socket: starts capture, renews its lease, and verifies that its process is gone.

mod launch;
mod pidfd;
mod task;

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ipc::{ToCapture, Values};
use consent::{CaptureSettings, Grant};
use task::{CaptureTask, DesiredState};

pub use launch::LaunchMode;
pub(super) use pidfd::{OrphanedCapture, PidFile};
pub(super) use task::CaptureEvent;

/// A capture that may exist. Dropping it closes the lease.
#[derive(Debug)]
pub(super) struct CaptureHandle {
    /// The session that it captures for.
    pub(super) session: u64,
    desired: watch::Sender<DesiredState>,
    lease: CancellationToken,
    kill: Arc<Notify>,
}

impl Drop for CaptureHandle {
    fn drop(&mut self) {
        self.lease.cancel();
    }
}

impl CaptureHandle {
    /// Uses the grant up: starts capture. Its reports and its end come through `events`.
    pub(super) fn launch(
        mode: &LaunchMode,
        grant: Grant,
        config: &Config,
        values: &Values,
        pid_file: PidFile,
        tasks: &mut JoinSet<()>,
        events: mpsc::Sender<(u64, CaptureEvent)>,
    ) -> Self {
        let (session, sound, purpose) = grant.spend();
        let (session, configuration) = (session.0, config.hash.clone());
        let wanted = CaptureSettings { revision: 0, muted: !sound };
        let (desired, seen) = watch::channel(DesiredState { wanted, renewals: 0 });
        let (lease, kill) = (CancellationToken::new(), Arc::new(Notify::new()));
        let start = Some(ToCapture::Start { session, sound, purpose, configuration, values: values.clone(), wanted });
        let (ending, killing) = (lease.clone(), kill.clone());
        let attendant = CaptureTask { session, desired: seen, lease: ending, kill: killing, events, pid_file, start };
        // The tasks of earlier captures are done; a join set keeps each until it is joined.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(attendant.run(mode.clone()));
        Self { session, desired, lease, kill }
    }

    /// Sends new settings, at once and with each renewal.
    pub(super) fn configure(&self, wanted: CaptureSettings) {
        self.desired.send_modify(|desired| desired.wanted = wanted);
    }

    /// Renews its lease.
    pub(super) fn renew(&self) {
        self.desired.send_modify(|desired| desired.renewals += 1);
    }

    /// Closes the lease.
    pub(super) fn stop(&self) {
        self.lease.cancel();
    }

    /// Kills the process.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }
}
