//! The kernel, and what of its known troubles shows on this box.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::board::Board;
use super::host::HostFiles;
use super::{CheckResult, fail, ok};

/// What the kernel logs when the Pi's encoder is stuck for good, and where that was reported: only a restart of the
/// box helps (pikvm#1704, raspberrypi/linux#4606, #5360).
const STUCK: [&str; 2] = ["bcm2835_mmal_vchiq: timed out waiting for sync completion", "Failed disabling i/p port"];
/// The encoder was asked for what it does not take, or has no memory (raspberrypi/linux#3974, #4938, firmware#1701).
const REFUSED: &str = "bcm2835_codec_start_streaming: Failed enabling i/p port";

pub(super) fn row(board: &Board, machine: &HostFiles) -> CheckResult {
    let version = machine.read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    if !board.has_hardware_encoder() {
        return ok("kernel", version);
    }
    let Some(log) = log(machine) else {
        return ok("kernel", format!("{version}; its log may not be read by this user"));
    };
    if STUCK.iter().any(|trouble| log.contains(trouble)) {
        let found = format!("{version}; the encoder is stuck, the kernel's log says");
        return fail("kernel", found, "restart the box: nothing less helps (pikvm#1704)");
    }
    if log.contains(REFUSED) {
        let found = format!("{version}; the encoder refused to start, the kernel's log says");
        return fail("kernel", found, "see the rows board and memory-split; then restart the box");
    }
    ok("kernel", format!("{version}; its log tells no trouble of the encoder"))
}

/// `/dev/kmsg` gives one record a read (the kernel's Documentation/ABI/testing/dev-kmsg).
fn log(machine: &HostFiles) -> Option<String> {
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).ok()?;
    let path = machine.path("/dev/kmsg");
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(nonblock).open(path).ok()?;
    let (mut log, mut record) = (Vec::new(), [0; 8192]);
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => log.extend_from_slice(&record[..length]),
            // The oldest record was overwritten while it was read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => break,
        }
    }
    Some(String::from_utf8_lossy(&log).into_owned())
}
