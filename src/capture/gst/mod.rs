//! What every pipeline needs of GStreamer, with nothing of the box in it.

mod bus;
mod close;
mod live;
pub(crate) mod plugins;
mod timebase;

pub(crate) use bus::{BusError, pop_error};
pub(crate) use close::{CLOSE_TIMEOUT, close_detached, close_within, set_null};
pub(crate) use live::{accept_padded_lines, configure_live_sink, live_appsrc};
pub(crate) use timebase::Timebase;
