//! A probe: runs camera, microphone and encoder for some seconds, measures what comes out and discards it. Then, with
//! the devices closed, it measures how fast the encoder is.

use std::sync::Arc;
use std::time::Duration;

use crate::capture::encoder;
use crate::capture::error::CaptureError;
use crate::capture::graph::{CaptureGraph, Inputs};
use crate::capture::guard_link::GuardLink;
use crate::capture::media::{RateMeter, Track};
use crate::capture::queue::{EncoderQueues, FrameQueue};
use crate::clock::Clock;
use crate::config::Config;
use crate::ipc::{FromCapture, ProbeReport};

/// Measured from the first frame on: with the usual `keyframe-interval` the next keyframe comes within 2 s.
const DURATION: Duration = Duration::from_secs(3);
/// A camera without a frame for this long has none; a USB camera needs up to 3 s.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the guard's stop is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Runs a probe and sends the guard its report.
pub(crate) fn run(config: &Config, with_audio: bool, guard_link: &GuardLink) -> Result<(), CaptureError> {
    let queue = Arc::new(FrameQueue::default());
    let inputs = Inputs::open(config, with_audio, guard_link)?;
    let graph = CaptureGraph::start(inputs, config, &EncoderQueues::video_and_aac(&queue), guard_link)?;
    let mut report = ProbeReport { sound: graph.has_audio().then_some(false), ..ProbeReport::default() };
    let clock = Clock::start();
    let started_at = clock.now();
    let mut meter: Option<RateMeter> = None;
    (report.fps, report.bitrate_kbps) = loop {
        if guard_link.wait_for_stop(Duration::ZERO) {
            return Ok(());
        }
        graph.check()?;
        let now = clock.now();
        if let Some(rates) = meter.as_mut().and_then(|meter| meter.sample(DURATION, now)) {
            break rates;
        }
        if meter.is_none() && now.duration_since(started_at) >= FIRST_FRAME_TIMEOUT {
            let message = "the camera was opened and gave no picture within 10 s: unplug it and plug it in again";
            return Err(CaptureError::source(message));
        }
        let Some(frame) = queue.pop(CHECK_INTERVAL) else { continue };
        match frame.track {
            Track::Audio => report.sound = Some(true),
            Track::Video => report.keyframes += u32::from(frame.is_keyframe()),
        }
        if meter.is_some() || frame.track == Track::Video {
            meter.get_or_insert_with(|| RateMeter::new(now)).count(&frame);
        }
    };
    drop(graph);
    report.encoder_fps = match encoder::measure_speed(&config.video, || guard_link.wait_for_stop(Duration::ZERO)) {
        Ok(None) => return Ok(()),
        Ok(measured) => measured,
        Err(error) => {
            tracing::warn!("{}", error.message);
            None
        }
    };
    guard_link.send(FromCapture::ProbeFinished(report));
    Ok(())
}
