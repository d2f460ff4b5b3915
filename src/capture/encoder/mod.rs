//! From pictures to encoded frames: covers what nobody may see, hands the picture to the encoder at work, changes what
//! is asked of it while it runs, and puts another in its place when it hangs, fails, or gives what nobody can watch.

pub(crate) mod backend;
pub(crate) mod frame_sink;
pub(crate) mod pipeline;
pub(crate) mod watchdog;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::capture::compositor::Compositor;
use crate::capture::encoder::backend::Chosen;
use crate::capture::encoder::pipeline::{Backpressure, EncoderPipeline, hand};
use crate::capture::encoder::watchdog::EncoderWatchdog;
use crate::capture::error::CaptureError;
use crate::capture::gst::configure_live_sink;
use crate::capture::gst::plugins::make;
use crate::capture::guard_link::EventSender;
use crate::capture::media::FrameDecimator;
use crate::clock::Clock;
use crate::config::{Video, VideoSource};
use crate::ipc::{FailureKind, FromCapture};
use bitrate::Rendition;

/// Hardware that gives nothing for this long hangs: it needs a tenth of a second for a picture.
const HARDWARE_PATIENCE: Duration = Duration::from_secs(3);
/// Software is only slow, on a machine that is busy; it is not known to hang. Less than what the push pipeline bears
/// (8 s) before it takes the server for gone.
const SOFTWARE_PATIENCE: Duration = Duration::from_secs(6);
/// How late a keyframe may be before it is asked for, at the configured rate: encoders count frames, and a camera in
/// the dark gives fewer.
const LATE: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// Makes the sink for each encoder's frames.
pub(crate) type SinkFactory = Box<dyn Fn() -> gst::Element + Send + Sync>;

/// Changes what the encoder is asked for while it runs; before there is one, nothing.
#[derive(Clone, Default)]
pub(crate) struct EncoderControl(Arc<OnceLock<Arc<VideoEncoder>>>);

impl EncoderControl {
    /// From now on they change `coding`.
    pub(crate) fn attach(&self, coding: &Arc<VideoEncoder>) {
        let _ = self.0.set(coding.clone());
    }

    /// Carries out `wanted`: the bitrate without a seam; another rate or size with a keyframe, and new parameter sets,
    /// at the next picture. What is so already costs nothing.
    ///
    /// # Errors
    /// Nothing is changed where `wanted` is more than what is configured, or nothing that can be encoded.
    pub(crate) fn apply(&self, wanted: &Rendition) -> Result<(), CaptureError> {
        self.0.get().map_or(Ok(()), |coding| coding.apply(wanted))
    }

    /// The next picture becomes a keyframe. (The first of all is one anyway.)
    pub(crate) fn request_keyframe(&self) {
        if let Some(coding) = self.0.get() {
            lock(&coding.state).coder.force_keyframe();
        }
    }
}

/// What stands behind camera and file.
pub(crate) struct VideoEncoder {
    video: Video,
    profile: &'static str,
    pressure: Backpressure,
    make_tap: SinkFactory,
    event_sender: EventSender,
    clock: Clock,
    cover: Compositor,
    state: Mutex<State>,
    /// Of its own, because frames come out while pictures go in.
    vigil: Mutex<EncoderWatchdog>,
}

struct State {
    coder: EncoderPipeline,
    asked: Rendition,
    pace: FrameDecimator,
    /// Time of the last keyframe, or of the last that was asked for.
    keyframe: Option<gst::ClockTime>,
    /// Encoders that failed. A session's process ends with it: the next begins without prejudice, and with a trial.
    gone: Vec<&'static str>,
}

/// Spoils what a sound encoder gives, to see that it is noticed: changes a frame, or eats it.
pub(crate) type Fault = fn(&mut gst::Buffer) -> bool;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn vigil_of(factory: &str, video: &Video) -> EncoderWatchdog {
    let patience = if factory == backend::V4L2 { HARDWARE_PATIENCE } else { SOFTWARE_PATIENCE };
    EncoderWatchdog::new(patience, backend::keyframe_interval(video))
}

impl VideoEncoder {
    /// Chooses and starts an encoder for pictures that are to be covered first.
    pub(crate) fn start(
        video: &Video,
        profile: &'static str,
        cover: Compositor,
        make_tap: SinkFactory,
        event_sender: &EventSender,
    ) -> Result<Arc<Self>, CaptureError> {
        Self::start_with(video, profile, cover, make_tap, event_sender, None)
    }

    /// The same, with a first encoder that has a fault.
    pub(crate) fn start_with(
        video: &Video,
        profile: &'static str,
        cover: Compositor,
        make_tap: SinkFactory,
        event_sender: &EventSender,
        fault: Option<Fault>,
    ) -> Result<Arc<Self>, CaptureError> {
        let Chosen { factory, why } = backend::choose(video)?;
        let pressure = if video.source == VideoSource::File { Backpressure::Block } else { Backpressure::DropOldest };
        let tap = make_tap();
        let encoder = EncoderPipeline::h264(factory, video, profile, pressure, &tap)?;
        let element = encoder.element().clone();
        let asked = video.rendition();
        let state = State { coder: encoder, asked, pace: FrameDecimator::default(), keyframe: None, gone: Vec::new() };
        let this = Arc::new(Self {
            video: video.clone(),
            profile,
            pressure,
            make_tap,
            event_sender: event_sender.clone(),
            clock: Clock::start(),
            cover,
            state: Mutex::new(state),
            vigil: Mutex::new(vigil_of(factory, video)),
        });
        this.watch(&tap, &element, factory, fault);
        event_sender.send(FromCapture::Encoder { name: factory.to_owned(), why });
        Ok(this)
    }

    /// Takes one picture, its time being running time. Fewer a second may be wanted than come. With `key` a keyframe
    /// begins with it.
    pub(crate) fn push_picture(&self, mut picture: gst::Buffer, caps: &gst::Caps, key: bool) {
        let Some(at) = picture.pts() else { return };
        let kept = lock(&self.state).pace.should_keep(at);
        if !(kept || key) || !self.cover.apply(&mut picture, caps) {
            return;
        }
        let mut caps = caps.clone();
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
        if key {
            // In its place among the pictures: those before it are not meant.
            let _ = source.send_event(gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
        lock(&self.vigil).hand(self.clock.now());
        hand(&source, &caps, picture);
        lock(&self.vigil).handed(self.clock.now());
    }

    /// An element, for a pipeline on the session's clock, that hands the pictures that come to it on.
    pub(crate) fn input_sink(self: &Arc<Self>) -> Result<gst::Element, CaptureError> {
        let out = make("fakesink", "video-out")?;
        configure_live_sink(&out);
        let pad = out.static_pad("sink").ok_or_else(|| CaptureError::internal("an element without a sink pad"))?;
        let coding = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(gst::PadProbeData::Buffer(mut picture)) = info.data.take()
                && let (Some(at), Some(caps)) = (running_time(pad, picture.pts()), pad.current_caps())
            {
                let edit = picture.make_mut();
                edit.set_pts(at);
                edit.set_dts(gst::ClockTime::NONE);
                coding.push_picture(picture, &caps, false);
            }
            gst::PadProbeReturn::Handled
        });
        Ok(out)
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
    pub(crate) fn supervise(self: &Arc<Self>) -> Result<(), CaptureError> {
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
    fn replace(self: &Arc<Self>, why: &str) -> Result<(), CaptureError> {
        let mut state = lock(&self.state);
        let from = state.coder.factory;
        state.gone.push(from);
        let ended = |message: String| CaptureError { kind: FailureKind::Encoder, message };
        let Some(to) = backend::after(&state.gone, &self.video) else {
            return Err(ended(format!("{from}: {why}, and there is no other encoder: restart the box")));
        };
        let tap = (self.make_tap)();
        let coder = EncoderPipeline::h264(to, &self.video, self.profile, self.pressure, &tap)?;
        let Rendition { bitrate_kbps, width, height, .. } = state.asked;
        coder.set_bitrate(bitrate_kbps);
        coder.set_size(width, height);
        self.watch(&tap, coder.element(), to, None);
        state.keyframe = None;
        let old = std::mem::replace(&mut state.coder, coder);
        drop(state);
        *lock(&self.vigil) = vigil_of(to, &self.video);
        // Whoever waits to hand it a picture is let go.
        old.abandon();
        tracing::error!("the encoder {from} was given up: {why}; {to} goes on in its place");
        self.event_sender.send(FromCapture::EncoderFallback {
            from: from.to_owned(),
            to: to.to_owned(),
            why: why.to_owned(),
        });
        Ok(())
    }

    fn apply(&self, wanted: &Rendition) -> Result<(), CaptureError> {
        let Rendition { bitrate_kbps, fps, width, height } = *wanted;
        let even = |pixels: u32, most: u32| pixels >= 16 && pixels <= most && pixels.is_multiple_of(2);
        let possible = bitrate_kbps > 0 && (1..=self.video.fps).contains(&fps);
        if !possible || !even(width, self.video.width) || !even(height, self.video.height) {
            return Err(CaptureError::internal(format!("no encoder can be asked for {wanted:?}")));
        }
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.asked, *wanted);
        if before.bitrate_kbps != bitrate_kbps {
            state.coder.set_bitrate(bitrate_kbps);
        }
        if before.fps != fps {
            state.pace.set_rate(fps, self.video.fps);
        }
        if (before.width, before.height) != (width, height) {
            state.coder.set_size(width, height);
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
fn eat(info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
    drop(info.data.take());
    gst::PadProbeReturn::Handled
}
