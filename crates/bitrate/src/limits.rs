//! What the controller stays within, and where it starts.

use crate::rendition::Rendition;

/// What was configured: the range of the bitrate, and the best picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The best picture; its bitrate is the user's cap. Nothing above it is ever requested.
    pub max: Rendition,
    /// Nothing below it is ever requested, in kbit/s.
    pub min_kbps: u32,
    /// The first request, in kbit/s.
    pub start_kbps: u32,
    /// Audio, and what container and protocol add to it, in kbit/s.
    pub overhead_kbps: u32,
}

/// The first request of a session over SRT, in kbit/s: half of the configured bitrate, for the two seconds in which the
/// controller finds that there is room. What exceeds the link is lost over SRT, where TCP would queue it
/// (docs/benchmarks).
pub fn srt_start_kbps(cap: u32) -> u32 {
    cap / 2
}
