//! Closing a pipeline. Its driver may hang, so that closing has a thread of its own.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::worker;

/// A pipeline that takes longer to close hangs; the end of the process closes it.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Closes `pipeline` in a thread that nobody waits for. The receiver gets a message once it is closed.
pub(crate) fn close_detached(pipeline: gst::Pipeline) -> Receiver<()> {
    let (done, closed) = channel();
    let work = move || {
        set_null(&pipeline);
        let _ = done.send(());
    };
    if let Err(error) = worker::detached("close", work) {
        tracing::error!("{error}");
    }
    closed
}

/// Closes `pipeline` and waits for that, for at most `timeout`.
pub(crate) fn close_within(pipeline: &gst::Pipeline, timeout: Duration) {
    if close_detached(pipeline.clone()).recv_timeout(timeout).is_err() {
        tracing::error!("{} does not close: its driver hangs", pipeline.name());
    }
}

/// Closes `pipeline` in the present thread, however long that takes.
pub(crate) fn set_null(pipeline: &gst::Pipeline) {
    let _ = pipeline.set_state(gst::State::Null);
}
