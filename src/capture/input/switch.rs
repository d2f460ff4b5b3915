//! Where picture or sound come in for encoding: what their device gives or, while that is away, a stand-in. Time goes
//! on through every change and never steps back, and the caps stay those of the beginning, so the encoder sees no seam.
//! What comes is handed on in the thread that brought it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::MulDiv;
use gstreamer as gst;

use super::slate;
use crate::clock::Clock;
use crate::ipc::CaptureDevice;
use monotonic::Monotonic;

/// Less silence than this is not worth a buffer: what sound cards give at a time.
const MORSEL: gst::ClockTime = gst::ClockTime::from_mseconds(10);
/// More silence than this is not made at a time.
const MOUTHFUL: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// Takes a buffer, its time being running time, and its caps; and whether a keyframe should begin with it. Must not
/// wait.
pub(crate) type Downstream = Box<dyn Fn(gst::Buffer, &gst::Caps, bool) + Send>;

/// One of the two ways in.
#[derive(Debug)]
pub(crate) struct InputSwitch {
    device: CaptureDevice,
    clock: Clock,
    /// Pictures a second at most; of sound 0.
    fps: u32,
    /// From one picture to the next.
    interval: gst::ClockTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which opening of the device counts: one that was given up may still say something.
    opening: u32,
    /// The stand-in is on.
    away: bool,
    /// When the present opening last gave something.
    heard: Option<Monotonic>,
    /// Running time up to which something was sent: the last picture's, or the end of the last sound.
    filled: Option<gst::ClockTime>,
    slate: Option<gst::Buffer>,
    /// What was sent last was the slate.
    slated: bool,
    /// What comes next is another picture than what came before it.
    changed: bool,
    caps: Option<gst::Caps>,
    /// Nobody takes anything yet: the newest waits.
    early: Option<gst::Buffer>,
    next: Option<Downstream>,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State").field("opening", &self.opening).field("away", &self.away).finish_non_exhaustive()
    }
}

impl InputSwitch {
    /// For pictures, `fps` a second.
    pub(crate) fn of_pictures(fps: u32, clock: Clock) -> Self {
        let interval = gst::ClockTime::SECOND.mul_div_floor(1, u64::from(fps.max(1))).unwrap_or(gst::ClockTime::SECOND);
        Self { fps, ..Self::new(CaptureDevice::Camera, None, interval, clock) }
    }

    /// For sound.
    pub(crate) fn of_sound(clock: Clock) -> Self {
        Self::new(CaptureDevice::Microphone, Some(crate::capture::media::raw_audio_caps()), MORSEL, clock)
    }

    fn new(device: CaptureDevice, caps: Option<gst::Caps>, interval: gst::ClockTime, clock: Clock) -> Self {
        Self { device, clock, fps: 0, interval, state: Mutex::new(State { caps, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the two.
    pub(crate) fn device(&self) -> CaptureDevice {
        self.device
    }

    /// From one picture to the next; of sound, from one buffer to the next.
    pub(crate) fn interval(&self) -> Duration {
        self.interval.into()
    }

    /// From now on `next` takes what comes.
    pub(crate) fn begin(&self, next: Downstream) {
        let mut state = self.lock();
        state.next = Some(next);
        if let Some(early) = state.early.take() {
            state.send(early);
        }
    }

    /// The device is opened anew: what earlier openings give counts no more. Returns the new one's number.
    pub(crate) fn expect(&self) -> u32 {
        let mut state = self.lock();
        state.opening += 1;
        state.heard = None;
        state.opening
    }

    /// When the present opening last gave something; `None`: it gave nothing yet.
    pub(crate) fn heard(&self) -> Option<Monotonic> {
        self.lock().heard
    }

    /// What a device gave. The buffer goes on as it is, without a copy.
    pub(crate) fn take(&self, opening: u32, sample: &gst::Sample) -> Option<()> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let mut buffer = sample.buffer_owned()?;
        let given = buffer.pts()?;
        let at = segment.to_running_time(given)?;
        let mut state = self.lock();
        if state.opening != opening {
            return None;
        }
        let end = match self.device {
            CaptureDevice::Camera => at,
            CaptureDevice::Microphone => at + buffer.duration().unwrap_or_default(),
        };
        let mut earliest = state.filled;
        if core::mem::take(&mut state.away) {
            state.changed = true;
            state.heard = Some(self.clock.now());
        }
        if self.device == CaptureDevice::Camera {
            // Two pictures in one instant are none: FLV counts milliseconds, and a driver that was kept from running
            // gives some at once. Behind the slate the next one comes in time.
            let apart = if state.slated { self.interval / 2 } else { gst::ClockTime::MSECOND };
            earliest = earliest.map(|filled| filled + apart);
        }
        if earliest.is_some_and(|earliest| end <= earliest) {
            return None;
        }
        if state.caps.is_none() {
            state.caps = sample.caps_owned().map(|caps| self.rated(caps));
        }
        if at != given {
            let edit = buffer.make_mut();
            edit.set_pts(at);
            edit.set_dts(None);
        }
        state.heard = Some(self.clock.now());
        state.filled = Some(end);
        state.slated = false;
        state.send(buffer);
        Some(())
    }

    /// `caps` with the rate that pictures come at most, by which the encoder divides its bits.
    fn rated(&self, mut caps: gst::Caps) -> gst::Caps {
        let most = gst::Fraction::new(i32::try_from(self.fps).unwrap_or(1), 1);
        if self.device == CaptureDevice::Camera
            && let Some(structure) = caps.make_mut().structure_mut(0)
        {
            let given = structure.get::<gst::Fraction>("framerate").ok();
            let slower = given.filter(|rate| *rate < most && rate.numer() > 0);
            structure.set("framerate", slower.unwrap_or(most));
        }
        caps
    }

    /// The device is away: from now on `fill` stands in.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.opening += 1;
        state.heard = None;
        state.away = true;
        state.changed = true;
    }

    /// Stands in for the device up to the running time `now`, unless it is back. Returns when to be called again.
    pub(crate) fn fill(&self, now: gst::ClockTime) -> gst::ClockTime {
        let mut state = self.lock();
        if state.away {
            match self.device {
                CaptureDevice::Camera => self.show(&mut state, now),
                CaptureDevice::Microphone => state.hush(now),
            }
        }
        (state.filled.unwrap_or(now) + self.interval).max(now + gst::ClockTime::MSECOND)
    }

    fn show(&self, state: &mut State, now: gst::ClockTime) {
        let due = state.filled.map_or(now, |filled| filled + self.interval);
        if due > now {
            return;
        }
        // On the grid of the pictures before it, unless the gap is too long to be made good.
        let at = if due + self.interval < now { now } else { due };
        if state.slate.is_none() {
            state.slate = state.caps.as_ref().and_then(slate::draw);
        }
        let Some(drawn) = &state.slate else { return };
        // Its memory is the same each time.
        let mut buffer = drawn.copy();
        buffer.make_mut().set_pts(at);
        buffer.make_mut().set_duration(self.interval);
        state.filled = Some(at);
        state.slated = true;
        state.send(buffer);
    }
}

impl State {
    /// Silence up to `now`.
    fn hush(&mut self, now: gst::ClockTime) {
        let from = self.filled.unwrap_or(now).max(now.saturating_sub(MOUTHFUL));
        if now < from + MORSEL {
            return;
        }
        let (size, span) = crate::capture::media::silence_length(now - from);
        let mut buffer = gst::Buffer::from_slice(vec![0_u8; size]);
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(from);
            edit.set_duration(span);
        }
        self.filled = Some(from + span);
        self.send(buffer);
    }

    /// Whoever joins, and whoever was there before, sees a change at once and whole: it begins with a keyframe.
    fn send(&mut self, buffer: gst::Buffer) {
        match (&self.next, &self.caps) {
            (Some(next), Some(caps)) => next(buffer, caps, core::mem::take(&mut self.changed)),
            _ => self.early = Some(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn pictures_that_come_at_once_are_one() {
        gst::init().unwrap();
        let lane = InputSwitch::of_pictures(15, Clock::start());
        let passed = Arc::new(Mutex::new(Vec::new()));
        let heard = passed.clone();
        lane.begin(Box::new(move |buffer, _, _| heard.lock().unwrap().push(buffer.pts().unwrap().useconds())));
        let (caps, opening) = (gst::Caps::new_empty_simple("video/x-raw"), lane.expect());
        for at in [0, 66_667, 66_900, 67_600, 67_668, 133_333] {
            let mut buffer = gst::Buffer::new();
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_useconds(at));
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            lane.take(opening, &gst::Sample::builder().buffer(&buffer).caps(&caps).segment(&segment).build());
        }
        assert_eq!(*passed.lock().unwrap(), [0, 66_667, 67_668, 133_333]);
    }
}
