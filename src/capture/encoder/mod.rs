//! From pictures to encoded frames: masks and overlay, the encoder, and its replacement when it hangs, fails or
//! produces frames that nobody can watch.

mod backend;
mod control;
mod fallback;
mod frame_sink;
mod pipeline;
mod speed;
mod watchdog;

use std::sync::{Arc, Mutex};

use bitrate::{EncoderLoad, Rendition};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use backend::{H264Encoder, Selection};
use pipeline::{Backpressure, EncoderPipeline, EncoderPipelineConfig};
use watchdog::EncoderWatchdog;

use crate::capture::compositor::Compositor;
use crate::capture::error::CaptureError;
use crate::capture::gst::configure_live_sink;
use crate::capture::gst::plugins::make;
use crate::capture::guard_link::EventSender;
use crate::capture::media::{FrameDecimator, WantedRate};
use crate::clock::Clock;
use crate::config::{Video, VideoSource};
use crate::ipc::{FailureKind, FromCapture};
use crate::sync::LockExt;

pub(crate) use backend::Profile;
pub(crate) use control::EncoderControl;
pub(crate) use frame_sink::frame_sink;
pub(crate) use speed::measure as measure_speed;

/// How late a keyframe may be, at the configured frame rate, before it is requested: encoders count frames, and a
/// camera in the dark delivers fewer.
const KEYFRAME_TOLERANCE: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// Makes the sink for each encoder's frames.
pub(crate) type SinkFactory = Box<dyn Fn() -> gst::Element + Send + Sync>;

/// Encodes the pictures of camera or file.
pub(crate) struct VideoEncoder {
    video: Video,
    profile: Profile,
    backpressure: Backpressure,
    make_sink: SinkFactory,
    event_sender: EventSender,
    clock: Clock,
    compositor: Compositor,
    state: Mutex<State>,
    /// With a lock of its own, because frames come out while pictures go in.
    watchdog: Mutex<EncoderWatchdog>,
}

struct State {
    encoder: H264Encoder,
    pipeline: EncoderPipeline,
    requested: Rendition,
    /// The user's cap, in kbit/s.
    cap_kbps: u32,
    decimator: FrameDecimator,
    /// What whoever brings the pictures is told of their rate.
    wanted: WantedRate,
    /// The time of the latest keyframe, or of the latest request for one.
    last_keyframe: Option<gst::ClockTime>,
    /// Encoders that failed. They are tried again in the next session, whose process is a new one.
    failed: Vec<H264Encoder>,
}

impl VideoEncoder {
    /// Selects and starts an encoder. `compositor` covers and draws on each picture first.
    pub(crate) fn start(
        video: &Video,
        profile: Profile,
        compositor: Compositor,
        make_sink: SinkFactory,
        event_sender: &EventSender,
    ) -> Result<Arc<Self>, CaptureError> {
        Self::start_with(video, profile, compositor, make_sink, event_sender, |_| ())
    }

    /// As [`Self::start`]; `prepare` is called with the encoder's element before anything observes that.
    pub(crate) fn start_with(
        video: &Video,
        profile: Profile,
        compositor: Compositor,
        make_sink: SinkFactory,
        event_sender: &EventSender,
        prepare: impl FnOnce(&gst::Element),
    ) -> Result<Arc<Self>, CaptureError> {
        let Selection { encoder, reason } = backend::select(video)?;
        let backpressure =
            if video.source == VideoSource::File { Backpressure::Block } else { Backpressure::DropOldest };
        let sink = make_sink();
        let pipeline = start_pipeline(encoder, video, profile, backpressure, &sink)?;
        let element = pipeline.encoder().clone();
        prepare(&element);
        let state = State {
            encoder,
            pipeline,
            requested: video.rendition(),
            cap_kbps: video.bitrate_kbps,
            decimator: FrameDecimator::default(),
            wanted: WantedRate::default(),
            last_keyframe: None,
            failed: Vec::new(),
        };
        let this = Arc::new(Self {
            video: video.clone(),
            profile,
            backpressure,
            make_sink,
            event_sender: event_sender.clone(),
            clock: Clock::start(),
            compositor,
            state: Mutex::new(state),
            watchdog: Mutex::new(watchdog(encoder, video)),
        });
        this.observe(encoder, &element, &sink);
        event_sender.send(FromCapture::Encoder { name: encoder.name().to_owned(), why: reason });
        Ok(this)
    }

    /// Encodes a picture, whose time is running time, unless the requested frame rate leaves it out. With
    /// `force_keyframe` it becomes a keyframe.
    pub(crate) fn push_picture(&self, mut picture: gst::Buffer, caps: &gst::Caps, force_keyframe: bool) {
        let Some(at) = picture.pts() else { return };
        let is_kept = self.state.lock_unpoisoned().decimator.should_keep(at);
        if !(is_kept || force_keyframe) || !self.compositor.apply(&mut picture, caps) {
            return;
        }
        let mut caps = caps.clone();
        let input = self.state.lock_unpoisoned().next_input(at, &mut caps, &self.video);
        if force_keyframe {
            // In order with the pictures, so that it does not apply to those before.
            let _ = input.send_event(gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
        self.watchdog.lock_unpoisoned().input_started(self.clock.now());
        pipeline::push_picture(&input, &caps, picture);
        self.watchdog.lock_unpoisoned().input_done(self.clock.now());
    }

    /// Tells in `wanted` which frame rate is requested, from now on.
    pub(crate) fn tell_rate(&self, wanted: &WantedRate) {
        let mut state = self.state.lock_unpoisoned();
        wanted.set(state.requested.fps);
        state.wanted = wanted.clone();
    }

    /// A sink element that encodes each picture it receives, for a pipeline on the session's clock.
    pub(crate) fn input_sink(self: &Arc<Self>) -> Result<gst::Element, CaptureError> {
        let sink = make("fakesink", "video-out")?;
        configure_live_sink(&sink);
        let pad = sink.static_pad("sink").ok_or_else(|| CaptureError::internal("an element without a sink pad"))?;
        let this = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(gst::PadProbeData::Buffer(mut picture)) = info.data.take()
                && let (Some(at), Some(caps)) = (running_time(pad, picture.pts()), pad.current_caps())
            {
                let writable = picture.make_mut();
                writable.set_pts(at);
                writable.set_dts(gst::ClockTime::NONE);
                this.push_picture(picture, &caps, false);
            }
            gst::PadProbeReturn::Handled
        });
        Ok(sink)
    }

    /// Shows the watchdog what `encoder` produces, at its element and at its sink.
    fn observe(self: &Arc<Self>, encoder: H264Encoder, element: &gst::Element, sink: &gst::Element) {
        let (Some(output), Some(parsed)) = (element.static_pad("src"), sink.static_pad("sink")) else { return };
        let this = Arc::downgrade(self);
        output.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let (Some(this), Some(frame)) = (this.upgrade(), info.buffer()) {
                this.watchdog.lock_unpoisoned().output(frame.size(), is_keyframe(frame));
            }
            gst::PadProbeReturn::Ok
        });
        let this = Arc::downgrade(self);
        parsed.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let (Some(this), Some(frame)) = (this.upgrade(), info.buffer()) else { return gst::PadProbeReturn::Ok };
            let (is_keyframe, pts) = (is_keyframe(frame), frame.pts());
            let mut state = this.state.lock_unpoisoned();
            if state.encoder != encoder {
                // It was replaced, and its successor is on air.
                return discard(info);
            }
            if is_keyframe {
                state.last_keyframe = running_time(pad, pts).max(state.last_keyframe);
            }
            drop(state);
            this.watchdog.lock_unpoisoned().parsed(is_keyframe);
            gst::PadProbeReturn::Ok
        });
    }

    fn apply(&self, rendition: &Rendition) -> Result<(), CaptureError> {
        let Rendition { bitrate_kbps, fps, width, height } = *rendition;
        let is_valid = |pixels: u32, max: u32| (16..=max).contains(&pixels) && pixels.is_multiple_of(2);
        let has_rate = bitrate_kbps > 0 && (1..=self.video.fps).contains(&fps);
        if !has_rate || !is_valid(width, self.video.width) || !is_valid(height, self.video.height) {
            return Err(CaptureError::internal(format!("no encoder can be asked for {rendition:?}")));
        }
        let mut state = self.state.lock_unpoisoned();
        // Whoever asks may not have heard of a lower cap yet.
        let bitrate_kbps = bitrate_kbps.min(state.cap_kbps);
        let before = std::mem::replace(&mut state.requested, Rendition { bitrate_kbps, ..*rendition });
        if before.bitrate_kbps != bitrate_kbps {
            state.encoder.set_bitrate(state.pipeline.encoder(), bitrate_kbps);
        }
        if before.fps != fps {
            state.decimator.set_rate(fps, self.video.fps);
            state.wanted.set(fps);
        }
        if (before.width, before.height) != (width, height) {
            state.pipeline.set_size(width, height);
        }
        Ok(())
    }

    /// Another cap of the bitrate. A controller finds out by itself what of it the link takes.
    pub(crate) fn set_bitrate_cap(&self, kbps: u32) -> Result<(), CaptureError> {
        let mut state = self.state.lock_unpoisoned();
        if let Some(limit) = state.encoder.live_limit(&self.video).filter(|limit| kbps > limit.kbps) {
            let message = format!(
                "{} runs at H.264 level {}, which ends at {} kbit/s: stop the session, and the next one has it",
                state.encoder.name(),
                limit.level,
                limit.kbps
            );
            return Err(CaptureError { kind: FailureKind::Encoder, message });
        }
        state.cap_kbps = kbps;
        let target = if self.video.adaptive { state.requested.bitrate_kbps.min(kbps) } else { kbps };
        if state.requested.bitrate_kbps != target {
            state.requested.bitrate_kbps = target;
            state.encoder.set_bitrate(state.pipeline.encoder(), target);
        }
        Ok(())
    }

    fn bitrate_cap(&self) -> u32 {
        self.state.lock_unpoisoned().cap_kbps
    }

    fn load(&self) -> Option<EncoderLoad> {
        match self.backpressure {
            Backpressure::Block => None,
            Backpressure::DropOldest => Some(self.state.lock_unpoisoned().pipeline.load()),
        }
    }

    fn force_keyframe(&self) {
        self.state.lock_unpoisoned().pipeline.force_keyframe();
    }
}

impl State {
    /// Where the picture at `at` goes; requests a keyframe that is due, and states the requested frame rate in `caps`.
    fn next_input(&mut self, at: gst::ClockTime, caps: &mut gst::Caps, video: &Video) -> gstreamer_app::AppSrc {
        let is_decimated = self.requested.fps < video.fps;
        if is_decimated && let Some(structure) = caps.make_mut().structure_mut(0) {
            // The encoder divides its bits by this rate.
            structure.set("framerate", gst::Fraction::new(i32::try_from(self.requested.fps).unwrap_or(1), 1));
        }
        let interval = gst::ClockTime::try_from(video.keyframe_interval).unwrap_or(gst::ClockTime::SECOND);
        let interval = if is_decimated { interval } else { interval + KEYFRAME_TOLERANCE };
        if at >= self.last_keyframe.unwrap_or(at) + interval {
            self.last_keyframe = Some(at);
            self.pipeline.force_keyframe();
        }
        self.pipeline.input()
    }
}

fn start_pipeline(
    encoder: H264Encoder,
    video: &Video,
    profile: Profile,
    backpressure: Backpressure,
    sink: &gst::Element,
) -> Result<EncoderPipeline, CaptureError> {
    let config = EncoderPipelineConfig {
        encoder: encoder.create(video)?,
        output_caps: encoder.output_caps(video, profile),
        stream_format: Some("avc"),
        backpressure,
        is_software: encoder.is_software(),
    };
    EncoderPipeline::start(config, sink)
}

fn watchdog(encoder: H264Encoder, video: &Video) -> EncoderWatchdog {
    EncoderWatchdog::new(encoder.stall_timeout(), backend::keyframe_interval(video))
}

fn is_keyframe(frame: &gst::BufferRef) -> bool {
    !frame.flags().contains(gst::BufferFlags::DELTA_UNIT)
}

/// The running time of a buffer at `pad`.
fn running_time(pad: &gst::Pad, pts: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(pts?)
}

/// Ends a buffer's way here. (`Drop` would leave the core without the data it wants to drop, and it would complain.)
fn discard(info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
    drop(info.data.take());
    gst::PadProbeReturn::Handled
}
