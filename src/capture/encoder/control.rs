//! A handle to the encoder for whoever decides what it encodes.

use std::sync::{Arc, OnceLock};

use bitrate::{EncoderLoad, Rendition};

use super::VideoEncoder;
use crate::capture::error::CaptureError;

/// Changes what the encoder encodes while it runs. Does nothing before an encoder is attached.
#[derive(Clone, Default)]
pub(crate) struct EncoderControl(Arc<OnceLock<Arc<VideoEncoder>>>);

impl EncoderControl {
    /// Controls `encoder` from now on.
    pub(crate) fn attach(&self, encoder: &Arc<VideoEncoder>) {
        let _ = self.0.set(encoder.clone());
    }

    /// Applies `rendition`: the bitrate without a seam, another rate or size with a keyframe and new parameter sets at
    /// the next picture. What does not change costs nothing.
    ///
    /// # Errors
    /// Nothing changes if `rendition` exceeds what is configured or cannot be encoded.
    pub(crate) fn apply(&self, rendition: &Rendition) -> Result<(), CaptureError> {
        self.0.get().map_or(Ok(()), |encoder| encoder.apply(rendition))
    }

    /// The user's cap of the bitrate in kbit/s; `None`: there is no encoder yet.
    pub(crate) fn bitrate_cap(&self) -> Option<u32> {
        self.0.get().map(|encoder| encoder.bitrate_cap())
    }

    /// How the encoder keeps up; `None`: there is none yet, or its pictures wait for it anyway, as those of files do.
    pub(crate) fn load(&self) -> Option<EncoderLoad> {
        self.0.get().and_then(|encoder| encoder.load())
    }

    /// Makes the next picture a keyframe. (The first of all is one anyway.)
    pub(crate) fn request_keyframe(&self) {
        if let Some(encoder) = self.0.get() {
            encoder.force_keyframe();
        }
    }
}
