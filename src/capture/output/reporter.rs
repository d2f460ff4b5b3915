//! What is told of a destination: the first one's health is the session's, the second has its own.

use crate::capture::guard_link::EventSender;
use crate::ipc::{FromCapture, Second, StreamStats};

/// Tells the guard how a destination does.
pub(crate) enum StatusReporter {
    /// The session lives with this one.
    First(EventSender),
    /// This one is told beside it.
    Second(EventSender, Second),
}

impl StatusReporter {
    /// For the second destination.
    pub(crate) fn second(teller: EventSender) -> Self {
        Self::Second(teller, Second::default())
    }

    /// The server has the stream.
    pub(crate) fn live(&mut self) {
        match self {
            Self::First(teller) => teller.tell(FromCapture::Live {}),
            Self::Second(teller, second) => {
                (second.on_air, second.reason) = (true, None);
                teller.tell(FromCapture::Second(second.clone()));
            }
        }
    }

    /// The server is out of reach.
    pub(crate) fn reconnecting(&mut self, reason: String) {
        match self {
            Self::First(teller) => teller.tell(FromCapture::Reconnecting { reason }),
            Self::Second(teller, second) => {
                *second = Second { on_air: false, reason: Some(reason), bitrate_kbps: 0, ..second.clone() };
                teller.tell(FromCapture::Second(second.clone()));
            }
        }
    }

    /// How it does, each second.
    pub(crate) fn stats(&mut self, stats: StreamStats) {
        match self {
            Self::First(teller) => teller.tell(FromCapture::Stats(stats)),
            Self::Second(teller, second) => {
                let StreamStats { bitrate_kbps, dropped_frames, round_trip_ms, reconnects, queue_ms, .. } = stats;
                *second =
                    Second { bitrate_kbps, dropped_frames, round_trip_ms, reconnects, queue_ms, ..second.clone() };
                teller.tell(FromCapture::Second(second.clone()));
            }
        }
    }
}
