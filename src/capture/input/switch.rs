//! Switches between a device and its fallback: the slate, or silence. Time never steps back at a switch, and the caps
//! stay those of the first sample, so that the encoder notices nothing. A sample goes on in the thread that brought it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use gst::prelude::MulDiv;
use gstreamer as gst;

use super::slate;
use crate::capture::media::{raw_audio_caps, silence_length};
use crate::clock::Clock;
use crate::ipc::CaptureDevice;
use crate::sync::LockExt;
use monotonic::Monotonic;

/// Silence is sent in buffers of at least this length, as sound cards send audio.
const MIN_SILENCE: gst::ClockTime = gst::ClockTime::from_mseconds(10);
/// A longer gap is not filled.
const MAX_SILENCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// Takes a buffer with its running time, its caps, and whether a keyframe should start with it. Must not block.
pub(crate) type Downstream = Box<dyn Fn(gst::Buffer, &gst::Caps, bool) + Send>;

/// The input of an encoder.
#[derive(Debug)]
pub(crate) struct InputSwitch {
    device: CaptureDevice,
    clock: Clock,
    /// The most pictures per second; 0 for audio.
    fps: u32,
    /// From one picture to the next, or from one buffer of audio to the next.
    interval: gst::ClockTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the present opening. Samples of an earlier one, which is closing, do not count.
    generation: u32,
    on_fallback: bool,
    /// When the present opening last gave a sample.
    last_sample_at: Option<Monotonic>,
    /// The running time up to which something was sent: the last picture's time, or the end of the last audio.
    end_time: Option<gst::ClockTime>,
    slate: Option<gst::Buffer>,
    last_was_slate: bool,
    /// The next picture is of another source than the one before it.
    keyframe_due: bool,
    caps: Option<gst::Caps>,
    /// The newest buffer, while there is no `downstream`.
    pending: Option<gst::Buffer>,
    downstream: Option<Downstream>,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation)
            .field("on_fallback", &self.on_fallback)
            .finish_non_exhaustive()
    }
}

impl InputSwitch {
    /// For pictures, at most `fps` per second.
    pub(crate) fn video(fps: u32, clock: Clock) -> Self {
        let interval = gst::ClockTime::SECOND.mul_div_floor(1, u64::from(fps.max(1))).unwrap_or(gst::ClockTime::SECOND);
        Self { fps, ..Self::new(CaptureDevice::Camera, None, interval, clock) }
    }

    /// For audio.
    pub(crate) fn audio(clock: Clock) -> Self {
        Self::new(CaptureDevice::Microphone, Some(raw_audio_caps()), MIN_SILENCE, clock)
    }

    fn new(device: CaptureDevice, caps: Option<gst::Caps>, interval: gst::ClockTime, clock: Clock) -> Self {
        Self { device, clock, fps: 0, interval, state: Mutex::new(State { caps, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock_unpoisoned()
    }

    pub(super) fn device(&self) -> CaptureDevice {
        self.device
    }

    /// From one picture to the next, or from one buffer of audio to the next.
    pub(super) fn interval(&self) -> Duration {
        self.interval.into()
    }

    /// From now on `downstream` gets all buffers.
    pub(crate) fn connect(&self, downstream: Downstream) {
        let mut state = self.lock();
        state.downstream = Some(downstream);
        if let Some(pending) = state.pending.take() {
            state.send(pending);
        }
    }

    /// The device is opened again: samples of earlier openings do not count any more. Returns the number of this one.
    pub(super) fn next_generation(&self) -> u32 {
        let mut state = self.lock();
        state.generation += 1;
        state.last_sample_at = None;
        state.generation
    }

    /// When the present opening last gave a sample; `None` before its first.
    pub(super) fn last_sample_at(&self) -> Option<Monotonic> {
        self.lock().last_sample_at
    }

    /// A sample from the device. Its buffer is sent on without a copy.
    pub(super) fn push_sample(&self, generation: u32, sample: &gst::Sample) -> Option<()> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let mut buffer = sample.buffer_owned()?;
        let pts = buffer.pts()?;
        let running_time = segment.to_running_time(pts)?;
        let mut state = self.lock();
        if state.generation != generation {
            return None;
        }
        if core::mem::take(&mut state.on_fallback) {
            state.keyframe_due = true;
            // It is back, even if this sample comes too early to be sent.
            state.last_sample_at = Some(self.clock.now());
        }
        let end = match self.device {
            CaptureDevice::Camera => running_time,
            CaptureDevice::Microphone => running_time + buffer.duration().unwrap_or_default(),
        };
        if self.earliest_end(&state).is_some_and(|earliest| end <= earliest) {
            return None;
        }
        if state.caps.is_none() {
            state.caps = sample.caps_owned().map(|caps| self.with_max_rate(caps));
        }
        if running_time != pts {
            let edit = buffer.make_mut();
            edit.set_pts(running_time);
            edit.set_dts(None);
        }
        state.last_sample_at = Some(self.clock.now());
        state.end_time = Some(end);
        state.last_was_slate = false;
        state.send(buffer);
        Some(())
    }

    /// The time that a sample has to exceed.
    fn earliest_end(&self, state: &State) -> Option<gst::ClockTime> {
        let end_time = state.end_time?;
        Some(match self.device {
            CaptureDevice::Microphone => end_time,
            CaptureDevice::Camera if state.last_was_slate => end_time + self.interval / 2,
            // FLV counts milliseconds: two pictures within one would be one. A driver that was kept from running gives
            // some at once.
            CaptureDevice::Camera => end_time + gst::ClockTime::MSECOND,
        })
    }

    /// `caps` with the highest rate at which pictures come. The encoder divides its bits by it.
    fn with_max_rate(&self, mut caps: gst::Caps) -> gst::Caps {
        let highest = gst::Fraction::new(i32::try_from(self.fps).unwrap_or(1), 1);
        if self.device == CaptureDevice::Camera
            && let Some(structure) = caps.make_mut().structure_mut(0)
        {
            let rate = structure.get::<gst::Fraction>("framerate").ok();
            let slower = rate.filter(|rate| *rate < highest && rate.numer() > 0);
            structure.set("framerate", slower.unwrap_or(highest));
        }
        caps
    }

    /// The device is lost: from now on [`Self::push_fallback`] replaces it.
    pub(super) fn switch_to_fallback(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.last_sample_at = None;
        state.on_fallback = true;
        state.keyframe_due = true;
    }

    /// Sends the fallback up to the running time `now`, unless the device is back. Returns the time of the next call.
    pub(super) fn push_fallback(&self, now: gst::ClockTime) -> gst::ClockTime {
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
        // One interval after the picture before it. After a longer gap, now.
        let at = if due + self.interval < now { now } else { due };
        if state.slate.is_none() {
            state.slate = state.caps.as_ref().and_then(slate::render);
        }
        let Some(picture) = &state.slate else { return };
        // The copies share their memory.
        let mut buffer = picture.copy();
        buffer.make_mut().set_pts(at);
        buffer.make_mut().set_duration(self.interval);
        state.end_time = Some(at);
        state.last_was_slate = true;
        state.send(buffer);
    }
}

impl State {
    /// Sends silence up to `now`.
    fn push_silence(&mut self, now: gst::ClockTime) {
        let from = self.end_time.unwrap_or(now).max(now.saturating_sub(MAX_SILENCE));
        if now < from + MIN_SILENCE {
            return;
        }
        let (size, span) = silence_length(now - from);
        let mut buffer = gst::Buffer::from_slice(vec![0_u8; size]);
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(from);
            edit.set_duration(span);
        }
        self.end_time = Some(from + span);
        self.send(buffer);
    }

    /// After a switch the first picture asks for a keyframe, so that viewers see the change at once and whole.
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
    fn pictures_within_a_millisecond_are_one() {
        gst::init().unwrap();
        let switch = InputSwitch::video(15, Clock::start());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = sent.clone();
        switch.connect(Box::new(move |buffer, _, _| log.lock().unwrap().push(buffer.pts().unwrap().useconds())));
        let (caps, generation) = (gst::Caps::new_empty_simple("video/x-raw"), switch.next_generation());
        for at in [0, 66_667, 66_900, 67_600, 67_668, 133_333] {
            let mut buffer = gst::Buffer::new();
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_useconds(at));
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).segment(&segment).build();
            switch.push_sample(generation, &sample);
        }
        assert_eq!(*sent.lock().unwrap(), [0, 66_667, 67_668, 133_333]);
    }
}
