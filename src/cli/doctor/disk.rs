//! Room for the ledger, and how worn the memory under it is.

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::cli::units::Runner;
use crate::config::Config;

/// `runner` tells whose the ledger is: that of units is not the caller's to write.
pub(super) fn rows(machine: &HostFiles, config: &Config, runner: &Runner) -> Vec<CheckResult> {
    std::iter::once(room(config, matches!(runner, Runner::Caller(_))))
        .chain(cards(machine))
        .chain(errors(machine))
        .collect()
}

fn room(config: &Config, is_callers: bool) -> CheckResult {
    let dir = &config.device.data_dir;
    let shown = dir.display().to_string();
    let Ok(disk) = rustix::fs::statvfs(dir) else {
        return fail(
            "disk",
            format!("{shown} is not there"),
            "the guard makes it when it starts; or set [device] data-dir",
        );
    };
    if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let advice = "see the kernel's log (dmesg): a file system with errors is made read-only; replace the card";
        return fail("disk", format!("{shown} is read-only"), advice);
    }
    if is_callers && rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err() {
        return fail(
            "disk",
            format!("{shown} cannot be written by this user"),
            "call doctor as root, or give the directory to the guard's user",
        );
    }
    let free = disk.f_bavail * disk.f_frsize / (1024 * 1024);
    // A ledger of six busy months has some 50,000 entries of 400 bytes: 20 MB.
    match free {
        0..100 => {
            fail("disk", format!("{free} MiB free in {shown}"), "make room: without its ledger the box starts nothing")
        }
        100..500 => warn("disk", format!("{free} MiB free in {shown}"), "make room"),
        500.. => ok("disk", format!("{free} MiB free in {shown}")),
    }
}

/// SD cards and eMMC, whether or not something of ours lies on them.
fn cards(machine: &HostFiles) -> Vec<CheckResult> {
    let disks = machine.names("/sys/block").into_iter().filter(|name| name.starts_with("mmcblk"));
    disks
        .filter(|name| !name.contains("boot") && !name.contains("rpmb"))
        .filter_map(|name| card(machine, &name))
        .collect()
}

/// eMMC 5.0 tells its wear (JEDEC JESD84-B50, bytes 267 to 269), the kernel hands it on: `life_time` as two values in
/// steps of a tenth, 0x0b for more than all, 0 for unknown; `pre_eol_info` 1 normal, 2 warning, 3 urgent (the kernel's
/// Documentation/driver-api/mmc/mmc-dev-attrs.rst). SD cards tell nothing.
fn card(machine: &HostFiles, disk: &str) -> Option<CheckResult> {
    let read = |file: &str| machine.read(&format!("/sys/block/{disk}/device/{file}"));
    let kind = read("type")?;
    let name = read("name").unwrap_or_default();
    let shown = format!("{disk}, {kind} {}", name.trim());
    let number = |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let life = read("life_time").unwrap_or_default();
    let used = life.split_whitespace().filter_map(number).max().unwrap_or(0);
    let spare = read("pre_eol_info").as_deref().and_then(number).unwrap_or(0);
    let percent = u32::from(used) * 10;
    let replace = "replace it before it fails, and keep the ledger: tallybox ledger export";
    Some(match (used, spare) {
        (0, 0) => ok("wear", format!("{shown}: tells nothing of its wear; a card made for endurance lasts longer")),
        (11.., _) | (_, 3..) => fail("wear", format!("{shown}: at the end of its life"), replace),
        (9.., _) | (_, 2) => warn("wear", format!("{shown}: {percent} % of its life is used"), replace),
        (1.., _) => ok("wear", format!("{shown}: at most {percent} % of its life is used")),
        (0, _) => ok("wear", format!("{shown}: enough spare blocks")),
    })
}

/// ext4 counts the errors that it found since the last check (the kernel's Documentation/ABI/testing/sysfs-fs-ext4).
fn errors(machine: &HostFiles) -> Option<CheckResult> {
    let count =
        |disk: &String| machine.read(&format!("/sys/fs/ext4/{disk}/errors_count")).is_some_and(|count| count != "0");
    let bad: Vec<String> = machine.names("/sys/fs/ext4").into_iter().filter(count).collect();
    let advice = "check it (fsck at the next start), and replace the card";
    (!bad.is_empty()).then(|| fail("wear", format!("errors in the file system on {}", bad.join(", ")), advice))
}
