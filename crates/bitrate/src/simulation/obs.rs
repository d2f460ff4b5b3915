//! The rules of OBS's "dynamic bitrate" for RTMP, after its source (plugins/obs-outputs/rtmp-stream.c), in our own
//! words.

use std::collections::VecDeque;

use super::transport::Sent;
use super::{AUDIO_KBPS, LIMITS, Millis, Observation, RateController};
use crate::rendition::Rendition;

/// The bitrate falls when this much is queued, in milliseconds.
const QUEUE_TRIGGER: f64 = 200.0;
/// The rate estimate covers at least and at most this span.
const ESTIMATE_SPAN: (Millis, Millis) = (1000, 2000);
/// The bitrate rises this often, by a tenth of the configured one.
const RISE_INTERVAL: Millis = 4000;

pub(super) struct Obs {
    kbps: f64,
    before_rise: Option<f64>,
    frames: VecDeque<Sent>,
    bytes: f64,
    estimate: Option<f64>,
    rise_at: Option<Millis>,
}

impl Obs {
    /// Starts at the configured bitrate.
    pub(super) fn new() -> Self {
        let kbps = f64::from(LIMITS.max.bitrate_kbps);
        Self { kbps, before_rise: None, frames: VecDeque::new(), bytes: 0.0, estimate: None, rise_at: None }
    }

    fn on_sent(&mut self, sent: Sent) {
        self.frames.push_back(sent);
        self.bytes += sent.bytes;
        let Some(first) = self.frames.front().copied() else { return };
        let span = sent.end - first.begin;
        if span >= ESTIMATE_SPAN.1 {
            self.bytes -= first.bytes;
            self.frames.pop_front();
        }
        #[allow(clippy::cast_precision_loss)] // a few seconds
        let rate = self.bytes * 8.0 / span as f64;
        self.estimate = (span >= ESTIMATE_SPAN.0).then(|| (rate - f64::from(AUDIO_KBPS)).max(50.0));
    }

    fn back_off(&mut self, now: Millis) {
        let new = match self.estimate {
            Some(estimate) if estimate < self.kbps => {
                self.frames.clear();
                self.bytes = 0.0;
                self.estimate = None;
                Some(((estimate / 100.0).floor() * 100.0).max(50.0))
            }
            // A rise that failed is undone.
            Some(_) | None => self.before_rise,
        };
        if let Some(new) = new.filter(|new| (new - self.kbps).abs() > f64::EPSILON) {
            self.kbps = new;
            self.before_rise = None;
            self.rise_at = Some(now + RISE_INTERVAL);
        }
    }
}

impl RateController for Obs {
    fn step(&mut self, observation: &Observation<'_>) -> Rendition {
        for sent in observation.sent {
            self.on_sent(*sent);
        }
        if self.rise_at.is_some_and(|at| observation.now >= at) {
            let max = f64::from(LIMITS.max.bitrate_kbps);
            self.before_rise = Some(self.kbps);
            self.kbps = (self.kbps + max / 10.0).min(max);
            self.rise_at = (self.kbps < max).then_some(observation.now + RISE_INTERVAL);
        }
        if observation.queued_ms >= QUEUE_TRIGGER {
            self.back_off(observation.now);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 50 to 6000
        let bitrate_kbps = self.kbps as u32;
        Rendition { bitrate_kbps, ..LIMITS.max }
    }
}
