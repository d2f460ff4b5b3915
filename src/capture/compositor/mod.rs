//! What happens to the picture before it is encoded: turned, mirrored and cropped as the camera hangs; covered where
//! nobody may be seen; written on. What is not configured is not there.

pub(crate) mod mask;
pub(crate) mod overlay;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::capture::compositor::overlay::{OverlayHandle, OverlayRenderer};
use crate::config::Mask;

/// Covers and writes on every picture, of whatever source.
#[derive(Debug, Default)]
pub(crate) struct Compositor {
    masks: Vec<Mask>,
    shown: Option<OverlayHandle>,
    /// The size that masks are counted in.
    configured: (u32, u32),
    known: Known,
    told: AtomicBool,
}

impl Compositor {
    /// `masks` count in pixels of the size `configured`.
    pub(crate) fn new(masks: Vec<Mask>, writing: Option<&OverlayRenderer>, configured: (u32, u32)) -> Self {
        Self { masks, shown: writing.map(OverlayRenderer::shown), configured, ..Self::default() }
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
        if let Some(shown) = self.shown.as_ref().and_then(OverlayHandle::now) {
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
