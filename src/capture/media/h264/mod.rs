//! H.264: its levels, and its two forms of a stream.

pub(crate) mod annexb;
pub(crate) mod level;
