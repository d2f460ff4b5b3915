//! What is done to audio ahead of the encoders: one rate and form, less noise and no hum where that is
//! configured.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::{AUDIO_RATE, raw_audio_caps};
use crate::config::Audio;

/// Audio may be off by this much before it is corrected. The default is 40 ms, which people notice after a microphone's
/// return.
const RATE_TOLERANCE: gst::ClockTime = gst::ClockTime::from_mseconds(10);

/// Adds what all audio passes before it is encoded. Returns the first element, and the last one, after which it can be
/// muted.
pub(crate) fn add_audio_processing(
    pipeline: &gst::Pipeline,
    audio: &Audio,
) -> Result<(gst::Element, gst::Element), CaptureError> {
    let convert = make("audioconvert", "audio-convert")?;
    let resample = make("audioresample", "audio-resample")?;
    // Fills gaps of a source, so that audio never drifts from the picture.
    let rate = make("audiorate", "audio-rate")?;
    rate.set_property("tolerance", RATE_TOLERANCE.nseconds());
    // Without it, silence from the start up to a microphone's first sample would be encoded all at once.
    rate.set_property("skip-to-first", true);
    let raw = make("capsfilter", "audio-caps")?;
    raw.set_property("caps", gst::Caps::builder("audio/x-raw").field("rate", AUDIO_RATE).field("channels", 2).build());
    // One form for the mute, the level meter and the encoders, in which zeros are silence.
    let form = make("capsfilter", "audio-form")?;
    form.set_property("caps", raw_audio_caps());
    let split = make("tee", "audio-split")?;
    let elements = [&convert, &resample, &rate, &raw, &form, &split];
    pipeline.add_many(elements)?;
    // Ahead of the mute: muted audio is silence, and not silence with noise suppression.
    let filters = add_voice_filters(pipeline, audio)?;
    let (before, after) = elements.split_at(4);
    gst::Element::link_many(before.iter().copied().chain(&filters).chain(after.iter().copied()))?;
    Ok((convert, form))
}

/// Adds noise suppression and high-pass filter, as configured. Returns the elements in order; none if both are off.
pub(super) fn add_voice_filters(pipeline: &gst::Pipeline, audio: &Audio) -> Result<Vec<gst::Element>, CaptureError> {
    if !audio.noise_suppression && !audio.high_pass {
        return Ok(Vec::new());
    }
    let dsp = make("webrtcdsp", "audio-voice")?;
    // All of them are on by default. There is no loudspeaker for an echo to come from, and nobody wants a gain that
    // moves.
    for (property, enabled) in [
        ("echo-cancel", false),
        ("gain-control", false),
        ("limiter", false),
        ("voice-detection", false),
        ("noise-suppression", audio.noise_suppression),
        ("high-pass-filter", audio.high_pass),
    ] {
        dsp.set_property(property, enabled);
    }
    let convert = make("audioconvert", "audio-voice-convert")?;
    let elements = [dsp, convert];
    pipeline.add_many(&elements)?;
    Ok(elements.into())
}
