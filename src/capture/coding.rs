//! From pictures to encoded frames: hands the picture to the encoder at work, changes what is asked of it while it runs,
//! and puts another in its place when it hangs, fails, or gives what nobody can watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::coder::{Coder, hand};
use super::door::Teller;
use super::encoder::{self, Chosen};
use super::failure::{Failure, make};
use super::pace::Pace;
use super::rendition::Rendition;
use super::vigil::Vigil;
use crate::clock::Clock;
use crate::config::Video;
use crate::ipc::{FailureKind, FromCapture};

/// Hardware that gives nothing for this long hangs: it needs a tenth of a second for a picture.
const HARDWARE_PATIENCE: Duration = Duration::from_secs(3);
/// Software is only slow, on a machine that is busy; it is not known to hang. Less than what the push pipeline bears
/// (8 s) before it takes the server for gone.
const SOFTWARE_PATIENCE: Duration = Duration::from_secs(6);
/// How late a keyframe may be before it is asked for, at the configured rate: encoders count frames, and a camera in the
/// dark gives fewer.
const LATE: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// Makes the sink for each encoder's frames.
pub(super) type MakeTap = Box<dyn Fn() -> gst::Element + Send + Sync>;

/// Changes what the encoder is asked for while it runs.
#[derive(Clone)]
pub(super) struct Knobs(Arc<Coding>);

impl Knobs {
    /// Carries out `wanted`: the bitrate without a seam; another rate or size with a keyframe, and new parameter sets,
    /// at the next picture. What is so already costs nothing.
    ///
    /// # Errors
    /// Nothing is changed where `wanted` is more than what is configured, or nothing that can be encoded.
    pub(super) fn apply(&self, wanted: &Rendition) -> Result<(), Failure> {
        self.0.apply(wanted)
    }

    /// The next picture becomes a keyframe.
    pub(super) fn keyframe(&self) {
        lock(&self.0.state).coder.force_keyframe();
    }
}

/// The part of the pipeline behind the picture.
pub(super) struct Coding {
    video: Video,
    profile: &'static str,
    make_tap: MakeTap,
    teller: Teller,
    clock: Clock,
    size: gst::Element,
    state: Mutex<State>,
    /// Of its own, because frames come out while pictures go in.
    vigil: Mutex<Vigil>,
}

struct State {
    coder: Coder,
    asked: Rendition,
    pace: Pace,
    /// Time of the last keyframe, or of the last that was asked for.
    keyframe: Option<gst::ClockTime>,
    /// Encoders that failed. A session's process ends with it: the next begins without prejudice, and with a trial.
    gone: Vec<&'static str>,
}

/// Spoils what a sound encoder gives, to see that it is noticed: changes a frame, or eats it.
pub(super) type Fault = fn(&mut gst::Buffer) -> bool;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn vigil_of(factory: &str, video: &Video) -> Vigil {
    let patience = if factory == encoder::V4L2 { HARDWARE_PATIENCE } else { SOFTWARE_PATIENCE };
    Vigil::new(patience, encoder::keyframe_interval(video))
}

impl Coding {
    /// Chooses and starts an encoder; adds to `pipeline` what takes pictures to it. Returns the element to link to.
    pub(super) fn add(
        pipeline: &gst::Pipeline,
        video: &Video,
        profile: &'static str,
        make_tap: MakeTap,
        teller: &Teller,
    ) -> Result<(Arc<Self>, gst::Element), Failure> {
        Self::add_with(pipeline, video, profile, make_tap, teller, None)
    }

    /// The same, with a first encoder that has a fault.
    pub(super) fn add_with(
        pipeline: &gst::Pipeline,
        video: &Video,
        profile: &'static str,
        make_tap: MakeTap,
        teller: &Teller,
        fault: Option<Fault>,
    ) -> Result<(Arc<Self>, gst::Element), Failure> {
        let scale = make("videoscale", "video-size-scale")?;
        scale.set_property("add-borders", false);
        let size = make("capsfilter", "video-size")?;
        let out = make("fakesink", "video-out")?;
        for flag in ["sync", "async", "enable-last-sample"] {
            out.set_property(flag, false);
        }
        let all = [&scale, &size, &out];
        pipeline.add_many(all)?;
        gst::Element::link_many(all)?;

        let Chosen { factory, why } = encoder::choose(video)?;
        let asked = Rendition::configured(video);
        let tap = make_tap();
        let coder = Coder::h264(factory, video, profile, &tap)?;
        let state = State { coder, asked, pace: Pace::default(), keyframe: None, gone: Vec::new() };
        let this = Arc::new(Self {
            video: video.clone(),
            profile,
            make_tap,
            teller: teller.clone(),
            clock: Clock::start(),
            size,
            state: Mutex::new(state),
            vigil: Mutex::new(vigil_of(factory, video)),
        });
        let element = lock(&this.state).coder.element().clone();
        this.watch(&tap, &element, factory, fault);
        teller.tell(FromCapture::Encoder { name: factory.to_owned(), why });
        this.take_from(&scale, &out)?;
        Ok((this, scale))
    }

    /// What changes it from outside.
    pub(super) fn knobs(self: &Arc<Self>) -> Knobs {
        Knobs(self.clone())
    }

    /// Takes pictures off the pipeline: some go when fewer are wanted, the others go into the encoder.
    fn take_from(self: &Arc<Self>, scale: &gst::Element, out: &gst::Element) -> Result<(), Failure> {
        let pad = |element: &gst::Element| {
            element.static_pad("sink").ok_or_else(|| Failure::internal("an element without a sink pad"))
        };
        let coding = Arc::downgrade(self);
        pad(scale)?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let at = info.buffer().and_then(|buffer| buffer.pts());
            match (coding.upgrade(), at) {
                (Some(coding), Some(at)) if !lock(&coding.state).pace.keeps(at) => eat(info),
                _ => gst::PadProbeReturn::Ok,
            }
        });
        let coding = Arc::downgrade(self);
        pad(out)?.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(coding) = coding.upgrade()
                && let Some(gst::PadProbeData::Buffer(picture)) = info.data.take()
            {
                coding.encode(pad, picture);
            }
            eat(info)
        });
        let coding = Arc::downgrade(self);
        pad(out)?.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            // What comes in place of the camera, and the camera that is back, begin with a keyframe.
            if let (Some(coding), Some(event)) = (coding.upgrade(), info.event())
                && gst_video::ForceKeyUnitEvent::is(event)
            {
                lock(&coding.state).coder.source().send_event(event.clone());
            }
            gst::PadProbeReturn::Ok
        });
        Ok(())
    }

    /// Hands one picture to the encoder, with its time turned into running time.
    fn encode(&self, pad: &gst::Pad, mut picture: gst::Buffer) {
        let (Some(at), Some(mut caps)) = (running_time(pad, picture.pts()), pad.current_caps()) else { return };
        let edit = picture.make_mut();
        edit.set_pts(at);
        edit.set_dts(gst::ClockTime::NONE);
        let source = {
            let mut state = lock(&self.state);
            let slower = state.asked.fps < self.video.fps;
            if slower && let Some(structure) = caps.make_mut().structure_mut(0) {
                // The encoder divides its bits by the rate that it is told.
                structure.set("framerate", gst::Fraction::new(i32::try_from(state.asked.fps).unwrap_or(1), 1));
            }
            let interval = gst::ClockTime::try_from(self.video.keyframe_interval).unwrap_or(gst::ClockTime::SECOND);
            let interval = if slower { interval } else { interval + LATE };
            if at >= state.keyframe.unwrap_or(at) + interval {
                state.keyframe = Some(at);
                state.coder.force_keyframe();
            }
            state.coder.source()
        };
        lock(&self.vigil).hand(self.clock.now());
        hand(&source, &caps, picture);
        lock(&self.vigil).handed(self.clock.now());
    }

    /// Watches what an encoder gives to its tap.
    fn watch(
        self: &Arc<Self>,
        tap: &gst::Element,
        element: &gst::Element,
        factory: &'static str,
        fault: Option<Fault>,
    ) {
        let (Some(source), Some(sink)) = (element.static_pad("src"), tap.static_pad("sink")) else { return };
        let is_key = |frame: &gst::Buffer| !frame.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let coding = Arc::downgrade(self);
        source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let sound = match (fault, info.buffer_mut()) {
                (Some(fault), Some(frame)) => fault(frame),
                _ => true,
            };
            if !sound {
                return eat(info);
            }
            if let (Some(coding), Some(frame)) = (coding.upgrade(), info.buffer()) {
                lock(&coding.vigil).gave(frame.size(), is_key(frame));
            }
            gst::PadProbeReturn::Ok
        });
        let coding = Arc::downgrade(self);
        sink.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let (Some(coding), Some(frame)) = (coding.upgrade(), info.buffer()) else { return gst::PadProbeReturn::Ok };
            let (key, pts) = (is_key(frame), frame.pts());
            let mut state = lock(&coding.state);
            if state.coder.factory != factory {
                // One that was given up says something after all: its successor is on air.
                return eat(info);
            }
            if key {
                state.keyframe = running_time(pad, pts).max(state.keyframe);
            }
            drop(state);
            lock(&coding.vigil).arrived(key);
            gst::PadProbeReturn::Ok
        });
    }

    /// Looks after the encoder; to be called some times a second. One that does not do its work is replaced, loudly.
    pub(super) fn check(self: &Arc<Self>) -> Result<(), Failure> {
        let symptom = lock(&self.vigil).look(self.clock.now());
        let error = lock(&self.state).coder.error();
        let why = match (symptom, error) {
            (None, None) => return Ok(()),
            (_, Some(posted)) => posted.error.message().to_owned(),
            (Some(symptom), None) => symptom.words().to_owned(),
        };
        self.replace(&why)
    }

    /// Puts an encoder in software in the place of the one at work.
    fn replace(self: &Arc<Self>, why: &str) -> Result<(), Failure> {
        let mut state = lock(&self.state);
        let from = state.coder.factory;
        state.gone.push(from);
        let ended = |message: String| Failure { kind: FailureKind::Encoder, message };
        let Some(to) = encoder::after(&state.gone, &self.video) else {
            return Err(ended(format!("{from}: {why}, and there is no other encoder: restart the box")));
        };
        let tap = (self.make_tap)();
        let coder = Coder::h264(to, &self.video, self.profile, &tap)?;
        coder.set_bitrate(state.asked.bitrate_kbps);
        self.watch(&tap, coder.element(), to, None);
        state.keyframe = None;
        let old = std::mem::replace(&mut state.coder, coder);
        drop(state);
        *lock(&self.vigil) = vigil_of(to, &self.video);
        // Whoever waits to hand it a picture is let go.
        old.abandon();
        tracing::error!("the encoder {from} was given up: {why}; {to} goes on in its place");
        self.teller.tell(FromCapture::EncoderFallback {
            from: from.to_owned(),
            to: to.to_owned(),
            why: why.to_owned(),
        });
        Ok(())
    }

    fn apply(&self, wanted: &Rendition) -> Result<(), Failure> {
        let Rendition { bitrate_kbps, fps, width, height } = *wanted;
        let even = |pixels: u32, most: u32| pixels >= 16 && pixels <= most && pixels.is_multiple_of(2);
        let possible = bitrate_kbps > 0 && (1..=self.video.fps).contains(&fps);
        if !possible || !even(width, self.video.width) || !even(height, self.video.height) {
            return Err(Failure::internal(format!("no encoder can be asked for {wanted:?}")));
        }
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.asked, *wanted);
        if before.bitrate_kbps != bitrate_kbps {
            state.coder.set_bitrate(bitrate_kbps);
        }
        if before.fps != fps {
            state.pace.set(fps, self.video.fps);
        }
        drop(state);
        if (before.width, before.height) != (width, height) {
            self.size.set_property("caps", size(width, height));
        }
        Ok(())
    }
}

/// The running time of what comes to `pad`.
fn running_time(pad: &gst::Pad, pts: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(pts?)
}

/// What goes no further. (`Drop` would leave the core with nothing to drop, which it complains about.)
pub(super) fn eat(info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
    drop(info.data.take());
    gst::PadProbeReturn::Handled
}

/// Pictures of a size.
fn size(width: u32, height: u32) -> gst::Caps {
    // Checked to be at most 3840: fits.
    let number = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw").field("width", number(width)).field("height", number(height)).build()
}

#[cfg(test)]
mod tests;
