//! Simulated SRT in live mode, packet by packet, as libsrt 1.5 does it (srtcore/core.cpp, in our own words). Everything
//! is sent at once. The receiver acknowledges every 10 ms how far it has come, reports each gap at once and again while
//! it lasts, and drops what is late. Round trips are measured from an acknowledgement to the sender's answer to it,
//! which queues like everything else, and are reported smoothed.

use std::collections::{BTreeSet, VecDeque};

use super::Millis;
use super::bottleneck::{Bottleneck, PACKET};
use super::traces::LinkState;
use super::transport::{Transport, TransportState};

/// Between two acknowledgements, in milliseconds.
const ACK_INTERVAL: Millis = 10;
/// A gap is not reported again sooner than this, in milliseconds.
const MIN_NAK_INTERVAL: f64 = 20.0;
/// What a socket holds in front of one of the box's own interfaces: libsrt's 64 KiB without the kernel's overhead.
const SOCKET_BUFFER: f64 = 38_000.0;
/// The sender's answer to an acknowledgement, with its headers. Bytes.
const ACKACK_BYTES: f64 = 44.0;
/// What libsrt reports before its first round trip, in milliseconds.
const INITIAL_RTT: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
struct Packet {
    bytes: f64,
    frame: usize,
    created_at: Millis,
    last_sent_at: Option<Millis>,
    arrived: bool,
    /// The sender or the receiver went on without it.
    is_dropped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Forward {
    Data(usize),
    /// The answer to the acknowledgement that was sent at this time.
    AckAck(Millis),
}

#[derive(Clone, Debug)]
enum Reverse {
    Ack { up_to: usize, rtt: f64, sent_at: Millis },
    Nak(Vec<usize>),
}

/// What the receiver knows.
#[derive(Debug, Default)]
struct Receiver {
    /// All packets before it have arrived or were dropped.
    next: usize,
    /// One more than the highest packet that arrived.
    end: usize,
    acked: usize,
    acked_at: Millis,
    nak_at: Millis,
    rtt: Option<f64>,
    rtt_variance: f64,
}

pub(super) struct Srt {
    /// Fractions of a millisecond in a round trip.
    random: fastrand::Rng,
    /// All packets of the connection.
    packets: Vec<Packet>,
    next_new: usize,
    loss_list: BTreeSet<usize>,
    acked: usize,
    ack_count: u64,
    rtt: f64,
    retransmitted: f64,
    unsent: f64,
    delivered: f64,
    bottleneck: Bottleneck<Forward>,
    forward: VecDeque<(Millis, Forward)>,
    reverse: VecDeque<(Millis, Reverse)>,
    receiver: Receiver,
    latency: Millis,
    delivered_frames: Vec<(usize, Millis)>,
    lost_frames: BTreeSet<usize>,
}

impl Srt {
    pub(super) fn new(seed: u64, latency: Millis) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            packets: Vec::new(),
            next_new: 0,
            loss_list: BTreeSet::new(),
            acked: 0,
            ack_count: 0,
            rtt: INITIAL_RTT,
            retransmitted: 0.0,
            unsent: 0.0,
            delivered: 0.0,
            bottleneck: Bottleneck::new(seed),
            forward: VecDeque::new(),
            reverse: VecDeque::new(),
            receiver: Receiver::default(),
            latency,
            delivered_frames: Vec::new(),
            lost_frames: BTreeSet::new(),
        }
    }

    /// Sends retransmissions first. A packet is not sent again before an acknowledgement of it could have come.
    fn send(&mut self, now: Millis, link: &LinkState) {
        while !link.is_local_interface || self.bottleneck.queued_bytes() < SOCKET_BUFFER {
            let id = match self.loss_list.pop_first() {
                Some(id) => id,
                None if self.next_new < self.packets.len() => self.next_new,
                None => return,
            };
            let packet = &mut self.packets[id];
            if id == self.next_new {
                self.next_new += 1;
                self.unsent -= packet.bytes;
                if now > packet.created_at + self.latency.max(1000) + 20 {
                    // Too late even for its first transmission.
                    packet.is_dropped = true;
                    self.lost_frames.insert(packet.frame);
                    continue;
                }
            } else {
                #[allow(clippy::cast_precision_loss)]
                let is_too_soon = packet.last_sent_at.is_some_and(|sent_at| ((now - sent_at) as f64) < self.rtt);
                if is_too_soon || id < self.acked {
                    continue;
                }
                self.retransmitted += packet.bytes;
            }
            packet.last_sent_at = Some(now);
            self.bottleneck.offer(Forward::Data(id), packet.bytes, link);
        }
    }

    /// The sender receives a packet.
    fn on_reverse(&mut self, now: Millis, packet: Reverse, link: &LinkState) {
        match packet {
            Reverse::Nak(ids) => self.loss_list.extend(ids),
            Reverse::Ack { up_to, rtt, sent_at } => {
                self.ack_count += 1;
                self.rtt = rtt;
                self.bottleneck.offer(Forward::AckAck(sent_at), ACKACK_BYTES, link);
                for id in self.acked..up_to {
                    let frame = self.packets[id].frame;
                    let is_last = self.packets.get(id + 1).is_none_or(|next| next.frame != frame);
                    if is_last && !self.lost_frames.contains(&frame) {
                        self.delivered_frames.push((frame, now));
                    }
                }
                self.acked = self.acked.max(up_to);
            }
        }
    }

    /// The receiver receives a packet.
    fn on_forward(&mut self, now: Millis, packet: Forward, link: &LinkState) {
        match packet {
            Forward::AckAck(sent_at) => {
                #[allow(clippy::cast_precision_loss)]
                let sample = (now - sent_at) as f64 + self.random.f64();
                let Receiver { rtt, rtt_variance, .. } = &mut self.receiver;
                let before = rtt.unwrap_or(sample);
                *rtt_variance = 0.75 * *rtt_variance + 0.25 * (sample - before).abs();
                *rtt = Some(0.875 * before + 0.125 * sample);
            }
            Forward::Data(id) => {
                let packet = &mut self.packets[id];
                if !packet.arrived && !packet.is_dropped {
                    packet.arrived = true;
                    self.delivered += packet.bytes;
                }
                let end = self.receiver.end;
                if id > end {
                    self.reverse.push_back((now + link.rtt / 2, Reverse::Nak((end..id).collect())));
                }
                self.receiver.end = end.max(id + 1);
            }
        }
    }

    /// The receiver's timers: late packets are dropped, acknowledgements and loss reports sent.
    fn tick_receiver(&mut self, now: Millis, link: &LinkState) {
        let receiver = &mut self.receiver;
        while receiver.next < receiver.end {
            let packet = &mut self.packets[receiver.next];
            // It is played out after the latency, counted from its arrival over an empty path.
            if !packet.arrived && now > packet.created_at + link.rtt / 2 + self.latency {
                packet.is_dropped = true;
                self.lost_frames.insert(packet.frame);
            }
            if !packet.arrived && !packet.is_dropped {
                break;
            }
            receiver.next += 1;
        }
        let rtt = receiver.rtt.unwrap_or(INITIAL_RTT);
        let timeout = rtt + 4.0 * receiver.rtt_variance;
        #[allow(clippy::cast_precision_loss)]
        let (since_ack, since_nak) = ((now - receiver.acked_at) as f64, (now - receiver.nak_at) as f64);
        let has_news = receiver.next > receiver.acked || since_ack > timeout;
        if now.is_multiple_of(ACK_INTERVAL) && receiver.next > 0 && has_news {
            (receiver.acked, receiver.acked_at) = (receiver.next, now);
            self.reverse.push_back((now + link.rtt / 2, Reverse::Ack { up_to: receiver.next, rtt, sent_at: now }));
        }
        if receiver.next < receiver.end && since_nak >= MIN_NAK_INTERVAL.max(timeout / 2.0) {
            receiver.nak_at = now;
            let packets = &self.packets;
            let gaps = (receiver.next..receiver.end).filter(|id| !packets[*id].arrived && !packets[*id].is_dropped);
            self.reverse.push_back((now + link.rtt / 2, Reverse::Nak(gaps.collect())));
        }
    }
}

impl Transport for Srt {
    fn has_room(&self) -> bool {
        true
    }

    fn enqueue(&mut self, now: Millis, frame: usize, mut bytes: f64) {
        while bytes > 0.0 {
            let part = bytes.min(PACKET);
            let packet =
                Packet { bytes: part, frame, created_at: now, last_sent_at: None, arrived: false, is_dropped: false };
            self.packets.push(packet);
            self.unsent += part;
            bytes -= part;
        }
    }

    fn step(&mut self, now: Millis, link: &LinkState) {
        while self.reverse.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, packet)) = self.reverse.pop_front()
        {
            self.on_reverse(now, packet, link);
        }
        self.send(now, link);
        for (packet, survives) in self.bottleneck.step(link) {
            if survives {
                self.forward.push_back((now + link.rtt.div_ceil(2), packet));
            }
        }
        while self.forward.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, packet)) = self.forward.pop_front()
        {
            self.on_forward(now, packet, link);
        }
        self.tick_receiver(now, link);
    }

    fn state(&self) -> TransportState {
        let &Self { rtt, ack_count, retransmitted, unsent, delivered, acked, .. } = self;
        TransportState {
            unacked: None,
            unsent,
            rtt: Some(rtt),
            ack_count: Some(ack_count),
            retransmitted,
            unacked_packets: self.packets.len() - acked,
            delivered,
        }
    }

    fn delivered_frames(&self) -> &[(usize, Millis)] {
        &self.delivered_frames
    }

    fn lost_frames(&self) -> usize {
        self.lost_frames.len()
    }
}
