//! belacoder's rules, after its source (belacoder.c, BELABOX/belacoder on GitHub), in our own words.

use super::{LIMITS, Millis, Observation, RateController};
use crate::rendition::Rendition;

/// Its default latency, in milliseconds.
pub(super) const LATENCY: f64 = 2000.0;
/// Between two decisions, in milliseconds.
const INTERVAL: Millis = 20;

#[derive(Default)]
pub(super) struct Belacoder {
    kbps: f64,
    buffer_mean: f64,
    buffer_jitter: f64,
    buffer_last: f64,
    rtt_mean: f64,
    rtt_trend: f64,
    rtt_last: f64,
    rtt_min: f64,
    rtt_jitter: f64,
    next_up: Millis,
    next_down: Millis,
}

impl Belacoder {
    /// Starts at the minimum.
    pub(super) fn new() -> Self {
        Self { kbps: f64::from(LIMITS.min_kbps), rtt_last: 300.0, rtt_min: 200.0, ..Self::default() }
    }

    fn record(&mut self, buffer: f64, rtt: f64) {
        self.buffer_mean = 0.99 * self.buffer_mean + 0.01 * buffer;
        self.buffer_jitter = (0.99 * self.buffer_jitter).max(buffer - self.buffer_last);
        self.buffer_last = buffer;
        self.rtt_mean = if self.rtt_mean == 0.0 { rtt } else { 0.99 * self.rtt_mean + 0.01 * rtt };
        let change = rtt - self.rtt_last;
        self.rtt_trend = 0.8 * self.rtt_trend + 0.2 * change;
        self.rtt_last = rtt;
        self.rtt_min *= 1.001;
        // SRT reports 100 ms before its first sample.
        if (rtt - 100.0).abs() > f64::EPSILON && rtt < self.rtt_min && self.rtt_trend < 1.0 {
            self.rtt_min = rtt;
        }
        self.rtt_jitter = (0.99 * self.rtt_jitter).max(change);
    }

    fn decide(&mut self, observation: &Observation<'_>) {
        let rtt = observation.measurement.transport.rtt.map_or(100.0, |rtt| (rtt.as_secs_f64() * 1000.0).floor());
        let buffer = f64::from(u32::try_from(observation.unacked_packets).unwrap_or(u32::MAX));
        self.record(buffer, rtt);
        let (mean, jitter) = (self.buffer_mean, self.buffer_jitter);
        let queue_high = (mean + jitter) * 4.0;
        let queue_medium = (mean + (jitter * 3.0).max(mean)).max(50.0);
        let queue_low = (mean + jitter * 2.5).max(50.0);
        let rtt_high = self.rtt_mean + (self.rtt_jitter * 4.0).max(self.rtt_mean * 0.15);
        let rtt_low = self.rtt_min + self.rtt_jitter * 2.0;
        let min = f64::from(LIMITS.min_kbps);
        if self.kbps > min && (rtt >= LATENCY / 3.0 || buffer > queue_high) {
            self.kbps = min;
            self.next_down = observation.now + 200;
        } else if observation.now > self.next_down && (rtt > LATENCY / 5.0 || buffer > queue_medium) {
            self.kbps -= 100.0 + self.kbps / 10.0;
            self.next_down = observation.now + 250;
        } else if observation.now > self.next_down && (rtt > rtt_high || buffer > queue_low) {
            self.kbps -= 100.0;
            self.next_down = observation.now + 200;
        } else if observation.now > self.next_up && rtt < rtt_low && self.rtt_trend < 0.0 {
            self.kbps += 30.0 + self.kbps / 30.0;
            self.next_up = observation.now + 500;
        }
        self.kbps = self.kbps.clamp(min, f64::from(LIMITS.max.bitrate_kbps));
    }
}

impl RateController for Belacoder {
    fn step(&mut self, observation: &Observation<'_>) -> Rendition {
        if observation.now.is_multiple_of(INTERVAL) {
            self.decide(observation);
        }
        // It requests whole hundreds, and does not account for audio.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bitrate_kbps = (self.kbps / 100.0).floor() as u32 * 100;
        Rendition { bitrate_kbps, ..LIMITS.max }
    }
}
