//! `doctor --probe`: the guard asks staff for a press, and capture tries camera, microphone and encoder.

use std::time::Duration;

use super::{CheckResult, fail, ok, warn};
use crate::cli::client::Client;
use crate::config::Config;
use crate::ipc::{ProbeReport, Request};
use crate::runtime::block_on;

/// What the probe itself may take once staff pressed, and the guard to say so.
const PROBE: Duration = Duration::from_secs(30);

pub(super) fn rows(config: &Config) -> Vec<CheckResult> {
    eprintln!(
        "The lamp pulses: press the button of the box, and camera and microphone are tried for 3 s. Nothing leaves the box."
    );
    let patience = config.consent.request_timeout + PROBE;
    let found = block_on(async { Client::connect(config).await?.call_for(Request::Probe {}, patience).await });
    match found {
        Ok((_, Some(findings))) => judged(config, findings),
        Ok((_, None)) => vec![fail("probe", "the guard is of another version", "restart it")],
        Err(exit) => vec![fail("probe", exit.to_string(), "then call doctor --probe again")],
    }
}

fn judged(config: &Config, findings: ProbeReport) -> Vec<CheckResult> {
    let wanted = config.video.fps;
    let seen = format!(
        "{:.1} of {wanted} frames per second, {} keyframe(s), {} kbit/s",
        findings.fps, findings.keyframes, findings.bitrate_kbps
    );
    // A tenth fewer is a camera in the dark; more is a camera or an encoder that does not keep up.
    #[allow(clippy::cast_precision_loss)] // at most 60
    let picture = if findings.fps >= wanted as f32 * 0.9 {
        ok("probe", seen)
    } else {
        warn("probe", seen, "more light, a lower [video] width and height, or the fps that the camera has")
    };
    let sound = match findings.sound {
        Some(true) => ok("probe", "the microphone gives sound"),
        Some(false) => fail("probe", "the microphone gave nothing", "unplug it and plug it in, or see [audio] device"),
        None => ok("probe", "no sound: none configured, or the press was held"),
    };
    vec![picture, sound]
}
