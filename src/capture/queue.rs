//! The bounded queue of encoded frames between capture and push.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;

/// At most this much time is queued: more would only put the viewer further behind.
const SPAN: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// At most this many bytes are queued: 2 s at 20 Mbit/s, the highest bitrate that can be configured, and a keyframe.
const BYTES: usize = 8 * 1024 * 1024;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    Video,
    Audio,
}

/// One encoded frame, its times being the capture pipeline's running time.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) track: Track,
    pub(super) buffer: gst::Buffer,
    pub(super) caps: Option<gst::Caps>,
}

impl Frame {
    pub(super) fn is_keyframe(&self) -> bool {
        self.track == Track::Video && !self.buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
    }
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Frames are dropped until a keyframe comes.
    waiting: bool,
    dropped: u64,
}

/// Capture puts in, push takes out. Never blocks the one that puts in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in. When the queue is full all of it is dropped, up to the next keyframe.
    pub(super) fn put(&self, frame: Frame) {
        let mut inner = self.lock();
        let first = inner.frames.front().and_then(|first| first.buffer.pts());
        let span = first.zip(frame.buffer.pts()).map(|(first, last)| last.saturating_sub(first));
        if inner.bytes + frame.buffer.size() > BYTES || span.is_some_and(|span| span > SPAN) {
            inner.restart();
        }
        if inner.waiting && !frame.is_keyframe() {
            inner.dropped += u64::from(frame.track == Track::Video);
            return;
        }
        inner.waiting = false;
        inner.bytes += frame.buffer.size();
        inner.frames.push_back(frame);
        drop(inner);
        self.arrived.notify_one();
    }

    /// The next frame, or nothing within `patience`.
    pub(super) fn take(&self, patience: Duration) -> Option<Frame> {
        let (mut inner, _) = self
            .arrived
            .wait_timeout_while(self.lock(), patience, |inner| inner.frames.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let frame = inner.frames.pop_front()?;
        inner.bytes -= frame.buffer.size();
        Some(frame)
    }

    /// A new connection begins: keeps what is queued from its last keyframe on.
    pub(super) fn trim_to_keyframe(&self) {
        let mut inner = self.lock();
        match inner.frames.iter().rposition(Frame::is_keyframe) {
            None => inner.restart(),
            Some(position) => {
                let old: Vec<Frame> = inner.frames.drain(..position).collect();
                inner.bytes -= old.iter().map(|frame| frame.buffer.size()).sum::<usize>();
                inner.dropped += old.iter().filter(|frame| frame.track == Track::Video).count() as u64;
            }
        }
    }

    /// How many video frames were dropped since the session began.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

impl Inner {
    fn restart(&mut self) {
        self.dropped += self.frames.iter().filter(|frame| frame.track == Track::Video).count() as u64;
        self.frames.clear();
        self.bytes = 0;
        self.waiting = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(track: Track, millis: u64, key: bool, size: usize) -> Frame {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::with_size(size).unwrap();
        let edit = buffer.get_mut().unwrap();
        edit.set_pts(gst::ClockTime::from_mseconds(millis));
        if !key {
            edit.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        Frame { track, buffer, caps: None }
    }

    fn times(queue: &Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.take(Duration::ZERO))
            .filter_map(|frame| Some(frame.buffer.pts()?.mseconds()))
            .collect()
    }

    #[test]
    fn an_overflow_goes_on_at_a_keyframe() {
        let queue = Queue::default();
        queue.put(frame(Track::Video, 0, true, 10));
        queue.put(frame(Track::Audio, 5, true, 10));
        queue.put(frame(Track::Video, 1000, false, 10));
        queue.put(frame(Track::Video, 2001, false, 10));
        queue.put(frame(Track::Audio, 2010, true, 10));
        queue.put(frame(Track::Video, 2034, true, 10));
        queue.put(frame(Track::Audio, 2040, true, 10));
        assert_eq!(queue.dropped(), 3);
        assert_eq!(times(&queue), [2034, 2040]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let queue = Queue::default();
        for number in 0..100 {
            queue.put(frame(Track::Video, number, true, BYTES / 4));
            assert!(queue.lock().bytes <= BYTES);
        }
        assert!(queue.dropped() > 90);
    }

    #[test]
    fn a_new_connection_begins_at_the_last_keyframe() {
        let queue = Queue::default();
        for (millis, key) in [(0, true), (40, false), (80, true), (120, false)] {
            queue.put(frame(Track::Video, millis, key, 10));
        }
        queue.trim_to_keyframe();
        assert_eq!(times(&queue), [80, 120]);
        queue.put(frame(Track::Video, 160, false, 10));
        queue.trim_to_keyframe();
        queue.put(frame(Track::Video, 200, false, 10));
        queue.put(frame(Track::Video, 240, true, 10));
        assert_eq!(times(&queue), [240]);
    }
}
