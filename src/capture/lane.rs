//! Where picture or sound enter the encode pipeline: what its device gives or, while that is away, a stand-in. Time goes
//! on through every change and never steps back, and the caps stay those of the beginning, so the encoder sees no seam.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::audio;
use super::slate;
use crate::clock::Clock;
use crate::consent::Time;
use crate::ipc::Device;

/// Less silence than this is not worth a buffer: what sound cards give at a time.
const MORSEL: gst::ClockTime = gst::ClockTime::from_mseconds(10);
/// More silence than this is not made at a time.
const MOUTHFUL: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// One of the two ways into the encode pipeline.
#[derive(Debug)]
pub(super) struct Lane {
    device: Device,
    entry: gst_app::AppSrc,
    clock: Clock,
    /// From one picture to the next.
    interval: gst::ClockTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Which opening of the device counts: one that was given up may still say something.
    opening: u32,
    /// The stand-in is on.
    away: bool,
    /// When the present opening last gave something.
    heard: Option<Time>,
    /// Running time up to which something was sent: the last picture's, or the end of the last sound.
    filled: Option<gst::ClockTime>,
    slate: Option<gst::Buffer>,
    /// What was sent last was the slate.
    slated: bool,
    /// The encode pipeline does not run yet: the newest waits for it.
    early: Option<gst::Buffer>,
    runs: bool,
}

impl Lane {
    /// For pictures, `fps` a second.
    pub(super) fn of_pictures(fps: u32, clock: Clock) -> Self {
        let interval = gst::ClockTime::SECOND.mul_div_floor(1, u64::from(fps.max(1))).unwrap_or(gst::ClockTime::SECOND);
        // More than some pictures wait only for an encoder that is too slow: the oldest are dropped.
        Self::new(Device::Camera, "video-in", None, 4, interval, clock)
    }

    /// For sound.
    pub(super) fn of_sound(clock: Clock) -> Self {
        Self::new(Device::Microphone, "audio-in", Some(&audio::raw_caps()), 100, MORSEL, clock)
    }

    fn new(
        device: Device,
        name: &str,
        caps: Option<&gst::Caps>,
        longest: u64,
        interval: gst::ClockTime,
        clock: Clock,
    ) -> Self {
        let entry = gst_app::AppSrc::builder().name(name).format(gst::Format::Time).is_live(true);
        let entry = entry.max_bytes(0).max_buffers(longest).leaky_type(gst_app::AppLeakyType::Downstream).build();
        entry.set_caps(caps);
        Self { device, entry, clock, interval, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The element that belongs into the encode pipeline.
    pub(super) fn entry(&self) -> &gst_app::AppSrc {
        &self.entry
    }

    /// Which of the two.
    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// From one picture to the next; of sound, from one buffer to the next.
    pub(super) fn interval(&self) -> Duration {
        self.interval.into()
    }

    /// The encode pipeline runs.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.runs = true;
        if let Some(early) = state.early.take() {
            let _ = self.entry.push_buffer(early);
        }
    }

    /// The device is opened anew: what earlier openings give counts no more. Returns the new one's number.
    pub(super) fn expect(&self) -> u32 {
        let mut state = self.lock();
        state.opening += 1;
        state.heard = None;
        state.opening
    }

    /// When the present opening last gave something; `None`: it gave nothing yet.
    pub(super) fn heard(&self) -> Option<Time> {
        self.lock().heard
    }

    /// What a device gave. The buffer goes on as it is, without a copy.
    pub(super) fn take(&self, opening: u32, sample: &gst::Sample) -> Option<()> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let mut buffer = sample.buffer_owned()?;
        let given = buffer.pts()?;
        let at = segment.to_running_time(given)?;
        let mut state = self.lock();
        if state.opening != opening {
            return None;
        }
        let end = match self.device {
            Device::Camera => at,
            Device::Microphone => at + buffer.duration().unwrap_or_default(),
        };
        let mut earliest = state.filled;
        if core::mem::take(&mut state.away) {
            self.key();
            state.heard = Some(self.clock.now());
        }
        if state.slated {
            // Two pictures in one instant are none. The next one comes in time, now that the slate is off.
            earliest = earliest.map(|filled| filled + self.interval / 2);
        }
        if earliest.is_some_and(|earliest| end <= earliest) {
            return None;
        }
        if self.entry.caps().is_none() {
            self.entry.set_caps(sample.caps_owned().as_ref());
        }
        if at != given {
            let edit = buffer.make_mut();
            edit.set_pts(at);
            edit.set_dts(None);
        }
        state.heard = Some(self.clock.now());
        state.filled = Some(end);
        state.slated = false;
        self.send(&mut state, buffer);
        Some(())
    }

    /// The device is away: from now on `fill` stands in.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.opening += 1;
        state.heard = None;
        state.away = true;
        self.key();
    }

    /// Stands in for the device up to the running time `now`, unless it is back. Returns when to be called again.
    pub(super) fn fill(&self, now: gst::ClockTime) -> gst::ClockTime {
        let mut state = self.lock();
        if state.away {
            match self.device {
                Device::Camera => self.show(&mut state, now),
                Device::Microphone => self.hush(&mut state, now),
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
            state.slate = self.entry.caps().and_then(|caps| slate::draw(&caps));
        }
        let Some(drawn) = &state.slate else { return };
        // Its memory is the same each time.
        let mut buffer = drawn.copy();
        buffer.make_mut().set_pts(at);
        buffer.make_mut().set_duration(self.interval);
        state.filled = Some(at);
        state.slated = true;
        self.send(state, buffer);
    }

    fn hush(&self, state: &mut State, now: gst::ClockTime) {
        let from = state.filled.unwrap_or(now).max(now.saturating_sub(MOUTHFUL));
        if now < from + MORSEL {
            return;
        }
        let (size, span) = audio::silence(now - from);
        let mut buffer = gst::Buffer::from_slice(vec![0_u8; size]);
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(from);
            edit.set_duration(span);
        }
        state.filled = Some(from + span);
        self.send(state, buffer);
    }

    /// Whoever joins, and whoever was there before, sees the change at once and whole.
    fn key(&self) {
        if self.device == Device::Camera {
            let _ = self.entry.send_event(gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
    }

    fn send(&self, state: &mut State, buffer: gst::Buffer) {
        if state.runs {
            // A pipeline that takes nothing any more says why on its bus.
            let _ = self.entry.push_buffer(buffer);
        } else {
            state.early = Some(buffer);
        }
    }
}
