//! `doctor --probe`: the guard asks staff for a press, and capture tries camera, microphone and encoder.

use std::time::Duration;

use super::{CheckResult, fail, ok, warn};
use crate::capture::h264::macroblocks;
use crate::cli::client::Client;
use crate::config::{Config, Video};
use crate::ipc::{ProbeReport, Request};
use crate::runtime::block_on;

/// What the probe itself may take once staff pressed, and the guard to say so.
const PROBE: Duration = Duration::from_secs(30);

pub(super) fn rows(config: &Config) -> Vec<CheckResult> {
    eprintln!(
        "The lamp pulses: press the button of the box, and camera and microphone are tried for 3 s, then the encoder for 1 s. Nothing leaves the box."
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
    let speed = findings.encoder_fps.map(|fps| capacity(&config.video, fps));
    [Some(picture), speed, Some(sound)].into_iter().flatten().collect()
}

/// The share of the processor, or of the encoder, that encoding may take: the rest is for decoding what the camera
/// gives, sound, network and the warm afternoon on which the board slows down.
const ENCODER_SHARE: f32 = 0.7;
/// Heights of pictures that cameras have, in lines, the largest first.
const HEIGHTS: [u32; 6] = [1080, 720, 540, 480, 360, 240];

/// What the board can hold, from how many pictures of the configured size its encoder makes in a second.
fn capacity(video: &Video, encoder_fps: f32) -> CheckResult {
    let (width, height, wanted) = (video.width, video.height, video.fps);
    // Encoding takes time for each macroblock.
    #[allow(clippy::cast_precision_loss)] // at most some ten thousand
    let per_second = encoder_fps * ENCODER_SHARE * macroblocks(width, height) as f32;
    #[allow(clippy::cast_precision_loss)]
    let fits = |width, height, fps: u32| (macroblocks(width, height) * fps) as f32 <= per_second;
    let scaled = |lines: u32| ((width * lines / height).next_multiple_of(2), lines);
    let largest = HEIGHTS.into_iter().map(scaled).find(|(width, height)| fits(*width, *height, wanted));
    let found = format!("the encoder makes {encoder_fps:.0} pictures of {width}x{height} a second at most");
    if fits(width, height, wanted) {
        let more = largest.filter(|(_, lines)| *lines > height);
        let more = more.map_or_else(String::new, |(width, height)| format!(", and would hold {width}x{height}"));
        return ok("probe", format!("{found}: {wanted} are configured{more}"));
    }
    let found = format!("{found}: for {wanted}, which are configured, that is too few to last");
    // Fewer than ten look like a row of photographs.
    let slower = (10..wanted).rev().find(|fps| fits(width, height, *fps));
    let advice = match (largest, slower) {
        (Some((width, height)), Some(fps)) => format!("set [video] width = {width}, height = {height}; or fps = {fps}"),
        (Some((width, height)), None) => format!("set [video] width = {width}, height = {height}"),
        (None, Some(fps)) => format!("set [video] fps = {fps}"),
        (None, None) => "take a board with a faster processor, or with an encoder in hardware".to_owned(),
    };
    warn("probe", found, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::CheckStatus;

    fn told(size: (u32, u32, u32), encoder_fps: f32) -> (CheckStatus, String, String) {
        let (width, height, fps) = size;
        let video = Video { width, height, fps, ..crate::config::example("").video };
        let CheckResult { verdict, found, advice, .. } = capacity(&video, encoder_fps);
        (verdict, found, advice)
    }

    #[test]
    fn what_is_configured_is_compared_with_what_the_encoder_can_do() {
        let (verdict, found, _) = told((1280, 720, 30), 60.0);
        assert_eq!(verdict, CheckStatus::Ok);
        assert_eq!(found, "the encoder makes 60 pictures of 1280x720 a second at most: 30 are configured");
        let (verdict, found, _) = told((1280, 720, 30), 120.0);
        assert_eq!((verdict, found.ends_with("and would hold 1920x1080")), (CheckStatus::Ok, true), "{found}");
        // It keeps up, and nothing is left for the rest.
        for (encoder_fps, advice) in [
            (31.0, "set [video] width = 960, height = 540; or fps = 21"),
            (20.0, "set [video] width = 854, height = 480; or fps = 14"),
            (13.0, "set [video] width = 640, height = 360"),
            (2.0, "take a board with a faster processor, or with an encoder in hardware"),
        ] {
            let (verdict, _, told) = told((1280, 720, 30), encoder_fps);
            assert_eq!((verdict, told.as_str()), (CheckStatus::Warn, advice), "{encoder_fps}");
        }
        // A picture of another shape keeps it.
        assert_eq!(told((640, 480, 30), 25.0).2, "set [video] width = 480, height = 360; or fps = 17");
    }
}
