//! Asks the encoder for a keyframe, from wherever one is missed.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

/// What stands behind the encoder and can ask it.
#[derive(Clone, Debug)]
pub(super) struct Keyframes(pub(super) gst::glib::WeakRef<gst::Element>);

impl Keyframes {
    /// The next picture is one, with everything that a decoder needs.
    pub(super) fn ask(&self) {
        if let Some(element) = self.0.upgrade() {
            element.send_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
    }
}
