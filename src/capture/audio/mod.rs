//! The sound: from its source to AAC or Opus, or to silence while muted.

mod level_meter;
mod mute;
pub(crate) mod processing;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

pub(crate) use level_meter::{LevelMeter, measure};
pub(crate) use mute::silence_while_muted;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::{AUDIO_RATE, raw_audio_caps};
use crate::config::Audio;

/// Adds where a microphone's sound comes in, in front of `first`.
pub(crate) fn add_audio_input(pipeline: &gst::Pipeline, first: &gst::Element) -> Result<gst_app::AppSrc, CaptureError> {
    // A second of what a sound card gives at a time: more is dropped, the oldest first, which `audio-rate` makes good.
    let entry = gst_app::AppSrc::builder().name("audio-in").format(gst::Format::Time).is_live(true);
    let entry = entry.max_bytes(0).max_buffers(100).leaky_type(gst_app::AppLeakyType::Downstream);
    let entry = entry.caps(&raw_audio_caps()).build();
    pipeline.add(&entry)?;
    entry.link(first)?;
    Ok(entry)
}

/// Adds what any sound goes through before it is coded; returns the first element, and the last, behind
/// which it can be muted.
pub(crate) fn add_audio_processing(
    pipeline: &gst::Pipeline,
    audio: &Audio,
) -> Result<(gst::Element, gst::Element), CaptureError> {
    let convert = make("audioconvert", "audio-convert")?;
    let resample = make("audioresample", "audio-resample")?;
    // Fills what a source leaves out, so that sound never creeps away from the picture.
    let rate = make("audiorate", "audio-rate")?;
    // By itself it would bear 40 ms, which is what people notice: where a microphone came back, that is.
    rate.set_property("tolerance", gst::ClockTime::from_mseconds(10).nseconds());
    // A microphone that comes late does not have the silence before it coded all at once.
    rate.set_property("skip-to-first", true);
    let raw = make("capsfilter", "audio-caps")?;
    raw.set_property("caps", gst::Caps::builder("audio/x-raw").field("rate", AUDIO_RATE).field("channels", 2).build());
    // One form for whatever mutes, measures and codes it, in which zeros are silence.
    let form = make("capsfilter", "audio-form")?;
    form.set_property("caps", raw_audio_caps());
    let split = make("tee", "audio-split")?;
    let all = [&convert, &resample, &rate, &raw, &form, &split];
    pipeline.add_many(all)?;
    // Before the mute: what is muted is silence, not silence with its noise suppressed.
    let voice = processing::add(pipeline, audio)?;
    gst::Element::link_many(all[..4].iter().copied().chain(&voice).chain(all[4..].iter().copied()))?;
    Ok((convert, form))
}

/// How much later than its frame's time a sound leaves the decoder, in nanoseconds: 1600 samples (docs/benchmarks),
/// which `voaacenc` looks ahead.
const AAC_DELAY: i64 = 1600 * 1_000_000_000 / AUDIO_RATE as i64;

/// What sound becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AudioCodec {
    /// For RTMP and SRT.
    Aac,
    /// For WHIP.
    Opus,
}

/// Adds what codes the sound that `add_audio_processing` made ready; returns the last element.
pub(crate) fn add_audio_encoder(
    pipeline: &gst::Pipeline,
    audio: &Audio,
    codec: AudioCodec,
) -> Result<gst::Element, CaptureError> {
    // Checked to be at most 320: fits.
    let bits = i32::try_from(audio.bitrate_kbps).unwrap_or(128) * 1000;
    let all = match codec {
        AudioCodec::Aac => {
            // Not libav's: with it come 170 libraries, which each press would wait for (docs/benchmarks).
            let encoder = make("voaacenc", "audio-encoder")?;
            encoder.set_property("bitrate", bits);
            // What comes out of a decoder is so much older than the frame's time: the frame's time is put right.
            encoder
                .static_pad("src")
                .ok_or_else(|| CaptureError::internal("an encoder without a pad"))?
                .set_offset(-AAC_DELAY);
            let parser = make("aacparse", "audio-parser")?;
            let form = make("capsfilter", "audio-coded")?;
            let caps = gst::Caps::builder("audio/mpeg").field("mpegversion", 4).field("stream-format", "raw");
            form.set_property("caps", caps.build());
            vec![encoder, parser, form]
        }
        AudioCodec::Opus => {
            let convert = make("audioconvert", "opus-convert")?;
            let encoder = make("opusenc", "opus-encoder")?;
            encoder.set_property("bitrate", bits);
            vec![convert, encoder]
        }
    };
    let split = pipeline.by_name("audio-split").ok_or_else(|| CaptureError::internal("sound that is not ready"))?;
    pipeline.add_many(&all)?;
    gst::Element::link_many([&split].into_iter().chain(&all))?;
    all.last().cloned().ok_or_else(|| CaptureError::internal("sound that is not coded"))
}
