//! What travels through capture: frames, and what their formats say.

pub(crate) mod caps;
pub(crate) mod decimator;
pub(crate) mod frame;
pub(crate) mod h264;
pub(crate) mod meter;
