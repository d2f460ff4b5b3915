//! Which frame rate and size a bitrate is enough for: first fewer frames, then a smaller picture; back with hysteresis.

use core::time::Duration;

use crate::rendition::Rendition;
use monotonic::Monotonic;

/// Bits per pixel below which H.264 falls apart into blocks: under half of the 0.07 that the "Kush gauge" (K.
/// Amerasinghe, H.264 for the rest of us, 2009) gives for a picture with little motion. 720p30 needs 830 kbit/s.
const ENOUGH: f64 = 0.03;
/// Whoever configured fewer bits per pixel wants it so; this share of those is enough.
const CHOSEN: f64 = 0.6;
/// The way back needs this much more: 720p30 comes back at 1160 kbit/s.
const MORE: f64 = 1.4;
/// A bitrate that is too low for shorter than this is a queue that drains.
const DOWN: Duration = Duration::from_millis(1500);
/// A bitrate that is enough for shorter than this may be a probe. Each size begins with a keyframe.
const UP: Duration = Duration::from_secs(5);
/// No picture is smaller than this: staff have to be recognisable as people. Pixels.
const LOWEST: u32 = 240;

/// Divisors of frame rate and of width and height, in halves: from the best to the least.
const RUNGS: [(u32, u32); 5] = [(2, 2), (4, 2), (4, 3), (4, 4), (4, 6)];

/// Where it stands, and since when it should stand elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    best: Rendition,
    /// Bits per pixel that are enough.
    enough: f64,
    rung: usize,
    low_since: Option<Monotonic>,
    enough_since: Option<Monotonic>,
}

/// Pixels halved `halves` times one half, even.
fn even(pixels: u32, halves: u32) -> u32 {
    (pixels * 2 / halves).next_multiple_of(2)
}

/// Pixels per second.
fn pixels(rendition: &Rendition) -> f64 {
    f64::from(rendition.width) * f64::from(rendition.height) * f64::from(rendition.fps)
}

impl Ladder {
    pub(super) fn new(best: Rendition) -> Self {
        let chosen = f64::from(best.bitrate_kbps) * 1000.0 / pixels(&best);
        Self { best, enough: ENOUGH.min(chosen * CHOSEN), rung: 0, low_since: None, enough_since: None }
    }

    fn at(&self, rung: usize) -> Rendition {
        let (rate, size) = RUNGS[rung];
        let Rendition { fps, width, height, .. } = self.best;
        let (width, height) = if size == 2 { (width, height) } else { (even(width, size), even(height, size)) };
        Rendition { fps: (fps * 2).div_ceil(rate).max(1), width, height, ..self.best }
    }

    /// Whether `kbps` is enough for a rung, or `times` that.
    fn enough(&self, rung: usize, kbps: u32, times: f64) -> bool {
        f64::from(kbps) * 1000.0 >= self.enough * times * pixels(&self.at(rung))
    }

    fn has_below(&self) -> bool {
        self.rung + 1 < RUNGS.len() && self.at(self.rung + 1).height >= LOWEST.min(self.best.height)
    }

    /// The bitrate is `kbps` now. One rung at a time.
    pub(super) fn step(&mut self, now: Monotonic, kbps: u32) {
        let low = self.has_below() && !self.enough(self.rung, kbps, 1.0);
        let enough = self.rung > 0 && self.enough(self.rung - 1, kbps, MORE);
        let held = |since: &mut Option<Monotonic>, is: bool, span| {
            let begun = if is { *since.get_or_insert(now) } else { now };
            if !is {
                *since = None;
            }
            is && now.duration_since(begun) >= span
        };
        let down = held(&mut self.low_since, low, DOWN);
        let up = held(&mut self.enough_since, enough, UP);
        if down || up {
            self.rung = if down { self.rung + 1 } else { self.rung - 1 };
            (self.low_since, self.enough_since) = (None, None);
        }
    }

    /// Frame rate and size at present.
    pub(super) fn rendition(&self) -> Rendition {
        self.at(self.rung)
    }
}
