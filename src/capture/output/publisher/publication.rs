//! One connection of a publisher, and how far it has come.

use std::time::Duration;

use crate::capture::media::Frame;
use crate::capture::output::connection::IngestConnection;
use crate::capture::output::route_watch::RouteWatch;
use monotonic::Monotonic;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The server has not accepted the stream yet.
    Connecting,
    /// The server accepts the stream. Whether the first frame has arrived is not known yet.
    Connected,
    /// The server has the first frame.
    Live { since: Monotonic },
}

/// One connection, and what was sent over it.
pub(super) struct Publication<'a> {
    pub(super) connection: &'a mut dyn IngestConnection,
    pub(super) stage: Stage,
    /// The first frame of a connection is a keyframe, with everything that a decoder needs.
    pub(super) keyframe_sent: bool,
    /// What was sent before the server had the first frame: it is queued again if the connection fails until then.
    pub(super) unconfirmed: Vec<Frame>,
    /// The last step sent a frame. Frames that are queued together are sent together, without a poll in between.
    pub(super) draining: bool,
    pub(super) progress: u64,
    pub(super) progress_at: Monotonic,
    /// The way to the server; `None`: it is not connected, or that is unknown.
    pub(super) route: Option<RouteWatch>,
}

impl<'a> Publication<'a> {
    pub(super) fn new(connection: &'a mut dyn IngestConnection, now: Monotonic) -> Self {
        Self {
            connection,
            stage: Stage::Connecting,
            keyframe_sent: false,
            unconfirmed: Vec::new(),
            draining: false,
            progress: 0,
            progress_at: now,
            route: None,
        }
    }

    /// From the first frame's arrival to the last progress; `None`: the stream was never live.
    pub(super) fn uptime(&self) -> Option<Duration> {
        match self.stage {
            Stage::Connecting | Stage::Connected => None,
            Stage::Live { since } => Some(self.progress_at.duration_since(since)),
        }
    }

    /// Polls the connection, except between frames that are sent together.
    pub(super) fn poll(&mut self) {
        if !self.draining {
            self.connection.poll();
        }
    }
}
