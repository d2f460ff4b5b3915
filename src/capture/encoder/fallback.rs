//! The encoder's replacement, when it hangs, fails, or produces frames that nobody can watch.

use std::sync::Arc;

use bitrate::Rendition;

use super::{VideoEncoder, backend, start_pipeline, watchdog};
use crate::capture::error::CaptureError;
use crate::ipc::{FailureKind, FromCapture};
use crate::sync::LockExt;

impl VideoEncoder {
    /// Replaces the encoder if it does not work. To be called a few times a second.
    pub(crate) fn supervise(self: &Arc<Self>) -> Result<(), CaptureError> {
        let stall = self.watchdog.lock_unpoisoned().check(self.clock.now());
        let error = self.state.lock_unpoisoned().pipeline.take_error();
        let reason = match (stall, error) {
            (None, None) => return Ok(()),
            (_, Some(posted)) => posted.error.message().to_owned(),
            (Some(stall), None) => stall.to_string(),
        };
        self.fall_back(&reason)
    }

    /// Replaces the encoder by one in software.
    fn fall_back(self: &Arc<Self>, reason: &str) -> Result<(), CaptureError> {
        let mut state = self.state.lock_unpoisoned();
        let from = state.encoder;
        state.failed.push(from);
        let Some(to) = backend::next_software(&state.failed, &self.video) else {
            let message = format!("{}: {reason}, and there is no other encoder: restart the box", from.name());
            return Err(CaptureError { kind: FailureKind::Encoder, message });
        };
        let sink = (self.make_sink)();
        let pipeline = start_pipeline(to, &self.video, self.profile, self.backpressure, &sink)?;
        let Rendition { bitrate_kbps, width, height, .. } = state.requested;
        to.set_bitrate(pipeline.encoder(), bitrate_kbps);
        pipeline.set_size(width, height);
        self.observe(to, pipeline.encoder(), &sink);
        state.encoder = to;
        state.last_keyframe = None;
        let old = std::mem::replace(&mut state.pipeline, pipeline);
        drop(state);
        *self.watchdog.lock_unpoisoned() = watchdog(to, &self.video);
        // This also ends the wait of whoever pushes a picture into the old one.
        old.close_detached();
        let (from, to) = (from.name(), to.name());
        tracing::error!("the encoder {from} was given up: {reason}; {to} goes on in its place");
        self.event_sender.send(FromCapture::EncoderFallback {
            from: from.to_owned(),
            to: to.to_owned(),
            why: reason.to_owned(),
        });
        Ok(())
    }
}
