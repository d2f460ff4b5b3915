//! Three controllers over the same simulated links: ours, and the rules of OBS (RTMP) and belacoder (SRT).
//!
//! `benches/adapt` prints the table; the tests hold ours to what is promised. Time is simulated: every run is the same.

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

use super::{Controller, Limits, Measurement, UPDATE_INTERVAL};
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
    overhead_kbps: AUDIO,
};
/// Sound, in kbit/s.
const AUDIO: u32 = 128;

/// What a controller can see.
struct Sight<'a> {
    now: Millis,
    measurement: Measurement,
    /// Oldest to newest frame in front of the socket, in milliseconds.
    queued_ms: f64,
    /// Packets that SRT keeps because they are not acknowledged.
    packets: usize,
    /// Frames that the socket took since the last look.
    sent: &'a [Sent],
}

/// A controller on trial.
trait Contender {
    /// Looks at the world, each 10 ms; says what the encoder shall do.
    fn step(&mut self, sight: &Sight<'_>) -> Rendition;
}

/// Ours.
struct Ours {
    controller: Controller,
    next: Millis,
}

impl Ours {
    fn new(protocol: Protocol) -> Self {
        let cap = LIMITS.max.bitrate_kbps;
        let start_kbps = if protocol == Protocol::Srt { srt_start_kbps(cap) } else { cap };
        Self { controller: Controller::new(Limits { start_kbps, ..LIMITS }), next: 0 }
    }
}

impl Contender for Ours {
    fn step(&mut self, sight: &Sight<'_>) -> Rendition {
        self.controller.record(&sight.measurement);
        if sight.now < self.next {
            return self.controller.rendition();
        }
        self.next = sight.now + u64::try_from(UPDATE_INTERVAL.as_millis()).expect("a tenth of a second");
        self.controller.update(&sight.measurement)
    }
}

fn time(now: Millis) -> Monotonic {
    Monotonic::from_start(core::time::Duration::from_millis(now))
}
