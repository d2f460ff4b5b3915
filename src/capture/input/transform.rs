//! Brings a picture into the configured form: rotated, mirrored and cropped as the camera is mounted, and scaled.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::raw_video_caps;
use crate::config::{Crop, Video, VideoSource};

/// The method of `videoflip` that rotates clockwise by `rotation` degrees, and then mirrors left and right.
fn flip_method(rotation: u32, mirror: bool) -> &'static str {
    match (rotation, mirror) {
        (90, false) => "90r",
        (180, false) => "180",
        (270, false) => "90l",
        (90, true) => "ul-lr",
        (180, true) => "vert",
        (270, true) => "ur-ll",
        (_, true) => "horiz",
        (_, false) => "identity",
    }
}

/// The elements that rotate, mirror and crop, in this order. There are none if none of it is configured.
fn transform_elements(video: &Video) -> Result<Vec<gst::Element>, CaptureError> {
    let mut elements = Vec::new();
    if video.rotation != 0 || video.mirror {
        let flip = make("videoflip", "video-turn")?;
        flip.set_property_from_str("video-direction", flip_method(video.rotation, video.mirror));
        elements.push(flip);
    }
    if video.crop != Crop::default() {
        elements.push(cropper(video.crop)?);
    }
    Ok(elements)
}

/// A `videocrop` that is set once the size of its input is known, ahead of the first picture.
fn cropper(crop: Crop) -> Result<gst::Element, CaptureError> {
    let videocrop = make("videocrop", "video-crop")?;
    let weak = videocrop.downgrade();
    let pad = videocrop.static_pad("sink").ok_or_else(|| CaptureError::internal("videocrop has no sink pad"))?;
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view())
            && let Some(videocrop) = weak.upgrade()
        {
            set_crop(&videocrop, crop, &caps.caps_owned());
        }
        gst::PadProbeReturn::Ok
    });
    Ok(videocrop)
}

/// Turns percent of a picture of `caps` into pixels. Their number is even, because a chroma sample covers two.
fn set_crop(videocrop: &gst::Element, crop: Crop, caps: &gst::Caps) {
    let size = |name: &str| caps.structure(0).and_then(|structure| structure.get::<i32>(name).ok()).unwrap_or(0);
    let part = |percent: u32, of: i32| {
        let pixels = i64::from(of) * i64::from(percent) / 100;
        i32::try_from(pixels & !1).unwrap_or(0)
    };
    let (width, height) = (size("width"), size("height"));
    for (name, pixels) in [
        ("left", part(crop.left, width)),
        ("right", part(crop.right, width)),
        ("top", part(crop.top, height)),
        ("bottom", part(crop.bottom, height)),
    ] {
        videocrop.set_property(name, pixels);
    }
}

/// Adds the elements that bring any picture into the configured form. Returns the first and the last of them.
pub(crate) fn add_normalizer(
    pipeline: &gst::Pipeline,
    video: &Video,
) -> Result<(gst::Element, gst::Element), CaptureError> {
    let convert = make("videoconvert", "video-convert")?;
    let scale = make("videoscale", "video-scale")?;
    let filter = make("capsfilter", "video-caps")?;
    let mut caps = raw_video_caps(video);
    let mut elements = vec![convert.clone()];
    if video.source == VideoSource::File {
        // A phone's clip has a tag with its orientation.
        let orient = make("videoflip", "video-upright")?;
        orient.set_property_from_str("video-direction", "auto");
        elements.push(orient);
    }
    elements.extend(transform_elements(video)?);
    elements.push(scale);
    if video.source == VideoSource::File {
        // Makes the rate constant, at the price of one frame's delay. A camera's frames go on as they come.
        elements.push(make("videorate", "video-rate")?);
    } else if let Some(structure) = caps.make_mut().structure_mut(0) {
        // A camera may give fewer frames in the dark.
        structure.remove_field("framerate");
    }
    filter.set_property("caps", caps);
    elements.push(filter.clone());
    pipeline.add_many(&elements)?;
    gst::Element::link_many(&elements)?;
    Ok((convert, filter))
}
