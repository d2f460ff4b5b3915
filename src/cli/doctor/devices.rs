//! Cameras, microphones, encoders: from sysfs and GStreamer's registry, with nothing opened.

use std::path::Path;

use gstreamer as gst;

use super::{Row, fail, ok, warn};
use crate::config::{AudioSource, Config, Encoder, VideoSource};

pub(super) fn rows(config: &Config) -> Vec<Row> {
    let mut rows = vec![camera(config), microphone(config)];
    match gst::init() {
        Ok(()) => rows.extend([elements(config), encoder(config)]),
        Err(error) => rows.push(fail("gstreamer", error.to_string(), "install gstreamer1.0-plugins-base")),
    }
    rows
}

/// Names of the video nodes, as the kernel has them.
fn video_nodes() -> Vec<String> {
    let nodes = std::fs::read_dir("/sys/class/video4linux").into_iter().flatten().flatten();
    let name = |node: std::fs::DirEntry| {
        let name = std::fs::read_to_string(node.path().join("name")).ok()?;
        Some(format!("{} ({})", node.file_name().to_string_lossy(), name.trim()))
    };
    let mut names: Vec<String> = nodes.filter_map(name).collect();
    names.sort();
    names
}

/// Programs that hold `device` open, as far as this user may see.
fn holders(device: &Path) -> Vec<String> {
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

fn camera(config: &Config) -> Row {
    let device = &config.video.device;
    let shown = device.display().to_string();
    let nodes = video_nodes();
    let there = if nodes.is_empty() { "no video nodes".to_owned() } else { nodes.join(", ") };
    match config.video.source {
        VideoSource::Test => warn("camera", "a test picture", "set [video] source = \"auto\" on a real box"),
        VideoSource::File => warn("camera", format!("the file {shown}"), "set [video] source = \"auto\" on a real box"),
        VideoSource::Libcamera if nodes.is_empty() => {
            fail("camera", there, "connect the ribbon cable; camera_auto_detect=1 in config.txt")
        }
        VideoSource::Libcamera => ok("camera", format!("libcamera; {there}")),
        VideoSource::Auto | VideoSource::V4l2 if !device.exists() && nodes.is_empty() => {
            fail("camera", format!("no {shown}; {there}"), "plug the camera in, or set [video] device")
        }
        VideoSource::Auto | VideoSource::V4l2 => {
            let holders = holders(device);
            if holders.is_empty() || holders.iter().all(|holder| holder.starts_with("tallybox")) {
                ok("camera", there)
            } else {
                fail("camera", format!("{shown} is held by {}", holders.join(", ")), "end that program")
            }
        }
    }
}

fn microphone(config: &Config) -> Row {
    let devices = std::fs::read_to_string("/proc/asound/pcm").unwrap_or_default();
    let microphones: Vec<&str> = devices.lines().filter(|line| line.contains("capture")).collect();
    match config.audio.source {
        AudioSource::None => ok("microphone", "none wanted"),
        AudioSource::Test => warn("microphone", "a test tone", "set [audio] source = \"auto\" on a real box"),
        AudioSource::File => warn(
            "microphone",
            format!("the file {}", config.audio.device),
            "set [audio] source = \"auto\" on a real box",
        ),
        AudioSource::Auto | AudioSource::Alsa if !microphones.is_empty() => ok("microphone", microphones.join(", ")),
        AudioSource::Auto => {
            warn("microphone", "none: the stream will have no sound", "plug one in, or set [audio] source = \"none\"")
        }
        AudioSource::Alsa => fail("microphone", "none", "plug one in, or set [audio] source"),
    }
}

fn here(factory: &str) -> bool {
    gst::ElementFactory::find(factory).is_some()
}

fn elements(config: &Config) -> Row {
    let wanted: &[(&str, &str)] = &[
        ("h264parse", "gstreamer1.0-plugins-bad"),
        ("rtmp2sink", "gstreamer1.0-plugins-bad"),
        ("srtsink", "gstreamer1.0-plugins-bad"),
        ("mpegtsmux", "gstreamer1.0-plugins-bad"),
        ("videorate", "gstreamer1.0-plugins-base"),
        ("avenc_aac", "gstreamer1.0-libav"),
        ("alsasrc", "gstreamer1.0-alsa"),
    ];
    let mut missing: Vec<(&str, &str)> = wanted.iter().copied().filter(|(factory, _)| !here(factory)).collect();
    if config.video.source == VideoSource::Libcamera && !here("libcamerasrc") {
        missing.push(("libcamerasrc", "gstreamer1.0-libcamera"));
    }
    if missing.is_empty() {
        return ok("gstreamer", gst::version_string().to_string());
    }
    let names: Vec<&str> = missing.iter().map(|(factory, _)| *factory).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    fail("gstreamer", format!("without {}", names.join(", ")), format!("apt install {}", packages.join(" ")))
}

fn encoder(config: &Config) -> Row {
    let hardware = here("v4l2h264enc");
    let found: Vec<&str> =
        ["v4l2h264enc", "x264enc", "openh264enc"].into_iter().filter(|factory| here(factory)).collect();
    match config.video.encoder {
        Encoder::Auto if found.is_empty() => {
            fail("encoder", "no H.264 encoder", "apt install gstreamer1.0-plugins-ugly")
        }
        Encoder::Auto if hardware => ok("encoder", format!("in hardware; {}", found.join(", "))),
        Encoder::Auto => warn(
            "encoder",
            format!("in software; {}", found.join(", ")),
            "a Pi 5 has no hardware encoder: lower [video] width and height if frames are dropped",
        ),
        Encoder::V4l2h264enc | Encoder::X264enc | Encoder::Openh264enc if here(config.video.encoder.word()) => {
            ok("encoder", config.video.encoder.word())
        }
        Encoder::V4l2h264enc | Encoder::X264enc | Encoder::Openh264enc => {
            fail("encoder", format!("no {}", config.video.encoder.word()), "set [video] encoder = \"auto\"")
        }
    }
}
