//! A probe: camera, microphone and encoder run for some seconds; what comes out is counted and thrown away.

use std::sync::Arc;
use std::time::Duration;

use crate::capture::error::CaptureError;
use crate::capture::graph::CaptureGraph;
use crate::capture::guard_link::GuardLink;
use crate::capture::media::RateMeter;
use crate::capture::media::Track;
use crate::capture::queue::EncoderQueues;
use crate::capture::queue::FrameQueue;
use crate::clock::Clock;
use crate::config::Config;
use crate::ipc::{FromCapture, ProbeReport};

/// Counted from the first frame: the keyframe after it comes within 2 s where `keyframe-interval` is the usual one.
const COUNTED: Duration = Duration::from_secs(3);
/// A camera that gives no frame within this gives none; a USB camera needs up to 3 s.
const FIRST: Duration = Duration::from_secs(10);
/// Between two looks at the door.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a probe and tells the guard what it found.
pub(crate) fn run(config: &Config, sound: bool, guard_link: &GuardLink) -> Result<(), CaptureError> {
    let queue = Arc::new(FrameQueue::default());
    let pipeline = CaptureGraph::start(
        config,
        sound,
        &guard_link.lease(),
        &EncoderQueues::video_and_aac(&queue),
        &guard_link.event_sender(),
        |_| Ok(()),
    )?;
    let mut findings = ProbeReport { sound: pipeline.sound().then_some(false), ..ProbeReport::default() };
    let clock = Clock::start();
    let begun = clock.now();
    let mut meter: Option<RateMeter> = None;
    (findings.fps, findings.bitrate_kbps) = loop {
        if guard_link.wait_for_stop(Duration::ZERO) {
            return Ok(());
        }
        pipeline.check()?;
        let now = clock.now();
        if let Some(rates) = meter.as_mut().and_then(|meter| meter.sample(COUNTED, now)) {
            break rates;
        }
        if meter.is_none() && now.duration_since(begun) >= FIRST {
            let message = "the camera was opened and gave no picture within 10 s: unplug it and plug it in again";
            return Err(CaptureError::source(message));
        }
        let Some(frame) = queue.pop(LOOK) else { continue };
        match frame.track {
            Track::Audio => findings.sound = Some(true),
            Track::Video => findings.keyframes += u32::from(frame.is_keyframe()),
        }
        if meter.is_some() || frame.track == Track::Video {
            meter.get_or_insert_with(|| RateMeter::new(now)).count(&frame);
        }
    };
    drop(pipeline);
    guard_link.send(FromCapture::ProbeFinished(findings));
    Ok(())
}
