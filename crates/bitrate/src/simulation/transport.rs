//! What simulated TCP and SRT have in common.

use super::Millis;
use super::traces::LinkState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Srt,
}

/// A frame that the socket accepted: it was next from `begin` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) begin: Millis,
    pub(super) end: Millis,
    pub(super) bytes: f64,
}

/// What a sender knows, and what arrived. Amounts in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TransportState {
    /// Accepted by the socket and not acknowledged (TCP).
    pub(super) unacked: Option<f64>,
    /// Accepted by the socket and never sent (SRT).
    pub(super) unsent: f64,
    /// Smoothed as SRT does, in milliseconds.
    pub(super) rtt: Option<f64>,
    /// Acknowledgements received (SRT).
    pub(super) ack_count: Option<u64>,
    /// Sent again (SRT).
    pub(super) retransmitted: f64,
    /// Packets that are kept because they are not acknowledged (SRT).
    pub(super) unacked_packets: usize,
    /// Arrived at the server, each byte counted once.
    pub(super) delivered: f64,
}

/// A simulated connection.
pub(super) trait Transport {
    /// Whether the socket accepts a frame.
    fn has_room(&self) -> bool;
    /// Hands a frame to the socket.
    fn enqueue(&mut self, now: Millis, frame: usize, bytes: f64);
    /// Advances by one millisecond.
    fn step(&mut self, now: Millis, link: &LinkState);
    fn state(&self) -> TransportState;
    /// The frames of which every packet arrived, and when the sender knew.
    fn delivered_frames(&self) -> &[(usize, Millis)];
    /// Frames with a packet that never arrived, or too late; each counted once.
    fn lost_frames(&self) -> usize {
        0
    }
}
