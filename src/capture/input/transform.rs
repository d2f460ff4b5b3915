//! The picture as it is wanted: turned, mirrored and cropped as the camera hangs, and of the configured size.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::capture::media::raw_video_caps;
use crate::config::{Crop, Video, VideoSource};

/// The size that is asked of the camera, so that it is the configured one once it is turned.
pub(crate) fn camera_size(video: &Video) -> (u32, u32) {
    if video.rotation.is_multiple_of(180) { (video.width, video.height) } else { (video.height, video.width) }
}

/// How `videoflip` calls a turn clockwise by `rotation` degrees, and then left and right changed.
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

/// The elements that turn, mirror and crop the camera's picture, in this order; none where nothing of it is configured.
pub(crate) fn transform_elements(video: &Video) -> Result<Vec<gst::Element>, CaptureError> {
    let mut all = Vec::new();
    if video.rotation != 0 || video.mirror {
        let flip = make("videoflip", "video-turn")?;
        flip.set_property_from_str("video-direction", flip_method(video.rotation, video.mirror));
        all.push(flip);
    }
    if video.crop != Crop::default() {
        let videocrop = make("videocrop", "video-crop")?;
        let (crop, weak) = (video.crop, videocrop.downgrade());
        let pad = videocrop.static_pad("sink").ok_or_else(|| CaptureError::internal("videocrop has no sink pad"))?;
        // The picture's size is known only now, before its first one comes.
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view())
                && let Some(videocrop) = weak.upgrade()
            {
                set_crop(&videocrop, crop, &caps.caps_owned());
            }
            gst::PadProbeReturn::Ok
        });
        all.push(videocrop);
    }
    Ok(all)
}

/// Percent of a picture of `caps`, in even pixels, because colour is stored by pairs.
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

/// Adds what makes any picture the configured one; returns the first and the last element.
pub(crate) fn add_normalizer(
    pipeline: &gst::Pipeline,
    video: &Video,
) -> Result<(gst::Element, gst::Element), CaptureError> {
    let convert = make("videoconvert", "video-convert")?;
    let scale = make("videoscale", "video-scale")?;
    let filter = make("capsfilter", "video-caps")?;
    let mut caps = raw_video_caps(video);
    let mut all = vec![&convert];
    let (upright, rate);
    let turned = transform_elements(video)?;
    if crate::capture::input::camera::resolve_camera(video) == VideoSource::File {
        // A phone's clip says in a tag how it was held.
        upright = make("videoflip", "video-upright")?;
        upright.set_property_from_str("video-direction", "auto");
        // Only a file's rate is filled up, at the price of a frame's delay: a camera's frames go on as they come.
        rate = make("videorate", "video-rate")?;
        all.push(&upright);
        all.extend(&turned);
        all.extend([&scale, &rate, &filter]);
    } else {
        // A camera that gives fewer frames in the dark is no reason to give none.
        if let Some(structure) = caps.make_mut().structure_mut(0) {
            structure.remove_field("framerate");
        }
        all.extend(&turned);
        all.extend([&scale, &filter]);
    }
    filter.set_property("caps", caps);
    pipeline.add_many(&all)?;
    gst::Element::link_many(&all)?;
    Ok((convert, filter))
}
