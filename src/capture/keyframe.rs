//! Asks the encoder for a keyframe, from wherever one is missed.

use super::coding::Knobs;

/// Asks the encoder at work, whichever that is; `None`: what is pushed comes from none.
#[derive(Clone)]
pub(super) struct Keyframes(pub(super) Option<Knobs>);

impl Keyframes {
    /// The next picture is one, with everything that a decoder needs.
    pub(super) fn ask(&self) {
        if let Some(knobs) = &self.0 {
            knobs.keyframe();
        }
    }
}
