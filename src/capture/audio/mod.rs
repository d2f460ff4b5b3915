//! Audio between its source and the encoders' output: processing, mute, level, AAC and Opus.

mod level_meter;
mod mute;
mod processing;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::{AUDIO_RATE, raw_audio_caps};
use crate::config::Audio;

pub(crate) use level_meter::{LevelMeter, measure};
pub(crate) use mute::silence_while_muted;
pub(crate) use processing::add_audio_processing;

/// Adds an `appsrc` for a microphone's audio, ahead of `first`.
pub(crate) fn add_audio_input(pipeline: &gst::Pipeline, first: &gst::Element) -> Result<gst_app::AppSrc, CaptureError> {
    // A second of buffers as a sound card gives them. If there are more the oldest are dropped, and `audio-rate` fills
    // the gap.
    let input = gst_app::AppSrc::builder().name("audio-in").format(gst::Format::Time).is_live(true);
    let input = input.max_bytes(0).max_buffers(100).leaky_type(gst_app::AppLeakyType::Downstream);
    let input = input.caps(&raw_audio_caps()).build();
    pipeline.add(&input)?;
    input.link(first)?;
    Ok(input)
}

/// `voaacenc` looks ahead by 1600 samples (docs/benchmarks): what leaves a decoder is by so many nanoseconds later than
/// the frame's time.
const AAC_DELAY: i64 = 1600 * 1_000_000_000 / AUDIO_RATE as i64;

/// What audio is encoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AudioCodec {
    /// For RTMP and SRT.
    Aac,
    /// For WHIP.
    Opus,
}

/// Adds an encoder after what [`add_audio_processing`] added. Returns the last element.
pub(crate) fn add_audio_encoder(
    pipeline: &gst::Pipeline,
    audio: &Audio,
    codec: AudioCodec,
) -> Result<gst::Element, CaptureError> {
    // The configuration allows at most 320.
    let bitrate = i32::try_from(audio.bitrate_kbps).unwrap_or(128) * 1000;
    let elements = match codec {
        AudioCodec::Aac => {
            // Not libav's: it loads 170 libraries, for which each press would wait (docs/benchmarks).
            let encoder = make("voaacenc", "audio-encoder")?;
            encoder.set_property("bitrate", bitrate);
            encoder
                .static_pad("src")
                .ok_or_else(|| CaptureError::internal("an encoder without a pad"))?
                .set_offset(-AAC_DELAY);
            let parser = make("aacparse", "audio-parser")?;
            let filter = make("capsfilter", "audio-coded")?;
            let caps = gst::Caps::builder("audio/mpeg").field("mpegversion", 4).field("stream-format", "raw");
            filter.set_property("caps", caps.build());
            vec![encoder, parser, filter]
        }
        AudioCodec::Opus => {
            let convert = make("audioconvert", "opus-convert")?;
            let encoder = make("opusenc", "opus-encoder")?;
            encoder.set_property("bitrate", bitrate);
            vec![convert, encoder]
        }
    };
    let split = pipeline.by_name("audio-split").ok_or_else(|| CaptureError::internal("sound that is not ready"))?;
    pipeline.add_many(&elements)?;
    gst::Element::link_many([&split].into_iter().chain(&elements))?;
    elements.last().cloned().ok_or_else(|| CaptureError::internal("sound that is not coded"))
}

#[cfg(test)]
mod tests;
