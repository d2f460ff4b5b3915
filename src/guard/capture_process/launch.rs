//! How capture is started: as a child, or by systemd.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::net::UnixStream;
use tokio::process::Command;

use super::pidfd::CaptureProcess;
use crate::ipc::IpcStream;

/// Environment of a capture, as in its unit.
const ENVIRONMENT: [(&str, &str); 1] = [
    // GStreamer 1.22 leaks a camera's buffers and descriptor at each close with buffers in use, unless it waits for
    // them.
    ("GST_V4L2_FORCE_DRAIN", "1"),
];

/// How capture is started.
#[derive(Clone, Debug)]
pub enum LaunchMode {
    /// As a child of the guard on a socket pair: this very program with these arguments.
    Child(Vec<String>),
    /// By connecting to a socket that systemd listens on (`Accept=yes`).
    Socket(PathBuf),
    /// By a simulation, in the way that systemd does it.
    #[cfg(feature = "sim")]
    Simulated(super::SimulatedLauncher),
}

impl LaunchMode {
    pub(super) async fn connect(&self) -> std::io::Result<(IpcStream, CaptureProcess)> {
        match self {
            Self::Child(arguments) => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                ours.set_nonblocking(true)?;
                let child = Command::from(crate::ipc::self_command())
                    .args(arguments)
                    .envs(ENVIRONMENT)
                    .stdin(Stdio::from(OwnedFd::from(theirs)))
                    .stdout(Stdio::null())
                    // What it starts is in its group too, and found there at the end.
                    .process_group(0)
                    .kill_on_drop(true)
                    .spawn()?;
                Ok((UnixStream::from_std(ours)?.into(), CaptureProcess::child(child)?))
            }
            Self::Socket(path) => Ok((UnixStream::connect(path).await?.into(), CaptureProcess::of_systemd())),
            #[cfg(feature = "sim")]
            Self::Simulated(launcher) => {
                let (stream, process) = launcher.launch()?;
                Ok((stream.into(), CaptureProcess::simulated(process)))
            }
        }
    }

    /// Whether capture is started by somebody else, who may be slow, and may be asked again.
    pub(super) fn is_by_others(&self) -> bool {
        match self {
            Self::Child(_) => false,
            Self::Socket(_) => true,
            #[cfg(feature = "sim")]
            Self::Simulated(_) => true,
        }
    }

    /// The error of a failed start, with advice.
    pub(super) fn describe_error(&self, error: &std::io::Error) -> String {
        match self {
            #[cfg(feature = "sim")]
            Self::Simulated(_) => format!("nothing answers at capture's socket: {error}"),
            Self::Child(_) => format!("capture could not be started: {error}"),
            Self::Socket(path) => {
                format!("nothing answers at {}: {error}; is its socket unit started?", path.display())
            }
        }
    }
}
