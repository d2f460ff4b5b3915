//! An encoded frame, as it travels from the encoders to the servers.

use gstreamer as gst;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Video,
    Audio,
}

/// One encoded frame, its times being the capture pipeline's running time.
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

    /// All of it but its data.
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
