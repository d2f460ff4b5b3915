//! What is reported of an output: the first one's state is the session's, the second has its own.

use crate::capture::guard_link::EventSender;
use crate::connect::{Destinations, RefusedDestination};
use crate::ipc::{FromCapture, SecondaryStats, StreamStats};

/// Reports an output's state to the guard.
pub(super) enum StatusReporter {
    /// The first output: its state is the session's.
    First(EventSender),
    /// The second output, which is reported separately.
    Secondary(EventSender, SecondaryStats),
}

impl StatusReporter {
    /// For the second output.
    pub(super) fn second(event_sender: EventSender) -> Self {
        Self::Secondary(event_sender, SecondaryStats::default())
    }

    /// The server has the first frame.
    pub(super) fn live(&mut self) {
        match self {
            Self::First(event_sender) => event_sender.send(FromCapture::Live {}),
            Self::Secondary(event_sender, second) => {
                (second.on_air, second.reason) = (true, None);
                event_sender.send(FromCapture::Secondary(second.clone()));
            }
        }
    }

    /// The connection is lost.
    pub(super) fn reconnecting(&mut self, reason: String) {
        match self {
            Self::First(event_sender) => event_sender.send(FromCapture::Reconnecting { reason }),
            Self::Secondary(event_sender, second) => {
                *second = SecondaryStats { on_air: false, reason: Some(reason), bitrate_kbps: 0, ..second.clone() };
                event_sender.send(FromCapture::Secondary(second.clone()));
            }
        }
    }

    /// Connections that were not made.
    pub(super) fn refused(&self, destinations: &Destinations) {
        let (Self::First(event_sender) | Self::Secondary(event_sender, _)) = self;
        for RefusedDestination { host, why } in destinations.refusals().take() {
            event_sender.send(FromCapture::DestinationRefused { host, why });
        }
    }

    /// The statistics of each second.
    pub(super) fn stats(&mut self, stats: StreamStats) {
        match self {
            Self::First(event_sender) => event_sender.send(FromCapture::Stats(stats)),
            Self::Secondary(event_sender, second) => {
                let StreamStats { bitrate_kbps, dropped_frames, round_trip_ms, reconnects, queue_ms, .. } = stats;
                *second = SecondaryStats {
                    bitrate_kbps,
                    dropped_frames,
                    round_trip_ms,
                    reconnects,
                    queue_ms,
                    ..second.clone()
                };
                event_sender.send(FromCapture::Secondary(second.clone()));
            }
        }
    }
}
