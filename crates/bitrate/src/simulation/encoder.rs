//! An encoder in simulation, of two sorts, each with a new bitrate from the next frame on: an even one, with a keyframe
//! every 2 s of six times a usual frame and the others up and down by a sixth; and one with the frame sizes of real
//! footage.

use super::{AUDIO, Millis};
use crate::rendition::Rendition;

/// How much larger a keyframe is than what follows it.
const KEY: f64 = 6.0;
/// From one keyframe to the next, in milliseconds.
const GROUP: Millis = 2000;
/// Bytes of each frame that our own encoder (x264, as `capture/encoder/backend.rs` sets it up) made of Big Buck Bunny
/// (tests/media, in a loop) at 720p30 and 2000 kbit/s: keyframes of 4 to 9 usual frames, 20 s.
const FOOTAGE: &str = include_str!("footage.txt");
/// What it was asked for, in kbit/s and frames per second.
const RECORDED: (f64, f64) = (2000.0, 30.0);

pub(super) struct Encoder {
    random: fastrand::Rng,
    next: f64,
    key_at: Millis,
    /// Real footage, and which frame is next; none: even.
    footage: Vec<f64>,
    frame: usize,
}

impl Encoder {
    pub(super) fn new(seed: u64, footage: bool) -> Self {
        let words = FOOTAGE.split_whitespace().filter(|_| footage);
        let footage = words.map(|word| word.parse().expect("not a number")).collect();
        Self { random: fastrand::Rng::with_seed(seed), next: 0.0, key_at: 0, footage, frame: 0 }
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
        let kbps = f64::from(asked.bitrate_kbps);
        let size = if self.footage.is_empty() { self.even(now, kbps, fps) } else { self.real(kbps, fps) };
        Some(size + f64::from(AUDIO) * 1000.0 / 8.0 / fps)
    }

    fn even(&mut self, now: Millis, kbps: f64, fps: f64) -> f64 {
        let key = now >= self.key_at;
        if key {
            self.key_at = now + GROUP;
        }
        // So that a group has the bitrate asked for, whatever its frame rate.
        let frames = fps * 2.0;
        let usual = kbps * 1000.0 / 8.0 * 2.0 / (frames - 1.0 + KEY);
        usual * if key { KEY } else { 1.0 } * (5.0 + 2.0 * self.random.f64()) / 6.0
    }

    fn real(&mut self, kbps: f64, fps: f64) -> f64 {
        let bytes = self.footage[self.frame % self.footage.len()];
        self.frame += 1;
        bytes * kbps / RECORDED.0 * RECORDED.1 / fps
    }
}
