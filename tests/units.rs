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
        if !["service", "socket", "target", "path"]
            .iter()
            .any(|end| file.extension().is_some_and(|found| found == *end))
        {
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
    assert_eq!(names.len(), 15, "{names:?}");
    let verified = Command::new("systemd-analyze").arg("verify").args(names).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // What the machine's own units say is not our matter.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("tallybox")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn exposure_stays_under_its_limit() {
    for (unit, limit) in [
        // Asks the kernel whether the clock is synchronised, which systemd does not tell from setting it.
        ("tallybox-guard.service", 14),
        ("tallybox-agent.service", 13),
        ("tallybox-capture@.service", 16),
        ("tallybox-config.service", 13),
        ("tallybox-setup-undo.service", 13),
        // Packs the installed version, asks doctor for camera and panel, and leaves a unit behind.
        ("tallybox-update.service", 21),
        // Deletes files that are another user's.
        ("tallybox-erasure.service", 16),
        // Opens the TPM, which may be another group's.
        ("tallybox-sealing@.service", 16),
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

/// A dump of a role's memory, or its pages in swap, would be keys and footage.
#[test]
fn no_memory_of_a_role_comes_to_a_disk() {
    for file in std::fs::read_dir(units()).unwrap().map(|file| file.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains("/usr/bin/tallybox ") {
            assert!(text.contains("\nLimitCORE=0\n"), "{}", file.display());
        }
    }
    for role in ["tallybox-guard.service", "tallybox-agent.service", "tallybox-capture@.service"] {
        let text = std::fs::read_to_string(units().join(role)).unwrap();
        assert!(text.contains("\nMemorySwapMax=0\n") && text.contains("\nLimitMEMLOCK=infinity\n"), "{role}");
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

/// Runs tests/units/`name` under a real systemd, on this machine's own files under an overlay; each check must be good.
#[track_caller]
fn in_a_box(name: &str, checks: usize) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let job = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &str| std::fs::copy(from, job.path().join(to)).map(drop).unwrap();
    copy(&here.join("tests/units").join(name), "job");
    copy(&here.join("tests/deb/common"), "common");
    copy(&here.join("docs/rotation.md"), "rotation.md");
    copy(Path::new(env!("CARGO_BIN_EXE_tallybox")), "tallybox");
    copy(Path::new(env!("CARGO_BIN_EXE_tallybox-capture")), "tallybox-capture");
    for (folder, from) in [("units", units()), ("servers", here.join("config/servers"))] {
        std::fs::create_dir(job.path().join(folder)).unwrap();
        for file in std::fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
            copy(&file, &format!("{folder}/{}", file.file_name().unwrap().display()));
        }
    }
    let ran = Command::new(here.join("tests/deb/box")).arg("/").arg(job.path()).arg("/job/job").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.lines().filter(|line| line.starts_with("ok ")).count() == checks, "{said}");
}

/// What limits, restarts and dependencies come to.
#[test]
fn what_ends_comes_back_without_a_person() {
    in_a_box("job", 16);
}

/// docs/rotation.md, while a session is live; and the journal's documented command.
#[test]
fn keys_and_certificates_change_under_a_running_session() {
    in_a_box("rotation", 13);
}

/// Two operators, or one who is impatient: the second is told so, and touches nothing.
#[test]
fn an_upgrade_turns_a_second_one_away() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("lock");
    let upgrade = || {
        let mut command = Command::new("bash");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/upgrade"));
        command.args(["begin", "/nowhere/tallybox.deb"]).env("TALLYBOX_UPGRADE_LOCK", &lock).output().unwrap()
    };
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let turned_away = upgrade();
    assert_eq!(turned_away.status.code(), Some(75), "{turned_away:?}");
    assert!(String::from_utf8_lossy(&turned_away.stderr).contains("another upgrade is under way"), "{turned_away:?}");
    drop(held);
    let alone = upgrade();
    assert!(!String::from_utf8_lossy(&alone.stderr).contains("under way"), "it looks at the package: {alone:?}");
}
