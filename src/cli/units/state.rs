//! How the units do now, as systemd says, and since when their roles run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};

use super::Role;
use crate::clock::{self, ClockReading};

/// The socket that a press connects to.
const SOCKET: &str = "tallybox-capture.socket";
/// Capture's unit has instances only; systemd tells of one that does not run, too.
const INSTANCE: &str = "tallybox-capture@doctor.service";
/// What starts all of them with the machine.
const TARGET: &str = "tallybox.target";
/// What is asked of systemd (the manual page org.freedesktop.systemd1(5) says what each is).
const ASKED: &str = "Id,LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainCode,ExecMainStatus,ExecMainPID,MainPID,NRestarts,StatusText,NeedDaemonReload,DropInPaths,InvocationID";

/// One unit's properties.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct State(BTreeMap<String, String>);

/// Since when a role runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Since(pub(in crate::cli) Timestamp);

/// Asks systemd of guard, agent, capture, capture's socket and the target. `None`: it does not answer, or nobody may
/// ask.
pub(in crate::cli) fn ask() -> Option<[State; 5]> {
    let units = [Role::Guard.unit(), Role::Agent.unit(), INSTANCE, SOCKET, TARGET];
    let mut asked = Command::new("timeout");
    asked.args(["10", "systemctl", "show", "--no-pager", "--property", ASKED]).args(units).env("LC_ALL", "C.UTF-8");
    let said = asked.stdin(Stdio::null()).stderr(Stdio::null()).output().ok().filter(|said| said.status.success())?;
    parse(&String::from_utf8_lossy(&said.stdout)).try_into().ok()
}

/// `systemctl show`: a line for each property, and an empty one between units.
fn parse(text: &str) -> Vec<State> {
    let of = |block: &str| {
        let lines = block.lines().filter_map(|line| line.split_once('='));
        State(lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    };
    text.trim().split("\n\n").map(of).collect()
}

impl State {
    pub(in crate::cli) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The first of the drop-ins among a unit's `files`, behind its own, that systemd has not read: what is in a folder
    /// that was made since it last looked it may not miss itself.
    pub(in crate::cli) fn unread<'f>(&self, files: &'f [String]) -> Option<&'f str> {
        let whole = |path: &str| std::fs::canonicalize(path).ok();
        let read: Vec<_> = self.get("DropInPaths").split_whitespace().map(whole).collect();
        let drop_ins = files.iter().skip(1);
        drop_ins.map(String::as_str).find(|file| !read.contains(&whole(file)))
    }

    pub(in crate::cli) fn is_active(&self) -> bool {
        ["active", "reloading"].contains(&self.get("ActiveState"))
    }

    /// Since when its process runs; `None`: it has none.
    pub(in crate::cli) fn since(&self) -> Option<Since> {
        let pid = self.get("MainPID").parse().ok().filter(|pid| *pid != 0)?;
        Since::of(pid, &clock::read())
    }

    /// How its process ended, in systemd's words: `exit status 78`, `signal 9`.
    pub(in crate::cli) fn ended(&self) -> String {
        let status = self.get("ExecMainStatus");
        match (self.get("Result"), self.get("ExecMainCode")) {
            // CLD_KILLED and CLD_DUMPED (waitid(2)).
            (_, "2" | "3") => format!("signal {status}"),
            ("success" | "exit-code", _) => format!("exit status {status}"),
            (result, _) => format!("{result}, exit status {status}"),
        }
    }

    /// The last line that its process wrote, as far as the journal has it and may be read.
    pub(in crate::cli) fn last_words(&self) -> Option<String> {
        let (id, pid) = (self.get("InvocationID"), self.get("ExecMainPID"));
        if id.is_empty() || pid.is_empty() {
            return None;
        }
        let mut asked = Command::new("timeout");
        asked.args(["10", "journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=5"]);
        asked.args([format!("_SYSTEMD_INVOCATION_ID={id}"), format!("_PID={pid}")]);
        let said = asked.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        // The greeting goes another way than what a role says at its end, and may come behind it.
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.contains(" starts: id "))?;
        Some(line.chars().filter(|letter| !letter.is_control()).collect())
    }
}

impl Since {
    /// A process's start counts from the boot on (proc(5), field 22): a wall clock that was set meanwhile changes
    /// nothing about which came first, the process or a change of a file.
    fn of(pid: u32, now: &ClockReading) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in parentheses, which may have blanks and parentheses in it.
        let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        let begun = ticks * 1000 / rustix::param::clock_ticks_per_second();
        let ago = now.monotonic_ms.checked_sub(begun)?;
        let ago = SignedDuration::from_millis(i64::try_from(ago).ok()?);
        Some(Self(now.utc.checked_sub(ago).ok()?))
    }

    /// When `path` was changed, if that was after the start: content, mode, owner or name.
    pub(in crate::cli) fn changed(self, path: &Path) -> Option<Timestamp> {
        use std::os::unix::fs::MetadataExt;
        let data = std::fs::metadata(path).ok()?;
        let changed = Timestamp::from_second(data.ctime().max(data.mtime())).ok()?;
        // The start is known to a hundredth of a second, the change to a second.
        (changed.duration_since(self.0) > SignedDuration::from_secs(1)).then_some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Since, parse};
    use crate::clock;

    #[test]
    fn each_unit_has_its_block() {
        let text = "Id=a.service\nStatusText=connected to b:8883; x=y\nExecMainCode=1\nExecMainStatus=78\nResult=exit-code\n\nId=c.socket\nActiveState=active\n";
        let states = parse(text);
        assert_eq!(states.len(), 2);
        assert_eq!(states[0].get("StatusText"), "connected to b:8883; x=y");
        assert_eq!((states[0].ended(), states[0].is_active()), ("exit status 78".to_owned(), false));
        assert!(states[1].is_active());
    }

    #[test]
    fn what_changes_after_the_start_is_seen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let since = Since::of(child.id(), &clock::read()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(clock::utc_now().duration_since(since.0).abs() < jiff::SignedDuration::from_secs(10), "{since:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let earlier = Since(clock::utc_now().checked_sub(jiff::SignedDuration::from_mins(1)).unwrap());
        let later = Since(clock::utc_now().checked_add(jiff::SignedDuration::from_mins(1)).unwrap());
        assert!(earlier.changed(file.path()).is_some() && later.changed(file.path()).is_none());
    }
}
