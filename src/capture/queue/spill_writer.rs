//! The thread that writes waiting frames to disk, so that neither camera nor network ever wait for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ring::aead::CHACHA20_POLY1305;

use crate::capture::queue::FrameQueue;
use crate::capture::queue::spill_file::{SpillFile, SpillSlot};

/// How long the thread sleeps at most: then it sees that it is over.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// The thread that writes, so that neither camera nor network ever wait for the disk. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct SpillWriter {
    stop: Arc<()>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SpillWriter {
    fn drop(&mut self) {
        self.stop = Arc::new(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl SpillWriter {
    /// Writes what waits in `queue` into `vault`, which holds `size` bytes.
    pub(crate) fn start(queue: Arc<FrameQueue>, spill_file: Arc<SpillFile>, size: usize) -> std::io::Result<Self> {
        let stop = Arc::new(());
        let ends = Arc::downgrade(&stop);
        let writer = WriterLoop { queue, spill_file, size: size as u64, at: 0, nonce: 0, empty: true, full: false };
        let thread = std::thread::Builder::new().name("outage-buffer".to_owned()).spawn(move || {
            let mut writer = writer;
            while ends.strong_count() > 0 {
                writer.step();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

struct WriterLoop {
    queue: Arc<FrameQueue>,
    spill_file: Arc<SpillFile>,
    size: u64,
    /// Where the next frame goes.
    at: u64,
    nonce: u64,
    empty: bool,
    full: bool,
}

impl WriterLoop {
    fn step(&mut self) {
        let (next, oldest) = self.queue.next_to_spill(MAX_SLEEP);
        let Some((serial, frame)) = next else {
            if oldest.is_none() && !std::mem::replace(&mut self.empty, true) {
                // Nothing waits: the disk gets its room back.
                (self.at, self.full) = (0, false);
                if let Err(error) = self.spill_file.file.set_len(0) {
                    tracing::warn!("the outage buffer's file does not shrink: {error}");
                }
            }
            return;
        };
        if self.full {
            // Frames wait in memory then, a bounded number. Woken by each, this thread would only spin.
            std::thread::park_timeout(MAX_SLEEP);
        }
        let length = (frame.buffer.size() + CHACHA20_POLY1305.tag_len()) as u64;
        let Some(offset) = self.allocate(length, oldest) else { return self.queue.drop_oldest() };
        self.nonce += 1;
        match self.spill_file.write(&frame, offset, self.nonce) {
            Ok(slot) => {
                (self.empty, self.full) = (false, false);
                self.at = offset + length;
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

    /// A ring: behind the newest, in front of the oldest that is in use.
    fn allocate(&self, length: u64, oldest: Option<SpillSlot>) -> Option<u64> {
        match oldest.map(|slot| slot.offset) {
            None => (length <= self.size).then_some(0),
            Some(first) if self.at > first && self.at + length <= self.size => Some(self.at),
            Some(first) if self.at > first => (length < first).then_some(0),
            Some(first) => (self.at + length < first).then_some(self.at),
        }
    }
}

#[cfg(test)]
mod tests;
