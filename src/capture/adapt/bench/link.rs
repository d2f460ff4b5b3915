//! A link in simulation, packet by packet: a bottleneck with a queue, a round trip, and loss; over it TCP (a congestion
//! window, a send buffer that the kernel sizes by it) or SRT in live mode (everything leaves at once).

use std::collections::VecDeque;

use super::Millis;
use super::traces::Way;

/// Payload of a packet: SRT's, and nearly TCP's.
const PACKET: f64 = 1316.0;

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

#[derive(Clone, Copy, Debug)]
struct Packet {
    bytes: f64,
    frame: usize,
    arrived: bool,
    born: Millis,
    left: Millis,
    again: bool,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    at: Millis,
    packet: usize,
    arrived: bool,
}

pub(super) struct Link {
    protocol: Protocol,
    random: fastrand::Rng,
    /// Packets from the first that is not acknowledged; `base` came before.
    packets: VecDeque<Packet>,
    base: usize,
    /// The first that was never sent, those that have to be sent again, bytes of all.
    fresh: usize,
    missing: VecDeque<usize>,
    held: f64,
    /// Bytes that were sent again.
    pub(super) resent: f64,
    /// In the bottleneck, and what of it may pass now.
    bottleneck: VecDeque<(usize, f64)>,
    inside: f64,
    credit: f64,
    words: VecDeque<Word>,
    window: f64,
    threshold: f64,
    /// Packets under way, and since when the window may shrink again.
    flying: f64,
    calm_at: Millis,
    /// Smoothed as SRT does, in milliseconds.
    pub(super) rtt: f64,
    measured: Millis,
    /// Bytes that the server has acknowledged.
    pub(super) arrived: f64,
    /// Frames of which each packet has arrived, with the time; SRT: frames with a packet that came too late.
    pub(super) done: Vec<(usize, Millis)>,
    pub(super) late: Vec<usize>,
    latency: Millis,
}

impl Link {
    pub(super) fn new(protocol: Protocol, seed: u64, rtt: Millis, latency: Millis) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let rtt = rtt as f64;
        Self {
            protocol,
            random: fastrand::Rng::with_seed(seed),
            packets: VecDeque::new(),
            base: 0,
            fresh: 0,
            missing: VecDeque::new(),
            held: 0.0,
            resent: 0.0,
            bottleneck: VecDeque::new(),
            inside: 0.0,
            credit: 0.0,
            words: VecDeque::new(),
            window: 10.0,
            threshold: f64::INFINITY,
            flying: 0.0,
            calm_at: 0,
            rtt,
            measured: 0,
            arrived: 0.0,
            done: Vec::new(),
            late: Vec::new(),
            latency,
        }
    }

    /// Bytes in the socket that are not acknowledged.
    pub(super) fn unacknowledged(&self) -> f64 {
        self.held
    }

    pub(super) fn packets(&self) -> usize {
        self.packets.len()
    }

    /// Whether the socket takes more: Linux lets twice the congestion window wait, and 64 KiB at least.
    pub(super) fn takes(&self) -> bool {
        self.protocol == Protocol::Srt || self.unacknowledged() < (2.0 * self.window * PACKET).max(65_536.0)
    }

    /// The socket takes a frame.
    pub(super) fn give(&mut self, now: Millis, frame: usize, mut bytes: f64) {
        while bytes > 0.0 {
            let part = bytes.min(PACKET);
            let packet = Packet { bytes: part, frame, arrived: false, born: now, left: now, again: false };
            self.packets.push_back(packet);
            self.held += part;
            bytes -= part;
        }
    }

    /// One millisecond passes.
    pub(super) fn step(&mut self, now: Millis, way: &Way) {
        while let Some(word) = self.words.front().copied().filter(|word| word.at <= now) {
            self.words.pop_front();
            self.hear(now, word);
        }
        self.send(now, way);
        // A token bucket of two packets.
        self.credit = (self.credit + way.kbps / 8.0).min((2.0 * PACKET).max(way.kbps / 8.0));
        while let Some((packet, bytes)) = self.bottleneck.front().copied().filter(|(_, bytes)| *bytes <= self.credit) {
            self.bottleneck.pop_front();
            self.inside -= bytes;
            self.credit -= bytes;
            let arrived = self.random.f64() >= way.loss;
            self.tell(now + way.rtt, packet, arrived);
        }
    }

    fn tell(&mut self, at: Millis, packet: usize, arrived: bool) {
        let index = self.words.partition_point(|word| word.at <= at);
        self.words.insert(index, Word { at, packet, arrived });
    }

    fn hear(&mut self, now: Millis, word: Word) {
        self.flying -= 1.0;
        let index = word.packet.checked_sub(self.base);
        let Some(packet) = index.and_then(|index| self.packets.get_mut(index)) else { return };
        if !word.arrived {
            self.missing.push_back(word.packet);
            if now >= self.calm_at {
                self.threshold = (self.window * 0.7).max(2.0);
                self.window = self.threshold;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let pause = self.rtt as Millis;
                self.calm_at = now + pause;
            }
            return;
        }
        packet.arrived = true;
        self.arrived += packet.bytes;
        if !packet.again {
            // SRT measures with each acknowledgement, every 10 ms.
            if now >= self.measured + 10 {
                self.measured = now;
                #[allow(clippy::cast_precision_loss)]
                let sample = (now - packet.left) as f64;
                self.rtt = 0.875 * self.rtt + 0.125 * sample;
            }
        } else if self.protocol == Protocol::Srt && now - packet.born > self.latency {
            self.late.push(packet.frame);
        }
        // A window that is not used does not grow.
        if self.flying + 2.0 >= self.window {
            self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        }
        while let Some(first) = self.packets.front().filter(|first| first.arrived) {
            let frame = first.frame;
            self.held -= first.bytes;
            self.packets.pop_front();
            self.base += 1;
            if self.packets.front().is_none_or(|next| next.frame != frame) {
                self.done.push((frame, now));
            }
        }
    }

    fn send(&mut self, now: Millis, way: &Way) {
        let window = if self.protocol == Protocol::Srt { f64::INFINITY } else { self.window };
        while self.flying < window {
            let (id, again) = match self.missing.pop_front() {
                Some(id) => (id, true),
                None if self.fresh < self.base + self.packets.len() => {
                    self.fresh += 1;
                    (self.fresh - 1, false)
                }
                None => return,
            };
            let Some(packet) = id.checked_sub(self.base).and_then(|index| self.packets.get_mut(index)) else {
                continue;
            };
            packet.again |= again;
            packet.left = now;
            let bytes = packet.bytes;
            self.resent += if again { bytes } else { 0.0 };
            self.flying += 1.0;
            if self.inside + bytes > way.buffer {
                // The one behind it tells that it is missing.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let wait = (self.inside / (way.kbps / 8.0)) as Millis;
                self.tell(now + wait + way.rtt, id, false);
            } else {
                self.inside += bytes;
                self.bottleneck.push_back((id, bytes));
            }
        }
    }
}
