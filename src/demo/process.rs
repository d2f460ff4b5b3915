//! Which of the box's processes exist: the kernel's word, whatever the box itself says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Processes that run as `role` on the configuration `config`. A process that has ended, and is only not yet waited
/// for, is none. `None`: it cannot be known.
pub(super) fn of(role: &str, config: &Path) -> Option<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()? {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        // One that ends meanwhile has no command line any more.
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if runs(&line, role, config) {
            found.push(pid);
        }
    }
    Some(found)
}

/// Whether a command line is that of `tallybox ROLE ... --config CONFIG`.
fn runs(line: &[u8], role: &str, config: &Path) -> bool {
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.next() == Some(role.as_bytes()) && words.any(|word| OsStr::from_bytes(word) == config.as_os_str())
}

/// Sends a signal to each of them.
pub(super) fn signal(role: &str, config: &Path, signal: Signal) {
    for pid in of(role, config).unwrap_or_default() {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_of_this_box_is_told_from_other_processes() {
        let config = Path::new("/tmp/box/tallybox.toml");
        let line = |words: &[&str]| words.join("\0").into_bytes();
        assert!(runs(&line(&["tallybox", "capture", "--config", "/tmp/box/tallybox.toml", ""]), "capture", config));
        assert!(runs(&line(&["x", "guard", "--supervised", "--config", "/tmp/box/tallybox.toml"]), "guard", config));
        assert!(!runs(&line(&["tallybox", "guard", "--config", "/tmp/box/tallybox.toml"]), "capture", config));
        assert!(!runs(&line(&["tallybox", "capture", "--config", "/tmp/other/tallybox.toml"]), "capture", config));
        assert!(!runs(b"", "capture", config));
    }
}
