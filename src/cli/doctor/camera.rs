//! The camera: which one is opened, its modes, the one that is taken, and why. All of it is from sysfs: only capture
//! opens a camera, and only after a press.

use std::path::{Path, PathBuf};

use super::{CheckResult, fail, ok, warn};
use crate::camera::{self, CameraNode, CameraRequest, Offer, Selection};
use crate::cli::host::HostFiles;
use crate::config::{Config, Video, VideoSource};

/// Names of the video nodes, as the kernel has them.
pub(super) fn video_nodes(machine: &HostFiles) -> Vec<String> {
    let class = "/sys/class/video4linux";
    let name = |node: String| {
        let name = machine.read(&format!("{class}/{node}/name"))?;
        Some(format!("{node} ({})", crate::ipc::clean(&name, crate::ipc::WHY)))
    };
    machine.names(class).into_iter().filter_map(name).collect()
}

/// Programs that hold `device` open, as far as this user may see.
fn holders(device: &Path) -> Vec<String> {
    // What is open has the node's own name, whichever link it was opened by.
    let Ok(device) = device.canonicalize() else { return Vec::new() };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let holds = |process: &std::fs::DirEntry| {
        let open = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|target| target == device)
    };
    let name = |process: std::fs::DirEntry| {
        let comm = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        format!("{} ({})", comm.trim(), process.file_name().to_string_lossy())
    };
    processes.filter(holds).map(name).collect()
}

pub(super) fn rows(machine: &HostFiles, config: &Config) -> Vec<CheckResult> {
    let video = &config.video;
    let nodes = video_nodes(machine);
    let there = if nodes.is_empty() { "no video nodes".to_owned() } else { nodes.join(", ") };
    let real = "set [video] source = \"auto\" on a real box";
    match video.source {
        VideoSource::Test => vec![warn("camera", "a test picture", real)],
        VideoSource::File => vec![warn("camera", format!("the file {}", video.device.display()), real)],
        VideoSource::Libcamera if nodes.is_empty() => {
            vec![fail("camera", there, "connect the ribbon cable; camera_auto_detect=1 in config.txt")]
        }
        VideoSource::Libcamera => vec![ok("camera", format!("libcamera; {there}"))],
        VideoSource::Auto if camera::has_csi_receiver(&machine.path("/")) => {
            vec![ok("camera", format!("libcamera; {there}"))]
        }
        VideoSource::Auto | VideoSource::V4l2 => v4l2(machine, video, &there),
    }
}

/// The rows for a camera that is opened over V4L2. `there` is what the kernel has.
fn v4l2(machine: &HostFiles, video: &Video, there: &str) -> Vec<CheckResult> {
    let root = machine.path("/");
    let all = camera::cameras(&root);
    let shown = video.device.display();
    if video.has_auto_device() {
        let candidates = camera::auto_candidates(&root);
        let Some(found) = candidates.first() else {
            return vec![fail("camera", format!("none; {there}"), "plug the camera in, or set [video] device")];
        };
        let others: Vec<_> = candidates.iter().skip(1).map(named).collect();
        let others = if others.is_empty() { String::new() } else { format!(" and not {}", others.join(", ")) };
        let named = format!("\"auto\" takes {}{others}", named(found));
        return of_camera(machine, video, &Found { camera: found, device: found.port_name(), named, all: &all });
    }
    if !machine.has(&video.device.to_string_lossy()) {
        return vec![fail("camera", format!("no {shown}; {there}"), "plug the camera in, or set [video] device")];
    }
    let node = camera::node_of(&root, &video.device);
    match (all.iter().find(|camera| node.as_ref() == Some(&camera.node)), node) {
        (Some(camera), _) => {
            let named = format!("{} ({shown})", camera.title);
            of_camera(machine, video, &Found { camera, device: video.device.clone(), named, all: &all })
        }
        (None, Some(node)) => {
            let advice = "set [video] device = \"auto\", or write the name of a camera";
            vec![warn("camera", format!("{shown} is {node}, which is no camera; {there}"), advice)]
        }
        (None, None) => {
            vec![ok("camera", format!("{shown}; tallybox doctor --probe tries it, and the guard's log has its mode"))]
        }
    }
}

/// A camera with the name by which one knows it.
fn named(camera: &CameraNode) -> String {
    format!("{} ({})", camera.title, camera.port_name().display())
}

/// The camera that will be opened.
struct Found<'a> {
    camera: &'a CameraNode,
    /// What is opened.
    device: PathBuf,
    /// Its names, for the row.
    named: String,
    all: &'a [CameraNode],
}

fn of_camera(machine: &HostFiles, video: &Video, found: &Found<'_>) -> Vec<CheckResult> {
    let Found { camera, device, named, all } = found;
    let holders = if machine.is_here() { holders(device) } else { Vec::new() };
    if holders.iter().any(|holder| !holder.starts_with("tallybox")) {
        let advice = "end that program";
        return vec![fail("camera", format!("{} is held by {}", device.display(), holders.join(", ")), advice)];
    }
    let offers = camera.offers(&machine.path("/"));
    let row = match selected(&offers, CameraRequest::of(video)) {
        None => ok("camera", format!("{named}; tallybox doctor --probe tries it, and the guard's log has its mode")),
        Some(Ok(Selection { mode, reason })) => ok("camera", format!("{named}: {mode} will be taken: {reason}")),
        Some(Err(why)) => fail("camera", format!("{named} {why}"), "use a camera that gives raw pictures or JPEG"),
    };
    let row = if device.starts_with("/dev/v4l/by-id") && camera.shares_id(all) && row.advice.is_empty() {
        let found = format!("{}; another camera here has the same id, so that this name may mean either", row.found);
        warn("camera", found, format!("set [video] device = \"{}\"", camera.port_name().display()))
    } else {
        row
    };
    let modes = camera::listed(&offers).into_iter().map(|line| ok("camera-modes", line));
    std::iter::once(row).chain(modes).collect()
}

/// What capture would take of `offers`, or why it cannot; `None` where the camera's descriptors say nothing.
fn selected(offers: &[Offer], request: CameraRequest) -> Option<Result<Selection, String>> {
    let modes: Vec<_> = offers.iter().flat_map(|offer| offer.modes(request)).collect();
    let names: Vec<_> = offers.iter().map(Offer::format_name).collect();
    let selection = camera::select(&modes, &names, request);
    (!offers.is_empty()).then(|| selection.map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests;
