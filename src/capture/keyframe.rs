//! Asks the encoder for a keyframe, from wherever one is missed.

use super::coding::Knobs;

/// Asks the encoder at work, whichever that is.
#[derive(Clone)]
pub(super) struct Keyframes(pub(super) Knobs);

impl Keyframes {
    /// The next picture is one, with everything that a decoder needs.
    pub(super) fn ask(&self) {
        self.0.keyframe();
    }
}
