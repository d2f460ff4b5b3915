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
const MIN_SILENCE: gst::ClockTime = gst::ClockTime::from_mseconds(10);
/// More silence than this is not made at a time.
const MAX_SILENCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

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
    generation: u32,
    /// The stand-in is on.
    on_fallback: bool,
    /// When the present opening last gave something.
    last_sample_at: Option<Monotonic>,
    /// Running time up to which something was sent: the last picture's, or the end of the last sound.
    end_time: Option<gst::ClockTime>,
    slate: Option<gst::Buffer>,
    /// What was sent last was the slate.
    last_was_slate: bool,
    /// What comes next is another picture than what came before it.
    keyframe_due: bool,
    caps: Option<gst::Caps>,
    /// Nobody takes anything yet: the newest waits.
    pending: Option<gst::Buffer>,
    downstream: Option<Downstream>,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("opening", &self.generation)
            .field("away", &self.on_fallback)
            .finish_non_exhaustive()
    }
}

impl InputSwitch {
    /// For pictures, `fps` a second.
    pub(crate) fn video(fps: u32, clock: Clock) -> Self {
        let interval = gst::ClockTime::SECOND.mul_div_floor(1, u64::from(fps.max(1))).unwrap_or(gst::ClockTime::SECOND);
        Self { fps, ..Self::new(CaptureDevice::Camera, None, interval, clock) }
    }

    /// For sound.
    pub(crate) fn audio(clock: Clock) -> Self {
        Self::new(CaptureDevice::Microphone, Some(crate::capture::media::raw_audio_caps()), MIN_SILENCE, clock)
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

    /// From now on `downstream` takes what comes.
    pub(crate) fn connect(&self, downstream: Downstream) {
        let mut state = self.lock();
        state.downstream = Some(downstream);
        if let Some(pending) = state.pending.take() {
            state.send(pending);
        }
    }

    /// The device is opened anew: what earlier openings give counts no more. Returns the new one's number.
    pub(crate) fn next_generation(&self) -> u32 {
        let mut state = self.lock();
        state.generation += 1;
        state.last_sample_at = None;
        state.generation
    }

    /// When the present opening last gave something; `None`: it gave nothing yet.
    pub(crate) fn last_sample_at(&self) -> Option<Monotonic> {
        self.lock().last_sample_at
    }

    /// What a device gave. The buffer goes on as it is, without a copy.
    pub(crate) fn push_sample(&self, generation: u32, sample: &gst::Sample) -> Option<()> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let mut buffer = sample.buffer_owned()?;
        let given = buffer.pts()?;
        let at = segment.to_running_time(given)?;
        let mut state = self.lock();
        if state.generation != generation {
            return None;
        }
        let end = match self.device {
            CaptureDevice::Camera => at,
            CaptureDevice::Microphone => at + buffer.duration().unwrap_or_default(),
        };
        let mut earliest = state.end_time;
        if core::mem::take(&mut state.on_fallback) {
            state.keyframe_due = true;
            state.last_sample_at = Some(self.clock.now());
        }
        if self.device == CaptureDevice::Camera {
            // Two pictures in one instant are none: FLV counts milliseconds, and a driver that was kept from running
            // gives some at once. Behind the slate the next one comes in time.
            let apart = if state.last_was_slate { self.interval / 2 } else { gst::ClockTime::MSECOND };
            earliest = earliest.map(|end_time| end_time + apart);
        }
        if earliest.is_some_and(|earliest| end <= earliest) {
            return None;
        }
        if state.caps.is_none() {
            state.caps = sample.caps_owned().map(|caps| self.with_max_rate(caps));
        }
        if at != given {
            let edit = buffer.make_mut();
            edit.set_pts(at);
            edit.set_dts(None);
        }
        state.last_sample_at = Some(self.clock.now());
        state.end_time = Some(end);
        state.last_was_slate = false;
        state.send(buffer);
        Some(())
    }

    /// `caps` with the rate that pictures come at most, by which the encoder divides its bits.
    fn with_max_rate(&self, mut caps: gst::Caps) -> gst::Caps {
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

    /// The device is away: from now on `push_fallback` stands in.
    pub(crate) fn switch_to_fallback(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.last_sample_at = None;
        state.on_fallback = true;
        state.keyframe_due = true;
    }

    /// Stands in for the device up to the running time `now`, unless it is back. Returns when to be called again.
    pub(crate) fn push_fallback(&self, now: gst::ClockTime) -> gst::ClockTime {
        let mut state = self.lock();
        if state.on_fallback {
            match self.device {
                CaptureDevice::Camera => self.push_slate(&mut state, now),
                CaptureDevice::Microphone => state.push_silence(now),
            }
        }
        (state.end_time.unwrap_or(now) + self.interval).max(now + gst::ClockTime::MSECOND)
    }

    fn push_slate(&self, state: &mut State, now: gst::ClockTime) {
        let due = state.end_time.map_or(now, |end_time| end_time + self.interval);
        if due > now {
            return;
        }
        // On the grid of the pictures before it, unless the gap is too long to be made good.
        let at = if due + self.interval < now { now } else { due };
        if state.slate.is_none() {
            state.slate = state.caps.as_ref().and_then(slate::render);
        }
        let Some(drawn) = &state.slate else { return };
        // Its memory is the same each time.
        let mut buffer = drawn.copy();
        buffer.make_mut().set_pts(at);
        buffer.make_mut().set_duration(self.interval);
        state.end_time = Some(at);
        state.last_was_slate = true;
        state.send(buffer);
    }
}

impl State {
    /// Silence up to `now`.
    fn push_silence(&mut self, now: gst::ClockTime) {
        let from = self.end_time.unwrap_or(now).max(now.saturating_sub(MAX_SILENCE));
        if now < from + MIN_SILENCE {
            return;
        }
        let (size, span) = crate::capture::media::silence_length(now - from);
        let mut buffer = gst::Buffer::from_slice(vec![0_u8; size]);
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(from);
            edit.set_duration(span);
        }
        self.end_time = Some(from + span);
        self.send(buffer);
    }

    /// Whoever joins, and whoever was there before, sees a change at once and whole: it begins with a keyframe.
    fn send(&mut self, buffer: gst::Buffer) {
        match (&self.downstream, &self.caps) {
            (Some(downstream), Some(caps)) => downstream(buffer, caps, core::mem::take(&mut self.keyframe_due)),
            _ => self.pending = Some(buffer),
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
        let switch = InputSwitch::video(15, Clock::start());
        let passed = Arc::new(Mutex::new(Vec::new()));
        let log = passed.clone();
        switch.connect(Box::new(move |buffer, _, _| log.lock().unwrap().push(buffer.pts().unwrap().useconds())));
        let (caps, generation) = (gst::Caps::new_empty_simple("video/x-raw"), switch.next_generation());
        for at in [0, 66_667, 66_900, 67_600, 67_668, 133_333] {
            let mut buffer = gst::Buffer::new();
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_useconds(at));
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            switch
                .push_sample(generation, &gst::Sample::builder().buffer(&buffer).caps(&caps).segment(&segment).build());
        }
        assert_eq!(*passed.lock().unwrap(), [0, 66_667, 67_668, 133_333]);
    }
}
