//! An encoded frame, between the encoders and the servers. What is not encoded yet is a picture, or audio.

use gstreamer as gst;

/// What a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Video,
    Audio,
}

/// One encoded frame. Its timestamps are the session's running time.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) track: Track,
    pub(crate) buffer: gst::Buffer,
    pub(crate) caps: Option<gst::Caps>,
}

impl Frame {
    pub(crate) fn is_keyframe(&self) -> bool {
        self.track == Track::Video && !self.buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
    }

    /// A copy of all but the data.
    #[must_use]
    pub(crate) fn without_data(&self) -> Self {
        let mut buffer = gst::Buffer::new();
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(self.buffer.pts());
            edit.set_dts(self.buffer.dts());
            edit.set_duration(self.buffer.duration());
            edit.set_flags(self.buffer.flags());
        }
        Self { track: self.track, buffer, caps: self.caps.clone() }
    }
}
