//! One encoder in a pipeline of its own, fed by hand: one that fails, or hangs in its driver, takes nothing with it and
//! can be left where it is.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::capture::encoder::backend;
use crate::capture::error::CaptureError;
use crate::capture::gst::BusError;
use crate::capture::gst::CLOSE_TIMEOUT;
use crate::capture::gst::plugins::make;
use crate::capture::gst::pop_error;
use crate::config::Video;

/// So many pictures wait in front of an encoder: it may take a tenth of a second to start, or for a picture now and
/// then. Each is memory that stays with the camera's pool.
const WAITING: u64 = 4;

/// An encoder at work.
#[derive(Debug)]
pub(crate) struct EncoderPipeline {
    pub(crate) factory: &'static str,
    pipeline: Option<gst::Pipeline>,
    bus: gst::Bus,
    source: gst_app::AppSrc,
    size: gst::Element,
    element: gst::Element,
}

/// What happens when an encoder has no room for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backpressure {
    /// The oldest picture that waits is dropped: a camera does not stop.
    DropOldest,
    /// Whoever hands it over waits: a file can.
    Block,
}

impl Drop for EncoderPipeline {
    fn drop(&mut self) {
        if let Some(pipeline) = self.let_go() {
            crate::capture::gst::close_within(&pipeline, CLOSE_TIMEOUT);
        }
    }
}

impl EncoderPipeline {
    /// Builds and starts the pipeline around `element`, one of `factory`: scaler, encoder, `behind` (what must stand
    /// behind it), parser, `tap`. Frames come out as H.264 of `stream_format`, or as they are where that is `None`.
    pub(crate) fn start(
        (factory, element): (&'static str, gst::Element),
        behind: gst::Caps,
        stream_format: Option<&str>,
        pressure: Backpressure,
        tap: &gst::Element,
    ) -> Result<Self, CaptureError> {
        let pipeline = gst::Pipeline::with_name("coder");
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        let source = gst_app::AppSrc::builder().name("coder-in").format(gst::Format::Time);
        let source = match pressure {
            Backpressure::DropOldest => source.leaky_type(gst_app::AppLeakyType::Downstream),
            Backpressure::Block => source.block(true),
        };
        let source = source.max_bytes(0).max_buffers(WAITING).build();
        // Pictures of the size that is asked for go through both as they are.
        let scale = make("videoscale", "video-size-scale")?;
        scale.set_property("add-borders", false);
        let size = make("capsfilter", "video-size")?;
        let level = make("capsfilter", "video-level")?;
        level.set_property("caps", behind);
        let mut all = vec![source.clone().upcast(), scale, size.clone()];
        if !backend::is_software(factory) {
            // A driver takes only the colours on its list; what is on it goes through as it is.
            all.push(make("videoconvert", "coder-convert")?);
        }
        all.extend([element.clone(), level]);
        if let Some(stream_format) = stream_format {
            let parser = make("h264parse", "video-parser")?;
            // Parameter sets with each keyframe: whoever joins later can decode from there.
            parser.set_property("config-interval", -1);
            let coded = make("capsfilter", "video-coded")?;
            let caps =
                gst::Caps::builder("video/x-h264").field("stream-format", stream_format).field("alignment", "au");
            coded.set_property("caps", caps.build());
            all.extend([parser, coded]);
        }
        all.push(tap.clone());
        pipeline.add_many(&all)?;
        gst::Element::link_many(&all)?;
        let this = Self { factory, pipeline: Some(pipeline.clone()), bus, source, size, element };
        pipeline.set_state(gst::State::Playing).map_err(|_| {
            let said = this.error().map(|posted| format!(": {}", posted.error.message())).unwrap_or_default();
            CaptureError { kind: crate::ipc::FailureKind::Encoder, message: format!("{factory} does not start{said}") }
        })?;
        Ok(this)
    }

    /// Starts `factory` for the configured picture, in a profile of H.264.
    pub(crate) fn h264(
        factory: &'static str,
        video: &Video,
        profile: &str,
        pressure: Backpressure,
        tap: &gst::Element,
    ) -> Result<Self, CaptureError> {
        let element = backend::set_up(factory, video)?;
        Self::start((factory, element), backend::caps(factory, video, profile), Some("avc"), pressure, tap)
    }

    /// What pictures go into, for a thread of its own: handing one over may wait for the encoder.
    pub(crate) fn source(&self) -> gst_app::AppSrc {
        self.source.clone()
    }

    /// The encoder itself.
    pub(crate) fn element(&self) -> &gst::Element {
        &self.element
    }

    /// Another bitrate from now on.
    pub(crate) fn set_bitrate(&self, kbps: u32) {
        backend::set_bitrate(&self.element, self.factory, kbps);
    }

    /// Pictures of another size from now on; with a keyframe, and new parameter sets.
    pub(crate) fn set_size(&self, width: u32, height: u32) {
        // Checked to be at most 3840: fits.
        let number = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw").field("width", number(width)).field("height", number(height));
        self.size.set_property("caps", caps.build());
    }

    /// The next picture becomes a keyframe.
    pub(crate) fn force_keyframe(&self) {
        let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
        if !self.element.static_pad("src").is_some_and(|pad| pad.send_event(event)) {
            tracing::debug!("{} makes no keyframe on demand", self.factory);
        }
    }

    /// What it says went wrong, if something did.
    pub(crate) fn error(&self) -> Option<BusError> {
        pop_error(&self.bus, |_| {})
    }

    /// Leaves it to itself: closes it without waiting for that.
    pub(crate) fn abandon(mut self) {
        if let Some(pipeline) = self.let_go() {
            drop(crate::capture::gst::close_detached(pipeline));
        }
    }

    /// Whoever waits to hand it a picture waits no more; closing alone would get that far last.
    fn let_go(&mut self) -> Option<gst::Pipeline> {
        let pipeline = self.pipeline.take()?;
        self.source.send_event(gst::event::FlushStart::new());
        Some(pipeline)
    }
}

/// Hands a picture to `source`. Where there is no room it is as its `Backpressure` says.
pub(crate) fn hand(source: &gst_app::AppSrc, caps: &gst::Caps, picture: gst::Buffer) {
    if source.caps().as_ref() != Some(caps) {
        source.set_caps(Some(caps));
    }
    // It fails only where the encoder did, which is on the bus, or where it is being closed.
    let _ = source.push_buffer(picture);
}

#[cfg(test)]
mod tests;
