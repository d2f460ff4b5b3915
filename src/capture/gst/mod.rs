//! What every pipeline needs of GStreamer, with nothing of the box in it.

pub(crate) mod plugins;
pub(crate) mod timebase;
