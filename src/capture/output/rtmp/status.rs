//! What a server's status codes mean for the stream, and what to do about them.

use crate::capture::output::error::{ConnectionError, ConnectionErrorKind};

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SessionStage {
    /// Both sides perform the handshake.
    Handshake,
    /// The client has sent `connect` for the application.
    Connect,
    /// The client has sent `createStream`.
    CreateStream,
    /// The client has sent `publish`.
    Publish,
    /// The server has accepted the stream.
    Live,
}

const BAD_APPLICATION: &str = "the server has no such application, or does not let this box in: see the part of [ingest] url between host and stream \
     key, and the server's own list of boxes";
const BAD_KEY: &str = "the server refuses the stream: see the stream key, the last part of [ingest] url";
const IN_USE: &str = "the stream is in use: somebody else publishes with this stream key, or the server has not missed \
                      our last connection yet";
pub(super) const NOT_RTMP: &str = "what listens on that port does not speak RTMP: see scheme and port in [ingest] url";

/// The error that a status at `stage` stands for; `None`: the stream goes on.
///
/// The codes' case differs between servers.
pub(super) fn error_from_status(stage: SessionStage, level: &str, code: &str) -> Option<ConnectionError> {
    let code = known_form(code);
    let lowercase = code.to_ascii_lowercase();
    let is_error = level.eq_ignore_ascii_case("error");
    Some(match lowercase.as_str() {
        "netstream.publish.badname" => {
            ConnectionError { kind: ConnectionErrorKind::StreamInUse, reason: IN_USE.to_owned() }
        }
        "netstream.publish.denied"
        | "netstream.publish.unauthorized"
        | "netstream.publish.rejected"
        | "netstream.publish.failed" => ConnectionError::rejected(BAD_KEY),
        "netconnection.connect.rejected" | "netconnection.connect.invalidapp" | "netconnection.connect.failed" => {
            ConnectionError::rejected(BAD_APPLICATION)
        }
        "netconnection.connect.closed"
        | "netconnection.connect.appshutdown"
        | "netconnection.connect.idletimeout"
        | "netstream.unpublish.success" => ConnectionError::unreachable("the server ended the stream"),
        _ if is_error && stage < SessionStage::Live => {
            let what = if stage < SessionStage::Publish { BAD_APPLICATION } else { BAD_KEY };
            ConnectionError::rejected(if code.is_empty() { what.to_owned() } else { format!("{what} ({code})") })
        }
        // For example that the server cannot record: the stream itself goes on.
        _ => return None,
    })
}

/// Why a server closed the connection at `stage` without a status.
pub(super) fn error_on_close(stage: SessionStage) -> ConnectionError {
    match stage {
        SessionStage::Handshake | SessionStage::Live => {
            ConnectionError::unreachable("the server closed the connection")
        }
        // nginx-rtmp, and what is built on it, rejects a stream this way.
        SessionStage::Connect | SessionStage::CreateStream => ConnectionError::rejected(BAD_APPLICATION),
        SessionStage::Publish => ConnectionError::rejected(BAD_KEY),
    }
}

/// What listens there instead of an RTMP server, from its first byte.
pub(super) fn error_from_first_byte(first: u8) -> ConnectionError {
    ConnectionError::rejected(match first {
        // "HTTP/1.1 ..."
        b'H' => {
            "a web server answers there, not an RTMP server: see the port in [ingest] url, and whether this network wants \
             somebody to log in first"
        }
        // An alert, or a handshake (RFC 8446, section 5.1).
        0x15 | 0x16 => "the server wants TLS on that port: write rtmps:// in [ingest] url",
        _ => NOT_RTMP,
    })
}

/// The code, if it has the form of one: letters and dots. Anything else is not repeated, because it might be the key.
pub(super) fn known_form(code: &str) -> &str {
    let is_code = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'.');
    if is_code { code } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_to_do() {
        use ConnectionErrorKind::{Rejected, StreamInUse, Unreachable};
        for (stage, level, code, kind) in [
            (SessionStage::Publish, "error", "NetStream.Publish.BadName", Some(StreamInUse)),
            // As Node-Media-Server writes it.
            (SessionStage::Publish, "error", "NetStream.publish.Unauthorized", Some(Rejected)),
            (SessionStage::Publish, "error", "NetStream.Publish.Denied", Some(Rejected)),
            (SessionStage::Publish, "error", "NetStream.Something.New", Some(Rejected)),
            (SessionStage::Connect, "error", "NetConnection.Connect.Rejected", Some(Rejected)),
            (SessionStage::Connect, "error", "", Some(Rejected)),
            (SessionStage::Live, "status", "NetStream.Unpublish.Success", Some(Unreachable)),
            (SessionStage::Live, "error", "NetStream.Publish.BadName", Some(StreamInUse)),
            (SessionStage::Live, "error", "NetStream.Record.Failed", None),
            (SessionStage::Publish, "status", "NetStream.Publish.Start", None),
        ] {
            assert_eq!(error_from_status(stage, level, code).map(|error| error.kind), kind, "{code}");
        }
    }

    #[test]
    fn what_is_no_code_is_not_repeated() {
        let reason = |code: &str| error_from_status(SessionStage::Publish, "error", code).unwrap().reason;
        assert!(reason("NetStream.Something.New").ends_with(" (NetStream.Something.New)"));
        for code in ["Net\u{7}Stream.X <key>\n", "NetStream.Key.4711", "NetStream.a-b", "", &"x".repeat(10_000)] {
            assert_eq!(reason(code), BAD_KEY, "{code}");
        }
    }
}
