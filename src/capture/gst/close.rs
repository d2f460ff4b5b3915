//! Closing a pipeline, whose driver may hang in it.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;

/// A pipeline that does not close within this hangs; the end of the process closes it.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Closes it, however long that takes. Told when done.
pub(crate) fn close_detached(pipeline: gst::Pipeline) -> Receiver<()> {
    let (done, closed) = channel();
    let work = move || {
        set_null(&pipeline);
        let _ = done.send(());
    };
    if let Err(failure) = spawn("close", work) {
        tracing::error!("{}", failure.message);
    }
    closed
}

/// Closes it and waits at most for `patience`: the end of the process closes what hangs.
pub(crate) fn close_within(pipeline: &gst::Pipeline, patience: Duration) {
    if close_detached(pipeline.clone()).recv_timeout(patience).is_err() {
        tracing::error!("{} does not close: its driver hangs", pipeline.name());
    }
}

pub(crate) fn set_null(pipeline: &gst::Pipeline) {
    let _ = pipeline.set_state(gst::State::Null);
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), CaptureError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(|_| ()).map_err(|error| CaptureError::internal(format!("no thread: {error}")))
}
