//! The guard's end of a capture's connection, without the connection: what it says, and what it takes from capture.

use consent::CaptureExit;

use super::{FromCapture, LeaseState, ToCapture};

/// What one launch has said and heard.
#[derive(Clone, Debug)]
pub(crate) struct GuardEnd {
    /// The first message, until it was said: to one process only.
    start: Option<ToCapture>,
    exit: CaptureExit,
}

/// To whom new settings go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// Capture applies them, and says so.
    Capture(ToCapture),
    /// The guard itself: nothing is open yet, and they go with the start.
    Guard(FromCapture),
}

impl GuardEnd {
    /// Before capture said anything; `start` is what a hello is answered with.
    pub(crate) fn new(start: ToCapture) -> Self {
        Self { start: Some(start), exit: CaptureExit::Died }
    }

    /// Whether capture was told to start. Until then it opens nothing, and another process may take its place.
    pub(crate) fn has_started(&self) -> bool {
        self.start.is_none()
    }

    /// The guard wants these settings from now on, or still does.
    pub(crate) fn want(&self, wanted: LeaseState) -> Wanted {
        if self.has_started() {
            Wanted::Capture(ToCapture::Renew { wanted })
        } else {
            Wanted::Guard(FromCapture::Applied(wanted.into()))
        }
    }

    /// Takes a message of capture. A hello is answered by [`GuardEnd::start`], once its process can be watched.
    ///
    /// # Errors
    /// It violates the protocol: this capture has to be killed.
    pub(crate) fn hear(&mut self, message: &FromCapture) -> Result<(), &'static str> {
        match message {
            FromCapture::Hello { .. } if self.has_started() => return Err("capture said hello twice"),
            FromCapture::Hello { .. } => {}
            _ if !self.has_started() => return Err("capture did not begin with hello"),
            FromCapture::Failed { .. } => self.exit = CaptureExit::Failed,
            FromCapture::ProbeFinished(_) => self.exit = CaptureExit::ProbeFinished,
            FromCapture::Applied(_)
            | FromCapture::Encoder { .. }
            | FromCapture::Camera { .. }
            | FromCapture::EncoderFallback { .. }
            | FromCapture::Live {}
            | FromCapture::Reconnecting { .. }
            | FromCapture::DestinationRefused { .. }
            | FromCapture::DeviceLost { .. }
            | FromCapture::DeviceRecovered { .. }
            | FromCapture::Stats(_)
            | FromCapture::Secondary(_) => {}
        }
        Ok(())
    }

    /// The start, with the settings that are wanted now. `None`: it was said before.
    pub(crate) fn start(&mut self, wanted: LeaseState) -> Option<ToCapture> {
        self.start.take().map(|start| start.with(wanted))
    }

    /// How capture ended, if it closed the connection now and by itself.
    pub(crate) fn exit(&self) -> CaptureExit {
        self.exit
    }
}
