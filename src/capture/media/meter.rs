//! Frame rate and bitrate of encoded frames.

use std::time::Duration;

use super::{Frame, Track};
use monotonic::Monotonic;

/// Counts frames and bytes, and averages them over a span of time.
pub(crate) struct RateMeter {
    since: Monotonic,
    frames: u16,
    bytes: usize,
}

impl RateMeter {
    pub(crate) fn new(now: Monotonic) -> Self {
        Self { since: now, frames: 0, bytes: 0 }
    }

    pub(crate) fn count(&mut self, frame: &Frame) {
        self.frames += u16::from(frame.track == Track::Video);
        self.bytes += frame.buffer.size();
    }

    /// Frames per second and kbit/s, once `span` has passed. The next span starts then.
    pub(crate) fn sample(&mut self, span: Duration, now: Monotonic) -> Option<(f32, u32)> {
        let passed = now.duration_since(self.since);
        if passed < span {
            return None;
        }
        let kbps = (self.bytes * 8) as u128 / passed.as_millis().max(1);
        let fps = f32::from(self.frames) / passed.as_secs_f32();
        *self = Self::new(now);
        Some((fps, u32::try_from(kbps).unwrap_or(u32::MAX)))
    }
}
