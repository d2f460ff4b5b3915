//! What travels through capture: frames, and what their formats say.

mod caps;
mod decimator;
mod frame;
pub(crate) mod h264;
mod meter;

pub(crate) use caps::{AUDIO_RATE, raw_audio_caps, raw_video_caps, silence_length};
pub(crate) use decimator::{FrameDecimator, WantedRate};
pub(crate) use frame::{Frame, Track};
pub(crate) use meter::RateMeter;
