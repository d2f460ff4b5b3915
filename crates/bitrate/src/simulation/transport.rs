//! What TCP and SRT have in common in simulation.

use super::Millis;
use super::traces::Way;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Srt,
}

/// A frame that the socket took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) begin: Millis,
    pub(super) end: Millis,
    pub(super) bytes: f64,
}

/// What a sender knows, and what arrived. Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Bytes that the socket has and that are not acknowledged (TCP).
    pub(super) unacknowledged: Option<f64>,
    /// Bytes that the socket has and has never sent (SRT).
    pub(super) unsent: f64,
    /// Smoothed as SRT does, in milliseconds.
    pub(super) rtt: Option<f64>,
    /// Acknowledgements heard (SRT).
    pub(super) acks: Option<u64>,
    /// Bytes that were sent again (SRT).
    pub(super) resent: f64,
    /// Packets that are kept because they are not acknowledged (SRT).
    pub(super) packets: usize,
    /// Bytes that arrived, each counted once.
    pub(super) arrived: f64,
}

/// A connection.
pub(super) trait Carrier {
    /// Whether the socket takes more.
    fn takes(&self) -> bool;
    /// The socket takes a frame.
    fn give(&mut self, now: Millis, frame: usize, bytes: f64);
    /// One millisecond passes.
    fn step(&mut self, now: Millis, way: &Way);
    fn state(&self) -> State;
    /// Frames of which each packet has arrived, with the time at which the sender knew.
    fn done(&self) -> &[(usize, Millis)];
    /// Frames with a packet that never came, or too late; each once.
    fn lost(&self) -> usize {
        0
    }
}
