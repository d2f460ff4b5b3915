//! What a session says, and what it makes of whatever a server says, without a socket between them.

use proptest::prelude::*;

use super::amf::{self, AmfValue};
use super::chunk::{self, ChunkReader, MessageHeader, RtmpMessage, message_type};
use super::endpoint::{RtmpEndpoint, tests::endpoint};
use super::flv::FlvTag;
use super::session::{RtmpSession, SessionEnd};
use super::status::SessionStage;
use crate::capture::output::error::ConnectionErrorKind;

/// The other side: reads what the session sends, and answers.
struct Server {
    session: RtmpSession,
    reader: ChunkReader,
}

impl Server {
    /// After the handshake, and with `connect` read.
    fn handshaken(endpoint: RtmpEndpoint) -> (Self, Vec<AmfValue>) {
        let mut session = RtmpSession::new(endpoint);
        let handshake = std::mem::take(session.output());
        assert_eq!((handshake.len(), handshake[0]), (1537, 3));
        let theirs = [vec![3], vec![7; 1536], handshake[1..].to_vec()].concat();
        // However it comes.
        for part in theirs.chunks(1000) {
            session.receive(part).unwrap();
        }
        let outcome = std::mem::take(session.output());
        assert!(outcome[..1536].iter().all(|byte| *byte == 7), "S1 is repeated");
        let mut server = Self { session, reader: ChunkReader::default() };
        server.reader.feed(&outcome[1536..]);
        let connect = server.reader.next().unwrap().unwrap();
        (server, amf::decode(&connect.body))
    }

    /// The whole way to a stream that may be published.
    fn publishing() -> Self {
        let (mut server, _) = Self::handshaken(endpoint());
        server
            .reply("_result", 1.0, &[AmfValue::Object(Vec::new()), status("status", "NetConnection.Connect.Success")])
            .unwrap();
        server.reply("_result", 4.0, &[AmfValue::Null, AmfValue::Number(7.0)]).unwrap();
        server.take_sent();
        server.reply("onStatus", 0.0, &[AmfValue::Null, status("status", "NetStream.Publish.Start")]).unwrap();
        server
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), SessionEnd> {
        let mut wire = Vec::new();
        chunk::write(&mut wire, 128, MessageHeader { chunk_stream: 3, time: 0, kind, stream: 0 }, &[body]);
        self.session.receive(&wire)
    }

    fn reply(&mut self, name: &str, transaction: f64, values: &[AmfValue]) -> Result<(), SessionEnd> {
        let body = amf::encode(&[&[AmfValue::text(name), AmfValue::Number(transaction)], values].concat());
        self.send(message_type::AMF0_COMMAND, &body)
    }

    /// What the session has sent since.
    fn take_sent(&mut self) -> Vec<RtmpMessage> {
        let outcome = std::mem::take(self.session.output());
        self.reader.feed(&outcome);
        std::iter::from_fn(|| self.reader.next().unwrap()).collect()
    }

    /// Names and message streams of the commands that it has sent since.
    fn commands(&mut self) -> Vec<(String, u32, Vec<AmfValue>)> {
        let commands = self.take_sent().into_iter().filter(|message| message.kind == message_type::AMF0_COMMAND);
        let split = |message: RtmpMessage| {
            let mut values = amf::decode(&message.body);
            let rest = values.split_off(2);
            (values[0].as_str().unwrap().to_owned(), message.stream, rest)
        };
        commands.map(split).collect()
    }
}

fn status(level: &str, code: &str) -> AmfValue {
    AmfValue::object([("level", AmfValue::text(level)), ("code", AmfValue::text(code))])
}

fn rejected(description: &str) -> AmfValue {
    AmfValue::object([
        ("level", AmfValue::text("error")),
        ("code", AmfValue::text("NetConnection.Connect.Rejected")),
        ("description", AmfValue::text(description)),
    ])
}

fn redirect(url: &str) -> AmfValue {
    let more = AmfValue::object([("code", AmfValue::Number(302.0)), ("redirect", AmfValue::text(url))]);
    AmfValue::object([
        ("level", AmfValue::text("error")),
        ("code", AmfValue::text("NetConnection.Connect.Rejected")),
        ("description", AmfValue::text("[ AccessManager.Reject ] : [ code=302 ] : redirect")),
        ("ex", more),
    ])
}

#[track_caller]
fn failure_of(outcome: Result<(), SessionEnd>) -> (ConnectionErrorKind, String) {
    let Err(SessionEnd::Failed(error)) = outcome else { panic!("{outcome:?}") };
    (error.kind, error.reason)
}

#[test]
fn a_stream_is_asked_for_published_and_ended_as_servers_expect_it() {
    let (mut server, connect) = Server::handshaken(endpoint());
    assert_eq!(connect[..2], [AmfValue::text("connect"), AmfValue::Number(1.0)]);
    for (field, value) in [("app", "live"), ("tcUrl", "rtmp://push.example.cn/live"), ("type", "nonprivate")] {
        assert_eq!(connect[2].get(field).and_then(AmfValue::as_str), Some(value));
    }
    server.reply("onBWDone", 0.0, &[AmfValue::Null]).unwrap();
    server
        .reply("_result", 1.0, &[AmfValue::Object(Vec::new()), status("status", "NetConnection.Connect.Success")])
        .unwrap();
    let key = AmfValue::text("key?sign=1");
    let asked = server.commands();
    let names: Vec<_> = asked.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["releaseStream", "FCPublish", "createStream"]);
    assert!(asked[..2].iter().all(|(_, stream, values)| *stream == 0 && values[1] == key));
    // Nothing to be released: no reason to go.
    server.reply("_error", 2.0, &[AmfValue::Null, status("error", "NetStream.Release.Failed")]).unwrap();
    server.reply("_result", 4.0, &[AmfValue::Null, AmfValue::Number(7.0)]).unwrap();
    let publish = ("publish".to_owned(), 7, vec![AmfValue::Null, key.clone(), AmfValue::text("live")]);
    assert_eq!(server.commands(), [publish]);
    assert_eq!(server.session.stage(), SessionStage::Publish);
    server.reply("onStatus", 0.0, &[AmfValue::Null, status("status", "NetStream.Publish.Start")]).unwrap();
    assert_eq!(server.session.stage(), SessionStage::Live);
    server.session.publish(FlvTag {
        kind: message_type::VIDEO,
        time: 5,
        head: &[0x17, 1, 0, 0, 0],
        body: &[9; 10_000],
    });
    let frames = server.take_sent();
    assert_eq!(
        (frames.len(), frames[0].kind, frames[0].stream, frames[0].body.len()),
        (1, message_type::VIDEO, 7, 10_005)
    );
    server.session.unpublish();
    let left = server.commands();
    assert_eq!((left[0].0.as_str(), &left[0].2[1]), ("FCUnpublish", &key));
    assert_eq!((left[1].0.as_str(), &left[1].2[1]), ("deleteStream", &AmfValue::Number(7.0)));
}

#[test]
fn pings_windows_and_bandwidths_are_answered() {
    let mut server = Server::publishing();
    server.send(message_type::USER_CONTROL, &[0, 6, 1, 2, 3, 4]).unwrap();
    server.send(message_type::SET_PEER_BANDWIDTH, &[0, 0, 16, 0, 2]).unwrap();
    let answers: Vec<_> = server.take_sent().into_iter().map(|message| (message.kind, message.body)).collect();
    assert_eq!(
        answers,
        [(message_type::USER_CONTROL, vec![0, 7, 1, 2, 3, 4]), (message_type::WINDOW_ACK_SIZE, vec![0, 0, 16, 0])]
    );
    server.send(message_type::WINDOW_ACK_SIZE, &[0, 0, 16, 0]).unwrap();
    let mut acknowledged = 0;
    for _ in 0..100 {
        server.send(message_type::ACKNOWLEDGEMENT, &[0; 100]).unwrap();
        acknowledged +=
            server.take_sent().iter().filter(|message| message.kind == message_type::ACKNOWLEDGEMENT).count();
    }
    assert!((4..=6).contains(&acknowledged), "{acknowledged} times for 11,200 bytes and half a window of 2048");
}

#[test]
fn a_redirect_is_told_whenever_it_comes() {
    let url = "rtmp://other.example.cn/live";
    let (mut server, _) = Server::handshaken(endpoint());
    let outcome = server.reply("_error", 1.0, &[AmfValue::Null, redirect(url)]);
    assert_eq!(outcome, Err(SessionEnd::Redirect(url.to_owned())));
    let (mut server, _) = Server::handshaken(endpoint());
    server.reply("_result", 1.0, &[AmfValue::Null, AmfValue::Null]).unwrap();
    server.reply("_result", 4.0, &[AmfValue::Null, AmfValue::Number(1.0)]).unwrap();
    let outcome = server.reply("onStatus", 0.0, &[AmfValue::Null, redirect(url)]);
    assert_eq!(outcome, Err(SessionEnd::Redirect(url.to_owned())));
    // On air it would be a way to make the box wander.
    let outcome = failure_of(Server::publishing().reply("onStatus", 0.0, &[AmfValue::Null, redirect(url)]));
    assert_eq!(outcome.0, ConnectionErrorKind::Rejected);
}

#[test]
fn who_publishes_is_proved_and_not_twice_the_same_way() {
    let need = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
    let (mut server, _) = Server::handshaken(endpoint());
    let outcome = failure_of(server.reply("_error", 1.0, &[AmfValue::Null, rejected(need)]));
    assert!(outcome.1.contains("wants a user name and a password"), "{outcome:?}");
    let login = Some(("shop".to_owned(), "p/w".to_owned()));
    let known = RtmpEndpoint { login, ..endpoint() };
    let (mut server, _) = Server::handshaken(known.clone());
    let Err(SessionEnd::Authenticate(auth_query)) = server.reply("_error", 1.0, &[AmfValue::Null, rejected(need)])
    else {
        panic!("no auth_query")
    };
    assert_eq!(auth_query, "?authmod=adobe&user=shop");
    let (mut server, connect) = Server::handshaken(RtmpEndpoint { auth_query: auth_query.clone(), ..known });
    assert_eq!(connect[2].get("app").and_then(AmfValue::as_str), Some("live?authmod=adobe&user=shop"));
    let outcome = failure_of(server.reply("_error", 1.0, &[AmfValue::Null, rejected(need)]));
    assert!(outcome.1.contains("does not take user name and password"), "{outcome:?}");
    let (mut server, _) = Server::handshaken(RtmpEndpoint { auth_query, ..endpoint() });
    let outcome =
        failure_of(server.reply("_error", 1.0, &[AmfValue::Null, rejected("?reason=authfailed authmod=adobe")]));
    assert!(outcome.1.contains("does not take user name and password"), "{outcome:?}");
}

#[test]
fn what_a_server_says_no_with_is_told_from_one_another() {
    let (mut server, _) = Server::handshaken(endpoint());
    assert!(server.session.error_on_close().reason.contains("no such application"));
    let outcome = failure_of(server.reply("_error", 1.0, &[AmfValue::Null, rejected("no")]));
    assert!(outcome.0 == ConnectionErrorKind::Rejected && outcome.1.contains("no such application"), "{outcome:?}");
    let (mut server, _) = Server::handshaken(endpoint());
    let outcome = failure_of(server.reply("_error", 1.0, &[]));
    assert!(outcome.0 == ConnectionErrorKind::Rejected && outcome.1.contains("no such application"), "{outcome:?}");
    let (mut server, _) = Server::handshaken(endpoint());
    server.reply("_result", 1.0, &[AmfValue::Null, AmfValue::Null]).unwrap();
    for odd in [AmfValue::Null, AmfValue::Number(-1.0), AmfValue::Number(f64::NAN), AmfValue::Number(1e300)] {
        assert_eq!(failure_of(server.reply("_result", 4.0, &[AmfValue::Null, odd])).0, ConnectionErrorKind::Rejected);
    }
    server.reply("_result", 4.0, &[AmfValue::Null, AmfValue::Number(1.0)]).unwrap();
    assert!(server.session.error_on_close().reason.contains("see the stream key"));
    let outcome =
        failure_of(server.reply("onStatus", 0.0, &[AmfValue::Null, status("error", "NetStream.Publish.BadName")]));
    assert!(outcome.0 == ConnectionErrorKind::StreamInUse && outcome.1.contains("in use"), "{outcome:?}");
    assert_eq!(Server::publishing().session.error_on_close().kind, ConnectionErrorKind::Unreachable);
}

#[test]
fn what_is_no_rtmp_server_is_said_to_be_none() {
    for (bytes, reason) in [
        (&b"HTTP/1.1 302 Found\r\n"[..], "a web server answers there"),
        (&[0x15, 3, 3, 0, 2, 2, 70], "wants TLS"),
        (b"SSH-2.0", "does not speak RTMP"),
    ] {
        let outcome = failure_of(RtmpSession::new(endpoint()).receive(bytes));
        assert!(outcome.0 == ConnectionErrorKind::Rejected && outcome.1.contains(reason), "{outcome:?}");
    }
    let (mut server, _) = Server::handshaken(endpoint());
    let outcome = failure_of(server.session.receive(&[3, 0, 0, 0, 255, 255, 255, 20, 0, 0, 0, 0]));
    assert!(outcome.1.contains("does not speak RTMP"), "{outcome:?}");
}

proptest! {
    #[test]
    fn a_hostile_server_makes_a_session_end_or_answer_no_more_than_it_sent(
        messages in proptest::collection::vec(
            (prop_oneof![Just(4_u8), Just(5), Just(6), Just(17), Just(20), any::<u8>()],
             proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..18], 0..300)),
            0..30),
        is_live in any::<bool>(),
    ) {
        let mut server = if is_live { Server::publishing() } else { Server::handshaken(endpoint()).0 };
        server.take_sent();
        let mut sent = 0;
        for (kind, body) in messages {
            sent += body.len() + 12 + body.len() / 128;
            if server.send(kind, &body).is_err() {
                return Ok(());
            }
        }
        // The longest answer to the shortest message, an acknowledgement or a pong, is some bytes longer; asking for a
        // stream is answered once.
        prop_assert!(server.session.pending_bytes() <= 2 * sent + 600, "{} for {sent}", server.session.pending_bytes());
    }
}
