//! A camera: which one it is, and its pictures in the configured size, at no more than the configured rate.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;

use super::camera_mode::{self, CameraRequest};
use super::transform::{add_normalizer, camera_size};
use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};
use crate::capture::media::{FrameDecimator, raw_video_caps};
use crate::config::{Video, VideoSource};
use crate::sync::LockExt;

/// The configured source, with `auto` resolved to one that is there.
pub(crate) fn resolve_camera(video: &Video) -> VideoSource {
    match video.source {
        VideoSource::Auto if has_csi_camera() => VideoSource::Libcamera,
        VideoSource::Auto => VideoSource::V4l2,
        chosen @ (VideoSource::Libcamera | VideoSource::V4l2 | VideoSource::File | VideoSource::Test) => chosen,
    }
}

/// Whether a camera is on the CSI connector: the kernel names the receivers of the Pi so.
fn has_csi_camera() -> bool {
    let names = std::fs::read_dir("/sys/class/video4linux").into_iter().flatten().flatten();
    names
        .filter_map(|node| std::fs::read_to_string(node.path().join("name")).ok())
        .any(|name| ["unicam", "rp1-cfe"].iter().any(|receiver| name.starts_with(receiver)))
}

/// The configured camera, for messages.
pub(crate) fn describe_camera(video: &Video) -> String {
    match resolve_camera(video) {
        VideoSource::Libcamera => "on the CSI connector (libcamera)".to_owned(),
        VideoSource::Test => "(test picture)".to_owned(),
        VideoSource::V4l2 | VideoSource::File | VideoSource::Auto => video.device.display().to_string(),
    }
}

/// A camera in a pipeline, not open yet.
#[derive(Debug)]
pub(super) struct Camera {
    /// The last element, which gives pictures of the configured size.
    pub(super) output: gst::Element,
    source: gst::Element,
    /// The caps that are asked of the camera; `None` for one that makes any picture.
    caps_filter: Option<gst::Element>,
    request: CameraRequest,
    decimator: Arc<Mutex<FrameDecimator>>,
}

/// Adds a camera to `pipeline`, and what normalizes its pictures. `now` is the session's running time. Files are for
/// [`super::MediaFile`].
pub(super) fn add_camera(pipeline: &gst::Pipeline, video: &Video, now: gst::ClockTime) -> Result<Camera, CaptureError> {
    let (width, height) = camera_size(video);
    let request = CameraRequest { width, height, fps: video.fps };
    let CameraElements { source, caps_filter, output: raw } = add_source(pipeline, video, request)?;
    if source.has_property("timestamp-offset") {
        // A test picture counts from the start of the session, and would produce all that it missed.
        source.set_property("timestamp-offset", i64::try_from(now.nseconds()).unwrap_or(0));
    }
    let (first, output) = add_normalizer(pipeline, video)?;
    raw.link(&first)?;
    let decimator = Arc::new(Mutex::new(FrameDecimator::capped(video.fps, video.fps)));
    // Ahead of decoder and converter: a picture that is dropped costs nothing there.
    limit_rate(&source, &decimator)?;
    Ok(Camera { output, source, caps_filter, request, decimator })
}

/// Drops the pictures of `source` that `decimator` does not keep.
pub(super) fn limit_rate(source: &gst::Element, decimator: &Arc<Mutex<FrameDecimator>>) -> Result<(), CaptureError> {
    let pad = source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
    let decimator = decimator.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let keep = pts.is_none_or(|pts| decimator.lock_unpoisoned().should_keep(pts));
        if keep { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
    Ok(())
}

impl Camera {
    /// Opens the device far enough to list its modes, and selects one. A driver may take any time for this. Returns the
    /// mode in words; `None` where there is none to select.
    pub(super) fn select_mode(&self, video: &Video) -> Result<Option<String>, CaptureError> {
        let (Some(filter), VideoSource::V4l2) = (&self.caps_filter, resolve_camera(video)) else { return Ok(None) };
        let name = describe_camera(video);
        if self.source.set_state(gst::State::Ready).is_err() {
            // The reason is on the pipeline's bus.
            return Ok(None);
        }
        let pad = self.source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
        let offered = pad.query_caps(None);
        tracing::debug!("{name} offers {offered}");
        if offered.is_any() {
            return Ok(None);
        }
        let mode = camera_mode::select(&offered, self.request).map_err(|error| {
            // Closed here, because its pipeline has not started.
            let _ = self.source.set_state(gst::State::Null);
            CaptureError::source(format!("the camera {name} {error}"))
        })?;
        filter.set_property("caps", mode.caps());
        let camera_fps = mode.fps().unwrap_or(self.request.fps);
        *self.decimator.lock_unpoisoned() = FrameDecimator::capped(self.request.fps, camera_fps);
        Ok(Some(mode.to_string()))
    }
}

/// What to ask of a camera before its modes are known, and of one that lists none. In this order: the size and rate,
/// raw and then JPEG; the size at any rate; any size.
fn fallback_caps(request: CameraRequest) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    if let Some(caps) = caps.get_mut() {
        for (with_size, with_rate) in [(true, true), (true, false), (false, false)] {
            for media_type in ["video/x-raw", "image/jpeg"] {
                let mut structure = gst::Structure::new_empty(media_type);
                if with_size {
                    structure.set("width", int(request.width));
                    structure.set("height", int(request.height));
                }
                if with_rate {
                    structure.set("framerate", gst::Fraction::new(int(request.fps), 1));
                }
                caps.append_structure(structure);
            }
        }
    }
    caps
}

/// A camera's own elements.
struct CameraElements {
    source: gst::Element,
    caps_filter: Option<gst::Element>,
    /// Gives raw pictures of the camera's size.
    output: gst::Element,
}

fn add_source(pipeline: &gst::Pipeline, video: &Video, request: CameraRequest) -> Result<CameraElements, CaptureError> {
    let source = match resolve_camera(video) {
        VideoSource::Test | VideoSource::File | VideoSource::Auto => {
            return add_test_source(pipeline, video, request);
        }
        VideoSource::Libcamera => make("libcamerasrc", "video-source")?,
        VideoSource::V4l2 => {
            require_device(&video.device)?;
            let source = make("v4l2src", "video-source")?;
            source.set_property("device", video.device.to_string_lossy().as_ref());
            source
        }
    };
    let filter = make("capsfilter", "video-source-caps")?;
    filter.set_property("caps", fallback_caps(request));
    plugins::load_all(plugins::CAMERA_PLUGINS);
    let decoder = make("decodebin", "video-source-decoder")?;
    let output = make("identity", "video-source-out")?;
    pipeline.add_many([&source, &filter, &decoder, &output])?;
    gst::Element::link_many([&source, &filter, &decoder])?;
    let sink = output.static_pad("sink").ok_or_else(|| CaptureError::internal("identity has no sink pad"))?;
    decoder.connect_pad_added(move |_, pad| {
        if !sink.is_linked() {
            let _ = pad.link(&sink);
        }
    });
    Ok(CameraElements { source, caps_filter: Some(filter), output })
}

fn add_test_source(
    pipeline: &gst::Pipeline,
    video: &Video,
    request: CameraRequest,
) -> Result<CameraElements, CaptureError> {
    let source = make("videotestsrc", "video-source")?;
    source.set_property("is-live", true);
    let filter = make("capsfilter", "video-source-caps")?;
    let video = Video { width: request.width, height: request.height, ..video.clone() };
    filter.set_property("caps", raw_video_caps(&video));
    pipeline.add_many([&source, &filter])?;
    source.link(&filter)?;
    Ok(CameraElements { source, caps_filter: None, output: filter })
}

fn require_device(device: &Path) -> Result<(), CaptureError> {
    if device.exists() {
        return Ok(());
    }
    let device = device.display();
    Err(CaptureError::source(format!(
        "there is no camera at {device}: plug it in, or set [video] device; v4l2-ctl --list-devices lists what is there"
    )))
}
