//! Why a connection to an ingest server failed, in words that a person can act on.

use crate::capture::gst::BusError;
use crate::capture::output::credentials::Redactor;
use crate::capture::output::credentials::redact;
use crate::connect::Unreachable;

/// What an SRT server has against a stream.
pub(crate) const SRT_REFUSED: &str =
    "the passphrase is not the server's, or only one side has one, or it does not want this streamid: see [ingest]";

/// What a server has against the stream, and so how soon it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionErrorKind {
    /// It is not there, or the network is not.
    Unreachable,
    /// Nothing is wrong: a new connection fits better.
    Renegotiate,
    /// Somebody else publishes under this name, perhaps our own last connection.
    StreamInUse,
    /// It says no: somebody has to change something.
    Rejected,
    /// It does not prove who it is.
    CertificateInvalid,
}

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionError {
    pub(crate) kind: ConnectionErrorKind,
    /// What is wrong and what to do about it, with the server's name and without any key.
    pub(crate) reason: String,
}

impl ConnectionError {
    pub(crate) fn unreachable(reason: impl Into<String>) -> Self {
        Self { kind: ConnectionErrorKind::Unreachable, reason: reason.into() }
    }
}

/// An error of the push pipeline, without anything that has to be hidden.
pub(crate) fn of_push(bus_error: &BusError, redactor: &Redactor) -> ConnectionError {
    let host = &redactor.host_port;
    let text = format!("{} {}", bus_error.error.message(), bus_error.debug);
    tracing::debug!("push: {}", redact(&text, redactor));
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let (kind, reason) = if has(&["resolv", "Name or service not known", "Temporary failure in name"]) {
        (ConnectionErrorKind::Unreachable, "the host name cannot be resolved: see the network's DNS, or [ingest] url")
    } else if has(&["ailed to authenticate", "BADSECRET", "UNSECURE"]) {
        (ConnectionErrorKind::Rejected, SRT_REFUSED)
    } else if has(&["refused", "Refused"]) {
        (ConnectionErrorKind::Unreachable, "connection refused: no ingest server listens on that port")
    } else if has(&["timed out", "Timeout", "timeout"]) {
        (ConnectionErrorKind::Unreachable, "no answer in time")
    } else if has(&["unreachable"]) {
        (ConnectionErrorKind::Unreachable, "the network is unreachable")
    } else if has(&["closed", "Short read", "reset", "Broken pipe", "EOF", "broken", "lost"]) {
        (ConnectionErrorKind::Unreachable, "the server closed the connection")
    } else {
        return ConnectionError::unreachable(format!("{host}: {}", redact(bus_error.error.message(), redactor)));
    };
    ConnectionError { kind, reason: format!("{host}: {reason}") }
}

/// Why an ingest server could not be reached.
pub(crate) fn of_unreachable(why: Unreachable) -> ConnectionError {
    let advice = match why {
        Unreachable::Unresolved => ": see the network's DNS, or [ingest] url",
        Unreachable::Refused => ": no ingest server listens there, see [ingest] url",
        Unreachable::TimedOut | Unreachable::NoRoute | Unreachable::Broken | Unreachable::Stopped => "",
    };
    ConnectionError::unreachable(format!("{why}{advice}"))
}
