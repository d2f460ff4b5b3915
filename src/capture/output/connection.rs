//! One connection to an ingest server: what the protocols have in common.

use std::net::SocketAddr;
use std::time::Duration;

pub(super) use bitrate::TransportStats;

use crate::capture::media::Frame;
use crate::capture::output::error::ConnectionError;

/// A connection to an ingest server. Dropping it closes it.
pub(super) trait IngestConnection {
    /// Goes on without blocking: connects, reads and writes, where the connection has no thread of its own.
    fn poll(&mut self) {}

    /// Waits until there is something to read or to write, for at most `timeout`. `false`: the connection cannot tell,
    /// and has not waited.
    fn wait(&mut self, _timeout: Duration) -> bool {
        false
    }

    /// Whether the server has accepted the stream.
    fn is_connected(&self) -> bool;

    /// Whether only sending shows that the server has accepted the stream: frames are sent before it is connected.
    fn needs_data_to_connect(&self) -> bool {
        false
    }

    /// Whether audio may wait for the next picture, at most for the duration of a frame: fewer wake-ups and packets.
    fn batches_audio(&self) -> bool {
        false
    }

    /// The round-trip time with which a new connection would be set up better. Valid before the stream is live.
    fn renegotiate_with(&self) -> Option<Duration> {
        None
    }

    /// Sends a frame, or queues it in the connection.
    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError>;

    /// Whether more frames would only wait in the connection.
    fn would_block(&self) -> bool;

    /// Is called once the server has the first frame.
    fn set_live(&mut self) {}

    /// How much the server has received, as far as the protocol shows: bytes, buffers or frames. It grows for as long
    /// as the server is there.
    fn progress(&self) -> u64;

    /// Whether the server has the first frame, as far as the protocol shows.
    fn first_frame_delivered(&self) -> bool;

    /// The server's address, once it is connected.
    fn server(&self) -> Option<SocketAddr>;

    /// Why the connection has failed, if it has.
    fn take_error(&mut self) -> Option<ConnectionError>;

    /// What the bitrate controller measures.
    fn stats(&self) -> TransportStats {
        TransportStats::default()
    }

    /// The round-trip time in milliseconds, where the protocol measures it.
    fn rtt_ms(&self) -> Option<u32> {
        None
    }

    /// Whether the server has requested a keyframe since the last call.
    fn take_keyframe_request(&mut self) -> bool {
        false
    }
}
