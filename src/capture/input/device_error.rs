//! What GStreamer says of a device or a file, in words that a person can act on.

use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::BusError;
use crate::ipc::FailureKind;

/// An error of the capture pipeline. `video` and `audio` say what the configuration names there.
pub(crate) fn device_error(posted: &BusError, video: &str, audio: &str) -> CaptureError {
    let said = posted.error.message();
    tracing::debug!(element = posted.element, debug = posted.debug, "{said}");
    let (what, key) = match posted.element.as_str() {
        element if element.starts_with("video-source") => (format!("the camera {video}"), "[video] device"),
        element if element.starts_with("audio-source") => (format!("the microphone {audio}"), "[audio] device"),
        "encoder" => {
            let message = format!("the video encoder failed: {said}; choose another with [video] encoder");
            return CaptureError { kind: FailureKind::Encoder, message };
        }
        element => (format!("{element} (picture from {video}, sound from {audio})"), "[video] and [audio]"),
    };
    let advice = match posted.error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NotFound) => format!("is not there: plug it in, or set {key}"),
        Some(gst::ResourceError::Busy) => "is used by another program: end that one (fuser -v shows it)".to_owned(),
        Some(gst::ResourceError::NotAuthorized) => {
            "may not be opened: add capture's user to the groups video and audio".to_owned()
        }
        Some(gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite | gst::ResourceError::OpenWrite) => {
            format!("cannot be opened: see that it is plugged in and allowed, or set {key}")
        }
        Some(gst::ResourceError::Read) => "stopped giving data: it was unplugged, or needs more power".to_owned(),
        Some(gst::ResourceError::Settings) => {
            "does not know this size or rate: set [video] width, height and fps".to_owned()
        }
        Some(_) | None => match posted.error.kind::<gst::StreamError>() {
            Some(
                gst::StreamError::TypeNotFound
                | gst::StreamError::Decode
                | gst::StreamError::Demux
                | gst::StreamError::CodecNotFound
                | gst::StreamError::WrongType,
            ) => "is not a media file that can be played: try it with gst-play-1.0".to_owned(),
            Some(_) | None => "failed; gst-device-monitor-1.0 lists what works here".to_owned(),
        },
    };
    CaptureError::source(format!("{what} {advice} ({said})"))
}
