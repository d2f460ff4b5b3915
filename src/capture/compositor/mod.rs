//! What happens to the picture before it is encoded: turned, mirrored and cropped as the camera hangs; covered where
//! nobody may be seen; written on. What is not configured is not there.

mod mask;
mod overlay;

pub(crate) use overlay::OverlayRenderer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::config::Mask;
use overlay::OverlayHandle;

/// Covers and writes on every picture, of whatever source.
#[derive(Debug, Default)]
pub(crate) struct Compositor {
    masks: Vec<Mask>,
    overlay: Option<OverlayHandle>,
    /// The size that masks are counted in.
    configured: (u32, u32),
    video_info_cache: VideoInfoCache,
    warned: AtomicBool,
}

impl Compositor {
    /// `masks` count in pixels of the size `configured`.
    pub(crate) fn new(masks: Vec<Mask>, renderer: Option<&OverlayRenderer>, configured: (u32, u32)) -> Self {
        Self { masks, overlay: renderer.map(OverlayRenderer::handle), configured, ..Self::default() }
    }

    /// Whether `picture` may go on: one that cannot be masked may not.
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
        let info = video_info(&self.video_info_cache, caps)?;
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(picture.make_mut(), &info).ok()?;
        mask::black_out(&mut frame, &self.masks, self.configured)?;
        if let Some(overlay) = self.overlay.as_ref().and_then(OverlayHandle::current) {
            // Where the words cannot be written the picture goes on without them.
            let _ = overlay.blend(&mut frame);
        }
        Some(())
    }
}

type VideoInfoCache = Mutex<Option<(gst::Caps, gst_video::VideoInfo)>>;

/// What `caps` say of the pictures; read once for each.
fn video_info(video_info_cache: &VideoInfoCache, caps: &gst::Caps) -> Option<gst_video::VideoInfo> {
    let mut video_info_cache = video_info_cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, info)) = video_info_cache.as_ref().filter(|(of, _)| of == caps) {
        return Some(info.clone());
    }
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    *video_info_cache = Some((caps.clone(), info.clone()));
    Some(info)
}
