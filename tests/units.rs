//! The units that are shipped: valid, and as closed as they are said to be.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

#[test]
fn systemd_finds_nothing_wrong_with_them() {
    let into = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for file in std::fs::read_dir(units()).unwrap().map(|file| file.unwrap().path()) {
        if !["service", "socket", "target"].iter().any(|end| file.extension().is_some_and(|found| found == *end)) {
            continue;
        }
        // The program is where a package would have put it.
        let text = std::fs::read_to_string(&file).unwrap().replace("/usr/bin/tallybox", env!("CARGO_BIN_EXE_tallybox"));
        let name = file.file_name().unwrap().to_str().unwrap();
        std::fs::write(into.path().join(name), &text).unwrap();
        let instance = into.path().join(name.replace('@', "@0"));
        std::fs::write(&instance, text).unwrap();
        names.push(instance);
    }
    assert_eq!(names.len(), 6, "{names:?}");
    let verified = Command::new("systemd-analyze").arg("verify").args(names).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // What the machine's own units say is not our matter.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("tallybox")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn exposure_stays_under_its_limit() {
    for (unit, limit) in [
        ("tallybox-guard.service", 12),
        ("tallybox-agent.service", 13),
        ("tallybox-capture@.service", 18),
        // Has to mount.
        ("tallybox-usb@.service", 24),
    ] {
        let mut command = Command::new("systemd-analyze");
        command
            .args(["security", "--offline=yes", "--no-pager", &format!("--threshold={limit}")])
            .arg(units().join(unit));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text.lines().find(|line| line.contains("Overall exposure")).unwrap_or("nothing was said");
        assert!(output.status.success(), "{unit}: {found}");
    }
}

#[test]
fn the_users_can_be_made() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let folder = root.path().join("usr/lib/sysusers.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(units().join("tallybox.sysusers"), folder.join("tallybox.conf")).unwrap();
    let made = Command::new("systemd-sysusers")
        .args([format!("--root={}", root.path().display()), "tallybox.conf".to_owned()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let users = std::fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    for role in ["guard", "agent", "capture"] {
        assert!(users.lines().any(|line| line.starts_with(&format!("tallybox-{role}:"))), "{users}");
    }
    let groups = std::fs::read_to_string(root.path().join("etc/group")).unwrap();
    let members = groups.lines().find_map(|line| line.strip_prefix("tallybox:")).unwrap();
    for role in ["guard", "agent", "capture"] {
        assert!(members.contains(&format!("tallybox-{role}")), "{role} cannot read the configuration: {groups}");
    }
}
