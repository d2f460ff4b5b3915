//! Fuzz targets: whatever a WHIP server answers.

use ureq::Body;
use ureq::http::Response;
use url::Url;

use super::client::WhipClient;
use super::http::WhipEndpoint;
use super::peer_state::{OfferParams, PeerState};
use crate::capture::output::credentials::Redactor;
use crate::clock::Clock;
use crate::config::{Host, Secret};
use crate::fuzzing::input::Input;
use crate::fuzzing::oracle::{CANARY, allowed_destinations, assert_no_secret, assert_told};

/// An answer with any status, `Location` and body: what is accepted is SDP, and nobody is led where we may not go.
pub(crate) fn http(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let status = 100 + u16::from(input.byte()) * 2 + u16::from(input.byte() & 1);
    let location = input.part();
    let body = input.rest();
    let mut response = Response::builder().status(status.min(599));
    if !location.is_empty() {
        response = response.header("Location", location);
    }
    let Ok(mut response) = response.body(Body::builder().data(body.to_vec())) else { return };
    let url = "https://a.example.cn/whip/c4n4ry-5ecret";
    let endpoint =
        WhipEndpoint::new(Secret::new(url.to_owned()), Some(Secret::new(CANARY.to_owned())), allowed_destinations());
    let from = Url::parse(url).expect("a URL");
    match endpoint.judge(&from, &mut response) {
        Ok(super::http::Judged::Redirect(to)) => assert_allowed(&to),
        Ok(super::http::Judged::Accepted(accepted)) => {
            assert!(matches!(status, 200 | 201));
            accepted.resource.iter().for_each(assert_allowed);
            match accepted.answer {
                Ok(answer) => assert!(answer.starts_with("v=0") && answer.len() <= 3 * body.len()),
                Err(error) => assert_told(&error.reason),
            }
        }
        Err(error) => {
            assert_told(&error.reason);
            assert_no_secret(&error.reason);
        }
    }
}

fn assert_allowed(to: &Url) {
    let host = to.host_str().and_then(|host| Host::parse(host).ok()).expect("a host");
    assert!(to.scheme() == "https" && host.as_str().ends_with(".example.cn"), "{to}");
    assert!(to.username().is_empty() && to.password().is_none(), "{to}");
}

/// Any text as the answer to our offer.
pub(crate) fn sdp(bytes: &[u8]) {
    let (_, inbox) = std::sync::mpsc::channel();
    let waker = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("an event");
    let client = WhipClient {
        redactor: Redactor {
            host_port: "a.example.cn:443".to_owned(),
            host: "a.example.cn".to_owned(),
            secrets: [CANARY.to_owned()].into(),
        },
        params: OfferParams {
            host: "a.example.cn".to_owned(),
            port: 443,
            has_audio: bytes.len().is_multiple_of(2),
            profile_level_id: 0x42_e01f,
            max_kbps: 2500,
        },
        peer_state: PeerState::new().into(),
        inbox,
        waker: waker.into(),
        clock: Clock::start(),
    };
    let mut rtc = client.rtc();
    let (offer, pending, _) = client.offer(&mut rtc).expect("an offer");
    // What an answer repeats of the offer is drawn anew each time.
    let answer = String::from_utf8_lossy(bytes).replace("OFFER", &offer);
    if let Err(error) = client.accept(&mut rtc, pending, &answer) {
        assert_told(&error.reason);
        assert_no_secret(&error.reason);
    }
    for _ in 0..16 {
        match rtc.poll_output() {
            Ok(str0m::Output::Timeout(_)) | Err(_) => break,
            Ok(str0m::Output::Transmit(_) | str0m::Output::Event(_)) => {}
        }
    }
}
