//! One encoder in a pipeline of its own, which is fed through an appsrc. An encoder that fails or hangs in its driver
//! affects nothing else, and can be left behind.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitrate::EncoderLoad;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::gst::{BusError, CLOSE_TIMEOUT, close_detached, close_within, pop_error};
use crate::clock::Clock;
use crate::ipc::FailureKind;
use crate::sync::LockExt;

/// How many pictures wait in front of an encoder, which may take a tenth of a second to start or for a picture now and
/// then. Each is memory of the camera's pool.
const MAX_QUEUED_PICTURES: u64 = 4;

/// What happens when an encoder has no room for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backpressure {
    /// The oldest waiting picture is dropped: a camera cannot be paused.
    DropOldest,
    /// The producer waits: a file can.
    Block,
}

/// What an [`EncoderPipeline`] is built from.
pub(super) struct EncoderPipelineConfig {
    pub(super) encoder: gst::Element,
    /// It works on the processor, on one picture at a time, and takes every pixel format. A driver takes only those on
    /// its list: what is not on it is converted.
    pub(super) is_software: bool,
    /// The caps to request behind the encoder.
    pub(super) output_caps: gst::Caps,
    /// The H.264 stream format to produce; `None` for a codec without a parser.
    pub(super) stream_format: Option<&'static str>,
    pub(super) backpressure: Backpressure,
}

/// A running encoder.
#[derive(Debug)]
pub(super) struct EncoderPipeline {
    /// `None` once it is closed.
    pipeline: Option<gst::Pipeline>,
    bus: gst::Bus,
    input: gst_app::AppSrc,
    size_filter: gst::Element,
    encoder: gst::Element,
    /// `None`: what it does beside the processor cannot be seen.
    busy: Option<BusyTime>,
}

impl Drop for EncoderPipeline {
    fn drop(&mut self) {
        if let Some(pipeline) = self.unblock_producers() {
            close_within(&pipeline, CLOSE_TIMEOUT);
        }
    }
}

impl EncoderPipeline {
    /// Builds and starts scaler, encoder and parser in front of `sink`.
    pub(super) fn start(config: EncoderPipelineConfig, sink: &gst::Element) -> Result<Self, CaptureError> {
        let pipeline = gst::Pipeline::with_name("coder");
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        let input = input(config.backpressure);
        // Pictures of the requested size pass both unchanged.
        let scaler = make("videoscale", "video-size-scale")?;
        scaler.set_property("add-borders", false);
        let size_filter = make("capsfilter", "video-size")?;
        let mut elements = vec![input.clone().upcast(), scaler, size_filter.clone()];
        if !config.is_software {
            elements.push(make("videoconvert", "coder-convert")?);
        }
        let output_filter = make("capsfilter", "video-level")?;
        output_filter.set_property("caps", config.output_caps);
        elements.extend([config.encoder.clone(), output_filter]);
        if let Some(stream_format) = config.stream_format {
            elements.extend(parser(stream_format)?);
        }
        elements.push(sink.clone());
        pipeline.add_many(&elements)?;
        gst::Element::link_many(&elements)?;
        let busy = config.is_software.then(|| BusyTime::of(&config.encoder));
        let encoder = config.encoder;
        let this = Self { pipeline: Some(pipeline.clone()), bus, input, size_filter, encoder, busy };
        pipeline.set_state(gst::State::Playing).map_err(|_| this.start_error())?;
        Ok(this)
    }

    fn start_error(&self) -> CaptureError {
        let detail = self.take_error().map(|posted| format!(": {}", posted.error.message())).unwrap_or_default();
        let message = format!("{} does not start{detail}", self.encoder_name());
        CaptureError { kind: FailureKind::Encoder, message }
    }

    fn encoder_name(&self) -> String {
        self.encoder.factory().map(|factory| factory.name().to_string()).unwrap_or_default()
    }

    /// Where pictures go in; for a thread of its own, since pushing one may wait for the encoder.
    pub(super) fn input(&self) -> gst_app::AppSrc {
        self.input.clone()
    }

    /// How the encoder keeps up.
    pub(super) fn load(&self) -> EncoderLoad {
        EncoderLoad { waiting: self.input.current_level_buffers(), busy: self.busy.as_ref().map(BusyTime::get) }
    }

    pub(super) fn encoder(&self) -> &gst::Element {
        &self.encoder
    }

    /// Scales pictures to this size from now on; it comes with a keyframe and new parameter sets.
    pub(super) fn set_size(&self, width: u32, height: u32) {
        // At most 3840: fits.
        let number = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw").field("width", number(width)).field("height", number(height));
        self.size_filter.set_property("caps", caps.build());
    }

    /// Makes the next picture a keyframe.
    pub(super) fn force_keyframe(&self) {
        let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
        if !self.encoder.static_pad("src").is_some_and(|pad| pad.send_event(event)) {
            tracing::debug!("{} makes no keyframe on demand", self.encoder_name());
        }
    }

    /// The next error that the pipeline reported, if there is one.
    pub(super) fn take_error(&self) -> Option<BusError> {
        pop_error(&self.bus, |_| {})
    }

    /// Closes it in the background, without waiting for it.
    pub(super) fn close_detached(mut self) {
        if let Some(pipeline) = self.unblock_producers() {
            drop(close_detached(pipeline));
        }
    }

    /// Ends the wait of a thread that pushes a picture. Closing alone would reach the appsrc last.
    fn unblock_producers(&mut self) -> Option<gst::Pipeline> {
        let pipeline = self.pipeline.take()?;
        self.input.send_event(gst::event::FlushStart::new());
        Some(pipeline)
    }
}

/// For how long an encoder has worked: from each picture that goes in until a frame comes out.
#[derive(Debug)]
struct BusyTime(Arc<Mutex<Duration>>);

impl BusyTime {
    fn of(encoder: &gst::Element) -> Self {
        let (total, clock) = (Arc::new(Mutex::new(Duration::ZERO)), Clock::start());
        let begun = Arc::new(Mutex::new(None));
        if let (Some(input), Some(output)) = (encoder.static_pad("sink"), encoder.static_pad("src")) {
            let begins = begun.clone();
            input.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                *begins.lock_unpoisoned() = Some(clock.now());
                gst::PadProbeReturn::Ok
            });
            let sum = total.clone();
            output.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                if let Some(at) = begun.lock_unpoisoned().take() {
                    *sum.lock_unpoisoned() += clock.now().duration_since(at);
                }
                gst::PadProbeReturn::Ok
            });
        }
        Self(total)
    }

    fn get(&self) -> Duration {
        *self.0.lock_unpoisoned()
    }
}

fn input(backpressure: Backpressure) -> gst_app::AppSrc {
    let input = gst_app::AppSrc::builder().name("coder-in").format(gst::Format::Time);
    let input = match backpressure {
        Backpressure::DropOldest => input.leaky_type(gst_app::AppLeakyType::Downstream),
        Backpressure::Block => input.block(true),
    };
    input.max_bytes(0).max_buffers(MAX_QUEUED_PICTURES).build()
}

fn parser(stream_format: &str) -> Result<[gst::Element; 2], CaptureError> {
    let parser = make("h264parse", "video-parser")?;
    // Parameter sets with each keyframe, so that a viewer who joins later can decode from there.
    parser.set_property("config-interval", -1);
    let filter = make("capsfilter", "video-coded")?;
    let caps = gst::Caps::builder("video/x-h264").field("stream-format", stream_format).field("alignment", "au");
    filter.set_property("caps", caps.build());
    Ok([parser, filter])
}

/// Pushes a picture into `input`. Where there is no room, its `Backpressure` decides.
pub(super) fn push_picture(input: &gst_app::AppSrc, caps: &gst::Caps, picture: gst::Buffer) {
    if input.caps().as_ref() != Some(caps) {
        input.set_caps(Some(caps));
    }
    // It fails only where the encoder did, which is on the bus, or where it is being closed.
    let _ = input.push_buffer(picture);
}

#[cfg(test)]
mod tests;
