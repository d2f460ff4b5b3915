//! The picture: from its source to pictures of the configured size and rate.

use std::path::Path;

use gst::prelude::*;
use gstreamer as gst;

use super::failure::Failure;
use super::plugins::{self, make};
use crate::config::{Video, VideoSource};

/// What goes into the encoder. I420 is what every encoder here takes without a copy of its own.
pub(super) fn raw_caps(video: &Video) -> gst::Caps {
    let (width, height, fps) = size(video);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width)
        .field("height", height)
        .field("framerate", gst::Fraction::new(fps, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

/// Checked to be at most 3840: fits.
#[allow(clippy::cast_possible_wrap)]
fn size(video: &Video) -> (i32, i32, i32) {
    (video.width as i32, video.height as i32, video.fps as i32)
}

/// Where the picture comes from, once `auto` is decided.
pub(super) fn decide(video: &Video) -> VideoSource {
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
pub(super) fn described(video: &Video) -> String {
    match decide(video) {
        VideoSource::Libcamera => "on the CSI connector (libcamera)".to_owned(),
        VideoSource::Test => "(test picture)".to_owned(),
        VideoSource::V4l2 | VideoSource::File | VideoSource::Auto => video.device.display().to_string(),
    }
}

/// Adds a camera to `pipeline`, and what makes its pictures the configured ones; returns the last element. Files are
/// `file`'s matter.
pub(super) fn add_camera(pipeline: &gst::Pipeline, video: &Video) -> Result<gst::Element, Failure> {
    let camera = add_source(pipeline, video)?;
    let (first, last) = add_shape(pipeline, video)?;
    camera.link(&first)?;
    Ok(last)
}

fn add_source(pipeline: &gst::Pipeline, video: &Video) -> Result<gst::Element, Failure> {
    let (width, height) = super::picture::camera_size(video);
    let (width, height, fps) = size(&Video { width, height, ..video.clone() });
    let source = match decide(video) {
        VideoSource::Test | VideoSource::File | VideoSource::Auto => {
            let source = make("videotestsrc", "video-source")?;
            source.set_property("is-live", true);
            pipeline.add(&source)?;
            return Ok(source);
        }
        VideoSource::Libcamera => make("libcamerasrc", "video-source")?,
        VideoSource::V4l2 => {
            there(&video.device)?;
            let source = make("v4l2src", "video-source")?;
            source.set_property("device", video.device.to_string_lossy().as_ref());
            source
        }
    };
    let filter = make("capsfilter", "video-source-caps")?;
    let mut caps = gst::Caps::new_empty();
    // In the order of preference: the right size raw, the right size as JPEG, any size.
    if let Some(caps) = caps.get_mut() {
        for (kind, sized) in
            [("video/x-raw", true), ("image/jpeg", true), ("video/x-raw", false), ("image/jpeg", false)]
        {
            let mut structure = gst::Structure::new_empty(kind);
            if sized {
                structure.set("width", width);
                structure.set("height", height);
                structure.set("framerate", gst::Fraction::new(fps, 1));
            }
            caps.append_structure(structure);
        }
    }
    filter.set_property("caps", caps);
    plugins::load_all(plugins::OF_CAMERAS);
    let decoder = make("decodebin", "video-source-decoder")?;
    let out = make("identity", "video-source-out")?;
    pipeline.add_many([&source, &filter, &decoder, &out])?;
    gst::Element::link_many([&source, &filter, &decoder])?;
    let sink = out.static_pad("sink").ok_or_else(|| Failure::internal("identity has no sink pad"))?;
    decoder.connect_pad_added(move |_, pad| {
        if !sink.is_linked() {
            let _ = pad.link(&sink);
        }
    });
    Ok(out)
}

fn there(device: &Path) -> Result<(), Failure> {
    if device.exists() {
        return Ok(());
    }
    let device = device.display();
    Err(Failure::source(format!(
        "there is no camera at {device}: plug it in, or set [video] device; v4l2-ctl --list-devices lists what is there"
    )))
}

/// Adds what makes any picture the configured one; returns the first and the last element.
pub(super) fn add_shape(pipeline: &gst::Pipeline, video: &Video) -> Result<(gst::Element, gst::Element), Failure> {
    let convert = make("videoconvert", "video-convert")?;
    let scale = make("videoscale", "video-scale")?;
    let rate = make("videorate", "video-rate")?;
    // A camera's frames go on as they come; only a file's rate is filled up, at the price of a frame's delay.
    rate.set_property("drop-only", decide(video) != VideoSource::File);
    let filter = make("capsfilter", "video-caps")?;
    let mut caps = raw_caps(video);
    if decide(video) != VideoSource::File
        && let Some(structure) = caps.make_mut().structure_mut(0)
    {
        // A camera that gives fewer frames in the dark is no reason to give none.
        let fps = size(video).2;
        structure.set("framerate", gst::FractionRange::new(gst::Fraction::new(0, 1), gst::Fraction::new(fps, 1)));
    }
    filter.set_property("caps", caps);
    let turned = super::picture::geometry(video)?;
    let mut all = vec![&convert];
    all.extend(&turned);
    all.extend([&scale, &rate, &filter]);
    pipeline.add_many(&all)?;
    gst::Element::link_many(&all)?;
    Ok((convert, filter))
}
