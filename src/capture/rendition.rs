//! What the encoder is asked for: the bitrate controller decides it, the capture pipeline carries it out while it runs.

use crate::config::Video;

/// Bitrate, frame rate and size of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rendition {
    /// Of the picture alone, in kbit/s.
    pub(super) bitrate_kbps: u32,
    /// Frames per second, at most the configured ones.
    pub(super) fps: u32,
    /// Pixels, even, at most the configured ones.
    pub(super) width: u32,
    /// Pixels, even, at most the configured ones.
    pub(super) height: u32,
}

impl Rendition {
    /// The picture at its best: as it is configured.
    pub(super) fn configured(video: &Video) -> Self {
        let &Video { bitrate_kbps, fps, width, height, .. } = video;
        Self { bitrate_kbps, fps, width, height }
    }
}
