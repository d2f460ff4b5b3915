//! The sound: from its source to AAC or Opus, or to silence while muted.

pub(crate) mod level_meter;
pub(crate) mod mute;
pub(crate) mod voice;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

pub(crate) use level_meter::{Loudness, measure};
pub(crate) use mute::silence_while_muted;

use crate::capture::error::Failure;
use crate::capture::gst::plugins::make;
use crate::config::{Audio, AudioSource};

/// Samples per second; what cameras' microphones and AAC have in common.
const RATE: i32 = 48_000;
/// Bytes of a sample of both channels.
const BLOCK: usize = 4;

/// Sound between a microphone and the encode pipeline: what most sound cards give, so that nothing is converted twice.
pub(crate) fn raw_caps() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", RATE)
        .field("channels", 2)
        .field("channel-mask", gst::Bitmask::new(3))
        .build()
}

/// How many bytes of silence fill `span`, down to a whole sample, and how long they are.
pub(crate) fn silence(span: gst::ClockTime) -> (usize, gst::ClockTime) {
    let rate = u64::from(RATE.unsigned_abs());
    let samples = span.nseconds().saturating_mul(rate) / gst::ClockTime::SECOND.nseconds();
    let span = gst::ClockTime::from_nseconds(samples.saturating_mul(gst::ClockTime::SECOND.nseconds()) / rate);
    (usize::try_from(samples).unwrap_or(0) * BLOCK, span)
}

/// Where sound comes from, once `auto` is decided.
pub(crate) fn decide(audio: &Audio) -> AudioSource {
    match audio.source {
        AudioSource::Auto if has_microphone() => AudioSource::Alsa,
        AudioSource::Auto => {
            tracing::warn!(
                "no microphone is there: the stream has no sound ([audio] source = \"none\" says so for good)"
            );
            AudioSource::None
        }
        chosen @ (AudioSource::Alsa | AudioSource::File | AudioSource::Test | AudioSource::None) => chosen,
    }
}

/// Whether the kernel knows a device that records.
fn has_microphone() -> bool {
    std::fs::read_to_string("/proc/asound/pcm").is_ok_and(|devices| devices.contains("capture"))
}

/// What the configuration names as the microphone, for messages.
pub(crate) fn described(audio: &Audio) -> String {
    match audio.source {
        AudioSource::Test => "(test tone)".to_owned(),
        AudioSource::None => "(none)".to_owned(),
        AudioSource::Alsa | AudioSource::File | AudioSource::Auto => audio.device.clone(),
    }
}

/// Adds a microphone to `pipeline`, and what makes its sound that of `raw_caps`; returns the last element. Files are
/// `file`'s matter. `now` is the session's running time.
pub(crate) fn add_microphone(
    pipeline: &gst::Pipeline,
    audio: &Audio,
    now: gst::ClockTime,
) -> Result<gst::Element, Failure> {
    let source = if decide(audio) == AudioSource::Alsa {
        let source = make("alsasrc", "audio-source")?;
        source.set_property("device", audio.device.as_str());
        slaved(pipeline, &source)?
    } else {
        let source = make("audiotestsrc", "audio-source")?;
        source.set_property("is-live", true);
        // A tone of half loudness is a nuisance in a shop.
        source.set_property("volume", 0.1);
        // It counts from the session's beginning, and would make up for all that is gone by.
        source.set_property("timestamp-offset", i64::try_from(now.nseconds()).unwrap_or(0));
        pipeline.add(&source)?;
        source
    };
    let convert = make("audioconvert", "audio-source-convert")?;
    let resample = make("audioresample", "audio-source-resample")?;
    let raw = make("capsfilter", "audio-source-caps")?;
    raw.set_property("caps", raw_caps());
    pipeline.add_many([&convert, &resample, &raw])?;
    gst::Element::link_many([&source, &convert, &resample, &raw])?;
    Ok(raw)
}

/// Adds a sound card, slaved to the pipeline's clock; returns the last element.
fn slaved(pipeline: &gst::Pipeline, source: &gst::Element) -> Result<gst::Element, Failure> {
    // The pipeline's clock is the machine's, which pictures are timed by as well.
    source.set_property("provide-clock", false);
    // Each buffer is timed by that clock when it is read. The driver's times are of a clock that not all of them name.
    source.set_property("use-driver-timestamps", false);
    source.set_property_from_str("slave-method", "re-timestamp");
    // A second's sound waits for a reader that a busy machine holds up, in µs; by itself 200 ms do, and what is over is lost.
    // It costs no delay: it is read every 10 ms as before.
    source.set_property("buffer-time", 1_000_000_i64);
    let convert = make("audioconvert", "audio-source-samples")?;
    let filter = make("capsfilter", "audio-source-slave")?;
    filter.set_property("caps", crate::capture::input::clock_sync::caps());
    pipeline.add_many([source, &convert, &filter])?;
    gst::Element::link_many([source, &convert, &filter])?;
    let pad = filter.static_pad("src").ok_or_else(|| Failure::internal("a capsfilter without a pad"))?;
    crate::capture::input::clock_sync::attach(&pad);
    Ok(filter)
}

/// Adds where a microphone's sound comes in, in front of `first`.
pub(crate) fn add_entry(pipeline: &gst::Pipeline, first: &gst::Element) -> Result<gst_app::AppSrc, Failure> {
    // A second of what a sound card gives at a time: more is dropped, the oldest first, which `audio-rate` makes good.
    let entry = gst_app::AppSrc::builder().name("audio-in").format(gst::Format::Time).is_live(true);
    let entry = entry.max_bytes(0).max_buffers(100).leaky_type(gst_app::AppLeakyType::Downstream);
    let entry = entry.caps(&raw_caps()).build();
    pipeline.add(&entry)?;
    entry.link(first)?;
    Ok(entry)
}

/// Adds what any sound goes through before it is coded; returns the first element, and the last, behind
/// which it can be muted.
pub(crate) fn add_voice(pipeline: &gst::Pipeline, audio: &Audio) -> Result<(gst::Element, gst::Element), Failure> {
    let convert = make("audioconvert", "audio-convert")?;
    let resample = make("audioresample", "audio-resample")?;
    // Fills what a source leaves out, so that sound never creeps away from the picture.
    let rate = make("audiorate", "audio-rate")?;
    // By itself it would bear 40 ms, which is what people notice: where a microphone came back, that is.
    rate.set_property("tolerance", gst::ClockTime::from_mseconds(10).nseconds());
    // A microphone that comes late does not have the silence before it coded all at once.
    rate.set_property("skip-to-first", true);
    let raw = make("capsfilter", "audio-caps")?;
    raw.set_property("caps", gst::Caps::builder("audio/x-raw").field("rate", RATE).field("channels", 2).build());
    // One form for whatever mutes, measures and codes it, in which zeros are silence.
    let form = make("capsfilter", "audio-form")?;
    form.set_property("caps", raw_caps());
    let split = make("tee", "audio-split")?;
    let all = [&convert, &resample, &rate, &raw, &form, &split];
    pipeline.add_many(all)?;
    // Before the mute: what is muted is silence, not silence with its noise suppressed.
    let voice = voice::add(pipeline, audio)?;
    gst::Element::link_many(all[..4].iter().copied().chain(&voice).chain(all[4..].iter().copied()))?;
    Ok((convert, form))
}

/// How much later than its frame's time a sound leaves the decoder, in nanoseconds: 1600 samples (docs/benchmarks), which
/// `voaacenc` looks ahead.
const AAC_DELAY: i64 = 1600 * 1_000_000_000 / RATE as i64;

/// What sound becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// For RTMP and SRT.
    Aac,
    /// For WHIP.
    Opus,
}

/// Adds what codes the sound that `add_voice` made ready; returns the last element.
pub(crate) fn add_coder(pipeline: &gst::Pipeline, audio: &Audio, codec: Codec) -> Result<gst::Element, Failure> {
    // Checked to be at most 320: fits.
    let bits = i32::try_from(audio.bitrate_kbps).unwrap_or(128) * 1000;
    let all = match codec {
        Codec::Aac => {
            // Not libav's: with it come 170 libraries, which each press would wait for (docs/benchmarks).
            let encoder = make("voaacenc", "audio-encoder")?;
            encoder.set_property("bitrate", bits);
            // What comes out of a decoder is so much older than the frame's time: the frame's time is put right.
            encoder
                .static_pad("src")
                .ok_or_else(|| Failure::internal("an encoder without a pad"))?
                .set_offset(-AAC_DELAY);
            let parser = make("aacparse", "audio-parser")?;
            let form = make("capsfilter", "audio-coded")?;
            let caps = gst::Caps::builder("audio/mpeg").field("mpegversion", 4).field("stream-format", "raw");
            form.set_property("caps", caps.build());
            vec![encoder, parser, form]
        }
        Codec::Opus => {
            let convert = make("audioconvert", "opus-convert")?;
            let encoder = make("opusenc", "opus-encoder")?;
            encoder.set_property("bitrate", bits);
            vec![convert, encoder]
        }
    };
    let split = pipeline.by_name("audio-split").ok_or_else(|| Failure::internal("sound that is not ready"))?;
    pipeline.add_many(&all)?;
    gst::Element::link_many([&split].into_iter().chain(&all))?;
    all.last().cloned().ok_or_else(|| Failure::internal("sound that is not coded"))
}
