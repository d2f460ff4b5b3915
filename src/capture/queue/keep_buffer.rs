//! Frames that wait to be written into a file, and what whoever writes it learns of the queue.

use std::collections::VecDeque;

use gstreamer as gst;

use crate::capture::media::Frame;

/// Frames on their way to the file that is kept if they are never delivered.
#[derive(Debug, Default)]
pub(super) struct KeepBuffer {
    pub(super) frames: VecDeque<Frame>,
    pub(super) bytes: usize,
    /// Frames are missing before the first one.
    pub(super) has_gap: bool,
    /// The session is over.
    pub(super) is_ended: bool,
}

/// What waits, for whoever keeps it.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The next frame.
    pub(crate) frame: Option<Frame>,
    /// Frames are missing before it.
    pub(crate) has_gap: bool,
    /// Timestamp of the oldest frame that was not delivered; `None`: none waits for a connection.
    pub(crate) oldest: Option<gst::ClockTime>,
    /// The session is over, and no frame will come.
    pub(crate) is_ended: bool,
}
