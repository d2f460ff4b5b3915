//! Why capture cannot go on.

use gstreamer as gst;

use crate::ipc::FailureKind;
use crate::worker::SpawnError;

/// Ends the session; the guard logs it and shows it to staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaptureError {
    pub(crate) kind: FailureKind,
    /// What failed, and what to do about it.
    pub(crate) message: String,
}

impl CaptureError {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Internal, message: message.into() }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Config, message: message.into() }
    }

    pub(crate) fn source(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Source, message: message.into() }
    }
}

impl From<gst::glib::BoolError> for CaptureError {
    fn from(error: gst::glib::BoolError) -> Self {
        Self::internal(format!("the pipeline does not fit together: {error}"))
    }
}

impl From<SpawnError> for CaptureError {
    fn from(error: SpawnError) -> Self {
        Self::internal(error.to_string())
    }
}
