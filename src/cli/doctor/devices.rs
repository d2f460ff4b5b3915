//! Microphones and encoders: from sysfs and the files of GStreamer's plugins. GStreamer itself is not started in
//! here: its plugin for cameras opens every video node, to look for encoders.

use std::path::PathBuf;

use super::super::capture_program;
use super::camera::video_nodes;
use super::{CheckResult, fail, ok, warn};
use crate::capture::package_of;
use crate::cli::host::HostFiles;
use crate::config::{AudioSource, Config, Encoder, VideoSource};

pub(super) fn rows(machine: &HostFiles, config: &Config) -> Vec<CheckResult> {
    let gstreamer = GStreamer::find();
    vec![microphone(config), elements(config, &gstreamer), encoder(machine, config, &gstreamer)]
}

fn microphone(config: &Config) -> CheckResult {
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

/// What capture's program says of its GStreamer.
struct GStreamer {
    /// Its version, or why there is none.
    version: Result<String, String>,
    /// Where its plugins are.
    plugins: PathBuf,
}

impl GStreamer {
    fn find() -> Self {
        let none = |why: String| Self { version: Err(why), plugins: PathBuf::new() };
        match capture_program::capture_command(&["gstreamer"]).output() {
            Err(error) => none(error.to_string()),
            Ok(output) if !output.status.success() => none(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout);
                let (version, plugins) = said.trim_end().split_once('\n').unwrap_or_default();
                Self { version: Ok(version.to_owned()), plugins: PathBuf::from(plugins) }
            }
        }
    }

    /// Whether the plugin with this name is installed.
    fn has(&self, plugin: &str) -> bool {
        self.plugins.join(format!("libgst{plugin}.so")).exists()
    }
}

fn elements(config: &Config, gstreamer: &GStreamer) -> CheckResult {
    let version = match &gstreamer.version {
        Ok(version) => version.as_str(),
        Err(why) => return fail("gstreamer", format!("tallybox-capture: {why}"), "install the package again"),
    };
    let libcamera = (config.video.source == VideoSource::Libcamera).then_some("libcamera");
    let voice = (config.audio.noise_suppression || config.audio.high_pass).then_some("webrtcdsp");
    let wanted = ["videoparsersbad", "srt", "mpegtsmux", "videorate", "video4linux2", "voaacenc", "alsa"];
    let missing: Vec<&str> =
        wanted.into_iter().chain(libcamera).chain(voice).filter(|plugin| !gstreamer.has(plugin)).collect();
    if missing.is_empty() {
        return ok("gstreamer", version);
    }
    let mut packages: Vec<&str> = missing.iter().map(|plugin| package_of(plugin)).collect();
    packages.sort_unstable();
    packages.dedup();
    let found = format!("without the plugins {}", missing.join(", "));
    fail("gstreamer", found, format!("apt install {}", packages.join(" ")))
}

/// Kernel drivers that encode H.264, by what they call their nodes: the Raspberry Pi's up to model 4. Others are found
/// when a capture tries them.
const HARDWARE: &str = "bcm2835-codec-encode";

fn encoder(machine: &HostFiles, config: &Config, gstreamer: &GStreamer) -> CheckResult {
    let here = |encoder: Encoder| match encoder {
        Encoder::V4l2h264enc => video_nodes(machine).iter().any(|name| name.contains(HARDWARE)),
        Encoder::X264enc => gstreamer.has("x264"),
        Encoder::Openh264enc => gstreamer.has("openh264"),
        Encoder::Auto => false,
    };
    let all = [Encoder::V4l2h264enc, Encoder::X264enc, Encoder::Openh264enc];
    let found: Vec<&str> = all.into_iter().filter(|encoder| here(*encoder)).map(Encoder::as_str).collect();
    match config.video.encoder {
        Encoder::Auto if found.is_empty() => {
            fail("encoder", "no H.264 encoder", "apt install gstreamer1.0-plugins-ugly")
        }
        Encoder::Auto if here(Encoder::V4l2h264enc) => ok("encoder", format!("in hardware; {}", found.join(", "))),
        Encoder::Auto => warn(
            "encoder",
            format!("in software; {}", found.join(", ")),
            "a Pi 5 has no hardware encoder: lower [video] width and height if frames are dropped",
        ),
        chosen @ (Encoder::V4l2h264enc | Encoder::X264enc | Encoder::Openh264enc) if here(chosen) => {
            ok("encoder", chosen.as_str())
        }
        // Not every driver is known by its name; `--probe` tries it.
        Encoder::V4l2h264enc => {
            let advice = "doctor --probe tries it; or set [video] encoder = \"auto\"";
            warn("encoder", "v4l2h264enc: no encoder of a Raspberry Pi is seen here", advice)
        }
        chosen @ (Encoder::X264enc | Encoder::Openh264enc) => {
            fail("encoder", format!("no {}", chosen.as_str()), "set [video] encoder = \"auto\"")
        }
    }
}
