//! Door 1: starts capture, tells it what it shall do, and ends its lease.

mod process;
mod task;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ipc::{FromCapture, ToCapture};
use consent::{CaptureExit, CaptureSettings, Grant};
use process::CaptureProcess;
pub(super) use process::{OrphanedCapture, PidFile};
use task::CaptureTask;

/// Environment of a capture, as its unit has it.
const ENVIRONMENT: [(&str, &str); 1] = [
    // GStreamer (1.22) leaks a camera's buffers and descriptor at each close where it leaves buffers to themselves that
    // are still in use; it waits for them instead.
    ("GST_V4L2_FORCE_DRAIN", "1"),
];

/// How capture is started.
#[derive(Clone, Debug)]
pub enum LaunchMode {
    /// As a child of the guard on a socket pair: this very program with these arguments.
    Child(Vec<String>),
    /// By connecting to a socket that systemd listens on (`Accept=yes`).
    Socket(PathBuf),
}

impl LaunchMode {
    pub(super) async fn connect(&self) -> std::io::Result<(UnixStream, CaptureProcess)> {
        match self {
            Self::Child(arguments) => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                ours.set_nonblocking(true)?;
                let child = Command::from(crate::ipc::self_command())
                    .args(arguments)
                    .envs(ENVIRONMENT)
                    .stdin(Stdio::from(OwnedFd::from(theirs)))
                    .stdout(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()?;
                Ok((UnixStream::from_std(ours)?, CaptureProcess::child(child)?))
            }
            Self::Socket(path) => Ok((UnixStream::connect(path).await?, CaptureProcess::default())),
        }
    }

    /// That it could not be opened, and what to look at.
    pub(super) fn describe_error(&self, error: &std::io::Error) -> String {
        match self {
            Self::Child(_) => format!("capture could not be started: {error}"),
            Self::Socket(path) => {
                format!("nothing answers at {}: {error}; is its socket unit started?", path.display())
            }
        }
    }
}

/// What is heard of a capture.
#[derive(Debug)]
pub(super) enum CaptureEvent {
    /// It said something.
    Message(FromCapture),
    /// Its process is gone, or never was; with what is known about why.
    Exited(CaptureExit, Option<String>),
}

/// What a capture is told, as state: the newest counts, and none can be lost on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct DesiredState {
    /// What it shall do.
    pub(super) wanted: CaptureSettings,
    /// Counts the renewals of its lease.
    renewals: u64,
}

/// A capture that may exist. Dropping it closes the lease.
#[derive(Debug)]
pub(super) struct CaptureHandle {
    /// Which session's.
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
    /// Spends a press: starts capture for it. What becomes of it is told through `events`.
    pub(super) fn launch(
        mode: &LaunchMode,
        grant: Grant,
        configuration: &str,
        pid_file: PidFile,
        tasks: &mut JoinSet<()>,
        events: mpsc::Sender<(u64, CaptureEvent)>,
    ) -> Self {
        let (session, sound, purpose) = grant.spend();
        let (session, configuration) = (session.0, configuration.to_owned());
        let wanted = CaptureSettings { revision: 0, muted: !sound };
        let (desired, seen) = watch::channel(DesiredState { wanted, renewals: 0 });
        let (lease, kill) = (CancellationToken::new(), Arc::new(Notify::new()));
        let start = Some(ToCapture::Start { session, sound, purpose, configuration, wanted });
        let (ending, killing) = (lease.clone(), kill.clone());
        let attendant = CaptureTask { session, desired: seen, lease: ending, kill: killing, events, pid_file, start };
        // The attendants of earlier captures are done; each would keep its memory until it is asked for.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(attendant.run(mode.clone()));
        Self { session, desired, lease, kill }
    }

    /// What it shall do from now on. It goes out at once, and with each renewal.
    pub(super) fn configure(&self, wanted: CaptureSettings) {
        self.desired.send_modify(|desired| desired.wanted = wanted);
    }

    /// Its lease goes on.
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
