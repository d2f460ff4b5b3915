//! Joins the bitrate controller with a connection and the encoder: measures, asks, and turns the knobs.

use std::time::Duration;

use crate::capture::output::connection::IngestConnection;
use crate::capture::queue::FrameQueue;
use crate::config::{Audio, IngestScheme, Video};
use bitrate::Rendition;
use bitrate::{Controller, Limits, Measurement, TransportStats, UPDATE_INTERVAL};
use monotonic::Monotonic;

/// SRT acknowledges at this interval (`COMM_SYN_INTERVAL_US` in libsrt's core.h).
const SRT_ACK_INTERVAL: Duration = Duration::from_millis(10);

/// From one frame to the next at 25 frames per second and more, with room for their coming unevenly.
const MAX_FRAME_GAP: Duration = Duration::from_millis(50);
/// What carries a rendition out while the encoder runs.
pub(crate) type ApplyRendition = Box<dyn Fn(&Rendition) + Send>;

/// At the wheel of one stream.
pub(crate) struct RateAdapter {
    /// `None`: the encoder is asked for the same all the time.
    controller: Option<Controller>,
    apply: ApplyRendition,
    max: Rendition,
    target: Rendition,
    next_update: Monotonic,
    /// The connection tells round trips.
    reports_acks: bool,
    /// Bytes that this connection was given.
    sent_bytes: u64,
    dropped_frames: u64,
}

impl RateAdapter {
    /// Adapts the configured picture, with or without audio, to the link to a server of this `scheme`. Where the
    /// configuration says so it adapts nothing.
    pub(crate) fn new(scheme: IngestScheme, video: &Video, audio: Option<&Audio>, apply: ApplyRendition) -> Self {
        let max = video.rendition();
        let max_kbps = max.bitrate_kbps;
        let start_kbps = if scheme == IngestScheme::Srt { bitrate::srt_start_kbps(max_kbps) } else { max_kbps };
        let overhead_kbps = audio.map_or(0, |audio| audio.bitrate_kbps);
        let limits = Limits { max, min_kbps: video.min_bitrate_kbps, start_kbps, overhead_kbps };
        Self { controller: video.adaptive.then(|| Controller::new(limits)), apply, ..Self::fixed(max) }
    }

    /// Requests the same `rendition` all the time.
    pub(crate) fn fixed(rendition: Rendition) -> Self {
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

    /// What the encoder is asked for.
    pub(crate) fn target(&self) -> Rendition {
        self.target
    }

    /// Whether that is less than what was configured.
    pub(crate) fn is_reduced(&self) -> bool {
        self.target != self.max
    }

    /// How much longer than usual the oldest byte waits that has not arrived, in milliseconds.
    pub(crate) fn queuing_delay_ms(&self) -> u32 {
        self.controller.as_ref().map_or(0, Controller::queuing_delay_ms)
    }

    /// A connection is there.
    pub(crate) fn on_connected(&mut self) {
        self.sent_bytes = 0;
        self.reports_acks = false;
        if let Some(controller) = &mut self.controller {
            controller.on_reconnected();
        }
    }

    /// The connection was given so many bytes.
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// How long it may be until the next look, where no frame comes before.
    pub(crate) fn poll_interval(&self) -> Duration {
        if self.reports_acks { SRT_ACK_INTERVAL } else { MAX_FRAME_GAP }
    }

    /// Looks at the way, and asks for something else if it is time to.
    pub(crate) fn update(&mut self, now: Monotonic, queue: &FrameQueue, connection: &dyn IngestConnection) {
        let Some(controller) = &mut self.controller else { return };
        let queued = queue.queued_bytes();
        let mut measurement = Measurement {
            now,
            produced_bytes: self.sent_bytes + queued,
            queued_bytes: queued,
            transport: TransportStats::default(),
        };
        let due = now >= self.next_update;
        // Round trips are told smoothed: nothing is missed if each change is seen.
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
            // What was made is less than it was: the counts begin anew.
            self.dropped_frames = dropped;
            controller.on_frames_dropped();
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
