//! Decides what the encoder is asked for: measurements of the way to the server in, a rendition out. Pure: no I/O, no
//! clock.
//!
//! Two questions are asked every [`UPDATE_INTERVAL`]: how long does a byte wait between encoder and server (queue,
//! socket, network), and how many bytes does the server really take? While something waits the second is the link's
//! capacity.
//! - More is made than arrives, and it waits: the target falls below what arrives, so that the queue drains, and goes
//!   back to just under it when it is empty (`rate`).
//! - Nothing waits: the target rises, fast where nothing is known against it, by careful probes near the rate that was
//!   too much the last time. A probe that fails goes back at once and the next one comes later.
//! - Loss alone changes nothing: SRT and TCP repair it, and where they cannot, bytes wait.
//! - Too few bits per pixel for the picture: fewer frames, then a smaller picture (`ladder`).

mod curve;
mod ladder;
mod rate;
mod rendition;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod trip;
mod window;

use core::time::Duration;

use ladder::Ladder;
use monotonic::Monotonic;
use rate::Rate;
pub use rendition::Rendition;
use window::Window;

/// From one measurement to the next: three frames at 30 frames per second, so that one frame does not look like a
/// queue.
pub const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

/// The way to the server, as it is now. Whoever has a transport fills this in; what it cannot tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measurement {
    /// When it was measured.
    pub now: Monotonic,
    /// Bytes that the encoders have made for this connection and that were not dropped, since it began.
    pub produced_bytes: u64,
    /// Bytes of them that wait on the box: our queue, and what stands in front of the socket.
    pub queued_bytes: u64,
    /// Bytes that the socket has and the server has not confirmed.
    pub unacked_bytes: Option<u64>,
    /// Round-trip time as the protocol measures it, with what waits on the way.
    pub rtt: Option<Duration>,
    /// Acknowledgements that were heard since the connection began, where the round-trip time is smoothed as SRT does.
    pub ack_count: Option<u64>,
    /// Bytes that had to be sent again since the connection began, where `unacked_bytes` does not tell.
    pub retransmitted_bytes: u64,
    /// What the protocol itself thinks that the way carries (WebRTC does), in kbit/s: it is believed.
    pub bandwidth_estimate_kbps: Option<u32>,
}

/// What was configured, and what the picture is at best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The picture at best: nothing above it is ever asked for. Its bitrate is the user's cap.
    pub max: Rendition,
    /// Nothing below it is ever asked for, in kbit/s.
    pub min_kbps: u32,
    /// What is asked for at first, in kbit/s.
    pub start_kbps: u32,
    /// Sound, and what container and protocol add to it, in kbit/s.
    pub overhead_kbps: u32,
}

/// The controller. The user's cap and its own state are two things: changing the one leaves the other alone.
#[derive(Clone, Debug)]
pub struct Controller {
    limits: Limits,
    window: Window,
    rate: Rate,
    ladder: Ladder,
}

impl Controller {
    /// What the link cannot take is found out within half a second.
    pub fn new(limits: Limits) -> Self {
        let rate = Rate::new(f64::from(limits.start_kbps + limits.overhead_kbps));
        Self { limits, window: Window::default(), rate, ladder: Ladder::new(limits.max) }
    }

    /// Takes in how much was made and what of it waits, as in a [`Measurement`]: with each frame, so that it is known
    /// how long each of them waits.
    pub fn record(&mut self, measurement: &Measurement) {
        self.window.note(measurement);
    }

    /// Takes a measurement in, each [`UPDATE_INTERVAL`], and says what to ask of the encoder from now on.
    pub fn update(&mut self, measurement: &Measurement) -> Rendition {
        let (floor, cap) = self.bounds();
        self.window.add(measurement);
        if let Some(estimate) = measurement.bandwidth_estimate_kbps {
            self.rate.believe(f64::from(estimate), floor, cap);
        } else if let Some(view) = self.window.view() {
            let beat = f64::from(self.ladder.rendition().fps).recip();
            match self.rate.step(&view, (floor, cap), beat) {
                rate::Verdict::Goes => {}
                rate::Verdict::Stays => self.window.take_as_normal(),
            }
        }
        self.ladder.step(measurement.now, self.picture_kbps());
        self.rendition()
    }

    /// What the encoder is asked for.
    pub fn rendition(&self) -> Rendition {
        Rendition { bitrate_kbps: self.picture_kbps(), ..self.ladder.rendition() }
    }

    /// Another cap, in kbit/s. What is known of the link stays known.
    #[allow(dead_code)] // set-video over MQTT is to come
    pub fn set_cap(&mut self, kbps: u32) {
        self.limits.max.bitrate_kbps = kbps;
    }

    /// A new connection: its counters begin at nothing. The target stays, since the link is most likely the same.
    pub fn on_reconnected(&mut self) {
        self.window = Window::default();
        self.rate.forget();
    }

    /// Frames were dropped: what was counted begins anew.
    pub fn on_frames_dropped(&mut self) {
        self.window = Window::default();
    }

    /// How much longer than usual the oldest byte waits that has not arrived, in milliseconds.
    pub fn queuing_delay_ms(&self) -> u32 {
        // Times are at most the span of the window, seconds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (self.window.view().map_or(0, |view| (view.wait.max(0.0) * 1000.0) as u32))
    }

    /// Lowest and highest rate of the whole stream, in kbit/s.
    fn bounds(&self) -> (f64, f64) {
        let Limits { max, min_kbps, overhead_kbps, .. } = self.limits;
        let cap = max.bitrate_kbps;
        (f64::from(min_kbps.min(cap) + overhead_kbps), f64::from(cap + overhead_kbps))
    }

    fn picture_kbps(&self) -> u32 {
        let (floor, cap) = self.bounds();
        let beside = f64::from(self.limits.overhead_kbps);
        let kbps = (self.rate.target().clamp(floor, cap) - beside).round();
        // Between the floor and the cap, which are u32.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (kbps.max(0.0) as u32)
    }
}

/// What a session over SRT begins with, in kbit/s: half of what is configured, for the two seconds that it takes to
/// find out that there is room. What is too much for the link is lost, where over TCP it would wait (docs/benchmarks).
pub fn srt_start_kbps(cap: u32) -> u32 {
    cap / 2
}
