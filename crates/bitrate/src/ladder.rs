//! Which frame rate and size a bitrate is enough for. On the way down fewer frames come first, then smaller pictures;
//! the way up has hysteresis.

use core::time::Duration;

use crate::overload::{EncoderLoad, Overload, Rungs};
use crate::rendition::Rendition;
use monotonic::Monotonic;

/// Bits per pixel below which H.264 falls apart into blocks: less than half of the 0.07 that the "Kush gauge" (K.
/// Amerasinghe, H.264 for the rest of us, 2009) gives for a picture with little motion. 720p30 needs 830 kbit/s.
const MIN_BITS_PER_PIXEL: f64 = 0.03;
/// A user who configured fewer bits per pixel accepts that; then this share of the configured ones is enough.
const CONFIGURED_SHARE: f64 = 0.6;
/// A step up needs this much more: 720p30 comes back at 1160 kbit/s.
const HYSTERESIS: f64 = 1.4;
/// A bitrate that is too low for a shorter time only drains a queue.
const STEP_DOWN_AFTER: Duration = Duration::from_millis(1500);
/// A bitrate that is high enough for a shorter time may be a probe, and each new size costs a keyframe.
const STEP_UP_AFTER: Duration = Duration::from_secs(5);
/// By how much fewer frames are made while the link does not even carry the lowest bitrate: fewer wait, and are lost.
const STARVED_DIVISOR: u32 = 2;
/// No picture is smaller: people must remain recognisable as people. Lines.
const MIN_HEIGHT: u32 = 240;

/// Divisors of the frame rate and of width and height, in halves, from the best rung to the last.
const RUNGS: [(u32, u32); 5] = [(2, 2), (4, 2), (4, 3), (4, 4), (4, 6)];

/// The present rung, and since when another one would fit better.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    max: Rendition,
    min_bits_per_pixel: f64,
    rung: usize,
    too_low_since: Option<Monotonic>,
    enough_since: Option<Monotonic>,
    /// The link does not even carry the lowest bitrate.
    pub(super) is_starved: bool,
    overload: Overload,
    /// The best rung that the box keeps up with.
    floor: usize,
}

/// Divides `pixels` by `halves` halves; the result is even.
fn scaled(pixels: u32, halves: u32) -> u32 {
    (pixels * 2 / halves).next_multiple_of(2)
}

fn pixels_per_second(rendition: &Rendition) -> f64 {
    f64::from(rendition.width) * f64::from(rendition.height) * f64::from(rendition.fps)
}

/// Whether `condition` has held for `span`; `since` is when it began to hold.
fn persists(since: &mut Option<Monotonic>, condition: bool, now: Monotonic, span: Duration) -> bool {
    if !condition {
        *since = None;
        return false;
    }
    now.duration_since(*since.get_or_insert(now)) >= span
}

/// The fewest bits per pixel at which a picture of `max` is left as it is.
fn min_bits_per_pixel(max: &Rendition) -> f64 {
    let configured = f64::from(max.bitrate_kbps) * 1000.0 / pixels_per_second(max);
    MIN_BITS_PER_PIXEL.min(configured * CONFIGURED_SHARE)
}

impl Ladder {
    pub(super) fn new(max: Rendition) -> Self {
        Self {
            max,
            min_bits_per_pixel: min_bits_per_pixel(&max),
            rung: 0,
            too_low_since: None,
            enough_since: None,
            is_starved: false,
            overload: Overload::default(),
            floor: 0,
        }
    }

    /// The same picture at another cap of the bitrate.
    pub(super) fn set_max(&mut self, max: Rendition) {
        (self.max, self.min_bits_per_pixel) = (max, min_bits_per_pixel(&max));
    }

    fn rendition_of(&self, rung: usize) -> Rendition {
        let (rate, size) = RUNGS[rung];
        let Rendition { fps, width, height, .. } = self.max;
        let (width, height) = if size == 2 { (width, height) } else { (scaled(width, size), scaled(height, size)) };
        Rendition { fps: (fps * 2).div_ceil(rate).max(1), width, height, ..self.max }
    }

    /// Whether `kbps` is at least `factor` times the least that `rung` needs.
    fn suffices(&self, rung: usize, kbps: u32, factor: f64) -> bool {
        f64::from(kbps) * 1000.0 >= self.min_bits_per_pixel * factor * pixels_per_second(&self.rendition_of(rung))
    }

    /// How many rungs there are for this picture.
    fn rungs(&self) -> usize {
        let is_small = |rung: &usize| self.rendition_of(*rung).height < MIN_HEIGHT.min(self.max.height);
        (1..RUNGS.len()).find(is_small).unwrap_or(RUNGS.len())
    }

    /// Adapts to what the encoder of this box can do, by at most one rung.
    pub(super) fn bear_load(&mut self, now: Monotonic, load: EncoderLoad) {
        let costs: Vec<f64> = (0..self.rungs()).map(|rung| pixels_per_second(&self.rendition_of(rung))).collect();
        self.floor = self.overload.update(now, load, &Rungs { link: self.rung, costs: &costs });
    }

    /// Adapts to a bitrate of `kbps`, by at most one rung.
    pub(super) fn update(&mut self, now: Monotonic, kbps: u32) {
        let too_low = self.rung + 1 < self.rungs() && !self.suffices(self.rung, kbps, 1.0);
        let enough = self.rung > 0 && self.suffices(self.rung - 1, kbps, HYSTERESIS);
        let down = persists(&mut self.too_low_since, too_low, now, STEP_DOWN_AFTER);
        let up = persists(&mut self.enough_since, enough, now, STEP_UP_AFTER);
        if down || up {
            self.rung = if down { self.rung + 1 } else { self.rung - 1 };
            (self.too_low_since, self.enough_since) = (None, None);
        }
    }

    /// The present frame rate and size.
    pub(super) fn rendition(&self) -> Rendition {
        let rendition = self.rendition_of(self.rung.max(self.floor));
        let divisor = if self.is_starved { STARVED_DIVISOR } else { 1 };
        Rendition { fps: (rendition.fps / divisor).max(1), ..rendition }
    }
}
