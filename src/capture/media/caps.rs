//! The caps of raw video and audio between a source and its encoder.

use gstreamer as gst;

use crate::config::Video;

/// What the video encoder takes. Every encoder here takes I420 without converting it.
pub(crate) fn raw_video_caps(video: &Video) -> gst::Caps {
    // The configuration allows at most 3840.
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", int(video.width))
        .field("height", int(video.height))
        .field("framerate", gst::Fraction::new(int(video.fps), 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

/// Samples per second. Cameras' microphones and AAC have this rate in common.
pub(crate) const AUDIO_RATE: i32 = 48_000;

/// Bytes of one sample of both channels.
const BYTES_PER_SAMPLE: usize = 4;

/// What the audio encoders take. Most sound cards give it, so that nothing is converted twice.
pub(crate) fn raw_audio_caps() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", AUDIO_RATE)
        .field("channels", 2)
        .field("channel-mask", gst::Bitmask::new(3))
        .build()
}

/// How many bytes of silence fill `span`, rounded down to whole samples, and how long these last.
pub(crate) fn silence_length(span: gst::ClockTime) -> (usize, gst::ClockTime) {
    let rate = u64::from(AUDIO_RATE.unsigned_abs());
    let samples = span.nseconds().saturating_mul(rate) / gst::ClockTime::SECOND.nseconds();
    let span = gst::ClockTime::from_nseconds(samples.saturating_mul(gst::ClockTime::SECOND.nseconds()) / rate);
    (usize::try_from(samples).unwrap_or(0) * BYTES_PER_SAMPLE, span)
}
