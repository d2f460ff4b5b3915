//! Connects the bitrate controller with a connection and the encoder: it measures the one and adjusts the other.

use std::time::Duration;

use crate::capture::encoder::EncoderControl;
use crate::capture::output::connection::IngestConnection;
use crate::capture::queue::FrameQueue;
use crate::config::{Audio, IngestScheme, Video};
use bitrate::Rendition;
use bitrate::{Controller, Limits, Measurement, TransportStats, UPDATE_INTERVAL};
use monotonic::Monotonic;

/// SRT acknowledges at this interval (`COMM_SYN_INTERVAL_US` in libsrt's core.h).
const SRT_ACK_INTERVAL: Duration = Duration::from_millis(10);

/// The longest gap between frames at 25 frames per second and more, with some jitter.
const MAX_FRAME_GAP: Duration = Duration::from_millis(50);
/// Applies a rendition to the running encoder.
pub(super) type ApplyRendition = Box<dyn Fn(&Rendition) + Send>;

/// Adapts the rendition of one stream.
pub(super) struct RateAdapter {
    /// `None`: the rendition does not change.
    controller: Option<Controller>,
    apply: ApplyRendition,
    max: Rendition,
    target: Rendition,
    next_update: Monotonic,
    /// The connection reports acknowledgements, and smooths the round-trip time.
    reports_acks: bool,
    /// Bytes sent over this connection.
    sent_bytes: u64,
    dropped_frames: u64,
}

impl RateAdapter {
    /// Adapts the configured picture, with or without audio, to the link to a server of this `scheme`, unless the
    /// configuration turns that off.
    pub(super) fn new(scheme: IngestScheme, video: &Video, audio: Option<&Audio>, apply: ApplyRendition) -> Self {
        let max = video.rendition();
        let max_kbps = max.bitrate_kbps;
        let start_kbps = if scheme == IngestScheme::Srt { bitrate::srt_start_kbps(max_kbps) } else { max_kbps };
        let overhead_kbps = audio.map_or(0, |audio| audio.bitrate_kbps);
        let limits = Limits { max, min_kbps: video.min_bitrate_kbps, start_kbps, overhead_kbps };
        Self { controller: video.adaptive.then(|| Controller::new(limits)), apply, ..Self::fixed(max) }
    }

    /// Requests the same `rendition` all the time.
    pub(super) fn fixed(rendition: Rendition) -> Self {
        Self {
            controller: None,
            apply: Box::new(|_| ()),
            max: rendition,
            target: rendition,
            next_update: Monotonic::default(),
            reports_acks: false,
            sent_bytes: 0,
            dropped_frames: 0,
        }
    }

    /// The rendition that the encoder is to produce.
    pub(super) fn target(&self) -> Rendition {
        self.target
    }

    /// Takes up the user's cap of the bitrate, which may have changed.
    pub(super) fn follow_cap(&mut self, encoder: &EncoderControl) {
        if let Some(kbps) = encoder.bitrate_cap().filter(|kbps| *kbps != self.max.bitrate_kbps) {
            self.set_cap(kbps);
        }
    }

    fn set_cap(&mut self, kbps: u32) {
        self.max.bitrate_kbps = kbps;
        match &mut self.controller {
            // What is requested of the encoder changes with the next update.
            Some(controller) => controller.set_cap(kbps),
            None => self.target.bitrate_kbps = kbps,
        }
    }

    /// Whether that is less than the configured one.
    pub(super) fn is_reduced(&self) -> bool {
        self.target != self.max
    }

    /// The queuing delay in milliseconds: how much longer than the base delay the oldest byte in flight waits.
    pub(super) fn queuing_delay_ms(&self) -> u32 {
        self.controller.as_ref().map_or(0, Controller::queuing_delay_ms)
    }

    /// Resets the measurements for a new connection.
    pub(super) fn on_connected(&mut self) {
        self.sent_bytes = 0;
        self.reports_acks = false;
        if let Some(controller) = &mut self.controller {
            controller.on_reconnected();
        }
    }

    /// Records bytes sent over the connection.
    pub(super) fn on_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// How long the publisher may wait for a frame before the next update.
    pub(super) fn poll_interval(&self) -> Duration {
        if self.reports_acks { SRT_ACK_INTERVAL } else { MAX_FRAME_GAP }
    }

    /// Measures the link and, when an update is due, applies a new target.
    pub(super) fn update(
        &mut self,
        now: Monotonic,
        queue: &FrameQueue,
        encoder: &EncoderControl,
        connection: &dyn IngestConnection,
    ) {
        let Some(controller) = &mut self.controller else { return };
        let queued = queue.queued_bytes();
        let mut measurement = Measurement {
            now,
            produced_bytes: self.sent_bytes + queued,
            queued_bytes: queued,
            transport: TransportStats::default(),
        };
        let due = now >= self.next_update;
        // The round-trip time is smoothed: each change has to be seen to undo that.
        if due || self.reports_acks {
            measurement.transport = connection.stats();
            self.reports_acks = measurement.transport.ack_count.is_some();
        }
        if !due {
            return controller.record(&measurement);
        }
        self.next_update = now.saturating_add(UPDATE_INTERVAL);
        let dropped = queue.dropped_frames();
        if dropped != self.dropped_frames {
            // Dropped frames reduce the produced bytes: counting starts again.
            self.dropped_frames = dropped;
            controller.on_frames_dropped();
        }
        if let Some(load) = encoder.load() {
            controller.bear_load(now, load);
        }
        let target = controller.update(&measurement);
        if target != self.target {
            tracing::debug!("{measurement:?}: {target:?}");
            if (target.fps, target.height) != (self.target.fps, self.target.height) {
                tracing::info!("the picture has {} lines at {} frames per second now", target.height, target.fps);
            }
            self.target = target;
            (self.apply)(&target);
        }
    }
}
