//! How fast an encoder is here: it encodes test pictures, as many as it can. No camera has a part in it.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::backend::{self, Profile};
use super::pipeline::{Backpressure, push_picture};
use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::raw_video_caps;
use crate::clock::Clock;
use crate::config::Video;
use crate::ipc::FailureKind;

/// What is measured comes after this: an encoder takes its time for the first picture.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(1);
/// An encoder that takes longer than this for all of it hangs: one picture a second is measured in less.
const PATIENCE: Duration = Duration::from_secs(6);
/// Different pictures at most, and what all of them may take: a board may have 512 MiB.
const PICTURES: u32 = 8;
const BYTES: u32 = 24 * 1024 * 1024;
/// How far a value strays from one picture to the next, of 255. Noise is what makes a camera's pictures hard to encode.
/// With this much, x264 takes as long for each as for a film with a camera's noise laid over it: 6.7 and 7.0 ms of
/// processor time at 720p (without any, 3.5 ms).
const NOISE: u8 = 3;

/// Pictures per second that the configured encoder makes of the configured size; `None` once `is_stopped` says so.
///
/// # Errors
/// No encoder works here, or it makes nothing.
pub(crate) fn measure(video: &Video, is_stopped: impl Fn() -> bool) -> Result<Option<f32>, CaptureError> {
    let encoder = backend::select(video)?.encoder;
    let failed = |why: &str| {
        let message = format!("{} cannot be measured: {why}", encoder.name());
        CaptureError { kind: FailureKind::Encoder, message }
    };
    let sink = make("appsink", "speed")?;
    sink.set_property("sync", false);
    let pipeline = super::start_pipeline(encoder, video, Profile::Main, Backpressure::Block, &sink)?;
    let sink = sink.downcast::<gst_app::AppSink>().map_err(|_| CaptureError::internal("an appsink that is none"))?;
    let (caps, pictures, input) = (raw_video_caps(video), pictures(video), pipeline.input());
    let interval = gst::ClockTime::SECOND / u64::from(video.fps.max(1));
    let clock = Clock::start();
    let started = clock.now();
    let (mut first, mut frames) = (None, 0_u16);
    for (number, picture) in (0..).zip(pictures.iter().cycle()) {
        if is_stopped() {
            return Ok(None);
        }
        let mut picture = picture.copy();
        picture.make_mut().set_pts(interval * number);
        // Waits until the encoder has room for it.
        push_picture(&input, &caps, picture);
        while sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {
            let now = clock.now();
            if now.duration_since(started) < WARM_UP {
                continue;
            }
            let elapsed = now.duration_since(*first.get_or_insert(now));
            if elapsed >= SPAN {
                return Ok(Some(f32::from(frames.saturating_add(1)) / elapsed.as_secs_f32()));
            }
            frames = frames.saturating_add(u16::from(!elapsed.is_zero()));
        }
        if let Some(error) = pipeline.take_error() {
            return Err(failed(error.error.message()));
        }
        if clock.now().duration_since(started) >= PATIENCE {
            break;
        }
    }
    Err(failed("it makes no picture in time"))
}

/// Pictures as a camera in a shop gives them, as far as an encoder is concerned: surfaces and edges that move a little,
/// under noise.
fn pictures(video: &Video) -> Vec<gst::Buffer> {
    let bytes = video.width * video.height * 3 / 2;
    (0..(BYTES / bytes.max(1)).clamp(2, PICTURES)).map(|number| picture(video, number)).collect()
}

fn picture(video: &Video, number: u32) -> gst::Buffer {
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    let mut noise = move || random.u8(0..=2 * NOISE);
    let mut data = Vec::new();
    for y in 0..video.height {
        for x in 0..video.width {
            // Goods on shelves: rectangles of some shades, which move by two pixels with each picture.
            let shade = ((x + 2 * number) / 48 * 37 + y / 32 * 59) % 160;
            data.push(u8::try_from(40 + shade).unwrap_or(u8::MAX).saturating_add(noise()));
        }
    }
    let halves = |pixels: u32| pixels.div_ceil(2);
    let chroma = 2 * halves(video.width) * halves(video.height);
    data.extend((0..chroma).map(|_| 128 - NOISE + noise()));
    gst::Buffer::from_mut_slice(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Encoder;

    #[test]
    fn a_smaller_picture_is_encoded_faster() {
        gst::init().unwrap();
        let video = |width, height| {
            let config = crate::config::example("");
            Video { width, height, encoder: Encoder::X264enc, ..config.video }
        };
        let measured = |video: Video| measure(&video, || false).unwrap().unwrap();
        let (large, small) = (measured(video(1280, 720)), measured(video(320, 180)));
        eprintln!("1280x720: {large:.1}, 320x180: {small:.1} pictures a second");
        // A sixteenth of the pixels.
        assert!(large > 1.0 && small > 3.0 * large, "{large} {small}");
        assert_eq!(measure(&video(320, 180), || true).unwrap(), None);
    }
}
