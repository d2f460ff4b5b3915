//! Another process, by a descriptor that stays with it whoever gets its id later.

use std::io::Error;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How often a process is checked whose end the kernel does not announce.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A process that exists after this time hangs in the kernel, or may not be killed. Shorter than the timeout of the
/// guard's unit.
pub(super) const EXIT_TIMEOUT: Duration = Duration::from_secs(8);

pub(super) fn open_pidfd(pid: u32) -> std::io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::other("that is not a process id"))?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Kills it. Whether it still exists does not matter.
pub(super) fn kill(pidfd: &OwnedFd) -> rustix::io::Result<()> {
    send(pidfd, Signal::KILL)
}

/// Stops it, so that it starts no other process before it is killed. Whether it still exists does not matter.
pub(super) fn stop(pidfd: &OwnedFd) -> rustix::io::Result<()> {
    send(pidfd, Signal::STOP)
}

fn send(pidfd: &OwnedFd, signal: Signal) -> rustix::io::Result<()> {
    match pidfd_send_signal(pidfd, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other,
    }
}
