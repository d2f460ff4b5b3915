//! What the controller stays within, and what it starts with.

use crate::rendition::Rendition;

/// What was configured, and what the picture is at best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The picture at best: nothing above it is ever asked for. Its bitrate is the user's cap.
    pub max: Rendition,
    /// Nothing below it is ever asked for, in kbit/s.
    pub min_kbps: u32,
    /// What is asked for at first, in kbit/s.
    pub start_kbps: u32,
    /// Sound, and what container and protocol add to it, in kbit/s.
    pub overhead_kbps: u32,
}

/// What a session over SRT begins with, in kbit/s: half of what is configured, for the two seconds that it takes to find
/// out that there is room. What is too much for the link is lost, where over TCP it would wait (docs/benchmarks).
pub fn srt_start_kbps(cap: u32) -> u32 {
    cap / 2
}
