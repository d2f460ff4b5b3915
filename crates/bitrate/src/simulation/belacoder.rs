//! belacoder's rules, as its source (belacoder.c, BELABOX/belacoder on GitHub) states them, in our own words.

use super::{Contender, LIMITS, Millis, Sight};
use crate::rendition::Rendition;

/// Its default, in milliseconds.
pub(super) const LATENCY: f64 = 2000.0;
/// It looks so often, in milliseconds.
const TICK: Millis = 20;

#[derive(Default)]
pub(super) struct Belacoder {
    kbps: f64,
    buffer_mean: f64,
    buffer_jitter: f64,
    buffer_last: f64,
    rtt_mean: f64,
    rtt_trend: f64,
    rtt_last: f64,
    rtt_least: f64,
    rtt_jitter: f64,
    next_up: Millis,
    next_down: Millis,
}

impl Belacoder {
    /// It begins at its floor.
    pub(super) fn new() -> Self {
        Self { kbps: f64::from(LIMITS.min_kbps), rtt_last: 300.0, rtt_least: 200.0, ..Self::default() }
    }

    fn notice(&mut self, buffer: f64, rtt: f64) {
        self.buffer_mean = 0.99 * self.buffer_mean + 0.01 * buffer;
        self.buffer_jitter = (0.99 * self.buffer_jitter).max(buffer - self.buffer_last);
        self.buffer_last = buffer;
        self.rtt_mean = if self.rtt_mean == 0.0 { rtt } else { 0.99 * self.rtt_mean + 0.01 * rtt };
        let grown = rtt - self.rtt_last;
        self.rtt_trend = 0.8 * self.rtt_trend + 0.2 * grown;
        self.rtt_last = rtt;
        self.rtt_least *= 1.001;
        // SRT says 100 ms before it has measured anything.
        if (rtt - 100.0).abs() > f64::EPSILON && rtt < self.rtt_least && self.rtt_trend < 1.0 {
            self.rtt_least = rtt;
        }
        self.rtt_jitter = (0.99 * self.rtt_jitter).max(grown);
    }

    fn tick(&mut self, sight: &Sight<'_>) {
        let rtt = sight.measurement.transport.rtt.map_or(100.0, |rtt| (rtt.as_secs_f64() * 1000.0).floor());
        let buffer = f64::from(u32::try_from(sight.packets).unwrap_or(u32::MAX));
        self.notice(buffer, rtt);
        let (mean, jitter) = (self.buffer_mean, self.buffer_jitter);
        let too_much = (mean + jitter) * 4.0;
        let much = (mean + (jitter * 3.0).max(mean)).max(50.0);
        let some = (mean + jitter * 2.5).max(50.0);
        let slow = self.rtt_mean + (self.rtt_jitter * 4.0).max(self.rtt_mean * 0.15);
        let fast = self.rtt_least + self.rtt_jitter * 2.0;
        let floor = f64::from(LIMITS.min_kbps);
        if self.kbps > floor && (rtt >= LATENCY / 3.0 || buffer > too_much) {
            self.kbps = floor;
            self.next_down = sight.now + 200;
        } else if sight.now > self.next_down && (rtt > LATENCY / 5.0 || buffer > much) {
            self.kbps -= 100.0 + self.kbps / 10.0;
            self.next_down = sight.now + 250;
        } else if sight.now > self.next_down && (rtt > slow || buffer > some) {
            self.kbps -= 100.0;
            self.next_down = sight.now + 200;
        } else if sight.now > self.next_up && rtt < fast && self.rtt_trend < 0.0 {
            self.kbps += 30.0 + self.kbps / 30.0;
            self.next_up = sight.now + 500;
        }
        self.kbps = self.kbps.clamp(floor, f64::from(LIMITS.max.bitrate_kbps));
    }
}

impl Contender for Belacoder {
    fn step(&mut self, sight: &Sight<'_>) -> Rendition {
        if sight.now.is_multiple_of(TICK) {
            self.tick(sight);
        }
        // The encoder is given whole hundreds, and what is beside the picture is not thought of.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bitrate_kbps = (self.kbps / 100.0).floor() as u32 * 100;
        Rendition { bitrate_kbps, ..LIMITS.max }
    }
}
