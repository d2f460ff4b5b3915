//! What GStreamer says went wrong, in words that a person can act on.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::output::connection::Names;
use crate::connect::Unreachable;
use crate::ipc::FailureKind;

/// Why capture cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// What is wrong and what to do about it.
    pub(crate) message: String,
}

impl Failure {
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

/// What an SRT server has against a stream.
pub(crate) const SRT_REFUSED: &str =
    "the passphrase is not the server's, or only one side has one, or it does not want this streamid: see [ingest]";

/// What a server has against the stream, and so how soon it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// It is not there, or the network is not.
    Away,
    /// Nothing is wrong: a new connection fits better.
    Again,
    /// Somebody else publishes under this name, perhaps our own last connection.
    InUse,
    /// It says no: somebody has to change something.
    Refused,
    /// It does not prove who it is.
    Untrusted,
}

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    /// What is wrong and what to do about it, with the server's name and without any key.
    pub(crate) reason: String,
}

impl Trouble {
    pub(crate) fn away(reason: impl Into<String>) -> Self {
        Self { kind: TroubleKind::Away, reason: reason.into() }
    }
}

impl From<gst::glib::BoolError> for Failure {
    fn from(error: gst::glib::BoolError) -> Self {
        Self::internal(format!("the pipeline does not fit together: {error}"))
    }
}

/// The error that a pipeline posted on its bus: who posted it, and what.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) element: String,
    pub(crate) error: gst::glib::Error,
    pub(crate) debug: String,
}

/// The first error on the bus, if there is one; other messages are handed to `other`.
pub(crate) fn error_on(bus: &gst::Bus, mut other: impl FnMut(&gst::Message)) -> Option<Posted> {
    while let Some(message) = bus.pop() {
        if let gst::MessageView::Error(error) = message.view() {
            let element = message.src().map(|src| src.name().to_string()).unwrap_or_default();
            let debug = error.debug().map(|text| text.to_string()).unwrap_or_default();
            return Some(Posted { element, error: error.error(), debug });
        }
        other(&message);
    }
    None
}

/// An error of the capture pipeline. `video` and `audio` say what the configuration names there.
pub(crate) fn of_capture(posted: &Posted, video: &str, audio: &str) -> Failure {
    let said = posted.error.message();
    tracing::debug!(element = posted.element, debug = posted.debug, "{said}");
    let (what, key) = match posted.element.as_str() {
        element if element.starts_with("video-source") => (format!("the camera {video}"), "[video] device"),
        element if element.starts_with("audio-source") => (format!("the microphone {audio}"), "[audio] device"),
        "encoder" => {
            let message = format!("the video encoder failed: {said}; choose another with [video] encoder");
            return Failure { kind: FailureKind::Encoder, message };
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
    Failure::source(format!("{what} {advice} ({said})"))
}

/// An error of the push pipeline, without anything that has to be hidden.
pub(crate) fn of_push(posted: &Posted, names: &Names) -> Trouble {
    let host = &names.host;
    let text = format!("{} {}", posted.error.message(), posted.debug);
    tracing::debug!("push: {}", redact(&text, names));
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let (kind, reason) = if has(&["resolv", "Name or service not known", "Temporary failure in name"]) {
        (TroubleKind::Away, "the host name cannot be resolved: see the network's DNS, or [ingest] url")
    } else if has(&["ailed to authenticate", "BADSECRET", "UNSECURE"]) {
        (TroubleKind::Refused, SRT_REFUSED)
    } else if has(&["refused", "Refused"]) {
        (TroubleKind::Away, "connection refused: no ingest server listens on that port")
    } else if has(&["timed out", "Timeout", "timeout"]) {
        (TroubleKind::Away, "no answer in time")
    } else if has(&["unreachable"]) {
        (TroubleKind::Away, "the network is unreachable")
    } else if has(&["closed", "Short read", "reset", "Broken pipe", "EOF", "broken", "lost"]) {
        (TroubleKind::Away, "the server closed the connection")
    } else {
        return Trouble::away(format!("{host}: {}", redact(posted.error.message(), names)));
    };
    Trouble { kind, reason: format!("{host}: {reason}") }
}

/// Why an ingest server could not be reached.
pub(crate) fn of_unreachable(why: Unreachable) -> Trouble {
    let advice = match why {
        Unreachable::Unresolved => ": see the network's DNS, or [ingest] url",
        Unreachable::Refused => ": no ingest server listens there, see [ingest] url",
        Unreachable::TimedOut | Unreachable::NoRoute | Unreachable::Broken | Unreachable::Stopped => "",
    };
    Trouble::away(format!("{why}{advice}"))
}

/// A field of so many letters is no word by chance, and is hidden within longer words too.
const LONG: usize = 8;

/// `text` without the fields in `names.hide`. The host stays, whatever it has in common with them, and a short field is
/// hidden where it stands by itself: the stream `live` is no reason to mangle "delivered".
pub(crate) fn redact(text: &str, names: &Names) -> String {
    let without = |piece: &str| names.hide.iter().fold(piece.to_owned(), |piece, field| hide(&piece, field));
    let around = names.hide.iter().filter(|field| field.contains(&names.name) && field.len() > names.name.len());
    let text = around.fold(text.to_owned(), |text, field| text.replace(field.as_str(), "…"));
    text.split(names.name.as_str()).map(without).collect::<Vec<_>>().join(&names.name)
}

fn hide(text: &str, field: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(field) {
        let (before, found) = rest.split_at(at);
        let behind = found.get(field.len()..).unwrap_or_default();
        let letter = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        let alone =
            !letter(before.chars().next_back().or_else(|| out.chars().next_back())) && !letter(behind.chars().next());
        out.push_str(before);
        out.push_str(if alone || field.len() >= LONG { "…" } else { field });
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_hidden_and_the_host_is_not() {
        let names = |name: &str, hide: &[&str]| Names {
            host: format!("{name}:443"),
            name: name.to_owned(),
            hide: hide.iter().map(|field| (*field).to_owned()).collect(),
        };
        for (name, hide, text, said) in [
            ("whip.test", &["whip"][..], "whip.test: no whip at whip.test/whip", "whip.test: no … at whip.test/…"),
            ("a.cn", &["live"], "live delivered to a.cn/live?x", "… delivered to a.cn/…?x"),
            ("a.cn", &["long-secret"], "xlong-secretx", "x…x"),
            ("a.cn", &["/whip/abc", "abc"], "https://a.cn/whip/abc and abc", "https://a.cn… and …"),
            ("key-key.cn", &["key-key.cn-long"], "key-key.cn-long at key-key.cn", "… at key-key.cn"),
        ] {
            assert_eq!(redact(text, &names(name, hide)), said);
        }
    }
}
