//! H.264: its levels, and the two forms of its streams.

mod annexb;
mod level;

pub(crate) use annexb::avcc_to_annexb;
pub(crate) use level::{LEVEL_4, Level, levels, macroblocks};
