//! What is done to each picture before it is encoded, whatever its source: privacy masks and the text overlay.

mod mask;
mod overlay;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::config::Mask;
use crate::sync::LockExt;

use overlay::OverlayHandle;
pub(crate) use overlay::OverlayRenderer;

/// Masks pictures and blends the overlay into them.
#[derive(Debug, Default)]
pub(crate) struct Compositor {
    masks: Vec<Mask>,
    overlay: Option<OverlayHandle>,
    /// The size of the pictures in whose pixels the masks are given.
    mask_size: (u32, u32),
    video_info: VideoInfoCache,
    /// The error was logged.
    warned: AtomicBool,
}

impl Compositor {
    /// `masks` are in pixels of a picture of `mask_size`.
    pub(crate) fn new(masks: Vec<Mask>, renderer: Option<&OverlayRenderer>, mask_size: (u32, u32)) -> Self {
        Self { masks, overlay: renderer.map(OverlayRenderer::handle), mask_size, ..Self::default() }
    }

    /// Returns whether `picture` may be encoded: one that cannot be masked may not.
    pub(crate) fn apply(&self, picture: &mut gst::Buffer, caps: &gst::Caps) -> bool {
        if self.masks.is_empty() && self.overlay.is_none() {
            return true;
        }
        let done = self.compose(picture, caps).is_some();
        if !done && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::error!("a picture cannot be masked, and goes no further: it is not I420, or cannot be written to");
        }
        done
    }

    fn compose(&self, picture: &mut gst::Buffer, caps: &gst::Caps) -> Option<()> {
        let info = self.video_info.get(caps)?;
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(picture.make_mut(), &info).ok()?;
        mask::black_out(&mut frame, &self.masks, self.mask_size)?;
        if let Some(overlay) = self.overlay.as_ref().and_then(OverlayHandle::current) {
            // Without the text the picture may still be encoded.
            let _ = overlay.blend(&mut frame);
        }
        Some(())
    }
}

/// The last caps, parsed.
#[derive(Debug, Default)]
struct VideoInfoCache(Mutex<Option<(gst::Caps, gst_video::VideoInfo)>>);

impl VideoInfoCache {
    fn get(&self, caps: &gst::Caps) -> Option<gst_video::VideoInfo> {
        let mut cached = self.0.lock_unpoisoned();
        if let Some((_, info)) = cached.as_ref().filter(|(of, _)| of == caps) {
            return Some(info.clone());
        }
        let info = gst_video::VideoInfo::from_caps(caps).ok()?;
        *cached = Some((caps.clone(), info.clone()));
        Some(info)
    }
}
