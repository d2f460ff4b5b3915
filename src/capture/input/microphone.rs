//! A microphone: which one it is, and its samples on the session's clock.

use gst::prelude::*;
use gstreamer as gst;

use super::clock_sync;
use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::raw_audio_caps;
use crate::config::{Audio, AudioSource};

/// The configured source, with `auto` resolved to one that is there.
pub(crate) fn resolve_microphone(audio: &Audio) -> AudioSource {
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

/// The configured microphone, for messages.
pub(crate) fn describe_microphone(audio: &Audio) -> String {
    match audio.source {
        AudioSource::Test => "(test tone)".to_owned(),
        AudioSource::None => "(none)".to_owned(),
        AudioSource::Alsa | AudioSource::File | AudioSource::Auto => audio.device.clone(),
    }
}

/// Adds a microphone to `pipeline`, with audio of [`raw_audio_caps`]. Returns the last element. `now` is the session's
/// running time. Files are for [`super::MediaFile`].
pub(super) fn add_microphone(
    pipeline: &gst::Pipeline,
    audio: &Audio,
    now: gst::ClockTime,
) -> Result<gst::Element, CaptureError> {
    let source = if resolve_microphone(audio) == AudioSource::Alsa {
        let source = make("alsasrc", "audio-source")?;
        source.set_property("device", audio.device.as_str());
        add_clock_synced(pipeline, &source)?
    } else {
        let source = make("audiotestsrc", "audio-source")?;
        source.set_property("is-live", true);
        // A tone at half of full scale is a nuisance in a shop.
        source.set_property("volume", 0.1);
        // It counts from the start of the session, and would produce all that it missed.
        source.set_property("timestamp-offset", i64::try_from(now.nseconds()).unwrap_or(0));
        pipeline.add(&source)?;
        source
    };
    let convert = make("audioconvert", "audio-source-convert")?;
    let resample = make("audioresample", "audio-source-resample")?;
    let raw = make("capsfilter", "audio-source-caps")?;
    raw.set_property("caps", raw_audio_caps());
    pipeline.add_many([&convert, &resample, &raw])?;
    gst::Element::link_many([&source, &convert, &resample, &raw])?;
    Ok(raw)
}

/// Adds a sound card whose samples follow the pipeline's clock. Returns the last element.
fn add_clock_synced(pipeline: &gst::Pipeline, source: &gst::Element) -> Result<gst::Element, CaptureError> {
    // The pipeline's clock is the machine's, which times the pictures as well.
    source.set_property("provide-clock", false);
    // Each buffer gets that clock's time when it is read. A driver's timestamps may be of another clock, which not
    // every driver names.
    source.set_property("use-driver-timestamps", false);
    source.set_property_from_str("slave-method", "re-timestamp");
    // In µs. A busy machine may read late by a second without losing samples; the default is 200 ms. It adds no delay,
    // because the card is read every 10 ms as before.
    source.set_property("buffer-time", 1_000_000_i64);
    let convert = make("audioconvert", "audio-source-samples")?;
    let filter = make("capsfilter", "audio-source-slave")?;
    filter.set_property("caps", clock_sync::input_caps());
    pipeline.add_many([source, &convert, &filter])?;
    gst::Element::link_many([source, &convert, &filter])?;
    let pad = filter.static_pad("src").ok_or_else(|| CaptureError::internal("a capsfilter without a pad"))?;
    clock_sync::attach(&pad);
    Ok(filter)
}
