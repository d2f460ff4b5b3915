//! Why a connection to an ingest server failed, and what to do about it.

use crate::capture::gst::BusError;
use crate::capture::output::credentials::{Redactor, redact};
use crate::connect::Unreachable;

/// Why an SRT server rejects a stream.
pub(super) const SRT_REFUSED: &str =
    "the passphrase is not the server's, or only one side has one, or it does not want this streamid: see [ingest]";

/// What to do about a link that is refused.
pub(super) const METERED_ADVICE: &str = ": connect the cable or Wi-Fi, or set it to \"use\"";

/// The kind of an error: it decides how soon the next attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionErrorKind {
    /// The server or the network is not there.
    Unreachable,
    /// No error: a new connection would be set up better.
    Renegotiate,
    /// Somebody else publishes this stream, perhaps our own last connection.
    StreamInUse,
    /// The server rejects the stream until somebody changes something.
    Rejected,
    /// The server's certificate is not accepted.
    CertificateInvalid,
}

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionError {
    pub(super) kind: ConnectionErrorKind,
    /// What happened and what to do about it, with the server's name and without secrets.
    pub(super) reason: String,
}

impl ConnectionError {
    pub(super) fn unreachable(reason: impl Into<String>) -> Self {
        Self { kind: ConnectionErrorKind::Unreachable, reason: reason.into() }
    }

    pub(super) fn rejected(reason: impl Into<String>) -> Self {
        Self { kind: ConnectionErrorKind::Rejected, reason: reason.into() }
    }

    pub(super) fn renegotiate() -> Self {
        Self { kind: ConnectionErrorKind::Renegotiate, reason: String::new() }
    }
}

/// What errors of `srtsink` mean and what to do about them. The first row with a needle in the lower-cased text
/// applies.
const SINK_ERRORS: [(&[&str], ConnectionErrorKind, &str); 6] = [
    (
        &["resolv", "name or service not known", "temporary failure in name"],
        ConnectionErrorKind::Unreachable,
        "the host name cannot be resolved: see the network's DNS, or [ingest] url",
    ),
    (&["failed to authenticate", "badsecret", "unsecure"], ConnectionErrorKind::Rejected, SRT_REFUSED),
    (&["refused"], ConnectionErrorKind::Unreachable, "connection refused: no ingest server listens on that port"),
    (&["timed out", "timeout"], ConnectionErrorKind::Unreachable, "no answer in time"),
    (&["unreachable"], ConnectionErrorKind::Unreachable, "the network is unreachable"),
    (
        &["closed", "short read", "reset", "broken pipe", "eof", "broken", "lost"],
        ConnectionErrorKind::Unreachable,
        "the server closed the connection",
    ),
];

impl ConnectionError {
    /// Classifies an error that a sink's pipeline posted. Secrets are redacted.
    pub(super) fn from_bus(error: &BusError, redactor: &Redactor) -> Self {
        let message = error.error.message();
        let text = format!("{message} {}", error.debug);
        tracing::debug!("push: {}", redact(&text, redactor));
        let text = text.to_lowercase();
        let known = SINK_ERRORS.iter().find(|(needles, ..)| needles.iter().any(|needle| text.contains(needle)));
        let (kind, reason) = known.map_or_else(
            || (ConnectionErrorKind::Unreachable, redact(message, redactor)),
            |(_, kind, reason)| (*kind, (*reason).to_owned()),
        );
        Self { kind, reason: format!("{}: {reason}", redactor.host_port) }
    }
}

impl From<Unreachable> for ConnectionError {
    fn from(why: Unreachable) -> Self {
        let advice = match why {
            Unreachable::Unresolved => ": see the network's DNS, or [ingest] url",
            Unreachable::Refused => ": no ingest server listens there, see [ingest] url",
            Unreachable::NotAllowed => ": see [privacy] allowed-ingest-hosts",
            Unreachable::Outside => ": see the network's DNS, or list the server's network there",
            Unreachable::Metered => METERED_ADVICE,
            Unreachable::TimedOut | Unreachable::NoRoute | Unreachable::Broken | Unreachable::Stopped => "",
        };
        Self::unreachable(format!("{why}{advice}"))
    }
}

#[cfg(test)]
mod tests {
    use gstreamer as gst;

    use super::*;

    const DEBUG: &str = "../ext/srt/gstsrtsink.c(285): gst_srt_sink_render (): /GstPipeline:push/GstSRTSink:sink";

    fn classified(message: &str) -> ConnectionError {
        let secrets = ["publish:key".to_owned()].into();
        let redactor = Redactor { host_port: "a.cn:9000".to_owned(), host: "a.cn".to_owned(), secrets };
        let error = gst::glib::Error::new(gst::ResourceError::Write, message);
        ConnectionError::from_bus(&BusError { element: "sink".to_owned(), error, debug: DEBUG.to_owned() }, &redactor)
    }

    /// Messages of GStreamer 1.22's `libgstsrt` and of libsrt 1.5.1, and some of other versions.
    #[test]
    fn real_messages_are_classified() {
        use ConnectionErrorKind::{Rejected, Unreachable};
        for (message, kind, reason) in [
            ("Failed to resolve host 'a.cn': Error resolving", Unreachable, "the host name cannot be resolved"),
            ("a.cn: Name or service not known", Unreachable, "the host name cannot be resolved"),
            ("Temporary failure in name resolution", Unreachable, "the host name cannot be resolved"),
            ("Failed to authenticate: ERROR:BADSECRET", Rejected, SRT_REFUSED),
            ("Failed to authenticate: ERROR:UNSECURE", Rejected, SRT_REFUSED),
            ("Error on SRT socket: Connection refused", Unreachable, "connection refused"),
            ("Connection setup failure: connection timed out", Unreachable, "no answer in time"),
            ("Failed to poll socket: Poll timeout", Unreachable, "no answer in time"),
            ("Network is unreachable", Unreachable, "the network is unreachable"),
            ("Error on SRT socket: Connection was broken", Unreachable, "the server closed the connection"),
            ("Socket is broken or closed", Unreachable, "the server closed the connection"),
            ("Connection reset by peer", Unreachable, "the server closed the connection"),
            ("Broken pipe", Unreachable, "the server closed the connection"),
        ] {
            let error = classified(message);
            assert_eq!(error.kind, kind, "{message}");
            assert!(error.reason.starts_with(&format!("a.cn:9000: {reason}")), "{message}: {}", error.reason);
        }
    }

    #[test]
    fn an_unknown_message_is_reported_without_secrets() {
        let error = classified("Operation not supported for publish:key");
        assert_eq!(error, ConnectionError::unreachable("a.cn:9000: Operation not supported for …"));
    }
}
