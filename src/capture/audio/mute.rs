//! The mute: the one place that all audio passes on its way to the encoders, and where it becomes silence.

use std::sync::Arc;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::guard_link::Lease;

/// Replaces what `element` gives with digital silence while `lease` is muted. All audio passes here on its way to the
/// encoders. A buffer that passes just when staff mute was recorded before.
pub(crate) fn silence_while_muted(element: &gst::Element, lease: &Arc<Lease>) -> Result<(), CaptureError> {
    let pad = element.static_pad("src").ok_or_else(|| CaptureError::internal("sound without a pad"))?;
    let lease = lease.clone();
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        if !lease.is_muted() {
            return gst::PadProbeReturn::Ok;
        }
        let silenced = info.buffer_mut().is_some_and(|buffer| {
            buffer.make_mut().map_writable().is_ok_and(|mut samples| {
                samples.fill(0);
                true
            })
        });
        // What cannot be silenced is not sent.
        if silenced { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
    Ok(())
}
