//! The bounded queue of encoded frames between capture and push: short while the server takes them, and during an
//! outage a buffer that bridges it.

pub(crate) mod spill_file;
pub(crate) mod spill_writer;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;

use crate::capture::media::frame::{Frame, Track};
use crate::capture::queue::spill_file::{SpillFile, SpillSlot};

/// At most this much time is queued on air: more would only put the viewer further behind. During an outage this
/// much stays in memory, whatever holds the rest.
pub(crate) const SPAN: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// At most this many bytes are queued on air: 2 s at 20 Mbit/s, the highest bitrate that can be configured, and a
/// keyframe. During an outage on disk at most this many wait to be written.
const BYTES: usize = 8 * 1024 * 1024;
/// Less than this behind, the stream is at its live edge again.
const CAUGHT_UP: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// A link that has this much over, and a third of what is coded, catches up in time; another never would.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// The queues that each of the encoders' outputs goes into.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncoderQueues {
    pub(crate) pictures: Vec<Arc<FrameQueue>>,
    pub(crate) aac: Vec<Arc<FrameQueue>>,
    pub(crate) opus: Vec<Arc<FrameQueue>>,
}

impl EncoderQueues {
    /// One queue for picture and AAC.
    pub(crate) fn of(queue: &Arc<FrameQueue>) -> Self {
        Self { pictures: vec![queue.clone()], aac: vec![queue.clone()], opus: Vec::new() }
    }
}

/// How much may wait during an outage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Time from the oldest to the newest frame.
    pub(crate) span: Duration,
    /// A shorter outage is bridged: everything that waits is sent. After a longer one the stream goes on at the live
    /// edge.
    pub(crate) catch_up: Duration,
}

/// A frame that waits. In the vault its buffer has everything but the data.
#[derive(Debug)]
struct QueuedFrame {
    serial: u64,
    frame: Frame,
    size: usize,
    place: Option<SpillSlot>,
}

/// What the server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// It takes frames as they come.
    #[default]
    Live,
    /// It is out of reach, since then in the stream's own time; `None`: nothing came yet.
    Outage { since: Option<gst::ClockTime> },
    /// It takes what waited; until then in the stream's own time.
    CatchingUp { until: gst::ClockTime },
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<QueuedFrame>,
    /// Of all frames, and of those that are not in the vault.
    bytes: usize,
    plain: usize,
    serial: u64,
    mode: Mode,
    /// Frames are dropped until a keyframe comes.
    waiting: bool,
    /// The encoder should make one.
    wanted: bool,
    /// Whoever takes is not to be woken for sound.
    bundles: bool,
    dropped: u64,
}

/// Capture puts in, push takes out. Never blocks the one that puts in.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    /// Something became old enough for the vault, or there is nothing left in it.
    changed: Condvar,
    bounds: QueueLimits,
    vault: Option<Arc<SpillFile>>,
}

impl Default for FrameQueue {
    /// One that no outage makes longer.
    fn default() -> Self {
        let span = Duration::from_nanos(SPAN.nseconds());
        Self::new(QueueLimits { bytes: BYTES, span, catch_up: Duration::ZERO }, None)
    }
}

impl FrameQueue {
    /// What waits during an outage is in `vault`, or else in memory.
    pub(crate) fn new(bounds: QueueLimits, vault: Option<Arc<SpillFile>>) -> Self {
        Self { inner: Mutex::default(), arrived: Condvar::new(), changed: Condvar::new(), bounds, vault }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in. On air a queue that is full drops all, up to the next keyframe; during an outage the oldest.
    pub(crate) fn put(&self, frame: Frame) {
        let mut inner = self.lock();
        let size = frame.buffer.size();
        let span = inner.span_to(frame.buffer.pts());
        match inner.mode {
            Mode::Live if inner.bytes + size > BYTES || span > SPAN => inner.restart(),
            Mode::Live => {}
            Mode::CatchingUp { until } if frame.buffer.pts().is_some_and(|pts| pts > until) => inner.jump(),
            Mode::CatchingUp { .. } | Mode::Outage { .. } => {
                let longest = gst::ClockTime::try_from(self.bounds.span).unwrap_or(SPAN);
                while !inner.frames.is_empty()
                    && (inner.bytes + size > self.bounds.bytes
                        || inner.span_to(frame.buffer.pts()) > longest
                        || (self.vault.is_some() && inner.plain + size > BYTES))
                {
                    inner.drop_oldest();
                }
            }
        }
        if inner.waiting && !frame.is_keyframe() {
            inner.dropped += u64::from(frame.track == Track::Video);
            return;
        }
        inner.waiting = false;
        if let Mode::Outage { since } = &mut inner.mode {
            *since = since.or(frame.buffer.pts());
        }
        inner.bytes += size;
        inner.plain += size;
        inner.serial += 1;
        let (serial, track) = (inner.serial, frame.track);
        inner.frames.push_back(QueuedFrame { serial, frame, size, place: None });
        let busy = inner.mode != Mode::Live;
        let awaited = track == Track::Video || !inner.bundles;
        drop(inner);
        if awaited {
            self.arrived.notify_one();
        }
        if busy {
            self.changed.notify_one();
        }
    }

    /// The next frame, or nothing within `patience`.
    pub(crate) fn take(&self, patience: Duration) -> Option<Frame> {
        self.take_when(patience, false)
    }

    /// The next frame once a picture waits, or after `patience`: sound alone wakes nobody.
    pub(crate) fn take_bundled(&self, patience: Duration) -> Option<Frame> {
        self.take_when(patience, true)
    }

    fn take_when(&self, patience: Duration, bundles: bool) -> Option<Frame> {
        let mut inner = self.lock();
        inner.bundles = bundles;
        let (mut inner, _) = self
            .arrived
            .wait_timeout_while(inner, patience, |inner| !inner.has(bundles))
            .unwrap_or_else(PoisonError::into_inner);
        let taken = inner.pop()?;
        if matches!(inner.mode, Mode::CatchingUp { .. }) && inner.span() <= CAUGHT_UP {
            inner.mode = Mode::Live;
        }
        drop(inner);
        match (taken.place, &self.vault) {
            (None, _) => Some(taken.frame),
            (Some(place), Some(vault)) => match vault.open(place, &taken.frame) {
                Ok(frame) => Some(frame),
                Err(error) => {
                    tracing::warn!("a frame of the outage buffer is lost: {error}");
                    let mut inner = self.lock();
                    inner.dropped += u64::from(taken.frame.track == Track::Video);
                    inner.jump();
                    None
                }
            },
            (Some(_), None) => None,
        }
    }

    /// Gives back what a connection was given that then never came to be.
    pub(crate) fn give_back(&self, frames: Vec<Frame>) {
        let mut inner = self.lock();
        for frame in frames.into_iter().rev() {
            let size = frame.buffer.size();
            inner.bytes += size;
            inner.plain += size;
            // Serials only tell waiting frames apart; these are too old to be written.
            inner.frames.push_front(QueuedFrame { serial: 0, frame, size, place: None });
        }
    }

    /// The server is out of reach: what comes waits, from a keyframe on, that the encoder should make now.
    pub(crate) fn hold(&self) {
        let mut inner = self.lock();
        if matches!(inner.mode, Mode::Outage { .. }) {
            return;
        }
        // Frames in front of the first keyframe belong to a picture that the next connection does not have.
        let useless = inner.frames.iter().position(|waiting| waiting.frame.is_keyframe()).unwrap_or(inner.frames.len());
        inner.drop_front(useless);
        let since = inner.frames.front().and_then(|first| first.frame.buffer.pts());
        inner.mode = Mode::Outage { since };
        if since.is_none() {
            inner.waiting = true;
            inner.wanted = true;
        }
    }

    /// A connection begins: what waits is sent, or, where that is too much to catch up with, what is at the live edge.
    pub(crate) fn resume(&self) {
        let mut inner = self.lock();
        let Mode::Outage { since } = inner.mode else { return };
        let newest = inner.frames.back().and_then(|last| last.frame.buffer.pts());
        let away = newest.zip(since).map_or(gst::ClockTime::ZERO, |(newest, since)| newest.saturating_sub(since));
        let behind = inner.span();
        if gst::ClockTime::try_from(self.bounds.catch_up).is_ok_and(|longest| away > longest.max(SPAN)) {
            inner.jump();
        } else if behind <= SPAN {
            inner.mode = Mode::Live;
        } else {
            inner.mode = Mode::CatchingUp { until: newest.unwrap_or_default() + 3 * behind + PATIENCE };
        }
    }

    /// Whether the encoder should make a keyframe, since without one nothing can be sent; told once.
    pub(crate) fn wants_keyframe(&self) -> bool {
        std::mem::take(&mut self.lock().wanted)
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes as u64
    }

    /// How many video frames were dropped since the session began.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// From the oldest to the newest frame.
    pub(crate) fn span(&self) -> gst::ClockTime {
        self.lock().span()
    }

    /// A frame that is to go into the vault, and the oldest place there that is in use; waits for one.
    pub(crate) fn to_seal(&self, patience: Duration) -> (Option<(u64, Frame)>, Option<SpillSlot>) {
        let (inner, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |inner| inner.old_one().is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let oldest = inner.frames.iter().find_map(|waiting| waiting.place);
        (inner.old_one().map(|waiting| (waiting.serial, waiting.frame.clone())), oldest)
    }

    /// It is there; if nobody took it meanwhile its data leave the memory.
    pub(crate) fn sealed(&self, serial: u64, place: SpillSlot) {
        let mut inner = self.lock();
        let Some(waiting) = inner.frames.iter_mut().find(|waiting| waiting.serial == serial) else { return };
        waiting.place = Some(place);
        waiting.frame = waiting.frame.without_data();
        let size = waiting.size;
        inner.plain -= size;
    }

    /// There is no room for it: the oldest make some.
    pub(crate) fn make_room(&self) {
        self.lock().drop_oldest();
    }
}

impl Inner {
    fn span_to(&self, pts: Option<gst::ClockTime>) -> gst::ClockTime {
        let first = self.frames.front().and_then(|first| first.frame.buffer.pts());
        first.zip(pts).map_or(gst::ClockTime::ZERO, |(first, last)| last.saturating_sub(first))
    }

    fn span(&self) -> gst::ClockTime {
        self.span_to(self.frames.back().and_then(|last| last.frame.buffer.pts()))
    }

    /// Whether there is a frame, or, where sound waits for it, a picture.
    fn has(&self, bundles: bool) -> bool {
        self.frames.iter().any(|waiting| !bundles || waiting.frame.track == Track::Video)
    }

    /// The first frame that is not in the vault, if it is old enough to go there.
    fn old_one(&self) -> Option<&QueuedFrame> {
        if !matches!(self.mode, Mode::Outage { .. }) {
            return None;
        }
        let newest = self.frames.back()?.frame.buffer.pts()?;
        let plain = self.frames.iter().find(|waiting| waiting.place.is_none() && waiting.serial > 0)?;
        (newest.saturating_sub(plain.frame.buffer.pts()?) > SPAN).then_some(plain)
    }

    fn pop(&mut self) -> Option<QueuedFrame> {
        let taken = self.frames.pop_front()?;
        self.bytes -= taken.size;
        if taken.place.is_none() {
            self.plain -= taken.size;
        }
        Some(taken)
    }

    fn drop_front(&mut self, count: usize) {
        for _ in 0..count {
            let Some(gone) = self.pop() else { return };
            self.dropped += u64::from(gone.frame.track == Track::Video);
        }
    }

    fn restart(&mut self) {
        self.drop_front(self.frames.len());
        self.waiting = true;
        self.wanted = true;
    }

    /// Drops the oldest keyframe and what depends on it.
    fn drop_oldest(&mut self) {
        match self.frames.iter().skip(1).position(|waiting| waiting.frame.is_keyframe()) {
            Some(position) => self.drop_front(position + 1),
            None => self.restart(),
        }
    }

    /// To the live edge: keeps what is queued from its last keyframe on.
    fn jump(&mut self) {
        self.mode = Mode::Live;
        match self.frames.iter().rposition(|waiting| waiting.frame.is_keyframe()) {
            Some(position) => self.drop_front(position),
            None => self.restart(),
        }
        if self.span() > SPAN {
            self.restart();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
