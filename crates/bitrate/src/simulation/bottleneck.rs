//! A way in simulation: a bottleneck with a queue that drops what does not fit, and loss behind it.

use std::collections::VecDeque;

use super::Millis;
use super::traces::Way;

/// Payload of a packet: SRT's, and nearly TCP's.
pub(super) const PACKET: f64 = 1316.0;

/// A gap in which less than this passes, in kbit/s, is over soon: nobody waits for hours.
const SLOWEST: f64 = 250.0;

/// What `T` stands for passes through it.
pub(super) struct Path<T> {
    random: fastrand::Rng,
    queue: VecDeque<(T, f64)>,
    /// Bytes that queue, and what of them may pass now.
    inside: f64,
    credit: f64,
}

impl<T: Copy> Path<T> {
    pub(super) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, queue: VecDeque::new(), inside: 0.0, credit: 0.0 }
    }

    /// Bytes that queue.
    pub(super) fn inside(&self) -> f64 {
        self.inside
    }

    /// How long what comes now has to queue.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds
    pub(super) fn wait(&self, way: &Way) -> Millis {
        (self.inside / (way.kbps.max(SLOWEST) / 8.0)) as Millis
    }

    /// Takes `bytes` in; false: they do not fit.
    pub(super) fn offer(&mut self, what: T, bytes: f64, way: &Way) -> bool {
        let fits = self.inside + bytes <= way.buffer;
        if fits {
            self.inside += bytes;
            self.queue.push_back((what, bytes));
        }
        fits
    }

    /// One millisecond passes: what comes out, and whether it survives the rest of the way.
    pub(super) fn step(&mut self, way: &Way) -> Vec<(T, bool)> {
        // A token bucket of two packets.
        self.credit = (self.credit + way.kbps / 8.0).min((2.0 * PACKET).max(way.kbps / 8.0));
        let mut out = Vec::new();
        while let Some((what, bytes)) = self.queue.front().copied().filter(|(_, bytes)| *bytes <= self.credit) {
            self.queue.pop_front();
            self.inside -= bytes;
            self.credit -= bytes;
            out.push((what, self.random.f64() >= way.loss));
        }
        out
    }
}
