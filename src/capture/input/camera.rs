//! The picture: from its source to pictures of the configured size and rate.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};
use crate::capture::input::camera_mode::{self, CameraRequest};
use crate::capture::media::FrameDecimator;
use crate::capture::media::raw_video_caps;
use crate::config::{Video, VideoSource};

/// Where the picture comes from, once `auto` is decided.
pub(crate) fn resolve_camera(video: &Video) -> VideoSource {
    match video.source {
        VideoSource::Auto if has_csi_camera() => VideoSource::Libcamera,
        VideoSource::Auto => VideoSource::V4l2,
        chosen @ (VideoSource::Libcamera | VideoSource::V4l2 | VideoSource::File | VideoSource::Test) => chosen,
    }
}

/// Whether a camera on the CSI connector is there, as the kernel names their receivers on the Pi.
fn has_csi_camera() -> bool {
    let names = std::fs::read_dir("/sys/class/video4linux").into_iter().flatten().flatten();
    names
        .filter_map(|node| std::fs::read_to_string(node.path().join("name")).ok())
        .any(|name| ["unicam", "rp1-cfe"].iter().any(|receiver| name.starts_with(receiver)))
}

/// What the configuration names as the camera, for messages.
pub(crate) fn describe_camera(video: &Video) -> String {
    match resolve_camera(video) {
        VideoSource::Libcamera => "on the CSI connector (libcamera)".to_owned(),
        VideoSource::Test => "(test picture)".to_owned(),
        VideoSource::V4l2 | VideoSource::File | VideoSource::Auto => video.device.display().to_string(),
    }
}

/// A camera in a pipeline: what has to be settled once it is open.
#[derive(Debug)]
pub(crate) struct Camera {
    /// Where its pictures come out in the configured size.
    pub(crate) last: gst::Element,
    source: gst::Element,
    /// What is asked of it; `None`: it makes any picture.
    filter: Option<gst::Element>,
    wanted: CameraRequest,
    decimator: Arc<Mutex<FrameDecimator>>,
}

/// Adds a camera to `pipeline`, and what makes its pictures the configured ones. Files are `file`'s matter.
/// `now` is the session's running time.
pub(crate) fn add_camera(pipeline: &gst::Pipeline, video: &Video, now: gst::ClockTime) -> Result<Camera, CaptureError> {
    let (width, height) = crate::capture::input::transform::camera_size(video);
    let wanted = CameraRequest { width, height, fps: video.fps };
    let (source, filter, out) = add_source(pipeline, video, wanted)?;
    if source.has_property("timestamp-offset") {
        // A test picture counts from the session's beginning, and would make up for all that is gone by.
        source.set_property("timestamp-offset", i64::try_from(now.nseconds()).unwrap_or(0));
    }
    let (first, last) = crate::capture::input::add_normalizer(pipeline, video)?;
    out.link(&first)?;
    let decimator = Arc::new(Mutex::new(FrameDecimator::capped(video.fps, video.fps)));
    // Before anything is decoded or converted: what is too much costs nothing.
    limit_rate(&source, &decimator)?;
    Ok(Camera { last, source, filter, wanted, decimator })
}

/// Lets through what `decimator` keeps of what `source` gives.
pub(crate) fn limit_rate(source: &gst::Element, decimator: &Arc<Mutex<FrameDecimator>>) -> Result<(), CaptureError> {
    let pad = source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
    let decimator = decimator.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let at = info.buffer().and_then(|buffer| buffer.pts());
        let keeps = at.is_none_or(|at| decimator.lock().unwrap_or_else(PoisonError::into_inner).should_keep(at));
        if keeps { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
    Ok(())
}

impl Camera {
    /// Opens the device as far as it tells its modes, and chooses one; may take as long as its driver likes. Returns
    /// the mode, in words.
    pub(crate) fn select_mode(&self, video: &Video) -> Result<Option<String>, CaptureError> {
        let (Some(filter), VideoSource::V4l2) = (&self.filter, resolve_camera(video)) else { return Ok(None) };
        let name = describe_camera(video);
        if self.source.set_state(gst::State::Ready).is_err() {
            // Its pipeline's bus says why.
            return Ok(None);
        }
        let pad = self.source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
        let offered = pad.query_caps(None);
        tracing::debug!("{name} offers {offered}");
        if offered.is_any() {
            return Ok(None);
        }
        let mode = camera_mode::select(&offered, self.wanted).map_err(|error| {
            // Closed here: its pipeline has not begun.
            let _ = self.source.set_state(gst::State::Null);
            CaptureError::source(format!("the camera {name} {error}"))
        })?;
        filter.set_property("caps", mode.caps());
        let coming = mode.fps().unwrap_or(self.wanted.fps);
        *self.decimator.lock().unwrap_or_else(PoisonError::into_inner) =
            FrameDecimator::capped(self.wanted.fps, coming);
        Ok(Some(mode.to_string()))
    }
}

/// What a camera is asked for before it has told its modes, and where it tells none: the right size raw, then as JPEG,
/// each with the rate and then with any; then any size.
fn fallback_caps(wanted: CameraRequest) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let int = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    if let Some(caps) = caps.get_mut() {
        for (sized, rated) in [(true, true), (true, false), (false, false)] {
            for kind in ["video/x-raw", "image/jpeg"] {
                let mut structure = gst::Structure::new_empty(kind);
                if sized {
                    structure.set("width", int(wanted.width));
                    structure.set("height", int(wanted.height));
                }
                if rated {
                    structure.set("framerate", gst::Fraction::new(int(wanted.fps), 1));
                }
                caps.append_structure(structure);
            }
        }
    }
    caps
}

/// The source, what it is asked by, and where raw pictures come out.
type Opened = (gst::Element, Option<gst::Element>, gst::Element);

fn add_source(pipeline: &gst::Pipeline, video: &Video, wanted: CameraRequest) -> Result<Opened, CaptureError> {
    let source = match resolve_camera(video) {
        VideoSource::Test | VideoSource::File | VideoSource::Auto => {
            let source = make("videotestsrc", "video-source")?;
            source.set_property("is-live", true);
            let filter = make("capsfilter", "video-source-caps")?;
            filter.set_property(
                "caps",
                raw_video_caps(&Video { width: wanted.width, height: wanted.height, ..video.clone() }),
            );
            pipeline.add_many([&source, &filter])?;
            source.link(&filter)?;
            return Ok((source, None, filter));
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
    filter.set_property("caps", fallback_caps(wanted));
    plugins::load_all(plugins::CAMERA_PLUGINS);
    let decoder = make("decodebin", "video-source-decoder")?;
    let out = make("identity", "video-source-out")?;
    pipeline.add_many([&source, &filter, &decoder, &out])?;
    gst::Element::link_many([&source, &filter, &decoder])?;
    let sink = out.static_pad("sink").ok_or_else(|| CaptureError::internal("identity has no sink pad"))?;
    decoder.connect_pad_added(move |_, pad| {
        if !sink.is_linked() {
            let _ = pad.link(&sink);
        }
    });
    Ok((source, Some(filter), out))
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
