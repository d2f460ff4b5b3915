//! What is told of a destination: the first one's health is the session's, the second has its own.

use crate::capture::guard_link::EventSender;
use crate::ipc::{FromCapture, SecondaryStats, StreamStats};

/// Tells the guard how a destination does.
pub(crate) enum StatusReporter {
    /// The session lives with this one.
    First(EventSender),
    /// This one is told beside it.
    Secondary(EventSender, SecondaryStats),
}

impl StatusReporter {
    /// For the second destination.
    pub(crate) fn second(event_sender: EventSender) -> Self {
        Self::Secondary(event_sender, SecondaryStats::default())
    }

    /// The server has the stream.
    pub(crate) fn live(&mut self) {
        match self {
            Self::First(event_sender) => event_sender.send(FromCapture::Live {}),
            Self::Secondary(event_sender, second) => {
                (second.on_air, second.reason) = (true, None);
                event_sender.send(FromCapture::Secondary(second.clone()));
            }
        }
    }

    /// The server is out of reach.
    pub(crate) fn reconnecting(&mut self, reason: String) {
        match self {
            Self::First(event_sender) => event_sender.send(FromCapture::Reconnecting { reason }),
            Self::Secondary(event_sender, second) => {
                *second = SecondaryStats { on_air: false, reason: Some(reason), bitrate_kbps: 0, ..second.clone() };
                event_sender.send(FromCapture::Secondary(second.clone()));
            }
        }
    }

    /// How it does, each second.
    pub(crate) fn stats(&mut self, stats: StreamStats) {
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
