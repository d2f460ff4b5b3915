//! What the kernel lets a process have: memory and descriptors.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::poll;

/// A group of processes whose memory the kernel bounds (cgroups, version 2 or 1). What it cannot page out or drop
/// beyond that is the end of the process.
pub(crate) struct Cgroup {
    dir: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    /// `Err`: why this test may make no groups here.
    pub(crate) fn new(name: &str, bytes: u64) -> Result<Self, String> {
        let top = Path::new("/sys/fs/cgroup");
        let name = format!("tallybox-load-{}-{name}", std::process::id());
        let is_v2 = std::fs::read_to_string(top.join("cgroup.subtree_control"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|word| word == "memory"));
        let dir = if is_v2 { top.join(name) } else { top.join("memory").join(name) };
        std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let this = Self { dir, is_v2 };
        let limits: &[_] = if is_v2 { &["memory.max"] } else { &["memory.limit_in_bytes"] };
        for limit in limits {
            let file = this.dir.join(limit);
            std::fs::write(&file, bytes.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(this)
    }

    /// The command, in this group from its first instruction on.
    pub(crate) fn with(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.args(["-ec", "echo $$ >\"$0\"; exec \"$@\""]).arg(self.dir.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// How many processes the kernel has killed in it.
    pub(crate) fn kills(&self) -> u64 {
        let file = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = std::fs::read_to_string(self.dir.join(file)).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.unwrap_or_else(|| panic!("no oom_kill in {text}")).parse().unwrap()
    }
}

impl Drop for Cgroup {
    /// Its processes may be about to end.
    fn drop(&mut self) {
        let _ = poll(std::time::Duration::from_secs(5), || std::fs::remove_dir(&self.dir).ok());
    }
}

/// Resident memory of a process in KiB: now, from where on its peak is measured anew, or the peak since then.
pub(crate) fn resident_kib(pid: i32, anew: bool) -> u64 {
    if anew {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// A process that can open nothing more, for as long as this lives.
pub(crate) struct NoDescriptors {
    pid: Pid,
    former: Rlimit,
}

impl NoDescriptors {
    pub(crate) fn new(pid: i32) -> Self {
        let open: Vec<u64> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        // The lowest number that is free: none below it is, and one at or above it may not be given out.
        let first = (0..=u64::MAX).find(|number| !open.contains(number)).unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        let maximum = getrlimit(Resource::Nofile).maximum;
        let former = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(first), maximum }).unwrap();
        Self { pid, former }
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        let _ = prlimit(Some(self.pid), Resource::Nofile, self.former);
    }
}
