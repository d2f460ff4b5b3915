//! The controller: estimator, rate and ladder together.

use core::time::Duration;

use crate::estimator::Window;
use crate::ladder::Ladder;
use crate::limits::Limits;
use crate::measurement::Measurement;
use crate::rate::{self, Rate};
use crate::rendition::Rendition;

/// From one measurement to the next: three frames at 30 frames per second, so that one frame does not look like a queue.
pub const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

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

    /// Takes in how much was made and what of it waits, as in a [`Measurement`]: with each frame, so that it is known how
    /// long each of them waits.
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
