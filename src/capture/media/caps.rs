//! The form that pictures and sound have between their source and their encoder.

use gstreamer as gst;

use crate::config::Video;

/// What goes into the encoder. I420 is what every encoder here takes without a copy of its own.
pub(crate) fn raw_video_caps(video: &Video) -> gst::Caps {
    let (width, height, fps) = size(video);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width)
        .field("height", height)
        .field("framerate", gst::Fraction::new(fps, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

/// Checked to be at most 3840: fits.
#[allow(clippy::cast_possible_wrap)]
fn size(video: &Video) -> (i32, i32, i32) {
    (video.width as i32, video.height as i32, video.fps as i32)
}

/// Samples per second; what cameras' microphones and AAC have in common.
pub(crate) const AUDIO_RATE: i32 = 48_000;

/// Bytes of a sample of both channels.
const BLOCK: usize = 4;

/// Sound between a microphone and the encode pipeline: what most sound cards give, so that nothing is converted twice.
pub(crate) fn raw_audio_caps() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", AUDIO_RATE)
        .field("channels", 2)
        .field("channel-mask", gst::Bitmask::new(3))
        .build()
}

/// How many bytes of silence fill `span`, down to a whole sample, and how long they are.
pub(crate) fn silence_length(span: gst::ClockTime) -> (usize, gst::ClockTime) {
    let rate = u64::from(AUDIO_RATE.unsigned_abs());
    let samples = span.nseconds().saturating_mul(rate) / gst::ClockTime::SECOND.nseconds();
    let span = gst::ClockTime::from_nseconds(samples.saturating_mul(gst::ClockTime::SECOND.nseconds()) / rate);
    (usize::try_from(samples).unwrap_or(0) * BLOCK, span)
}
