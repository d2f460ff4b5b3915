//! What happens to the picture before it is encoded: turned, mirrored and cropped as the camera hangs; covered where
//! nobody may be seen; written on. What is not configured is not there.

pub(crate) mod mask;
pub(crate) mod overlay;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::capture::error::Failure;

use crate::capture::compositor::overlay::Writing;
use crate::capture::gst::plugins::make;
use crate::config::{Crop, Mask, Video};

/// The size that is asked of the camera, so that it is the configured one once it is turned.
pub(crate) fn camera_size(video: &Video) -> (u32, u32) {
    if video.rotation.is_multiple_of(180) { (video.width, video.height) } else { (video.height, video.width) }
}

/// How `videoflip` calls a turn clockwise by `rotation` degrees, and then left and right changed.
fn direction(rotation: u32, mirror: bool) -> &'static str {
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
pub(crate) fn geometry(video: &Video) -> Result<Vec<gst::Element>, Failure> {
    let mut all = Vec::new();
    if video.rotation != 0 || video.mirror {
        let flip = make("videoflip", "video-turn")?;
        flip.set_property_from_str("video-direction", direction(video.rotation, video.mirror));
        all.push(flip);
    }
    if video.crop != Crop::default() {
        let cut = make("videocrop", "video-crop")?;
        let (crop, weak) = (video.crop, cut.downgrade());
        let pad = cut.static_pad("sink").ok_or_else(|| Failure::internal("videocrop has no sink pad"))?;
        // The picture's size is known only now, before its first one comes.
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view())
                && let Some(cut) = weak.upgrade()
            {
                set_crop(&cut, crop, &caps.caps_owned());
            }
            gst::PadProbeReturn::Ok
        });
        all.push(cut);
    }
    Ok(all)
}

/// Percent of a picture of `caps`, in even pixels, because colour is stored by pairs.
fn set_crop(cut: &gst::Element, crop: Crop, caps: &gst::Caps) {
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
        cut.set_property(name, pixels);
    }
}

/// Covers and writes on every picture, of whatever source.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    masks: Vec<Mask>,
    shown: Option<Shown>,
    /// The size that masks are counted in.
    configured: (u32, u32),
    known: Known,
    told: AtomicBool,
}

impl Cover {
    /// `masks` count in pixels of the size `configured`.
    pub(crate) fn new(masks: Vec<Mask>, writing: Option<&Writing>, configured: (u32, u32)) -> Self {
        Self { masks, shown: writing.map(Writing::shown), configured, ..Self::default() }
    }

    /// Whether `picture` may go on: one that cannot be masked may not.
    pub(crate) fn apply(&self, picture: &mut gst::Buffer, caps: &gst::Caps) -> bool {
        if self.masks.is_empty() && self.shown.is_none() {
            return true;
        }
        let done = self.draw(picture, caps).is_some();
        if !done && !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!("a picture cannot be masked, and goes no further: it is not I420, or cannot be written to");
        }
        done
    }

    fn draw(&self, picture: &mut gst::Buffer, caps: &gst::Caps) -> Option<()> {
        let info = info_of(&self.known, caps)?;
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(picture.make_mut(), &info).ok()?;
        mask::cover(&mut frame, &self.masks, self.configured)?;
        if let Some(shown) = self.shown.as_ref().and_then(Shown::now) {
            // Where the words cannot be written the picture goes on without them.
            let _ = shown.blend(&mut frame);
        }
        Some(())
    }
}

type Known = Mutex<Option<(gst::Caps, gst_video::VideoInfo)>>;

/// What `caps` say of the pictures; read once for each.
fn info_of(known: &Known, caps: &gst::Caps) -> Option<gst_video::VideoInfo> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, info)) = known.as_ref().filter(|(of, _)| of == caps) {
        return Some(info.clone());
    }
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    *known = Some((caps.clone(), info.clone()));
    Some(info)
}

/// The words that are shown at present.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<Option<gst_video::VideoOverlayComposition>>>);

impl Shown {
    pub(crate) fn now(&self) -> Option<gst_video::VideoOverlayComposition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows others from now on.
    pub(crate) fn set(&self, composition: gst_video::VideoOverlayComposition) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(composition);
    }
}
