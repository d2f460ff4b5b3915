//! What a session says, and what it makes of whatever a server says, without a socket between them.

use proptest::prelude::*;

use super::amf::{self, Value};
use super::chunk::{self, Header, Message, Reader, kind};
use super::endpoint::{Place, tests::place};
use super::flv::Tag;
use super::session::{End, Session};
use super::status::Stage;
use crate::capture::output::error::ConnectionErrorKind;

/// The other side: reads what the session sends, and answers.
struct Server {
    session: Session,
    reader: Reader,
}

impl Server {
    /// After the handshake, and with `connect` read.
    fn greeted(place: Place) -> (Self, Vec<Value>) {
        let mut session = Session::begin(place);
        let hello = std::mem::take(session.out());
        assert_eq!((hello.len(), hello[0]), (1537, 3));
        let theirs = [vec![3], vec![7; 1536], hello[1..].to_vec()].concat();
        // However it comes.
        for part in theirs.chunks(1000) {
            session.receive(part).unwrap();
        }
        let said = std::mem::take(session.out());
        assert!(said[..1536].iter().all(|byte| *byte == 7), "S1 is repeated");
        let mut server = Self { session, reader: Reader::default() };
        server.reader.feed(&said[1536..]);
        let connect = server.reader.next().unwrap().unwrap();
        (server, amf::decode(&connect.body))
    }

    /// The whole way to a stream that may be published.
    fn live() -> Self {
        let (mut server, _) = Self::greeted(place());
        server
            .say("_result", 1.0, &[Value::Object(Vec::new()), status("status", "NetConnection.Connect.Success")])
            .unwrap();
        server.say("_result", 4.0, &[Value::Null, Value::Number(7.0)]).unwrap();
        server.heard();
        server.say("onStatus", 0.0, &[Value::Null, status("status", "NetStream.Publish.Start")]).unwrap();
        server
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), End> {
        let mut wire = Vec::new();
        chunk::write(&mut wire, 128, Header { chunk_stream: 3, time: 0, kind, stream: 0 }, &[body]);
        self.session.receive(&wire)
    }

    fn say(&mut self, name: &str, transaction: f64, values: &[Value]) -> Result<(), End> {
        let body = amf::encode(&[&[Value::text(name), Value::Number(transaction)], values].concat());
        self.send(kind::AMF0_COMMAND, &body)
    }

    /// What the session has sent since.
    fn heard(&mut self) -> Vec<Message> {
        let said = std::mem::take(self.session.out());
        self.reader.feed(&said);
        std::iter::from_fn(|| self.reader.next().unwrap()).collect()
    }

    /// Names and message streams of the commands that it has sent since.
    fn commands(&mut self) -> Vec<(String, u32, Vec<Value>)> {
        let commands = self.heard().into_iter().filter(|message| message.kind == kind::AMF0_COMMAND);
        let split = |message: Message| {
            let mut values = amf::decode(&message.body);
            let rest = values.split_off(2);
            (values[0].as_str().unwrap().to_owned(), message.stream, rest)
        };
        commands.map(split).collect()
    }
}

fn status(level: &str, code: &str) -> Value {
    Value::object([("level", Value::text(level)), ("code", Value::text(code))])
}

fn rejected(description: &str) -> Value {
    Value::object([
        ("level", Value::text("error")),
        ("code", Value::text("NetConnection.Connect.Rejected")),
        ("description", Value::text(description)),
    ])
}

fn redirect(url: &str) -> Value {
    let more = Value::object([("code", Value::Number(302.0)), ("redirect", Value::text(url))]);
    Value::object([
        ("level", Value::text("error")),
        ("code", Value::text("NetConnection.Connect.Rejected")),
        ("description", Value::text("[ AccessManager.Reject ] : [ code=302 ] : redirect")),
        ("ex", more),
    ])
}

#[track_caller]
fn kind_of(outcome: Result<(), End>) -> (ConnectionErrorKind, String) {
    let Err(End::ConnectionError(trouble)) = outcome else { panic!("{outcome:?}") };
    (trouble.kind, trouble.reason)
}

#[test]
fn a_stream_is_asked_for_published_and_ended_as_servers_expect_it() {
    let (mut server, connect) = Server::greeted(place());
    assert_eq!(connect[..2], [Value::text("connect"), Value::Number(1.0)]);
    for (field, value) in [("app", "live"), ("tcUrl", "rtmp://push.example.cn/live"), ("type", "nonprivate")] {
        assert_eq!(connect[2].get(field).and_then(Value::as_str), Some(value));
    }
    server.say("onBWDone", 0.0, &[Value::Null]).unwrap();
    server
        .say("_result", 1.0, &[Value::Object(Vec::new()), status("status", "NetConnection.Connect.Success")])
        .unwrap();
    let key = Value::text("key?sign=1");
    let asked = server.commands();
    let names: Vec<_> = asked.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["releaseStream", "FCPublish", "createStream"]);
    assert!(asked[..2].iter().all(|(_, stream, values)| *stream == 0 && values[1] == key));
    // Nothing to be released: no reason to go.
    server.say("_error", 2.0, &[Value::Null, status("error", "NetStream.Release.Failed")]).unwrap();
    server.say("_result", 4.0, &[Value::Null, Value::Number(7.0)]).unwrap();
    let publish = ("publish".to_owned(), 7, vec![Value::Null, key.clone(), Value::text("live")]);
    assert_eq!(server.commands(), [publish]);
    assert_eq!(server.session.stage(), Stage::Publish);
    server.say("onStatus", 0.0, &[Value::Null, status("status", "NetStream.Publish.Start")]).unwrap();
    assert_eq!(server.session.stage(), Stage::Live);
    server.session.publish(Tag { kind: kind::VIDEO, time: 5, head: &[0x17, 1, 0, 0, 0], body: &[9; 10_000] });
    let frames = server.heard();
    assert_eq!((frames.len(), frames[0].kind, frames[0].stream, frames[0].body.len()), (1, kind::VIDEO, 7, 10_005));
    server.session.leave();
    let left = server.commands();
    assert_eq!((left[0].0.as_str(), &left[0].2[1]), ("FCUnpublish", &key));
    assert_eq!((left[1].0.as_str(), &left[1].2[1]), ("deleteStream", &Value::Number(7.0)));
}

#[test]
fn pings_windows_and_bandwidths_are_answered() {
    let mut server = Server::live();
    server.send(kind::USER_CONTROL, &[0, 6, 1, 2, 3, 4]).unwrap();
    server.send(kind::SET_PEER_BANDWIDTH, &[0, 0, 16, 0, 2]).unwrap();
    let answers: Vec<_> = server.heard().into_iter().map(|message| (message.kind, message.body)).collect();
    assert_eq!(answers, [(kind::USER_CONTROL, vec![0, 7, 1, 2, 3, 4]), (kind::WINDOW_ACK_SIZE, vec![0, 0, 16, 0])]);
    server.send(kind::WINDOW_ACK_SIZE, &[0, 0, 16, 0]).unwrap();
    let mut acknowledged = 0;
    for _ in 0..100 {
        server.send(kind::ACKNOWLEDGEMENT, &[0; 100]).unwrap();
        acknowledged += server.heard().iter().filter(|message| message.kind == kind::ACKNOWLEDGEMENT).count();
    }
    assert!((4..=6).contains(&acknowledged), "{acknowledged} times for 11,200 bytes and half a window of 2048");
}

#[test]
fn a_redirect_is_told_whenever_it_comes() {
    let url = "rtmp://other.example.cn/live";
    let (mut server, _) = Server::greeted(place());
    let said = server.say("_error", 1.0, &[Value::Null, redirect(url)]);
    assert_eq!(said, Err(End::Redirect(url.to_owned())));
    let (mut server, _) = Server::greeted(place());
    server.say("_result", 1.0, &[Value::Null, Value::Null]).unwrap();
    server.say("_result", 4.0, &[Value::Null, Value::Number(1.0)]).unwrap();
    let said = server.say("onStatus", 0.0, &[Value::Null, redirect(url)]);
    assert_eq!(said, Err(End::Redirect(url.to_owned())));
    // On air it would be a way to make the box wander.
    let said = kind_of(Server::live().say("onStatus", 0.0, &[Value::Null, redirect(url)]));
    assert_eq!(said.0, ConnectionErrorKind::Rejected);
}

#[test]
fn who_publishes_is_proved_and_not_twice_the_same_way() {
    let need = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
    let (mut server, _) = Server::greeted(place());
    let said = kind_of(server.say("_error", 1.0, &[Value::Null, rejected(need)]));
    assert!(said.1.contains("wants a user name and a password"), "{said:?}");
    let login = Some(("shop".to_owned(), "p/w".to_owned()));
    let known = Place { login, ..place() };
    let (mut server, _) = Server::greeted(known.clone());
    let Err(End::Proof(proof)) = server.say("_error", 1.0, &[Value::Null, rejected(need)]) else { panic!("no proof") };
    assert_eq!(proof, "?authmod=adobe&user=shop");
    let (mut server, connect) = Server::greeted(Place { proof: proof.clone(), ..known });
    assert_eq!(connect[2].get("app").and_then(Value::as_str), Some("live?authmod=adobe&user=shop"));
    let said = kind_of(server.say("_error", 1.0, &[Value::Null, rejected(need)]));
    assert!(said.1.contains("does not take user name and password"), "{said:?}");
    let (mut server, _) = Server::greeted(Place { proof, ..place() });
    let said = kind_of(server.say("_error", 1.0, &[Value::Null, rejected("?reason=authfailed authmod=adobe")]));
    assert!(said.1.contains("does not take user name and password"), "{said:?}");
}

#[test]
fn what_a_server_says_no_with_is_told_from_one_another() {
    let (mut server, _) = Server::greeted(place());
    assert!(server.session.closed().reason.contains("no such application"));
    let said = kind_of(server.say("_error", 1.0, &[Value::Null, rejected("no")]));
    assert!(said.0 == ConnectionErrorKind::Rejected && said.1.contains("no such application"), "{said:?}");
    let (mut server, _) = Server::greeted(place());
    let said = kind_of(server.say("_error", 1.0, &[]));
    assert!(said.0 == ConnectionErrorKind::Rejected && said.1.contains("no such application"), "{said:?}");
    let (mut server, _) = Server::greeted(place());
    server.say("_result", 1.0, &[Value::Null, Value::Null]).unwrap();
    for odd in [Value::Null, Value::Number(-1.0), Value::Number(f64::NAN), Value::Number(1e300)] {
        assert_eq!(kind_of(server.say("_result", 4.0, &[Value::Null, odd])).0, ConnectionErrorKind::Rejected);
    }
    server.say("_result", 4.0, &[Value::Null, Value::Number(1.0)]).unwrap();
    assert!(server.session.closed().reason.contains("see the stream key"));
    let said = kind_of(server.say("onStatus", 0.0, &[Value::Null, status("error", "NetStream.Publish.BadName")]));
    assert!(said.0 == ConnectionErrorKind::StreamInUse && said.1.contains("in use"), "{said:?}");
    assert_eq!(Server::live().session.closed().kind, ConnectionErrorKind::Unreachable);
}

#[test]
fn what_is_no_rtmp_server_is_said_to_be_none() {
    for (bytes, reason) in [
        (&b"HTTP/1.1 302 Found\r\n"[..], "a web server answers there"),
        (&[0x15, 3, 3, 0, 2, 2, 70], "wants TLS"),
        (b"SSH-2.0", "does not speak RTMP"),
    ] {
        let said = kind_of(Session::begin(place()).receive(bytes));
        assert!(said.0 == ConnectionErrorKind::Rejected && said.1.contains(reason), "{said:?}");
    }
    let (mut server, _) = Server::greeted(place());
    let said = kind_of(server.session.receive(&[3, 0, 0, 0, 255, 255, 255, 20, 0, 0, 0, 0]));
    assert!(said.1.contains("does not speak RTMP"), "{said:?}");
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
        let mut server = if is_live { Server::live() } else { Server::greeted(place()).0 };
        server.heard();
        let mut sent = 0;
        for (kind, body) in messages {
            sent += body.len() + 12 + body.len() / 128;
            if server.send(kind, &body).is_err() {
                return Ok(());
            }
        }
        // The longest answer to the shortest message, an acknowledgement or a pong, is some bytes longer; asking for a
        // stream is answered once.
        prop_assert!(server.session.pending() <= 2 * sent + 600, "{} for {sent}", server.session.pending());
    }
}
