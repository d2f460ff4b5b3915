//! Both sockets, in both directions, and texts that come over them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::oracle::{assert_all_shown, assert_shown, assert_told, round_trip};
use crate::ipc::{self, FromCapture, FromGuard, IpcError, MAX_FRAME, Request, Response, ToCapture, ToGuard, clean};

/// One message as the peer reads it: what it is, or that the peer speaks another language.
fn message<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(json: &[u8]) -> Option<T> {
    let read = round_trip(json);
    if read.is_none() {
        let error = serde_json::from_slice::<T>(json).err().map(IpcError::from).expect("it was not read");
        assert!(error.is_protocol_error());
        assert_told(&error.to_string());
    }
    read
}

/// Bytes as a stream of frames, however they are cut; the first part behind them alone is a message, too.
fn frames(bytes: &[u8], mut message: impl FnMut(&[u8])) {
    message(bytes);
    let (mut whole, mut codec) = (BytesMut::from(bytes), ipc::frame_codec());
    let mut read = Vec::new();
    while let Ok(Some(frame)) = codec.decode(&mut whole) {
        assert!(frame.len() <= MAX_FRAME);
        message(&frame);
        read.push(frame);
    }
    let (mut input, mut codec, mut count) = (BytesMut::new(), ipc::frame_codec(), 0);
    for part in bytes.chunks(3) {
        input.extend_from_slice(part);
        while let Ok(Some(frame)) = codec.decode(&mut input) {
            assert_eq!(read.get(count), Some(&frame));
            count += 1;
        }
    }
    assert_eq!(count, read.len());
}

/// What a client sends to the guard, and what the guard answers.
pub(super) fn control(bytes: &[u8]) {
    frames(bytes, |json| {
        if let Some(ToGuard { request, .. }) = message::<ToGuard>(json) {
            assert_told(request.word());
            assert_eq!(request.denial(true, true), None, "root may ask everything");
            for (is_local, has_trust) in [(false, true), (false, false)] {
                if let Some(rejection) = request.denial(is_local, has_trust) {
                    assert_told(&rejection.why);
                }
            }
            told_in_request(&request);
        }
        if let Some(FromGuard::Response { response: Response::Installing { attempt }, .. }) = message::<FromGuard>(json)
        {
            assert!(attempt.len() <= json.len());
        }
    });
}

/// What comes from a client and is written down, or told to the platform.
fn told_in_request(request: &Request) {
    match request {
        Request::Command { verb, .. } => assert_shown(verb, ipc::WHY),
        Request::Refused { .. } | Request::Network(_) | Request::UpdateNow { .. } | Request::UpdateEnded(_) => {
            let value = serde_json::to_value(request).expect("texts");
            assert_all_shown(&value, ipc::WHY);
        }
        Request::UpdateFetched { error, .. } => assert_shown(error.as_deref().unwrap_or_default(), ipc::WHY),
        Request::CredentialsErased(report) => {
            assert_all_shown(&serde_json::to_value(report).expect("texts"), ipc::WHY);
        }
        Request::Status {}
        | Request::Subscribe { .. }
        | Request::RequestStart {}
        | Request::Probe {}
        | Request::Stop {}
        | Request::Mute {}
        | Request::Unmute {}
        | Request::Identify {}
        | Request::SetVideo(_)
        | Request::Policy { .. }
        | Request::Release { .. }
        | Request::UpdatePostpone { .. }
        | Request::PrivacyExported {}
        | Request::Desired { .. }
        | Request::Button { .. }
        | Request::MuteButton { .. } => {}
    }
}

/// What capture says, all of which may reach lamp, ledger and platform, and what it is told.
pub(super) fn capture(bytes: &[u8]) {
    frames(bytes, |json| {
        if let Some(said) = message::<FromCapture>(json) {
            assert_all_shown(&serde_json::to_value(&said).expect("texts and numbers"), ipc::MESSAGE);
        }
        if let Some(told) = message::<ToCapture>(json) {
            let shown = format!("{told:?}");
            assert!(!shown.contains(super::oracle::CANARY) || !has_key(json), "{shown}");
        }
    });
}

/// Whether a stream's key is the canary.
fn has_key(json: &[u8]) -> bool {
    String::from_utf8_lossy(json).contains("\"stream-key\":\"c4n4ry")
}

/// Any text as one that is cut for the ledger, a terminal or the platform.
pub(super) fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for longest in [3, 64, ipc::WHY, ipc::MESSAGE] {
        let cut = clean(&text, longest);
        assert_shown(&cut, longest);
        assert_eq!(clean(&cut, longest), cut.trim_end(), "it is clean, and not what cleaning makes of it");
        if cut.len() < longest.saturating_sub(4) && !cut.ends_with('…') {
            let kept: String = text.chars().filter(|letter| letter.is_alphanumeric()).collect();
            assert_eq!(cut.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>(), kept);
        }
    }
    let secret = "k3y-of-the-5tream";
    let spoken = text.replace('k', secret);
    assert!(!crate::config::hide(&spoken, secret).contains(secret) || spoken == text, "{spoken}");
}
