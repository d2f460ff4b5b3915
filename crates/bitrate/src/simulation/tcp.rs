//! TCP in simulation, packet by packet: a congestion window, and a send buffer that the kernel sizes by it.

use std::collections::VecDeque;

use super::Millis;
use super::bottleneck::{PACKET, Path};
use super::traces::Way;
use super::transport::{Carrier, State};

#[derive(Clone, Copy, Debug)]
struct Packet {
    bytes: f64,
    frame: usize,
    arrived: bool,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    at: Millis,
    packet: usize,
    arrived: bool,
}

pub(super) struct Tcp {
    /// Packets from the first that is not acknowledged; `base` came before.
    packets: VecDeque<Packet>,
    base: usize,
    /// The first that was never sent, those that have to be sent again, bytes of all.
    fresh: usize,
    missing: VecDeque<usize>,
    held: f64,
    path: Path<usize>,
    words: VecDeque<Word>,
    window: f64,
    threshold: f64,
    /// Packets under way, and since when the window may shrink again.
    flying: f64,
    calm_at: Millis,
    arrived: f64,
    done: Vec<(usize, Millis)>,
}

impl Tcp {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            packets: VecDeque::new(),
            base: 0,
            fresh: 0,
            missing: VecDeque::new(),
            held: 0.0,
            path: Path::new(seed),
            words: VecDeque::new(),
            window: 10.0,
            threshold: f64::INFINITY,
            flying: 0.0,
            calm_at: 0,
            arrived: 0.0,
            done: Vec::new(),
        }
    }

    fn tell(&mut self, at: Millis, packet: usize, arrived: bool) {
        let index = self.words.partition_point(|word| word.at <= at);
        self.words.insert(index, Word { at, packet, arrived });
    }

    fn hear(&mut self, now: Millis, word: Word, way: &Way) {
        self.flying -= 1.0;
        let index = word.packet.checked_sub(self.base);
        let Some(packet) = index.and_then(|index| self.packets.get_mut(index)) else { return };
        if !word.arrived {
            self.missing.push_back(word.packet);
            if now >= self.calm_at {
                self.threshold = (self.window * 0.7).max(2.0);
                self.window = self.threshold;
                self.calm_at = now + way.rtt + self.path.wait(way);
            }
            return;
        }
        packet.arrived = true;
        self.arrived += packet.bytes;
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
        while self.flying < self.window {
            let id = match self.missing.pop_front() {
                Some(id) => id,
                None if self.fresh < self.base + self.packets.len() => {
                    self.fresh += 1;
                    self.fresh - 1
                }
                None => return,
            };
            let Some(packet) = id.checked_sub(self.base).and_then(|index| self.packets.get(index)) else { continue };
            self.flying += 1.0;
            if !self.path.offer(id, packet.bytes, way) {
                // The one behind it tells that it is missing.
                self.tell(now + self.path.wait(way) + way.rtt, id, false);
            }
        }
    }
}

impl Carrier for Tcp {
    /// Linux lets twice the congestion window wait, and 64 KiB at least.
    fn takes(&self) -> bool {
        self.held < (2.0 * self.window * PACKET).max(65_536.0)
    }

    fn give(&mut self, _now: Millis, frame: usize, mut bytes: f64) {
        while bytes > 0.0 {
            let part = bytes.min(PACKET);
            self.packets.push_back(Packet { bytes: part, frame, arrived: false });
            self.held += part;
            bytes -= part;
        }
    }

    fn step(&mut self, now: Millis, way: &Way) {
        while let Some(word) = self.words.front().copied().filter(|word| word.at <= now) {
            self.words.pop_front();
            self.hear(now, word, way);
        }
        self.send(now, way);
        for (packet, arrived) in self.path.step(way) {
            self.tell(now + way.rtt, packet, arrived);
        }
    }

    fn state(&self) -> State {
        State { unacknowledged: Some(self.held), arrived: self.arrived, ..State::default() }
    }

    fn done(&self) -> &[(usize, Millis)] {
        &self.done
    }
}
