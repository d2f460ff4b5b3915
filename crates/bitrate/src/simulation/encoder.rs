//! Two simulated encoders, both of which follow a new bitrate from the next frame on: a synthetic one, with a keyframe
//! of six times a usual frame every 2 s and random variation by a sixth; and one with the frame sizes of real footage.

use super::{AUDIO_KBPS, Millis};
use crate::rendition::Rendition;

/// How much larger a keyframe is than the frames after it.
const KEYFRAME_FACTOR: f64 = 6.0;
/// Between two keyframes, in milliseconds.
const KEYFRAME_INTERVAL: Millis = 2000;
/// The size of each frame that our own encoder (x264, as `capture/encoder` configures it) made of Big Buck Bunny
/// (tests/media, in a loop) at 720p30 and 2000 kbit/s, in bytes: 20 s, with keyframes of 4 to 9 usual frames.
const FOOTAGE: &str = include_str!("footage.txt");
/// The bitrate and frame rate of that recording, in kbit/s and frames per second.
const FOOTAGE_RATE: (f64, f64) = (2000.0, 30.0);

pub(super) struct Encoder {
    random: fastrand::Rng,
    next_at: f64,
    keyframe_at: Millis,
    /// Frame sizes of real footage, or none, and which is next.
    footage: Vec<f64>,
    next_frame: usize,
}

impl Encoder {
    pub(super) fn new(seed: u64, footage: bool) -> Self {
        let words = FOOTAGE.split_whitespace().filter(|_| footage);
        let footage = words.map(|word| word.parse().expect("not a number")).collect();
        Self { random: fastrand::Rng::with_seed(seed), next_at: 0.0, keyframe_at: 0, footage, next_frame: 0 }
    }

    /// The size of the frame that is due at `now`, if one is, in bytes and including audio.
    pub(super) fn frame(&mut self, now: Millis, rendition: Rendition) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)] // minutes
        let at = now as f64;
        if at < self.next_at {
            return None;
        }
        let fps = f64::from(rendition.fps);
        self.next_at += 1000.0 / fps;
        let kbps = f64::from(rendition.bitrate_kbps);
        let size = if self.footage.is_empty() { self.synthetic(now, kbps, fps) } else { self.footage_frame(kbps, fps) };
        Some(size + f64::from(AUDIO_KBPS) * 1000.0 / 8.0 / fps)
    }

    fn synthetic(&mut self, now: Millis, kbps: f64, fps: f64) -> f64 {
        let is_keyframe = now >= self.keyframe_at;
        if is_keyframe {
            self.keyframe_at = now + KEYFRAME_INTERVAL;
        }
        // Each keyframe interval has the requested bitrate, whatever its frame rate.
        let frames = fps * 2.0;
        let usual = kbps * 1000.0 / 8.0 * 2.0 / (frames - 1.0 + KEYFRAME_FACTOR);
        usual * if is_keyframe { KEYFRAME_FACTOR } else { 1.0 } * (5.0 + 2.0 * self.random.f64()) / 6.0
    }

    fn footage_frame(&mut self, kbps: f64, fps: f64) -> f64 {
        let bytes = self.footage[self.next_frame % self.footage.len()];
        self.next_frame += 1;
        bytes * kbps / FOOTAGE_RATE.0 * FOOTAGE_RATE.1 / fps
    }
}
