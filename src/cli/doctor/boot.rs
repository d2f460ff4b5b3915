//! What the Raspberry Pi's firmware was told in config.txt: memory split, camera, overlays. Its format, filters and
//! defaults are those of the Raspberry Pi documentation, "config.txt".

use super::board::{Board, Pi};
use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::config::{Config, VideoSource};

/// Where it is: bookworm and later, and before.
const FILES: [&str; 2] = ["/boot/firmware/config.txt", "/boot/config.txt"];
/// With less the firmware starts without its codecs (raspberrypi/linux#503: below 32 it takes its small half).
const WITHOUT_CODECS: u32 = 32;
/// What the firmware's camera and codecs ask for at least (the same thread).
const CODECS: u32 = 64;

/// Names of overlays for camera modules begin so.
const CAMERAS: [&str; 4] = ["imx", "ov", "arducam", "tc358743"];

/// Which settings hold for this board, in order.
fn settings(machine: &HostFiles, board: &Board, dir: &str, text: &str, depth: u8) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut holds = true;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(filter) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            holds = filter == "all" || is_for(board, filter);
        } else if let Some(name) = line.strip_prefix("include ")
            && holds
            && depth > 0
        {
            let more = machine.read(&format!("{dir}/{}", name.trim())).unwrap_or_default();
            all.extend(settings(machine, board, dir, &more, depth - 1));
        } else if let Some((key, value)) = line.split_once('=')
            && holds
        {
            all.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    all
}

/// Whether a filter for models means this board. Those for monitors, serial numbers and pins are taken not to.
fn is_for(board: &Board, filter: &str) -> bool {
    let model = board.model.as_deref().unwrap_or("");
    let has = |part: &str| model.contains(part);
    match board.pi {
        Some(Pi::One) => filter == "pi1" && !has("Zero") || filter == "pi0" && has("Zero"),
        Some(Pi::Two) => filter == "pi2",
        Some(Pi::Three) => filter == "pi3" || filter == "pi3+" && has("Plus") || filter == "cm3" && has("Compute"),
        Some(Pi::ZeroTwo) => ["pi0", "pi02"].contains(&filter),
        Some(Pi::Four) => filter == "pi4" || filter == "pi400" && has("400") || filter == "cm4" && has("Compute"),
        Some(Pi::Five) => filter == "pi5" || filter == "pi500" && has("500") || filter == "cm5" && has("Compute"),
        None => false,
    }
}

pub(super) fn rows(board: &Board, machine: &HostFiles, config: &Config) -> Vec<CheckResult> {
    if board.pi.is_none() {
        return Vec::new();
    }
    let Some((path, text)) = FILES.into_iter().find_map(|path| Some((path, machine.read(path)?))) else {
        let advice = "mount the boot partition at /boot/firmware";
        return vec![warn("boot", "no config.txt in /boot/firmware or /boot", advice)];
    };
    let dir = path.trim_end_matches("/config.txt");
    let settings = settings(machine, board, dir, &text, 3);
    let mut rows = vec![camera(path, &settings, config)];
    rows.extend(board.has_hardware_encoder().then(|| memory(path, &settings, machine)));
    rows
}

fn last<'a>(settings: &'a [(String, String)], key: &str) -> Option<&'a str> {
    settings.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

fn camera(path: &str, settings: &[(String, String)], config: &Config) -> CheckResult {
    let overlays: Vec<&str> =
        settings.iter().filter(|(key, _)| key == "dtoverlay").map(|(_, value)| value.as_str()).collect();
    let module = overlays.iter().find(|overlay| CAMERAS.iter().any(|camera| overlay.starts_with(camera)));
    let detect = last(settings, "camera_auto_detect") == Some("1");
    let shown = if overlays.is_empty() { String::new() } else { format!("; overlays: {}", overlays.join(", ")) };
    let wants_module = match config.video.source {
        VideoSource::Libcamera => true,
        VideoSource::Auto | VideoSource::V4l2 | VideoSource::File | VideoSource::Test => false,
    };
    if last(settings, "start_x") == Some("1") {
        let found = format!("{path}: start_x=1, the camera stack of before 2022{shown}");
        return warn(
            "boot",
            found,
            format!("replace start_x=1 in {path} by camera_auto_detect=1, and restart the box"),
        );
    }
    if detect || module.is_some() {
        let how = module.map_or("camera modules are detected".to_owned(), |module| format!("camera module {module}"));
        return ok("boot", format!("{how}{shown}"));
    }
    let found = format!("{path}: camera modules are neither detected nor named{shown}");
    let advice =
        format!("write camera_auto_detect=1, or dtoverlay= and the module's name, into {path}, and restart the box");
    if wants_module { fail("boot", found, advice) } else { ok("boot", format!("no camera module{shown}")) }
}

fn memory(path: &str, settings: &[(String, String)], machine: &HostFiles) -> CheckResult {
    let kib = |text: String| text.lines().next()?.split_whitespace().nth(1)?.parse::<u32>().ok();
    let total = machine.read("/proc/meminfo").and_then(kib).unwrap_or(u32::MAX) / 1024;
    // What the firmware keeps is missing from what Linux calls the total.
    let (of_size, default) = match total {
        0..256 => ("gpu_mem_256", 64),
        256..512 => ("gpu_mem_512", 64),
        512.. => ("gpu_mem_1024", 76),
    };
    let set = [of_size, "gpu_mem"].into_iter().find_map(|key| last(settings, key)?.parse::<u32>().ok());
    let advice = format!("set gpu_mem={} in {path}, and restart the box", CODECS.max(default));
    match set {
        None => ok("memory-split", format!("{default} MiB for the firmware, as it comes")),
        Some(mib) if mib < WITHOUT_CODECS => {
            let found = format!("gpu_mem={mib}: the firmware starts without its encoder");
            fail("memory-split", found, advice)
        }
        Some(mib) if mib < CODECS => warn("memory-split", format!("gpu_mem={mib}: little for the encoder"), advice),
        Some(mib) => ok("memory-split", format!("{mib} MiB for the firmware")),
    }
}
