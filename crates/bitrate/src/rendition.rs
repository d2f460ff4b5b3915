//! What the encoder is asked for: the bitrate controller decides it, the capture pipeline carries it out while it runs.

/// Bitrate, frame rate and size of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Of the picture alone, in kbit/s.
    pub bitrate_kbps: u32,
    /// Frames per second, at most the configured ones.
    pub fps: u32,
    /// Pixels, even, at most the configured ones.
    pub width: u32,
    /// Pixels, even, at most the configured ones.
    pub height: u32,
}
