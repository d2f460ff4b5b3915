//! The controller: link estimator, rate and ladder together.

use core::time::Duration;

use crate::estimator::{LinkEstimate, LinkEstimator};
use crate::ladder::Ladder;
use crate::limits::Limits;
use crate::measurement::Measurement;
use crate::overload::EncoderLoad;
use crate::rate::{Bounds, QueueVerdict, Rate};
use crate::rendition::Rendition;
use monotonic::Monotonic;

/// Between two updates: three frames at 30 frames per second, so that one frame does not look like a queue.
pub const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

/// A link that says nothing for this long after the first byte most likely carries less than the first request. As long
/// as a round trip over a satellite takes.
const FIRST_ANSWER: Duration = Duration::from_millis(500);
/// Between two halvings of the target while the link goes on saying nothing.
const HALVING_INTERVAL: Duration = Duration::from_millis(250);

/// A queue that is this long, and does not drain, would only grow. Seconds.
const STARVED_DELAY: f64 = 1.0;
/// It has drained. Seconds.
const FED_DELAY: f64 = 0.2;

/// A connection that nothing is heard of.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Monotonic,
    halve_at: Monotonic,
}

/// Decides the rendition of one stream.
#[derive(Clone, Debug)]
pub struct Controller {
    limits: Limits,
    estimator: LinkEstimator,
    rate: Rate,
    ladder: Ladder,
    /// `None`: nothing was sent yet.
    silence: Option<Silence>,
}

impl Controller {
    /// A controller that requests `limits.start_kbps`. What the link cannot carry is found within half a second.
    pub fn new(limits: Limits) -> Self {
        let rate = Rate::new(f64::from(limits.start_kbps + limits.overhead_kbps));
        Self { limits, estimator: LinkEstimator::default(), rate, ladder: Ladder::new(limits.max), silence: None }
    }

    /// Records a measurement between two updates. To be called with each frame, so that each frame's delay is known.
    pub fn record(&mut self, measurement: &Measurement) {
        self.estimator.record(measurement);
    }

    /// Takes up how the encoder of this box keeps up. To be called before [`Self::update`].
    pub fn bear_load(&mut self, now: Monotonic, load: EncoderLoad) {
        self.ladder.bear_load(now, load);
    }

    /// Decides what to request of the encoder from now on. To be called every [`UPDATE_INTERVAL`].
    pub fn update(&mut self, measurement: &Measurement) -> Rendition {
        let bounds = self.bounds();
        self.estimator.sample(measurement);
        if let Some(kbps) = measurement.transport.bandwidth_estimate_kbps {
            self.rate.follow_estimate(f64::from(kbps), bounds);
        } else if let Some(estimate) = self.estimator.estimate() {
            let frame_interval = f64::from(self.ladder.rendition().fps).recip();
            match self.rate.update(&estimate, bounds, frame_interval) {
                QueueVerdict::Drains => {}
                QueueVerdict::IsBaseDelay => self.estimator.rebase_delay(),
            }
            self.silence = None;
        } else if self.estimator.has_unanswered() {
            self.bear_silence(measurement.now, bounds);
        }
        self.ladder.is_starved = self.is_starved(measurement.now, bounds.min);
        self.ladder.update(measurement.now, self.video_kbps());
        self.rendition()
    }

    /// Lowers the target while nothing at all is heard of the link.
    fn bear_silence(&mut self, now: Monotonic, bounds: Bounds) {
        let silence = self.silence.get_or_insert(Silence { since: now, halve_at: now.saturating_add(FIRST_ANSWER) });
        if now >= silence.halve_at {
            silence.halve_at = now.saturating_add(HALVING_INTERVAL);
            self.rate.halve(bounds);
        }
    }

    /// Whether the link does not even carry `min_kbps`, audio included, and a queue grows.
    fn is_starved(&self, now: Monotonic, min_kbps: f64) -> bool {
        if self.rate.target() > min_kbps {
            return false;
        }
        let was_starved = self.ladder.is_starved;
        self.estimator.estimate().map_or_else(
            || self.silence.is_some_and(|silence| now.duration_since(silence.since).as_secs_f64() > STARVED_DELAY),
            |LinkEstimate { queuing_delay, delivery_rate, .. }| {
                let has_queue = queuing_delay > STARVED_DELAY && delivery_rate < min_kbps;
                has_queue || was_starved && queuing_delay > FED_DELAY
            },
        )
    }

    /// What is requested of the encoder.
    pub fn rendition(&self) -> Rendition {
        Rendition { bitrate_kbps: self.video_kbps(), ..self.ladder.rendition() }
    }

    /// Another cap of the user's. The target falls with it at once, and rises to it as at any time: what is known of
    /// the link stays known.
    pub fn set_cap(&mut self, kbps: u32) {
        self.limits.max.bitrate_kbps = kbps;
        self.ladder.set_max(self.limits.max);
    }

    /// A new connection was made, whose counters begin at zero. The target stays, since the link is most likely the
    /// same.
    pub fn on_reconnected(&mut self) {
        self.estimator = LinkEstimator::default();
        self.rate.reset();
        self.silence = None;
    }

    /// Frames were dropped, so that the counters of produced bytes went back.
    pub fn on_frames_dropped(&mut self) {
        self.estimator = LinkEstimator::default();
        self.silence = None;
    }

    /// How far the delay of the oldest undelivered byte exceeds the base delay, in milliseconds.
    pub fn queuing_delay_ms(&self) -> u32 {
        // Delays are seconds at most: what a connection can hold.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (self.estimator.estimate().map_or(0, |estimate| (estimate.queuing_delay.max(0.0) * 1000.0) as u32))
    }

    /// Lowest and highest rate of the whole stream, in kbit/s.
    fn bounds(&self) -> Bounds {
        let Limits { max, min_kbps, overhead_kbps, .. } = self.limits;
        let cap = max.bitrate_kbps;
        Bounds { min: f64::from(min_kbps.min(cap) + overhead_kbps), max: f64::from(cap + overhead_kbps) }
    }

    fn video_kbps(&self) -> u32 {
        let overhead = f64::from(self.limits.overhead_kbps);
        let kbps = (self.bounds().clamp(self.rate.target()) - overhead).round();
        // Between the minimum and the cap, which are u32.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (kbps.max(0.0) as u32)
    }
}
