//! The bounds of `[video]`, which are also those of `set-video` and of the platform's configuration: one place, so that
//! a form that was made from the schemas asks for nothing that a box refuses.

use std::ops::RangeInclusive;

/// Width of the picture in pixels; it is even.
pub const WIDTH: RangeInclusive<u32> = 16..=3840;
/// Height of the picture in pixels; it is even.
pub const HEIGHT: RangeInclusive<u32> = 16..=2160;
/// Frames per second.
pub const FPS: RangeInclusive<u32> = 1..=60;
/// Bitrate of the picture in kbit/s.
pub const BITRATE_KBPS: RangeInclusive<u32> = 100..=20_000;
