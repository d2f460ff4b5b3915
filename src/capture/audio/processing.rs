//! What may be done for voices on a shop floor: less noise, and no hum. Absent where it is not configured.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::config::Audio;

/// Adds the processing that the configuration asks for to `pipeline`; returns it in order, to be linked behind an
/// `audioconvert`.
pub(crate) fn add(pipeline: &gst::Pipeline, audio: &Audio) -> Result<Vec<gst::Element>, CaptureError> {
    if !audio.noise_suppression && !audio.high_pass {
        return Ok(Vec::new());
    }
    let dsp = make("webrtcdsp", "audio-voice")?;
    // All that it can do is on by itself. An echo has no loudspeaker to come from, and a gain that moves is nobody's
    // wish.
    for (property, wanted) in [
        ("echo-cancel", false),
        ("gain-control", false),
        ("limiter", false),
        ("voice-detection", false),
        ("noise-suppression", audio.noise_suppression),
        ("high-pass-filter", audio.high_pass),
    ] {
        dsp.set_property(property, wanted);
    }
    let convert = make("audioconvert", "audio-voice-convert")?;
    let all = [dsp, convert];
    pipeline.add_many(&all)?;
    Ok(all.into())
}
