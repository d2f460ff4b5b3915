//! A camera: which one it is, and its pictures in the configured size, at no more than the configured rate.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;

use super::camera_mode;
use super::device_error::device_error;
use super::jpeg_filter::drop_broken_jpegs;
use super::session_camera::{SessionCamera, no_camera, resolve_camera};
use super::transform::add_normalizer;
use crate::camera::{CameraRequest, Selection};
use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};
use crate::capture::gst::pop_error;
use crate::capture::media::{FrameDecimator, WantedRate, raw_video_caps};
use crate::config::{Video, VideoSource};
use crate::sync::LockExt;

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
pub(super) fn add_camera(
    pipeline: &gst::Pipeline,
    camera: &SessionCamera,
    now: gst::ClockTime,
) -> Result<Camera, CaptureError> {
    camera.require()?;
    let video = camera.video();
    let request = CameraRequest::of(video);
    let CameraElements { source, caps_filter, output: raw } = add_source(pipeline, video, request)?;
    if source.has_property("timestamp-offset") {
        // A test picture counts from the start of the session, and would produce all that it missed.
        source.set_property("timestamp-offset", i64::try_from(now.nseconds()).unwrap_or(0));
    }
    let (first, output) = add_normalizer(pipeline, video)?;
    raw.link(&first)?;
    let decimator = Arc::new(Mutex::new(FrameDecimator::capped(video.fps, video.fps)));
    // Ahead of decoder and converter: a picture that is dropped costs nothing there. One that is broken first, because
    // it takes nobody's place then.
    drop_broken_jpegs(&source)?;
    limit_rate(&source, &decimator, camera.wanted_rate())?;
    Ok(Camera { output, source, caps_filter, request, decimator })
}

/// Drops the pictures of `source` that `decimator` does not keep, at no more than the rate that is wanted.
pub(super) fn limit_rate(
    source: &gst::Element,
    decimator: &Arc<Mutex<FrameDecimator>>,
    wanted: &WantedRate,
) -> Result<(), CaptureError> {
    let pad = source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
    let (decimator, wanted) = (decimator.clone(), wanted.clone());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let mut decimator = decimator.lock_unpoisoned();
        decimator.limit_to(wanted.fps());
        let keep = pts.is_none_or(|pts| decimator.should_keep(pts));
        if keep { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
    Ok(())
}

impl Camera {
    /// Opens the device far enough to list its modes, and selects one. A driver may take any time for this. Returns the
    /// mode in words; `None` where there is none to select. `bus` is the pipeline's.
    pub(super) fn select_mode(&self, camera: &SessionCamera, bus: &gst::Bus) -> Result<Option<String>, CaptureError> {
        let (Some(filter), VideoSource::V4l2) = (&self.caps_filter, camera.video().source) else { return Ok(None) };
        self.open_device(camera, bus)?;
        let name = camera.describe();
        let pad = self.source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
        let offered = pad.query_caps(None);
        tracing::debug!("{name} offers {offered}");
        if offered.is_any() {
            return Ok(None);
        }
        let Selection { mode, reason } = camera_mode::select(&offered, self.request).map_err(|error| {
            // Closed here, because its pipeline has not started.
            let _ = self.source.set_state(gst::State::Null);
            CaptureError::source(format!("the camera {name} {error}"))
        })?;
        tracing::info!("the camera {name} gives {mode}: {reason}");
        filter.set_property("caps", camera_mode::caps_of(&mode));
        let camera_fps = mode.fps().unwrap_or(self.request.fps);
        *self.decimator.lock_unpoisoned() = FrameDecimator::capped(self.request.fps, camera_fps);
        Ok(Some(camera.found().map_or_else(|| mode.to_string(), |found| format!("{mode} from {}", found.display()))))
    }

    /// The mode in words that a camera took by itself; `None` while it gives nothing.
    pub(super) fn current_mode(&self) -> Option<String> {
        let caps = self.source.static_pad("src")?.current_caps()?;
        camera_mode::describe(&caps, self.request)
    }

    /// Opens the first of the session's candidates that is a camera. What is known to be one is not passed over because
    /// it fails: another camera has another view.
    fn open_device(&self, camera: &SessionCamera, bus: &gst::Bus) -> Result<(), CaptureError> {
        let mut first_error = None;
        for candidate in camera.candidates() {
            let name = candidate.device.display().to_string();
            self.source.set_property("device", &name);
            let error = match self.source.set_state(gst::State::Ready) {
                Ok(_) if !camera.is_auto() || self.is_camera() => {
                    camera.take(&candidate.device);
                    return Ok(());
                }
                Ok(_) => None,
                Err(_) => match pop_error(bus, |_| ()) {
                    // What `v4l2src` says of a device that gives no pictures.
                    Some(posted) if !candidate.is_certain && posted.error.matches(gst::ResourceError::NotFound) => None,
                    Some(posted) => Some(device_error(&posted, &name, &name)),
                    None => Some(CaptureError::source(format!("the camera {name} does not start"))),
                },
            };
            let _ = self.source.set_state(gst::State::Null);
            tracing::debug!(?error, "{name} is not the camera");
            match error {
                Some(error) if candidate.is_certain => {
                    camera.take(&candidate.device);
                    return Err(error);
                }
                error => first_error = first_error.or(error),
            }
        }
        Err(first_error.unwrap_or_else(no_camera))
    }

    /// Whether the open device gives pictures and takes none, as an encoder does. `v4l2src` has refused what gives none
    /// (`VIDIOC_QUERYCAP`).
    fn is_camera(&self) -> bool {
        let flags = self.source.property_value("flags");
        gst::glib::FlagsClass::with_type(flags.type_()).is_none_or(|class| !class.is_set_by_nick(&flags, "output"))
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
        VideoSource::V4l2 => make("v4l2src", "video-source")?,
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
