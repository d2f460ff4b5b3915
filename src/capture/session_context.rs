//! What the parts of a session share.

use std::sync::Arc;

use crate::capture::audio::LevelMeter;
use crate::capture::encoder::EncoderControl;
use crate::capture::gst::Timebase;

/// What is known from a session's start on, before its first picture.
pub(crate) struct SessionContext {
    pub(crate) timebase: Timebase,
    /// Measures the audio that is sent; `None` without audio.
    pub(crate) level_meter: Option<Arc<LevelMeter>>,
    /// Controls the encoder once there is one.
    pub(crate) encoder_control: EncoderControl,
}
