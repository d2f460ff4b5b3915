//! The process of a capture: watched through a pidfd, so that its end is noticed and no other process is killed in its
//! place; recorded in a pid file for the next guard, in case this one dies.

use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

use super::signals::{EXIT_TIMEOUT, POLL_INTERVAL, kill, open_pidfd};
use super::units::CaptureUnits;
use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::clock::Clock;

#[cfg(feature = "sim")]
use super::SimulatedProcess;

/// In `runtime-dir`: process id and start time of the capture that may exist.
const FILE: &str = "capture.pid";
/// How long an orphaned capture has to end by itself, the same as with a guard.
const GRACE: Duration = Duration::from_millis(300);
/// The file's content while a capture is being started that has not sent its hello. Before that it opens nothing.
const STARTING: &str = "starting";
/// How often the kill is repeated until the process is gone.
const KILL_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The process at the other end of a connection, once it is known.
#[derive(Debug, Default)]
pub(in crate::guard) struct CaptureProcess {
    child: Option<Child>,
    /// What systemd started, where it did.
    units: Option<CaptureUnits>,
    /// Shared by all handles: a guard without a free descriptor could not copy it, and would have nothing to kill by.
    pidfd: Option<Arc<OwnedFd>>,
    #[cfg(feature = "sim")]
    simulated: Option<SimulatedProcess>,
}

/// The file with the process id of the capture that may exist.
#[derive(Clone, Debug)]
pub(in crate::guard) struct PidFile(PathBuf);

impl CaptureProcess {
    /// A child of this process.
    pub(in crate::guard) fn child(child: Child) -> std::io::Result<Self> {
        let mut this = Self { child: Some(child), ..Self::default() };
        if let Some(pid) = this.child.as_ref().and_then(Child::id) {
            this.pidfd = Some(Arc::new(open_pidfd(pid)?));
        }
        Ok(this)
    }

    /// A process of a simulation.
    #[cfg(feature = "sim")]
    pub(in crate::guard) fn simulated(process: SimulatedProcess) -> Self {
        Self { simulated: Some(process), ..Self::default() }
    }

    /// What systemd starts for a connection.
    pub(in crate::guard) fn of_systemd() -> Self {
        Self { units: CaptureUnits::of_this_guard(), ..Self::default() }
    }

    /// Capture reported `pid`: from now on its end can be verified, also by the next guard.
    pub(in crate::guard) fn identify(&mut self, pid: u32, file: &PidFile) -> std::io::Result<()> {
        #[cfg(feature = "sim")]
        if let Some(process) = &self.simulated {
            process.identify(pid)?;
            return file.replace(&format!("{pid} 0\n"));
        }
        if let Some(child) = &self.child {
            if child.id() != Some(pid) {
                return Err(Error::other("that is not the process that was started"));
            }
        } else if pid <= 1 || pid == std::process::id() {
            return Err(Error::other("that is no capture"));
        } else if let Some(units) = &self.units
            && !units.may_have(pid)?
        {
            return Err(Error::other("that is no process of capture's unit"));
        }
        if self.pidfd.is_none() {
            self.pidfd = Some(Arc::new(open_pidfd(pid)?));
        }
        file.write(pid)
    }

    /// Whether its end can be verified.
    pub(in crate::guard) fn is_known(&self) -> bool {
        #[cfg(feature = "sim")]
        if let Some(process) = &self.simulated {
            return process.is_identified();
        }
        self.pidfd.is_some()
    }

    /// Another handle to the process, to kill it during [`CaptureProcess::wait`].
    pub(in crate::guard) fn handle(&self) -> Self {
        Self {
            child: None,
            units: self.units.clone(),
            pidfd: self.pidfd.clone(),
            #[cfg(feature = "sim")]
            simulated: self.simulated.clone(),
        }
    }

    pub(in crate::guard) fn kill(&self) {
        #[cfg(feature = "sim")]
        if let Some(process) = self.simulated.as_ref().filter(|process| process.is_identified()) {
            process.kill();
        }
        if let Some(pidfd) = &self.pidfd
            && let Err(error) = kill(pidfd)
        {
            tracing::error!(%error, "capture cannot be killed; its lease is closed, and systemd ends it");
        }
        if let Some(units) = &self.units
            && let Err(error) = units.kill_all()
        {
            tracing::error!(%error, "capture's unit cannot be emptied; systemd does it");
        }
    }

    /// Returns once the process is gone, with all that it started. A process that sent no hello was never started to
    /// capture.
    pub(in crate::guard) async fn wait(&mut self) {
        #[cfg(feature = "sim")]
        if let Some(process) = self.simulated.as_ref().filter(|process| process.is_identified()) {
            process.gone().await;
        }
        if let Some(pidfd) = &self.pidfd {
            pidfd_exited(pidfd).await;
        }
        if let Some(child) = &mut self.child {
            end_group(child).await;
        }
        if let Some(units) = &self.units {
            emptied(units).await;
        }
    }
}

/// Reaps a child that has ended, and returns once its process group is empty.
async fn end_group(child: &mut Child) {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // Until it is reaped, nobody else can get its number.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if let Err(error) = child.wait().await {
        tracing::error!(%error, "cannot wait for capture as a child");
    }
    while group.is_some_and(has_members) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether a process of the group has not ended. One that waits to be reaped has nothing open any more, and not every
/// container has somebody who reaps.
fn has_members(group: Pid) -> bool {
    let group_text = group.as_raw_nonzero().to_string();
    let is_member = |stat: &str| {
        let mut words = stat.rsplit_once(')').map_or("", |(_, words)| words).split_ascii_whitespace();
        !matches!(words.next(), None | Some("Z" | "X")) && words.nth(1) == Some(&group_text)
    };
    let all = || std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stat = |process: &Path| std::fs::read_to_string(format!("{}/stat", process.display()));
    test_kill_process_group(group).is_ok() && all().any(|entry| stat(&entry.path()).is_ok_and(|stat| is_member(&stat)))
}

/// Returns once capture's units have no processes; what is left is killed. An error does not count as their end: the
/// lamp goes dark for that.
async fn emptied(units: &CaptureUnits) {
    let mut is_told = false;
    loop {
        let what = match units.kill_all() {
            Ok(false) => return,
            // Its camera's process takes a moment to end with a capture that was killed.
            Ok(true) => "capture left processes behind, which are killed: it was killed, or taken over".to_owned(),
            Err(error) => format!("whether capture left processes behind cannot be seen: {error}"),
        };
        if !std::mem::replace(&mut is_told, true) {
            tracing::error!("{what}");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns once the process of `pidfd` has ended. An error does not count as its end: the lamp goes dark for that.
#[allow(deprecated)] // a pidfd keeps its number, and its replacement `register` is unsafe to call
async fn pidfd_exited(pidfd: &OwnedFd) {
    if let Ok(announced) = pidfd.try_clone().and_then(AsyncFd::new) {
        let _ = announced.readable().await;
    }
    while !has_exited(pidfd, Duration::ZERO).unwrap_or(false) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether the process has ended, or does so `within` less than a second.
fn has_exited(pidfd: &OwnedFd, within: Duration) -> std::io::Result<bool> {
    let within = rustix::event::Timespec { tv_sec: 0, tv_nsec: within.subsec_nanos().into() };
    match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&within)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// When a process started, in clock ticks since the machine did (proc(5), `starttime`): with its id it names one
/// process.
fn start_time(pid: u32) -> std::io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it is in parentheses and may contain anything. The start time is the 20th field after it.
    let words = stat.rsplit_once(')').map(|(_, words)| words);
    let ticks = words.and_then(|words| words.split_ascii_whitespace().nth(19)?.parse().ok());
    ticks.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("/proc/{pid}/stat cannot be read")))
}

impl PidFile {
    pub(in crate::guard) fn new(runtime_dir: &Path) -> Self {
        Self(runtime_dir.join(FILE))
    }

    /// A capture is about to be started.
    pub(in crate::guard) fn announce(&self) -> std::io::Result<()> {
        self.replace(STARTING)
    }

    fn write(&self, pid: u32) -> std::io::Result<()> {
        self.replace(&format!("{pid} {}\n", start_time(pid)?))
    }

    /// Not synced: the file is of use only as long as the machine runs.
    fn replace(&self, text: &str) -> std::io::Result<()> {
        atomic_file::replace(&self.0, text.as_bytes(), BY_UMASK, Durability::Unsynced)
    }

    /// The process is verified to be gone.
    pub(in crate::guard) fn remove(&self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::error!("{} cannot be removed: {error}", self.0.display());
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// The recorded process, if that very one still exists. Blocks for [`GRACE`] where one was being started.
    pub(in crate::guard) fn find_orphan(&self) -> std::io::Result<Option<OrphanedCapture>> {
        let text = match std::fs::read_to_string(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if text == STARTING {
            // It ends when it finds its connection closed.
            std::thread::sleep(GRACE);
            self.remove();
            return Ok(None);
        }
        let (pid, since) = text.trim_end().split_once(' ').unwrap_or_default();
        let (Ok(pid), Ok(since)) = (pid.parse(), since.parse::<u64>()) else {
            return Err(Error::new(ErrorKind::InvalidData, "it does not name a process"));
        };
        let gone = |error: &Error| matches!(error.kind(), ErrorKind::NotFound) || error.raw_os_error() == Some(ESRCH);
        let pidfd = match open_pidfd(pid) {
            Err(error) if gone(&error) => return Ok(None),
            other => other?,
        };
        // Read only now that the pidfd is open: the id cannot be reused any more.
        match start_time(pid) {
            Err(error) if gone(&error) => Ok(None),
            Ok(now) if now != since => Ok(None),
            Ok(_) => Ok(Some(OrphanedCapture { pid, pidfd })),
            Err(error) => Err(error),
        }
    }
}

/// `ESRCH`, which has no [`ErrorKind`].
const ESRCH: i32 = 3;

/// A capture whose guard died.
#[derive(Debug)]
pub(in crate::guard) struct OrphanedCapture {
    pid: u32,
    pidfd: OwnedFd,
}

impl OrphanedCapture {
    /// Waits for its end, and kills it where it does not end by itself. Blocks for up to [`EXIT_TIMEOUT`].
    pub(in crate::guard) fn terminate(&self) -> std::io::Result<()> {
        let clock = Clock::start();
        let begun = clock.now();
        let mut wait = GRACE;
        while !has_exited(&self.pidfd, wait)? {
            let killed = kill(&self.pidfd);
            if clock.now().duration_since(begun) >= EXIT_TIMEOUT {
                let why = killed.err().map_or_else(|| "the kernel holds it".to_owned(), |error| error.to_string());
                return Err(Error::other(format!("capture (process {}) does not end: {why}", self.pid)));
            }
            wait = KILL_RETRY_INTERVAL;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> std::process::Child {
        std::process::Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn the_very_process_is_ended_and_no_other_with_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let file = PidFile::new(dir.path());
        assert!(file.find_orphan().unwrap().is_none());
        let mut process = sleeper();
        // Somebody else has got its id since.
        std::fs::write(&file.0, format!("{} {}\n", process.id(), start_time(process.id()).unwrap() - 1)).unwrap();
        assert!(file.find_orphan().unwrap().is_none());
        assert!(process.try_wait().unwrap().is_none());
        file.write(process.id()).unwrap();
        file.find_orphan().unwrap().unwrap().terminate().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&process.wait().unwrap()), Some(9));
        assert!(file.find_orphan().unwrap().is_none());
        std::fs::write(&file.0, "nonsense").unwrap();
        assert!(file.find_orphan().is_err(), "what cannot be read is no proof that nothing captures");
    }

    #[test]
    fn a_child_is_gone_with_all_that_it_started() {
        let script = "sleep 1000 & echo $!; exec kill -9 $$";
        crate::runtime::build().unwrap().block_on(async {
            let mut command = tokio::process::Command::new("sh");
            command.args(["-c", script]).process_group(0).stdout(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut started = String::new();
            let mut output = child.stdout.take().unwrap();
            let mut process = CaptureProcess::child(child).unwrap();
            process.wait().await;
            tokio::io::AsyncReadExt::read_to_string(&mut output, &mut started).await.unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.trim()));
            assert!(stat.is_err() || stat.unwrap().contains(") Z "), "{started}");
        });
    }

    #[test]
    fn a_capture_cannot_pass_off_another_process_as_itself() {
        let dir = tempfile::tempdir().unwrap();
        let file = PidFile::new(dir.path());
        for pid in [0, 1, std::process::id(), u32::MAX] {
            assert!(CaptureProcess::default().identify(pid, &file).is_err(), "{pid}");
        }
    }
}
