//! SRT's live mode in simulation, packet by packet, as libsrt 1.5 does it (srtcore/core.cpp, in our own words):
//! everything leaves at once; the receiver acknowledges every 10 ms how far it has come, reports each gap at once and
//! again while it lasts, and gives up what is late; round trips are measured from an acknowledgement to the sender's
//! answer to it, which queues like everything else, and are told smoothed.

use std::collections::{BTreeSet, VecDeque};

use super::Millis;
use super::bottleneck::{PACKET, Path};
use super::traces::Way;
use super::transport::{Carrier, State};

/// From one acknowledgement to the next, in milliseconds.
const ACK: Millis = 10;
/// A gap is not reported again sooner than after this, in milliseconds.
const NAK: f64 = 20.0;
/// What a socket holds in front of an interface of the box's own: libsrt's 64 KiB with the kernel's own use taken off.
const SOCKET: f64 = 38_000.0;
/// An answer to an acknowledgement, with its headers. Bytes.
const ANSWER: f64 = 44.0;

#[derive(Clone, Copy, Debug)]
struct Packet {
    bytes: f64,
    frame: usize,
    born: Millis,
    /// When it was last sent.
    left: Option<Millis>,
    arrived: bool,
    /// The receiver went on without it.
    given_up: bool,
}

#[derive(Clone, Copy, Debug)]
enum Forth {
    Data(usize),
    /// The answer to the acknowledgement sent then.
    Answer(Millis),
}

#[derive(Clone, Debug)]
enum Back {
    Ack { up_to: usize, rtt: f64, sent: Millis },
    Nak(Vec<usize>),
}

/// What the receiver knows.
#[derive(Debug, Default)]
struct Receiver {
    /// All before it arrived or were given up; the highest that arrived, and one.
    next: usize,
    highest: usize,
    acked: usize,
    acked_at: Millis,
    reported_at: Millis,
    rtt: Option<f64>,
    jitter: f64,
}

pub(super) struct Srt {
    /// What a round trip is off within the millisecond.
    random: fastrand::Rng,
    /// All packets there ever were.
    packets: Vec<Packet>,
    fresh: usize,
    missing: BTreeSet<usize>,
    acked: usize,
    acks: u64,
    rtt: f64,
    resent: f64,
    unsent: f64,
    arrived: f64,
    path: Path<Forth>,
    forth: VecDeque<(Millis, Forth)>,
    back: VecDeque<(Millis, Back)>,
    receiver: Receiver,
    latency: Millis,
    done: Vec<(usize, Millis)>,
    lost: BTreeSet<usize>,
}

impl Srt {
    pub(super) fn new(seed: u64, latency: Millis) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            packets: Vec::new(),
            fresh: 0,
            missing: BTreeSet::new(),
            acked: 0,
            acks: 0,
            rtt: 100.0,
            resent: 0.0,
            unsent: 0.0,
            arrived: 0.0,
            path: Path::new(seed),
            forth: VecDeque::new(),
            back: VecDeque::new(),
            receiver: Receiver::default(),
            latency,
            done: Vec::new(),
            lost: BTreeSet::new(),
        }
    }

    /// What was sent again is not sent once more before it can have been acknowledged.
    fn send(&mut self, now: Millis, way: &Way) {
        while !way.near || self.path.inside() < SOCKET {
            let id = match self.missing.pop_first() {
                Some(id) => id,
                None if self.fresh < self.packets.len() => self.fresh,
                None => return,
            };
            let packet = &mut self.packets[id];
            if id == self.fresh {
                self.fresh += 1;
                self.unsent -= packet.bytes;
                if now > packet.born + self.latency.max(1000) + 20 {
                    // Too late to be sent at all.
                    packet.given_up = true;
                    self.lost.insert(packet.frame);
                    continue;
                }
            } else {
                #[allow(clippy::cast_precision_loss)]
                let soon = packet.left.is_some_and(|left| ((now - left) as f64) < self.rtt);
                if soon || id < self.acked {
                    continue;
                }
                self.resent += packet.bytes;
            }
            packet.left = Some(now);
            self.path.offer(Forth::Data(id), packet.bytes, way);
        }
    }

    /// The sender hears of the receiver.
    fn hear(&mut self, now: Millis, word: Back, way: &Way) {
        match word {
            Back::Nak(ids) => self.missing.extend(ids),
            Back::Ack { up_to, rtt, sent } => {
                self.acks += 1;
                self.rtt = rtt;
                self.path.offer(Forth::Answer(sent), ANSWER, way);
                for id in self.acked..up_to {
                    let frame = self.packets[id].frame;
                    let last = self.packets.get(id + 1).is_none_or(|next| next.frame != frame);
                    if last && !self.lost.contains(&frame) {
                        self.done.push((frame, now));
                    }
                }
                self.acked = self.acked.max(up_to);
            }
        }
    }

    /// The receiver gets something.
    fn get(&mut self, now: Millis, what: Forth, way: &Way) {
        match what {
            Forth::Answer(sent) => {
                #[allow(clippy::cast_precision_loss)]
                let sample = (now - sent) as f64 + self.random.f64();
                let Receiver { rtt, jitter, .. } = &mut self.receiver;
                let before = rtt.unwrap_or(sample);
                *jitter = 0.75 * *jitter + 0.25 * (sample - before).abs();
                *rtt = Some(0.875 * before + 0.125 * sample);
            }
            Forth::Data(id) => {
                let packet = &mut self.packets[id];
                if !packet.arrived && !packet.given_up {
                    packet.arrived = true;
                    self.arrived += packet.bytes;
                }
                let highest = self.receiver.highest;
                if id > highest {
                    self.back.push_back((now + way.rtt / 2, Back::Nak((highest..id).collect())));
                }
                self.receiver.highest = highest.max(id + 1);
            }
        }
    }

    /// What the receiver does by itself.
    fn tend(&mut self, now: Millis, way: &Way) {
        let receiver = &mut self.receiver;
        while receiver.next < receiver.highest {
            let packet = &mut self.packets[receiver.next];
            // It is played out when the latency is over, counted from when it would have come at best.
            if !packet.arrived && now > packet.born + way.rtt / 2 + self.latency {
                packet.given_up = true;
                self.lost.insert(packet.frame);
            }
            if !packet.arrived && !packet.given_up {
                break;
            }
            receiver.next += 1;
        }
        let patience = receiver.rtt.unwrap_or(100.0) + 4.0 * receiver.jitter;
        #[allow(clippy::cast_precision_loss)]
        let (acked, reported) = ((now - receiver.acked_at) as f64, (now - receiver.reported_at) as f64);
        if now.is_multiple_of(ACK) && receiver.next > 0 && (receiver.next > receiver.acked || acked > patience) {
            (receiver.acked, receiver.acked_at) = (receiver.next, now);
            let rtt = receiver.rtt.unwrap_or(100.0);
            self.back.push_back((now + way.rtt / 2, Back::Ack { up_to: receiver.next, rtt, sent: now }));
        }
        if receiver.next < receiver.highest && reported >= NAK.max(patience / 2.0) {
            receiver.reported_at = now;
            let packets = &self.packets;
            let gaps = (receiver.next..receiver.highest).filter(|id| !packets[*id].arrived && !packets[*id].given_up);
            self.back.push_back((now + way.rtt / 2, Back::Nak(gaps.collect())));
        }
    }
}

impl Carrier for Srt {
    fn takes(&self) -> bool {
        true
    }

    fn give(&mut self, now: Millis, frame: usize, mut bytes: f64) {
        while bytes > 0.0 {
            let part = bytes.min(PACKET);
            self.packets.push(Packet { bytes: part, frame, born: now, left: None, arrived: false, given_up: false });
            self.unsent += part;
            bytes -= part;
        }
    }

    fn step(&mut self, now: Millis, way: &Way) {
        while self.back.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, word)) = self.back.pop_front()
        {
            self.hear(now, word, way);
        }
        self.send(now, way);
        for (what, arrives) in self.path.step(way) {
            if arrives {
                self.forth.push_back((now + way.rtt.div_ceil(2), what));
            }
        }
        while self.forth.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, what)) = self.forth.pop_front()
        {
            self.get(now, what, way);
        }
        self.tend(now, way);
    }

    fn state(&self) -> State {
        let &Self { rtt, acks, resent, unsent, arrived, acked, .. } = self;
        let packets = self.packets.len() - acked;
        State { unacknowledged: None, unsent, rtt: Some(rtt), acks: Some(acks), resent, packets, arrived }
    }

    fn done(&self) -> &[(usize, Millis)] {
        &self.done
    }

    fn lost(&self) -> usize {
        self.lost.len()
    }
}
