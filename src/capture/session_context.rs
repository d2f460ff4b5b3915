//! What a session has in common once its time has begun.

use std::sync::Arc;

use crate::capture::audio;
use crate::capture::encoder::EncoderControl;
use crate::capture::gst::Timebase;

/// What is known once a session's time has begun, before its first picture.
pub(crate) struct SessionContext {
    pub(crate) timebase: Timebase,
    /// How loud the sound is that leaves; none where there is none.
    pub(crate) level_meter: Option<Arc<audio::LevelMeter>>,
    /// What changes what the encoder is asked for, once there is one.
    pub(crate) encoder_control: EncoderControl,
}
