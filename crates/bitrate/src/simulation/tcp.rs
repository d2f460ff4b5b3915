//! Simulated TCP, packet by packet: a congestion window, and a send buffer that the kernel sizes by it.

use std::collections::VecDeque;

use super::Millis;
use super::bottleneck::{Bottleneck, PACKET};
use super::traces::LinkState;
use super::transport::{Transport, TransportState};

#[derive(Clone, Copy, Debug)]
struct Packet {
    bytes: f64,
    frame: usize,
    arrived: bool,
}

/// What the sender learns of a packet, and when.
#[derive(Clone, Copy, Debug)]
struct Feedback {
    at: Millis,
    packet: usize,
    arrived: bool,
}

pub(super) struct Tcp {
    /// Packets from `first_unacked` on.
    packets: VecDeque<Packet>,
    first_unacked: usize,
    next_new: usize,
    to_retransmit: VecDeque<usize>,
    buffered_bytes: f64,
    /// Bytes that the socket accepts beyond what was sent.
    max_unsent: f64,
    bottleneck: Bottleneck<usize>,
    feedback: VecDeque<Feedback>,
    /// The congestion window, the slow-start threshold and what is in flight, in packets.
    cwnd: f64,
    ssthresh: f64,
    in_flight: f64,
    /// The window does not shrink again before this.
    recovery_until: Millis,
    delivered: f64,
    delivered_frames: Vec<(usize, Millis)>,
}

impl Tcp {
    pub(super) fn new(seed: u64, max_unsent: f64) -> Self {
        Self {
            packets: VecDeque::new(),
            first_unacked: 0,
            next_new: 0,
            to_retransmit: VecDeque::new(),
            buffered_bytes: 0.0,
            max_unsent,
            bottleneck: Bottleneck::new(seed),
            feedback: VecDeque::new(),
            cwnd: 10.0,
            ssthresh: f64::INFINITY,
            in_flight: 0.0,
            recovery_until: 0,
            delivered: 0.0,
            delivered_frames: Vec::new(),
        }
    }

    fn schedule_feedback(&mut self, at: Millis, packet: usize, arrived: bool) {
        let index = self.feedback.partition_point(|feedback| feedback.at <= at);
        self.feedback.insert(index, Feedback { at, packet, arrived });
    }

    fn on_feedback(&mut self, now: Millis, feedback: Feedback, link: &LinkState) {
        self.in_flight -= 1.0;
        let index = feedback.packet.checked_sub(self.first_unacked);
        let Some(packet) = index.and_then(|index| self.packets.get_mut(index)) else { return };
        if !feedback.arrived {
            self.to_retransmit.push_back(feedback.packet);
            if now >= self.recovery_until {
                self.ssthresh = (self.cwnd * 0.7).max(2.0);
                self.cwnd = self.ssthresh;
                self.recovery_until = now + link.rtt + self.bottleneck.queuing_delay(link);
            }
            return;
        }
        packet.arrived = true;
        self.delivered += packet.bytes;
        // An unused window does not grow.
        if self.in_flight + 2.0 >= self.cwnd {
            self.cwnd += if self.cwnd < self.ssthresh { 1.0 } else { 1.0 / self.cwnd };
        }
        while let Some(first) = self.packets.front().filter(|first| first.arrived) {
            let frame = first.frame;
            self.buffered_bytes -= first.bytes;
            self.packets.pop_front();
            self.first_unacked += 1;
            if self.packets.front().is_none_or(|next| next.frame != frame) {
                self.delivered_frames.push((frame, now));
            }
        }
    }

    fn send(&mut self, now: Millis, link: &LinkState) {
        while self.in_flight < self.cwnd {
            let id = match self.to_retransmit.pop_front() {
                Some(id) => id,
                None if self.next_new < self.first_unacked + self.packets.len() => {
                    self.next_new += 1;
                    self.next_new - 1
                }
                None => return,
            };
            let index = id.checked_sub(self.first_unacked);
            let Some(packet) = index.and_then(|index| self.packets.get(index)) else { continue };
            self.in_flight += 1.0;
            if !self.bottleneck.offer(id, packet.bytes, link) {
                // The acknowledgement of the packet behind it reveals the loss.
                self.schedule_feedback(now + self.bottleneck.queuing_delay(link) + link.rtt, id, false);
            }
        }
    }
}

impl Transport for Tcp {
    /// Linux buffers twice the congestion window, and at least 64 KiB; unsent, no more than it is told.
    fn has_room(&self) -> bool {
        #[allow(clippy::cast_precision_loss)]
        let unsent = (self.first_unacked + self.packets.len() - self.next_new) as f64 * PACKET;
        self.buffered_bytes < (2.0 * self.cwnd * PACKET).max(65_536.0) && unsent < self.max_unsent
    }

    fn enqueue(&mut self, _now: Millis, frame: usize, mut bytes: f64) {
        while bytes > 0.0 {
            let part = bytes.min(PACKET);
            self.packets.push_back(Packet { bytes: part, frame, arrived: false });
            self.buffered_bytes += part;
            bytes -= part;
        }
    }

    fn step(&mut self, now: Millis, link: &LinkState) {
        while let Some(feedback) = self.feedback.front().copied().filter(|feedback| feedback.at <= now) {
            self.feedback.pop_front();
            self.on_feedback(now, feedback, link);
        }
        self.send(now, link);
        for (packet, arrived) in self.bottleneck.step(link) {
            self.schedule_feedback(now + link.rtt, packet, arrived);
        }
    }

    fn state(&self) -> TransportState {
        TransportState { unacked: Some(self.buffered_bytes), delivered: self.delivered, ..TransportState::default() }
    }

    fn delivered_frames(&self) -> &[(usize, Millis)] {
        &self.delivered_frames
    }
}
