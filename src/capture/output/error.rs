//! Why a connection to an ingest server failed, in words that a person can act on.

use crate::capture::gst::bus::Posted;
use crate::capture::output::credentials::Names;
use crate::capture::output::credentials::redact;
use crate::connect::Unreachable;

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
