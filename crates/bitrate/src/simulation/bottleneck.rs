//! A simulated bottleneck: a queue that drops what does not fit, and random loss behind it.

use std::collections::VecDeque;

use super::Millis;
use super::traces::LinkState;

/// A packet's payload: SRT's, and nearly TCP's.
pub(super) const PACKET: f64 = 1316.0;

/// Lower bound of the rate when a wait is predicted, in kbit/s: a gap with less is short, and nobody waits for hours.
const MIN_PREDICTED_KBPS: f64 = 250.0;

/// A bottleneck for packets that are known by a `T`.
pub(super) struct Bottleneck<T> {
    random: fastrand::Rng,
    queue: VecDeque<(T, f64)>,
    queued_bytes: f64,
    /// Bytes that may pass now.
    credit: f64,
}

impl<T: Copy> Bottleneck<T> {
    pub(super) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, queue: VecDeque::new(), queued_bytes: 0.0, credit: 0.0 }
    }

    pub(super) fn queued_bytes(&self) -> f64 {
        self.queued_bytes
    }

    /// How long a packet that is offered now will queue.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds
    pub(super) fn queuing_delay(&self, link: &LinkState) -> Millis {
        (self.queued_bytes / (link.kbps.max(MIN_PREDICTED_KBPS) / 8.0)) as Millis
    }

    /// Queues a packet of `bytes`; false: it does not fit and is dropped.
    pub(super) fn offer(&mut self, packet: T, bytes: f64, link: &LinkState) -> bool {
        let fits = self.queued_bytes + bytes <= link.buffer;
        if fits {
            self.queued_bytes += bytes;
            self.queue.push_back((packet, bytes));
        }
        fits
    }

    /// Advances by one millisecond. Returns the packets that leave, and whether each survives the loss behind.
    pub(super) fn step(&mut self, link: &LinkState) -> Vec<(T, bool)> {
        // A token bucket of two packets.
        self.credit = (self.credit + link.kbps / 8.0).min((2.0 * PACKET).max(link.kbps / 8.0));
        let mut out = Vec::new();
        while let Some((packet, bytes)) = self.queue.front().copied().filter(|(_, bytes)| *bytes <= self.credit) {
            self.queue.pop_front();
            self.queued_bytes -= bytes;
            self.credit -= bytes;
            out.push((packet, self.random.f64() >= link.loss));
        }
        out
    }
}
