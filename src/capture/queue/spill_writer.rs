//! The thread that writes queued frames to disk, so that neither encoder nor publisher ever waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use ring::aead::CHACHA20_POLY1305;

use crate::capture::queue::FrameQueue;
use crate::capture::queue::spill_file::{SpillFile, SpillSlot};
use crate::worker::{OnDrop, SpawnError, Stop, Worker};

/// The thread waits for a frame at most this long, before it checks whether it is to stop.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// The writing thread, owned: dropping it ends the thread and waits for it.
#[derive(Debug)]
pub(crate) struct SpillWriter(#[allow(dead_code, reason = "dropping it ends the thread")] Worker);

impl SpillWriter {
    /// Writes what is queued in `queue` during an outage to `spill_file`, which may have `max_bytes`.
    pub(crate) fn start(
        queue: Arc<FrameQueue>,
        spill_file: Arc<SpillFile>,
        max_bytes: usize,
    ) -> Result<Self, SpawnError> {
        let max_bytes = max_bytes as u64;
        let mut writer =
            WriterLoop { queue, spill_file, max_bytes, next_offset: 0, nonce: 0, empty: true, full: false };
        let work = move |stop: &Stop| {
            while !stop.is_requested() {
                writer.step(stop);
            }
        };
        Worker::spawn("outage-buffer", OnDrop::Join, work).map(Self)
    }
}

struct WriterLoop {
    queue: Arc<FrameQueue>,
    spill_file: Arc<SpillFile>,
    max_bytes: u64,
    next_offset: u64,
    nonce: u64,
    empty: bool,
    full: bool,
}

impl WriterLoop {
    fn step(&mut self, stop: &Stop) {
        let (next, oldest) = self.queue.next_to_spill(MAX_WAIT);
        let Some((serial, frame)) = next else {
            if oldest.is_none() && !std::mem::replace(&mut self.empty, true) {
                // No frame is on disk: its space is freed.
                (self.next_offset, self.full) = (0, false);
                if let Err(error) = self.spill_file.file.set_len(0) {
                    tracing::warn!("the outage buffer's file does not shrink: {error}");
                }
            }
            return;
        };
        if self.full {
            // A bounded number of frames stays in memory then. Woken by each of them, this thread would only spin.
            stop.wait_timeout(MAX_WAIT);
        }
        let length = (frame.buffer.size() + CHACHA20_POLY1305.tag_len()) as u64;
        let Some(offset) = self.allocate(length, oldest) else { return self.queue.drop_oldest() };
        self.nonce += 1;
        match self.spill_file.write(&frame, offset, self.nonce) {
            Ok(slot) => {
                (self.empty, self.full) = (false, false);
                self.next_offset = offset + length;
                self.queue.mark_spilled(serial, slot);
            }
            Err(error) => {
                self.empty = false;
                if !std::mem::replace(&mut self.full, true) {
                    tracing::warn!(
                        "the outage buffer on disk takes no more ({error}): the oldest pictures are dropped"
                    );
                }
            }
        }
    }

    /// Where `length` bytes fit in the ring: after the newest frame, and before the oldest one in use.
    fn allocate(&self, length: u64, oldest: Option<SpillSlot>) -> Option<u64> {
        match oldest.map(|slot| slot.offset) {
            None => (length <= self.max_bytes).then_some(0),
            Some(first) if self.next_offset > first && self.next_offset + length <= self.max_bytes => {
                Some(self.next_offset)
            }
            Some(first) if self.next_offset > first => (length < first).then_some(0),
            Some(first) => (self.next_offset + length < first).then_some(self.next_offset),
        }
    }
}

#[cfg(test)]
mod tests;
