//! One connection to an ingest server: what the protocols have in common.

use std::time::Duration;

use crate::capture::media::Frame;
use crate::capture::output::error::ConnectionError;
pub(crate) use bitrate::TransportStats;

/// A connection. Dropping it closes it.
pub(crate) trait IngestConnection {
    /// Reads and writes what can be without waiting, where the connection has no thread of its own.
    fn poll(&mut self) {}

    /// Waits until there is something to be read or written, for `span` at most; false: it does not know how to.
    fn wait(&mut self, _span: Duration) -> bool {
        false
    }

    /// The server lets the stream in.
    fn is_connected(&self) -> bool;

    /// Whether the server is found out only by sending: it is given a few frames before it is connected.
    fn needs_data_to_connect(&self) -> bool {
        false
    }

    /// Whether sound may wait for the next picture, a frame's time at most: both then go with fewer wake-ups and
    /// packets.
    fn batches_audio(&self) -> bool {
        false
    }

    /// The round trip, if another connection, made with it in mind, would fit better; asked once, before it is on air.
    fn renegotiate_with(&self) -> Option<Duration> {
        None
    }

    /// Sends a frame, or puts it in front of the sink.
    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError>;

    /// More waits in front of the sink than should.
    fn would_block(&self) -> bool;

    /// The server has taken the first frame.
    fn set_live(&mut self) {}

    /// How much has arrived at the server, as far as the protocol tells: bytes, buffers or frames. A server that is
    /// there makes it grow.
    fn progress(&self) -> u64;

    /// The server has the first frame, as far as the protocol tells: the stream is on air.
    fn first_frame_delivered(&self) -> bool;

    /// What went wrong, if something did.
    fn take_error(&self) -> Option<ConnectionError>;

    /// What the bitrate controller wants to know.
    fn stats(&self) -> TransportStats {
        TransportStats::default()
    }

    /// Round-trip time in milliseconds, where the protocol tells.
    fn rtt_ms(&self) -> Option<u32> {
        None
    }

    /// Whether somebody who watches misses a keyframe; told once.
    fn take_keyframe_request(&self) -> bool {
        false
    }
}
