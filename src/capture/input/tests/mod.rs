//! Pictures and sound through real elements.

mod clock_sync;
mod frame_rate;
mod jpeg_filter;
