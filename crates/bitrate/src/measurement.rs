//! What is measured.

use core::time::Duration;

use monotonic::Monotonic;

/// The way to the server, as it is now. Whoever has a transport fills this in; what it cannot tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measurement {
    /// When it was measured.
    pub now: Monotonic,
    /// Bytes that the encoders have made for this connection and that were not dropped, since it began.
    pub produced_bytes: u64,
    /// Bytes of them that wait on the box: our queue, and what stands in front of the socket.
    pub queued_bytes: u64,
    /// Bytes that the socket has and the server has not confirmed.
    pub unacked_bytes: Option<u64>,
    /// Round-trip time as the protocol measures it, with what waits on the way.
    pub rtt: Option<Duration>,
    /// Acknowledgements that were heard since the connection began, where the round-trip time is smoothed as SRT does.
    pub ack_count: Option<u64>,
    /// Bytes that had to be sent again since the connection began, where `unacked_bytes` does not tell.
    pub retransmitted_bytes: u64,
    /// What the protocol itself thinks that the way carries (WebRTC does), in kbit/s: it is believed.
    pub bandwidth_estimate_kbps: Option<u32>,
}
