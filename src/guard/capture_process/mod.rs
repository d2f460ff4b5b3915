//! The guard's end of the capture socket: starts capture, renews its lease, and verifies that its process is gone.

mod launch;
mod pidfd;
mod signals;
#[cfg(feature = "sim")]
mod simulated;
mod task;
mod units;

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ipc::{GuardEnd, LeaseState, SessionValues, ToCapture, Values};
use consent::{CaptureSettings, Grant};
use task::{CaptureTask, DesiredState};

pub use launch::LaunchMode;
pub(super) use pidfd::{OrphanedCapture, PidFile};
#[cfg(feature = "sim")]
pub use simulated::{SimulatedLauncher, SimulatedProcess};
pub(super) use task::CaptureEvent;
pub(super) use units::CaptureUnits;

/// What a session is started with.
#[derive(Debug)]
pub(super) struct LaunchSettings {
    /// Hash of the configuration.
    pub(super) configuration: String,
    /// What of it is not from files.
    pub(super) values: Values,
    /// What commands set over all that.
    pub(super) commands: SessionValues,
    /// The cap of the picture's bitrate, in kbit/s.
    pub(super) bitrate_kbps: u32,
}

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
        settings: LaunchSettings,
        pid_file: PidFile,
        tasks: &mut JoinSet<()>,
        events: mpsc::Sender<(u64, CaptureEvent)>,
    ) -> Self {
        let (session, sound, purpose) = grant.spend();
        let session = session.0;
        let LaunchSettings { configuration, values, commands, bitrate_kbps } = settings;
        let wanted = LeaseState { revision: 0, muted: !sound, bitrate_kbps };
        let (desired, seen) = watch::channel(DesiredState { wanted, renewals: 0 });
        let (lease, kill) = (CancellationToken::new(), Arc::new(Notify::new()));
        let start = ToCapture::Start { session, sound, purpose, configuration, values, commands, wanted };
        let end = GuardEnd::new(start);
        let (ending, killing) = (lease.clone(), kill.clone());
        let attendant = CaptureTask { session, desired: seen, lease: ending, kill: killing, events, pid_file, end };
        // The tasks of earlier captures are done; a join set keeps each until it is joined.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(attendant.run(mode.clone()));
        Self { session, desired, lease, kill }
    }

    /// Sends new settings, at once and with each renewal.
    pub(super) fn configure(&self, CaptureSettings { revision, muted }: CaptureSettings) {
        self.desired.send_modify(|desired| desired.wanted = LeaseState { revision, muted, ..desired.wanted });
    }

    /// Sends another cap of the picture's bitrate, in the same way.
    pub(super) fn set_bitrate(&self, bitrate_kbps: u32) {
        self.desired.send_modify(|desired| desired.wanted.bitrate_kbps = bitrate_kbps);
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

#[cfg(test)]
mod tests;
