//! Three controllers over the same simulated links: ours, and the rules of OBS (RTMP) and belacoder (SRT).
//!
//! `benches/adapt` prints the table; the tests check what is promised of ours. Time is simulated, so that every run
//! gives the same result.

mod belacoder;
mod bottleneck;
mod encoder;
mod metrics;
mod obs;
mod simulator;
mod srt;
mod tcp;
mod tests;
mod traces;
mod transport;

use super::{Controller, Limits, Measurement, TransportStats, UPDATE_INTERVAL};
use crate::rendition::Rendition;
use crate::srt_start_kbps;
use monotonic::Monotonic;
use transport::{Protocol, Sent};

/// Milliseconds of simulated time.
type Millis = u64;

/// What all three are given: 720p30, at most 6 Mbit/s (belacoder's default), at least 300 kbit/s.
const LIMITS: Limits = Limits {
    max: Rendition { bitrate_kbps: 6000, fps: 30, width: 1280, height: 720 },
    min_kbps: 300,
    start_kbps: 6000,
    overhead_kbps: AUDIO_KBPS,
};
const AUDIO_KBPS: u32 = 128;

/// What a controller can observe.
struct Observation<'a> {
    now: Millis,
    measurement: Measurement,
    /// From the oldest frame in front of the socket to now, in milliseconds.
    queued_ms: f64,
    /// Packets that SRT keeps because they are not acknowledged.
    unacked_packets: usize,
    /// Frames that the socket accepted since the last observation.
    sent: &'a [Sent],
}

/// A controller under comparison.
trait RateController {
    /// Decides, every 10 ms, what to request of the encoder.
    fn step(&mut self, observation: &Observation<'_>) -> Rendition;
    /// Bytes that a TCP socket accepts beyond what it has sent; without a limit where nobody sets one.
    fn max_unsent(&self) -> f64 {
        f64::INFINITY
    }
}

/// Our controller.
struct Tallybox {
    controller: Controller,
    next_update: Millis,
}

impl Tallybox {
    fn new(protocol: Protocol) -> Self {
        let cap = LIMITS.max.bitrate_kbps;
        let start_kbps = if protocol == Protocol::Srt { srt_start_kbps(cap) } else { cap };
        Self { controller: Controller::new(Limits { start_kbps, ..LIMITS }), next_update: 0 }
    }
}

impl RateController for Tallybox {
    fn step(&mut self, observation: &Observation<'_>) -> Rendition {
        self.controller.record(&observation.measurement);
        if observation.now < self.next_update {
            return self.controller.rendition();
        }
        self.next_update = observation.now + u64::try_from(UPDATE_INTERVAL.as_millis()).expect("a tenth of a second");
        self.controller.update(&observation.measurement)
    }

    /// `TCP_NOTSENT_LOWAT` of the box's RTMP socket.
    fn max_unsent(&self) -> f64 {
        32_768.0
    }
}

fn time(now: Millis) -> Monotonic {
    Monotonic::from_start(core::time::Duration::from_millis(now))
}
