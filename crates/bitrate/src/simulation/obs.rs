//! The rules of OBS's "dynamic bitrate" for RTMP, as its source (plugins/obs-outputs/rtmp-stream.c) states them, in our
//! own words.

use std::collections::VecDeque;

use super::transport::Sent;
use super::{AUDIO, Contender, LIMITS, Millis, Sight};
use crate::rendition::Rendition;

/// It acts when so much is queued, in milliseconds ...
const TRIGGER: f64 = 200.0;
/// ... has measured for at least and at most so long ...
const ESTIMATE: (Millis, Millis) = (1000, 2000);
/// ... and rises, by a tenth of what was configured, every so often.
const RISE: Millis = 4000;

pub(super) struct Obs {
    kbps: f64,
    before: Option<f64>,
    frames: VecDeque<Sent>,
    bytes: f64,
    estimate: Option<f64>,
    rise_at: Option<Millis>,
}

impl Obs {
    /// It begins at the configured bitrate.
    pub(super) fn new() -> Self {
        let kbps = f64::from(LIMITS.max.bitrate_kbps);
        Self { kbps, before: None, frames: VecDeque::new(), bytes: 0.0, estimate: None, rise_at: None }
    }

    fn notice(&mut self, sent: Sent) {
        self.frames.push_back(sent);
        self.bytes += sent.bytes;
        let Some(first) = self.frames.front().copied() else { return };
        let span = sent.end - first.begin;
        if span >= ESTIMATE.1 {
            self.bytes -= first.bytes;
            self.frames.pop_front();
        }
        #[allow(clippy::cast_precision_loss)] // a few seconds
        let rate = self.bytes * 8.0 / span as f64;
        self.estimate = (span >= ESTIMATE.0).then(|| (rate - f64::from(AUDIO)).max(50.0));
    }

    fn lower(&mut self, now: Millis) {
        let new = match self.estimate {
            Some(estimate) if estimate < self.kbps => {
                self.frames.clear();
                self.bytes = 0.0;
                self.estimate = None;
                Some(((estimate / 100.0).floor() * 100.0).max(50.0))
            }
            // A rise that failed goes back.
            Some(_) | None => self.before,
        };
        if let Some(new) = new.filter(|new| (new - self.kbps).abs() > f64::EPSILON) {
            self.kbps = new;
            self.before = None;
            self.rise_at = Some(now + RISE);
        }
    }
}

impl Contender for Obs {
    fn step(&mut self, sight: &Sight<'_>) -> Rendition {
        for sent in sight.sent {
            self.notice(*sent);
        }
        if self.rise_at.is_some_and(|at| sight.now >= at) {
            let most = f64::from(LIMITS.max.bitrate_kbps);
            self.before = Some(self.kbps);
            self.kbps = (self.kbps + most / 10.0).min(most);
            self.rise_at = (self.kbps < most).then_some(sight.now + RISE);
        }
        if sight.queued_ms >= TRIGGER {
            self.lower(sight.now);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 50 to 6000
        let bitrate_kbps = self.kbps as u32;
        Rendition { bitrate_kbps, ..LIMITS.max }
    }
}
