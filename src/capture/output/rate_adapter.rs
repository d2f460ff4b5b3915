//! Joins the bitrate controller with a connection and the encoder: measures, asks, and turns the knobs.

use std::time::Duration;

use crate::capture::output::connection::IngestConnection;
use crate::capture::queue::FrameQueue;
use crate::config::{Audio, IngestScheme, Video};
use bitrate::Rendition;
use bitrate::{Controller, Limits, Measurement, TransportStats, UPDATE_INTERVAL};
use monotonic::Monotonic;

/// SRT acknowledges at this interval (`COMM_SYN_INTERVAL_US` in libsrt's core.h).
const EACH_CHANGE: Duration = Duration::from_millis(10);

/// From one frame to the next at 25 frames per second and more, with room for their coming unevenly.
const A_FRAME: Duration = Duration::from_millis(50);
/// What carries a rendition out while the encoder runs.
pub(crate) type ApplyRendition = Box<dyn Fn(&Rendition) + Send>;

/// At the wheel of one stream.
pub(crate) struct RateAdapter {
    /// `None`: the encoder is asked for the same all the time.
    controller: Option<Controller>,
    apply: ApplyRendition,
    best: Rendition,
    asked: Rendition,
    next: Monotonic,
    /// The connection tells round trips.
    round_trips: bool,
    /// Bytes that this connection was given.
    given: u64,
    dropped: u64,
}

impl RateAdapter {
    /// For the configured picture, with or without sound, to a server that is spoken to by `scheme`.
    pub(crate) fn new(scheme: IngestScheme, video: &Video, sound: Option<&Audio>, apply: ApplyRendition) -> Self {
        let best = video.rendition();
        let overhead_kbps = sound.map_or(0, |audio| audio.bitrate_kbps);
        let cap = best.bitrate_kbps;
        let start_kbps = if scheme == IngestScheme::Srt { bitrate::srt_start_kbps(cap) } else { cap };
        let limits = Limits { max: best, min_kbps: video.min_bitrate_kbps, start_kbps, overhead_kbps };
        let controller = video.adaptive.then(|| Controller::new(limits));
        Self {
            controller,
            apply,
            best,
            asked: best,
            next: Monotonic::default(),
            round_trips: false,
            given: 0,
            dropped: 0,
        }
    }

    /// One that lets everything be as it is.
    #[cfg(test)]
    pub(crate) fn still() -> Self {
        let video = crate::config::example("").video;
        Self::new(IngestScheme::Rtmp, &Video { adaptive: false, ..video }, None, Box::new(|_| ()))
    }

    /// What the encoder is asked for.
    pub(crate) fn asked(&self) -> Rendition {
        self.asked
    }

    /// Whether that is less than what was configured.
    pub(crate) fn reduces(&self) -> bool {
        self.asked != self.best
    }

    /// How much longer than usual the oldest byte waits that has not arrived, in milliseconds.
    pub(crate) fn wait_ms(&self) -> u32 {
        self.controller.as_ref().map_or(0, Controller::queuing_delay_ms)
    }

    /// A connection is there.
    pub(crate) fn connected(&mut self) {
        self.given = 0;
        self.round_trips = false;
        if let Some(controller) = &mut self.controller {
            controller.on_reconnected();
        }
    }

    /// The connection was given so many bytes.
    pub(crate) fn gave(&mut self, bytes: usize) {
        self.given += bytes as u64;
    }

    /// How long it may be until the next look, where no frame comes before.
    pub(crate) fn patience(&self) -> Duration {
        if self.round_trips { EACH_CHANGE } else { A_FRAME }
    }

    /// Looks at the way, and asks for something else if it is time to.
    pub(crate) fn look(&mut self, now: Monotonic, queue: &FrameQueue, line: &dyn IngestConnection) {
        let Some(controller) = &mut self.controller else { return };
        let queued = queue.queued_bytes();
        let mut measurement = Measurement {
            now,
            produced_bytes: self.given + queued,
            queued_bytes: queued,
            transport: TransportStats::default(),
        };
        let due = now >= self.next;
        // Round trips are told smoothed: nothing is missed if each change is seen.
        if due || self.round_trips {
            measurement.transport = line.way();
            self.round_trips = measurement.transport.ack_count.is_some();
        }
        if !due {
            return controller.record(&measurement);
        }
        self.next = now.saturating_add(UPDATE_INTERVAL);
        let dropped = queue.dropped_frames();
        if dropped != self.dropped {
            // What was made is less than it was: the counts begin anew.
            self.dropped = dropped;
            controller.on_frames_dropped();
        }
        let asked = controller.update(&measurement);
        if asked != self.asked {
            tracing::debug!("{measurement:?}: {asked:?}");
            if (asked.fps, asked.height) != (self.asked.fps, self.asked.height) {
                tracing::info!("the picture has {} lines at {} frames per second now", asked.height, asked.fps);
            }
            self.asked = asked;
            (self.apply)(&asked);
        }
    }
}
