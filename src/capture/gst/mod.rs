//! What every pipeline needs of GStreamer, with nothing of the box in it.

pub(crate) mod bus;
pub(crate) mod close;
pub(crate) mod live;
pub(crate) mod plugins;
pub(crate) mod timebase;
