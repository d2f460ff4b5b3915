//! An encoder in simulation: a keyframe every 2 s of six times a usual frame, the others up and down by a sixth, and a
//! new bitrate from the next frame on.

use super::{AUDIO, Millis};
use crate::capture::rendition::Rendition;

/// How much larger a keyframe is than what follows it.
const KEY: f64 = 6.0;
/// From one keyframe to the next, in milliseconds.
const GROUP: Millis = 2000;

pub(super) struct Encoder {
    random: fastrand::Rng,
    next: f64,
    key_at: Millis,
}

impl Encoder {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), next: 0.0, key_at: 0 }
    }

    /// The frame that is due at `now`, if one is: its bytes, sound included.
    pub(super) fn frame(&mut self, now: Millis, asked: Rendition) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)] // minutes
        let at = now as f64;
        if at < self.next {
            return None;
        }
        let fps = f64::from(asked.fps);
        self.next += 1000.0 / fps;
        let key = now >= self.key_at;
        if key {
            self.key_at = now + GROUP;
        }
        // So that a group has the bitrate asked for, whatever its frame rate.
        let frames = fps * 2.0;
        let usual = f64::from(asked.bitrate_kbps) * 1000.0 / 8.0 * 2.0 / (frames - 1.0 + KEY);
        let size = usual * if key { KEY } else { 1.0 } * (5.0 + 2.0 * self.random.f64()) / 6.0;
        Some(size + f64::from(AUDIO) * 1000.0 / 8.0 / fps)
    }
}
