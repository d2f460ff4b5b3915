//! Frames that wait for a connection, for whoever keeps them for the operator until they are delivered.

use std::time::Duration;

use gstreamer as gst;

use super::keep_buffer::{KeepBuffer, Waiting};
use super::{FrameQueue, Inner, MAX_LIVE_BYTES, QueueMode};
use crate::capture::media::Frame;
use crate::sync::unpoisoned;

impl FrameQueue {
    /// From now on [`FrameQueue::next_to_keep`] gives what waits during an outage.
    pub(crate) fn start_keeping(&self) {
        self.lock().to_keep = Some(KeepBuffer::default());
    }

    /// The session is over: what waits now will not be delivered.
    pub(crate) fn end_keeping(&self) {
        if let Some(to_keep) = &mut self.lock().to_keep {
            to_keep.is_ended = true;
        }
        self.keep_work.notify_all();
    }

    /// Whether frames wait to be kept.
    #[cfg(test)]
    pub(crate) fn has_to_keep(&self) -> bool {
        self.lock().to_keep.as_ref().is_some_and(|to_keep| !to_keep.frames.is_empty())
    }

    /// The next frame to keep; waits for one.
    pub(crate) fn next_to_keep(&self, timeout: Duration) -> Waiting {
        let idle = |inner: &mut Inner| {
            inner.to_keep.as_ref().is_some_and(|to_keep| to_keep.frames.is_empty() && !to_keep.is_ended)
        };
        let (mut inner, _) = unpoisoned(self.keep_work.wait_timeout_while(self.lock(), timeout, idle));
        let oldest = inner.oldest_waiting();
        let Some(to_keep) = &mut inner.to_keep else {
            return Waiting { frame: None, has_gap: false, oldest, is_ended: true };
        };
        let frame = to_keep.frames.pop_front();
        to_keep.bytes -= frame.as_ref().map_or(0, |frame| frame.buffer.size());
        Waiting { frame, has_gap: std::mem::take(&mut to_keep.has_gap), oldest, is_ended: to_keep.is_ended }
    }
}

impl Inner {
    /// Whether the frame waits for a connection, and is kept as long as it does.
    pub(super) fn keep_if_waiting(&mut self, frame: &Frame) -> bool {
        if self.mode == QueueMode::Live {
            return false;
        }
        let Some(to_keep) = self.to_keep.as_mut().filter(|to_keep| !to_keep.is_ended) else { return false };
        let size = frame.buffer.size();
        if to_keep.bytes + size > MAX_LIVE_BYTES {
            // The disk is too slow.
            *to_keep = KeepBuffer { has_gap: true, ..KeepBuffer::default() };
        }
        to_keep.bytes += size;
        to_keep.frames.push_back(frame.clone());
        true
    }

    /// An outage has begun: what is queued waits.
    pub(super) fn keep_queued(&mut self) {
        let Some(to_keep) = &mut self.to_keep else { return };
        to_keep.has_gap = true;
        let queued: Vec<Frame> =
            self.frames.iter().filter(|queued| queued.slot.is_none()).map(|queued| queued.frame.clone()).collect();
        for frame in &queued {
            self.keep_if_waiting(frame);
        }
    }

    /// Timestamp of the oldest frame that waits for a connection.
    pub(super) fn oldest_waiting(&self) -> Option<gst::ClockTime> {
        if self.mode == QueueMode::Live {
            return None;
        }
        self.frames.iter().find_map(|queued| queued.frame.buffer.pts())
    }
}
