//! H.264: its levels, and its two forms of a stream.

mod annexb;
mod level;

pub(crate) use annexb::avcc_to_annexb;
pub(crate) use level::{level_idc, levels};
