//! Errors of a device or a file in words that a person can act on.

use gst::{ResourceError, StreamError};
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::BusError;
use crate::ipc::FailureKind;

/// What to do about a resource's error; `{key}` stands for the configuration's key of the device.
const RESOURCE_ADVICE: [(&[ResourceError], &str); 6] = [
    (&[ResourceError::NotFound], "is not there: plug it in, or set {key}"),
    (&[ResourceError::Busy], "is used by another program: end that one (fuser -v shows it)"),
    (&[ResourceError::NotAuthorized], "may not be opened: add capture's user to the groups video and audio"),
    (
        &[ResourceError::OpenRead, ResourceError::OpenReadWrite, ResourceError::OpenWrite],
        "cannot be opened: see that it is plugged in and allowed, or set {key}",
    ),
    (&[ResourceError::Read], "stopped giving data: it was unplugged, or needs more power"),
    (&[ResourceError::Settings], "does not know this size or rate: set [video] width, height and fps"),
];

/// The errors of a decoder that does not know the file's format.
const NOT_DECODABLE: [StreamError; 5] = [
    StreamError::TypeNotFound,
    StreamError::Decode,
    StreamError::Demux,
    StreamError::CodecNotFound,
    StreamError::WrongType,
];

/// An error of the capture pipeline. `video` and `audio` are what the configuration names as their devices.
pub(crate) fn device_error(posted: &BusError, video: &str, audio: &str) -> CaptureError {
    let text = posted.error.message();
    tracing::debug!(element = posted.element, debug = posted.debug, "{text}");
    let (what, key) = match posted.element.as_str() {
        element if element.starts_with("video-source") => (format!("the camera {video}"), "[video] device"),
        element if element.starts_with("audio-source") => (format!("the microphone {audio}"), "[audio] device"),
        "encoder" => {
            let message = format!("the video encoder failed: {text}; choose another with [video] encoder");
            return CaptureError { kind: FailureKind::Encoder, message };
        }
        element => (format!("{element} (picture from {video}, sound from {audio})"), "[video] and [audio]"),
    };
    CaptureError::source(format!("{what} {} ({text})", advice(&posted.error).replace("{key}", key)))
}

fn advice(error: &gst::glib::Error) -> &'static str {
    let resource = error.kind::<ResourceError>();
    let row = RESOURCE_ADVICE.iter().find(|(kinds, _)| resource.is_some_and(|kind| kinds.contains(&kind)));
    match (row, error.kind::<StreamError>()) {
        (Some((_, advice)), _) => advice,
        (None, Some(kind)) if NOT_DECODABLE.contains(&kind) => {
            "is not a media file that can be played: try it with gst-play-1.0"
        }
        (None, _) => "failed; gst-device-monitor-1.0 lists what works here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(element: &str, error: gst::glib::Error) -> String {
        let posted = BusError { element: element.to_owned(), error, debug: String::new() };
        device_error(&posted, "/dev/video0", "hw:1").message
    }

    #[test]
    fn each_error_has_its_device_and_its_advice() {
        for (element, error, wanted) in [
            (
                "video-source",
                gst::glib::Error::new(ResourceError::NotFound, "gone"),
                "the camera /dev/video0 is not there: plug it in, or set [video] device (gone)",
            ),
            (
                "audio-source",
                gst::glib::Error::new(ResourceError::OpenWrite, "no"),
                "the microphone hw:1 cannot be opened: see that it is plugged in and allowed, \
                 or set [audio] device (no)",
            ),
            (
                "video-source-decoder",
                gst::glib::Error::new(StreamError::CodecNotFound, "?"),
                "the camera /dev/video0 is not a media file that can be played: try it with gst-play-1.0 (?)",
            ),
            (
                "audio-source",
                gst::glib::Error::new(gst::CoreError::Failed, "odd"),
                "the microphone hw:1 failed; gst-device-monitor-1.0 lists what works here (odd)",
            ),
            (
                "tee",
                gst::glib::Error::new(ResourceError::Busy, "busy"),
                "tee (picture from /dev/video0, sound from hw:1) is used by another program: \
                 end that one (fuser -v shows it) (busy)",
            ),
        ] {
            assert_eq!(message(element, error), wanted);
        }
    }

    #[test]
    fn an_encoders_error_is_of_its_own_kind() {
        let error = gst::glib::Error::new(StreamError::Encode, "full");
        let posted = BusError { element: "encoder".to_owned(), error, debug: String::new() };
        let error = device_error(&posted, "a", "b");
        assert_eq!(error.kind, FailureKind::Encoder);
        assert_eq!(error.message, "the video encoder failed: full; choose another with [video] encoder");
    }
}
