//! What is measured.

use core::time::Duration;

use monotonic::Monotonic;

/// The path to the server, as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measurement {
    /// When it was measured.
    pub now: Monotonic,
    /// Bytes that the encoders produced for this connection since it began, without those that were dropped.
    pub produced_bytes: u64,
    /// Bytes of them that wait in our own queue.
    pub queued_bytes: u64,
    /// The connection.
    pub transport: TransportStats,
}

impl Measurement {
    /// Bytes that have left the box.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.produced_bytes.saturating_sub(self.queued_bytes + self.transport.unsent_bytes)
    }
}

/// A connection, as far as its protocol can measure it. What it cannot is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TransportStats {
    /// Bytes that wait in front of the socket.
    pub unsent_bytes: u64,
    /// Bytes that the socket accepted and the server has not acknowledged.
    pub unacked_bytes: Option<u64>,
    /// The round-trip time as the protocol measures it, including queues on the path.
    pub rtt: Option<Duration>,
    /// Acknowledgements received since the connection began, where the round-trip time is smoothed as SRT does it.
    pub ack_count: Option<u64>,
    /// Bytes sent again since the connection began, where `unacked_bytes` does not include them.
    pub retransmitted_bytes: u64,
    /// The protocol's own bandwidth estimate (WebRTC has one), in kbit/s. The controller follows it.
    pub bandwidth_estimate_kbps: Option<u32>,
}
