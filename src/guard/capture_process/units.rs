//! The processes of capture's units, as the kernel's control groups have them. A capture that was taken over may leave
//! children behind, or name another process as itself; neither changes what systemd started.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::signals::{EXIT_TIMEOUT, POLL_INTERVAL, kill, open_pidfd, stop};
use crate::clock::Clock;

/// The guard's unit.
const GUARD: &str = "tallybox-guard.service";
/// What systemd calls the slice of all that is started from the template `tallybox-capture@.service`.
const SLICE: &str = "system-tallybox\\x2dcapture.slice";
/// Where the kernel shows the one hierarchy of control groups.
const GROUPS: &str = "/sys/fs/cgroup";
/// Processes that are stopped at once at most: the limit of capture's unit (`TasksMax=`), and well below what a process
/// may have open.
const HELD: usize = 256;
/// How often the list is read anew for those that were started meanwhile.
const STOP_PASSES: usize = 32;

/// The control groups of capture's units on this machine.
#[derive(Clone, Debug)]
pub(in crate::guard) struct CaptureUnits(PathBuf);

impl CaptureUnits {
    /// Those that belong to this guard. `None`: it is not run as its unit, or without control groups of version 2.
    pub(in crate::guard) fn of_this_guard() -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::beside(&groups, Path::new(GROUPS))
    }

    fn beside(groups: &str, root: &Path) -> Option<Self> {
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let (folder, name) = own.rsplit_once('/')?;
        let folder = root.join(folder);
        (name == GUARD && std::fs::read_dir(&folder).is_ok()).then(|| Self(folder.join(SLICE)))
    }

    /// Whether `pid` may be what systemd started as capture: where nothing says otherwise, it may.
    pub(in crate::guard) fn may_have(&self, pid: u32) -> Result<bool> {
        Ok(!self.0.is_dir() || self.processes()?.contains(&pid))
    }

    /// Kills every process that is left. Returns whether there was one. Those that fork faster than they are killed are
    /// stopped first: each keeps its place under the unit's limit of tasks, so that soon none of them can fork.
    pub(in crate::guard) fn kill_all(&self) -> Result<bool> {
        let mut held: BTreeMap<u32, OwnedFd> = BTreeMap::new();
        for _ in 0..STOP_PASSES {
            let mut new = Vec::new();
            for pid in self.processes()?.into_iter().filter(|pid| !held.contains_key(pid)).take(HELD - held.len()) {
                // It may have ended meanwhile.
                new.extend(open_pidfd(pid).ok().map(|pidfd| (pid, pidfd)));
            }
            if new.is_empty() {
                break;
            }
            // Only now: before, the id could have become another process's.
            let still = self.processes()?;
            for (pid, pidfd) in new.into_iter().filter(|(pid, _)| still.contains(pid)) {
                stop(&pidfd)?;
                held.insert(pid, pidfd);
            }
        }
        held.values().try_for_each(kill)?;
        Ok(!held.is_empty() || !self.is_empty()?)
    }

    /// Kills until no process is left. Blocks for up to [`EXIT_TIMEOUT`]; `false`: one does not end.
    pub(in crate::guard) fn empty(&self) -> Result<bool> {
        let clock = Clock::start();
        let begun = clock.now();
        while self.kill_all()? {
            if clock.now().duration_since(begun) >= EXIT_TIMEOUT {
                return Ok(false);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(true)
    }

    /// Whether they have no processes.
    pub(in crate::guard) fn is_empty(&self) -> Result<bool> {
        Ok(self.processes()?.is_empty())
    }

    fn processes(&self) -> Result<Vec<u32>> {
        let units = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut all = Vec::new();
        for unit in units {
            let list = match std::fs::read_to_string(unit?.path().join("cgroup.procs")) {
                // A file of the slice itself, or a unit that is gone.
                Err(error) if is_missing(&error) => continue,
                other => other?,
            };
            all.extend(list.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        Ok(all)
    }
}

fn is_missing(error: &Error) -> bool {
    /// `ENODEV`: the group was removed while it was read. It has no [`ErrorKind`].
    const ENODEV: i32 = 19;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) || error.raw_os_error() == Some(ENODEV)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders as the kernel has them, with these processes in one unit of capture.
    fn groups(processes: &[u32]) -> (tempfile::TempDir, CaptureUnits) {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("system.slice").join(SLICE).join("tallybox-capture@3-41.service");
        std::fs::create_dir_all(&unit).unwrap();
        std::fs::write(unit.join("../cgroup.procs"), "").unwrap();
        std::fs::write(unit.join("../memory.max"), "max\n").unwrap();
        let list: Vec<_> = processes.iter().map(u32::to_string).collect();
        std::fs::write(unit.join("cgroup.procs"), list.join("\n")).unwrap();
        let units = CaptureUnits::beside("0::/system.slice/tallybox-guard.service\n", root.path()).unwrap();
        (root, units)
    }

    #[test]
    fn only_a_guard_that_runs_as_its_unit_has_them() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("system.slice")).unwrap();
        let of = |groups| CaptureUnits::beside(groups, root.path()).is_some();
        assert!(of("1:name=systemd:/x\n0::/system.slice/tallybox-guard.service\n"));
        assert!(!of("0::/system.slice/tallybox-agent.service\n"));
        assert!(!of("0::/user.slice/session-1.scope\n"));
        assert!(!of("0::/machine.slice/tallybox-guard.service\n"), "a folder that cannot be read says nothing");
        assert!(!of("12:pids:/system.slice/tallybox-guard.service\n"), "no unified hierarchy");
        assert!(!of("0::/\n") && !of(""));
    }

    #[test]
    fn whatever_is_left_of_capture_is_killed_whoever_it_said_it_was() {
        let mut left = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (_root, units) = groups(&[left.id()]);
        assert!(units.may_have(left.id()).unwrap());
        assert!(!units.may_have(std::process::id()).unwrap(), "a process of another unit is no capture");
        assert!(units.kill_all().unwrap());
        let ended = left.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
        let (_root, none) = groups(&[]);
        assert!(!none.kill_all().unwrap());
    }

    #[test]
    fn a_unit_that_is_gone_has_no_processes() {
        let (root, units) = groups(&[std::process::id()]);
        std::fs::remove_dir_all(root.path().join("system.slice").join(SLICE)).unwrap();
        assert!(!units.kill_all().unwrap());
        assert!(units.may_have(1).unwrap(), "nothing says otherwise");
    }
}
