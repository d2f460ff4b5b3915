//! The bounded queue of encoded frames between encoder and publisher: short while the stream is live, and a buffer
//! during an outage.

mod keep;
mod keep_buffer;
mod spill_file;
mod spill_writer;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use gstreamer as gst;

use crate::capture::media::{Frame, Track};
use crate::sync::{LockExt, unpoisoned};

use keep_buffer::KeepBuffer;
pub(crate) use keep_buffer::Waiting;
pub(crate) use spill_file::SpillFile;
use spill_file::SpillSlot;
pub(crate) use spill_writer::SpillWriter;

/// At most this much time is queued while the stream is live: more would only increase the delay. During an outage this
/// much stays in memory even if the rest is on disk.
pub(crate) const MAX_LIVE_DURATION: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// At most this many bytes are queued while the stream is live: 2 s at 20 Mbit/s, the highest configurable bitrate, and
/// a keyframe. During an outage with a spill file at most this many wait to be written.
const MAX_LIVE_BYTES: usize = 8 * 1024 * 1024;
/// A stream that is less than this behind is at its live edge.
const LIVE_EDGE: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// Extra time to catch up. A link with a third more bandwidth than the bitrate needs it makes it; a slower one never
/// would.
const CATCH_UP_ALLOWANCE: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// The queues that the encoders fill.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncoderQueues {
    pub(crate) video: Vec<Arc<FrameQueue>>,
    pub(crate) aac: Vec<Arc<FrameQueue>>,
    pub(crate) opus: Vec<Arc<FrameQueue>>,
}

impl EncoderQueues {
    /// One queue for picture and AAC.
    pub(crate) fn video_and_aac(queue: &Arc<FrameQueue>) -> Self {
        Self { video: vec![queue.clone()], aac: vec![queue.clone()], opus: Vec::new() }
    }
}

/// The limits of the queue during an outage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Time from the oldest to the newest frame.
    pub(crate) duration: Duration,
    /// After an outage of at most this duration all queued frames are sent. After a longer one the stream continues at
    /// the live edge.
    pub(crate) catch_up: Duration,
}

/// A queued frame. If it is spilled, its buffer has no data.
#[derive(Debug)]
struct QueuedFrame {
    serial: u64,
    frame: Frame,
    size: usize,
    slot: Option<SpillSlot>,
}

/// What happens to queued frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum QueueMode {
    /// They are sent as they come.
    #[default]
    Live,
    /// There is no connection since this timestamp; `None`: no frame has come since.
    Outage { since: Option<gst::ClockTime> },
    /// What was queued during an outage is sent, until this timestamp.
    CatchingUp { until: gst::ClockTime },
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<QueuedFrame>,
    /// Of all frames, and of those that are in memory.
    bytes: usize,
    in_memory_bytes: usize,
    serial: u64,
    mode: QueueMode,
    /// Frames are dropped until the next keyframe.
    awaiting_keyframe: bool,
    /// The encoder should produce a keyframe.
    keyframe_requested: bool,
    /// The consumer waits for a picture: audio does not wake it.
    batching: bool,
    dropped: u64,
    /// Where footage is kept: frames that wait, until they are written.
    to_keep: Option<KeepBuffer>,
}

/// The encoder pushes, the publisher pops. Pushing never blocks.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    inner: Mutex<Inner>,
    frame_available: Condvar,
    /// A frame has become old enough to be spilled, or none is spilled any more.
    spill_work: Condvar,
    /// A frame has to be kept, or the session is over.
    keep_work: Condvar,
    limits: QueueLimits,
    spill_file: Option<Arc<SpillFile>>,
}

impl Default for FrameQueue {
    /// A queue that outages do not make longer.
    fn default() -> Self {
        let duration = Duration::from_nanos(MAX_LIVE_DURATION.nseconds());
        Self::new(QueueLimits { bytes: MAX_LIVE_BYTES, duration, catch_up: Duration::ZERO }, None)
    }
}

impl FrameQueue {
    /// Frames of an outage go to `spill_file`, or else stay in memory.
    pub(crate) fn new(limits: QueueLimits, spill_file: Option<Arc<SpillFile>>) -> Self {
        Self {
            inner: Mutex::default(),
            frame_available: Condvar::new(),
            spill_work: Condvar::new(),
            keep_work: Condvar::new(),
            limits,
            spill_file,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock_unpoisoned()
    }

    /// Adds a frame. A full queue drops all frames up to the next keyframe while the stream is live, and the oldest
    /// ones during an outage.
    pub(crate) fn push(&self, frame: Frame) {
        let mut inner = self.lock();
        let size = frame.buffer.size();
        let span = inner.duration_to(frame.buffer.pts());
        match inner.mode {
            QueueMode::Live if inner.bytes + size > MAX_LIVE_BYTES || span > MAX_LIVE_DURATION => {
                inner.clear_until_keyframe();
            }
            QueueMode::Live => {}
            QueueMode::CatchingUp { until } if frame.buffer.pts().is_some_and(|pts| pts > until) => {
                inner.skip_to_live();
            }
            QueueMode::CatchingUp { .. } | QueueMode::Outage { .. } => {
                let longest = gst::ClockTime::try_from(self.limits.duration).unwrap_or(MAX_LIVE_DURATION);
                while !inner.frames.is_empty()
                    && (inner.bytes + size > self.limits.bytes
                        || inner.duration_to(frame.buffer.pts()) > longest
                        || (self.spill_file.is_some() && inner.in_memory_bytes + size > MAX_LIVE_BYTES))
                {
                    inner.drop_oldest_gop();
                }
            }
        }
        if inner.awaiting_keyframe && !frame.is_keyframe() {
            inner.dropped += u64::from(frame.track == Track::Video);
            return;
        }
        inner.awaiting_keyframe = false;
        if let QueueMode::Outage { since } = &mut inner.mode {
            *since = since.or(frame.buffer.pts());
        }
        inner.bytes += size;
        inner.in_memory_bytes += size;
        inner.serial += 1;
        let (serial, track) = (inner.serial, frame.track);
        let kept = inner.keep_if_waiting(&frame);
        inner.frames.push_back(QueuedFrame { serial, frame, size, slot: None });
        let busy = inner.mode != QueueMode::Live;
        let awaited = track == Track::Video || !inner.batching;
        drop(inner);
        if kept {
            self.keep_work.notify_one();
        }
        if awaited {
            self.frame_available.notify_one();
        }
        if busy {
            self.spill_work.notify_one();
        }
    }

    /// The next frame, or nothing within `timeout`.
    pub(crate) fn pop(&self, timeout: Duration) -> Option<Frame> {
        self.pop_when(timeout, false)
    }

    /// The next frame once a picture is queued, or after `timeout`: audio alone wakes nobody.
    pub(crate) fn pop_batched(&self, timeout: Duration) -> Option<Frame> {
        self.pop_when(timeout, true)
    }

    fn pop_when(&self, timeout: Duration, batched: bool) -> Option<Frame> {
        let mut inner = self.lock();
        inner.batching = batched;
        let (mut inner, _) =
            unpoisoned(self.frame_available.wait_timeout_while(inner, timeout, |inner| !inner.has(batched)));
        let taken = inner.remove_first()?;
        if matches!(inner.mode, QueueMode::CatchingUp { .. }) && inner.duration() <= LIVE_EDGE {
            inner.mode = QueueMode::Live;
        }
        drop(inner);
        match (taken.slot, &self.spill_file) {
            (None, _) => Some(taken.frame),
            (Some(slot), Some(spill_file)) => match spill_file.read(slot, &taken.frame) {
                Ok(frame) => Some(frame),
                Err(error) => {
                    tracing::warn!("a frame of the outage buffer is lost: {error}");
                    let mut inner = self.lock();
                    inner.dropped += u64::from(taken.frame.track == Track::Video);
                    inner.skip_to_live();
                    None
                }
            },
            (Some(_), None) => None,
        }
    }

    /// Puts frames back to the front: those of a connection that never came about.
    pub(crate) fn requeue(&self, frames: Vec<Frame>) {
        let mut inner = self.lock();
        for frame in frames.into_iter().rev() {
            let size = frame.buffer.size();
            inner.bytes += size;
            inner.in_memory_bytes += size;
            // Serials only distinguish queued frames. Those with 0 are never spilled.
            inner.frames.push_front(QueuedFrame { serial: 0, frame, size, slot: None });
        }
    }

    /// Starts an outage: frames are kept, from a keyframe on, which the encoder should produce now.
    pub(crate) fn begin_outage(&self) {
        let mut inner = self.lock();
        if matches!(inner.mode, QueueMode::Outage { .. }) {
            return;
        }
        // Frames before the first keyframe cannot be decoded over the next connection.
        let useless = inner.frames.iter().position(|queued| queued.frame.is_keyframe()).unwrap_or(inner.frames.len());
        inner.drop_front(useless);
        let since = inner.frames.front().and_then(|first| first.frame.buffer.pts());
        let was_live = inner.mode == QueueMode::Live;
        inner.mode = QueueMode::Outage { since };
        if was_live {
            inner.keep_queued();
        }
        if since.is_none() {
            inner.awaiting_keyframe = true;
            inner.keyframe_requested = true;
        }
    }

    /// Ends an outage: queued frames are sent, or skipped up to the live edge if they are too many to catch up.
    pub(crate) fn end_outage(&self) {
        let mut inner = self.lock();
        let QueueMode::Outage { since } = inner.mode else { return };
        let newest = inner.frames.back().and_then(|last| last.frame.buffer.pts());
        let outage = newest.zip(since).map_or(gst::ClockTime::ZERO, |(newest, since)| newest.saturating_sub(since));
        let behind = inner.duration();
        if gst::ClockTime::try_from(self.limits.catch_up).is_ok_and(|longest| outage > longest.max(MAX_LIVE_DURATION)) {
            inner.skip_to_live();
        } else if behind <= MAX_LIVE_DURATION {
            inner.mode = QueueMode::Live;
        } else {
            inner.mode = QueueMode::CatchingUp { until: newest.unwrap_or_default() + 3 * behind + CATCH_UP_ALLOWANCE };
        }
    }

    /// Whether the encoder should produce a keyframe, because nothing can be sent without one; resets the request.
    pub(crate) fn take_keyframe_request(&self) -> bool {
        std::mem::take(&mut self.lock().keyframe_requested)
    }

    /// How many bytes are queued.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.lock().bytes as u64
    }

    /// How many video frames were dropped since the session began.
    pub(crate) fn dropped_frames(&self) -> u64 {
        self.lock().dropped
    }

    /// The time from the oldest to the newest frame.
    pub(crate) fn duration(&self) -> gst::ClockTime {
        self.lock().duration()
    }

    /// The next frame to spill, and the oldest slot in use; waits for a frame.
    pub(crate) fn next_to_spill(&self, timeout: Duration) -> (Option<(u64, Frame)>, Option<SpillSlot>) {
        let (inner, _) = unpoisoned(
            self.spill_work.wait_timeout_while(self.lock(), timeout, |inner| inner.oldest_spillable().is_none()),
        );
        let oldest = inner.frames.iter().find_map(|queued| queued.slot);
        (inner.oldest_spillable().map(|queued| (queued.serial, queued.frame.clone())), oldest)
    }

    /// Records that a frame is spilled. If it is still queued its data is freed.
    pub(crate) fn mark_spilled(&self, serial: u64, slot: SpillSlot) {
        let mut inner = self.lock();
        let Some(queued) = inner.frames.iter_mut().find(|queued| queued.serial == serial) else { return };
        queued.slot = Some(slot);
        queued.frame = queued.frame.without_data();
        let size = queued.size;
        inner.in_memory_bytes -= size;
    }

    /// Drops the oldest frames, to make room in the spill file.
    pub(crate) fn drop_oldest(&self) {
        self.lock().drop_oldest_gop();
    }
}

impl Inner {
    fn duration_to(&self, pts: Option<gst::ClockTime>) -> gst::ClockTime {
        let first = self.frames.front().and_then(|first| first.frame.buffer.pts());
        first.zip(pts).map_or(gst::ClockTime::ZERO, |(first, last)| last.saturating_sub(first))
    }

    fn duration(&self) -> gst::ClockTime {
        self.duration_to(self.frames.back().and_then(|last| last.frame.buffer.pts()))
    }

    /// Whether there is a frame; for a batch, whether there is a picture.
    fn has(&self, batched: bool) -> bool {
        self.frames.iter().any(|queued| !batched || queued.frame.track == Track::Video)
    }

    /// The first frame in memory, if it is old enough to be spilled.
    fn oldest_spillable(&self) -> Option<&QueuedFrame> {
        if !matches!(self.mode, QueueMode::Outage { .. }) {
            return None;
        }
        let newest = self.frames.back()?.frame.buffer.pts()?;
        let next = self.frames.iter().find(|queued| queued.slot.is_none() && queued.serial > 0)?;
        (newest.saturating_sub(next.frame.buffer.pts()?) > MAX_LIVE_DURATION).then_some(next)
    }

    fn remove_first(&mut self) -> Option<QueuedFrame> {
        let taken = self.frames.pop_front()?;
        self.bytes -= taken.size;
        if taken.slot.is_none() {
            self.in_memory_bytes -= taken.size;
        }
        Some(taken)
    }

    fn drop_front(&mut self, count: usize) {
        for _ in 0..count {
            let Some(gone) = self.remove_first() else { return };
            self.dropped += u64::from(gone.frame.track == Track::Video);
        }
    }

    fn clear_until_keyframe(&mut self) {
        self.drop_front(self.frames.len());
        self.awaiting_keyframe = true;
        self.keyframe_requested = true;
    }

    /// Drops the oldest keyframe and the frames that depend on it.
    fn drop_oldest_gop(&mut self) {
        match self.frames.iter().skip(1).position(|queued| queued.frame.is_keyframe()) {
            Some(position) => self.drop_front(position + 1),
            None => self.clear_until_keyframe(),
        }
    }

    /// Skips to the live edge: keeps the frames from the last keyframe on.
    fn skip_to_live(&mut self) {
        self.mode = QueueMode::Live;
        match self.frames.iter().rposition(|queued| queued.frame.is_keyframe()) {
            Some(position) => self.drop_front(position),
            None => self.clear_until_keyframe(),
        }
        if self.duration() > MAX_LIVE_DURATION {
            self.clear_until_keyframe();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
