//! One RTMP session of a publisher, without I/O of its own: what a server says goes in, what it is to be told comes
//! out.
//!
//! "Adobe's Real Time Messaging Protocol" 1.0 (2012); the commands that it leaves out (`releaseStream`, `FCPublish`,
//! `FCUnpublish`) as OBS, `FFmpeg` and GStreamer send them.

use super::amf::{self, Value};
use super::auth::{self, Answer};
use super::chunk::{self, Header, Malformed, Message, Reader, kind};
use super::endpoint::Place;
use super::flv::Tag;
use super::status::{self, NO_RTMP, Stage};
use crate::capture::output::error::ConnectionError;
use crate::capture::output::error::ConnectionErrorKind;

/// RTMP's only version (section 5.2.2).
const VERSION: u8 = 3;
/// C1, C2, S1 and S2, bytes (section 5.2.3).
const HELLO: usize = 1536;
/// What chunks of ours have once the server has let us in, bytes: OBS's, which every server takes.
const CHUNK_SIZE: usize = 4096;
const DEFAULT_CHUNK_SIZE: usize = 128;

/// Chunk streams, as `FFmpeg` numbers them. Each track has its own: neither waits for the order of the other's times.
mod channel {
    pub(super) const CONTROL: u8 = 2;
    pub(super) const COMMAND: u8 = 3;
    pub(super) const AUDIO: u8 = 4;
    pub(super) const DATA: u8 = 5;
    pub(super) const VIDEO: u8 = 6;
    pub(super) const STREAM: u8 = 8;
}

/// Numbers of the commands, by which answers are known.
mod transaction {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE: f64 = 2.0;
    pub(super) const FC_PUBLISH: f64 = 3.0;
    pub(super) const CREATE: f64 = 4.0;
    pub(super) const PUBLISH: f64 = 5.0;
    pub(super) const FC_UNPUBLISH: f64 = 6.0;
    pub(super) const DELETE: f64 = 7.0;
}

/// User control events (section 7.1.7).
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server names another one.
    Redirect(String),
    /// The server wants to know who publishes: to be said on the next connection.
    Proof(String),
    /// It failed.
    ConnectionError(ConnectionError),
}

impl From<Malformed> for End {
    fn from(error: Malformed) -> Self {
        tracing::debug!("not RTMP: {error}");
        Self::ConnectionError(ConnectionError { kind: ConnectionErrorKind::Rejected, reason: NO_RTMP.to_owned() })
    }
}

/// A session.
pub(super) struct Session {
    place: Place,
    stage: Stage,
    /// What the server has said of its handshake.
    hello: Vec<u8>,
    reader: Reader,
    out: Vec<u8>,
    chunk_size: usize,
    stream: u32,
    /// Bytes, as counted in acknowledgements.
    received: u32,
    acknowledged: u32,
    /// After so many bytes the server wants to hear that they came; 0: it does not.
    window: u32,
}

impl Session {
    /// Begins one: the server is greeted.
    pub(super) fn begin(place: Place) -> Self {
        let mut out = vec![0; 1 + HELLO];
        // Behind the version: a time and zeros, four bytes each, and what nobody else says.
        out[0] = VERSION;
        fastrand::fill(&mut out[9..]);
        Self {
            place,
            stage: Stage::Handshake,
            hello: Vec::new(),
            reader: Reader::default(),
            out,
            chunk_size: DEFAULT_CHUNK_SIZE,
            stream: 0,
            received: 0,
            acknowledged: 0,
            window: 0,
        }
    }

    /// How far it has come.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// What is to be sent; whoever sends it takes it out.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that are to be sent.
    pub(super) fn pending(&self) -> usize {
        self.out.len()
    }

    /// Takes what the server has sent.
    ///
    /// # Errors
    /// The session ends.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.received = self.received.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0));
        if self.stage == Stage::Handshake {
            self.greeted(bytes)?;
        } else {
            self.reader.feed(bytes);
        }
        while let Some(message) = self.reader.next()? {
            self.message(&message)?;
        }
        // Half of the window: a server that waits for the word never has to.
        if self.window > 0 && self.received.wrapping_sub(self.acknowledged) >= self.window / 2 {
            self.acknowledged = self.received;
            self.control(kind::ACKNOWLEDGEMENT, &self.received.to_be_bytes());
        }
        Ok(())
    }

    /// The server has closed the connection.
    pub(super) fn closed(&self) -> ConnectionError {
        status::closed(self.stage)
    }

    /// Sends an FLV tag; the server has said that the stream may be published.
    pub(super) fn publish(&mut self, tag: Tag<'_>) {
        let Tag { kind, time, head, body } = tag;
        let chunk_stream = match kind {
            kind::AUDIO => channel::AUDIO,
            kind::VIDEO => channel::VIDEO,
            _ => channel::DATA,
        };
        let header = Header { chunk_stream, time, kind, stream: self.stream };
        chunk::write(&mut self.out, self.chunk_size, header, &[head, body]);
    }

    /// Takes leave: the server knows that the stream is over, and need not wait for more.
    pub(super) fn leave(&mut self) {
        let stream = Value::text(self.place.stream.clone());
        self.command("FCUnpublish", transaction::FC_UNPUBLISH, [Value::Null, stream]);
        let id = Value::Number(self.stream.into());
        self.command("deleteStream", transaction::DELETE, [Value::Null, id]);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        let header = Header { chunk_stream: channel::CONTROL, time: 0, kind, stream: 0 };
        chunk::write(&mut self.out, self.chunk_size, header, &[body]);
    }

    fn command(&mut self, name: &str, transaction: f64, values: impl IntoIterator<Item = Value>) {
        self.command_on(channel::COMMAND, 0, name, transaction, values);
    }

    fn command_on(
        &mut self,
        chunk_stream: u8,
        stream: u32,
        name: &str,
        transaction: f64,
        values: impl IntoIterator<Item = Value>,
    ) {
        let all: Vec<_> = [Value::text(name), Value::Number(transaction)].into_iter().chain(values).collect();
        let header = Header { chunk_stream, time: 0, kind: kind::AMF0_COMMAND, stream };
        chunk::write(&mut self.out, self.chunk_size, header, &[&amf::encode(&all)]);
    }

    /// The server's half of the handshake: version, S1, which is repeated to it, and S2, which repeats ours.
    fn greeted(&mut self, bytes: &[u8]) -> Result<(), End> {
        let known = self.hello.len();
        self.hello.extend(bytes);
        match self.hello.first() {
            None | Some(&VERSION) => {}
            Some(other) => return Err(End::ConnectionError(status::no_rtmp(*other))),
        }
        if let Some(theirs) = self.hello.get(1..=HELLO)
            && known <= HELLO
        {
            self.out.extend(theirs);
        }
        let Some(behind) = self.hello.get(1 + 2 * HELLO..) else { return Ok(()) };
        self.reader.feed(behind);
        self.hello = Vec::new();
        self.stage = Stage::Connect;
        let asked = Value::object([
            ("app", Value::text(self.place.app())),
            ("type", Value::text("nonprivate")),
            // Flash Media Live Encoder's name opens doors; what is behind it is the truth.
            ("flashVer", Value::text("FMLE/3.0 (compatible; tallybox)")),
            ("tcUrl", Value::text(self.place.tc_url())),
        ]);
        self.command("connect", transaction::CONNECT, [asked]);
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<(), End> {
        let body = message.body.as_slice();
        match message.kind {
            kind::USER_CONTROL => {
                if let [high, low, data @ ..] = body
                    && u16::from_be_bytes([*high, *low]) == PING_REQUEST
                    && let Some(time) = data.get(..4)
                {
                    self.control(kind::USER_CONTROL, &[&PING_RESPONSE.to_be_bytes(), time].concat());
                }
            }
            kind::WINDOW_ACK_SIZE => {
                if let Some(size) = body.get(..4).and_then(|bytes| bytes.try_into().ok()) {
                    self.window = u32::from_be_bytes(size);
                }
            }
            kind::SET_PEER_BANDWIDTH => {
                if let Some(size) = body.get(..4) {
                    self.control(kind::WINDOW_ACK_SIZE, size);
                }
            }
            kind::AMF0_COMMAND => self.said(&amf::decode(body))?,
            kind::AMF3_COMMAND => self.said(&amf::decode(body.get(1..).unwrap_or_default()))?,
            // Acknowledgements, which TCP has given already, and what is not for publishers.
            _ => {}
        }
        Ok(())
    }

    /// A command of the server's: name, transaction, an object, and what it is about.
    fn said(&mut self, values: &[Value]) -> Result<(), End> {
        let [name, transaction, rest @ ..] = values else { return Ok(()) };
        let about = rest.get(1).unwrap_or(&Value::Null);
        match (name.as_str(), transaction.as_number()) {
            (Some("_result"), Some(transaction::CONNECT)) if self.stage == Stage::Connect => {
                if let Some(end) = self.refused(about) {
                    return Err(end);
                }
                self.let_in();
            }
            (Some("_result"), Some(transaction::CREATE)) if self.stage == Stage::Create => self.created(about)?,
            (Some("_error"), Some(transaction::RELEASE | transaction::FC_PUBLISH)) => {
                // Nothing to be released, or a command that this server does not know.
                tracing::debug!("the server answers releaseStream or FCPublish with an error");
            }
            (Some("_error"), _) => {
                let nothing = Value::object([("level", Value::text("error"))]);
                let about = if self.refused(about).is_some() { about } else { &nothing };
                if let Some(end) = self.refused(about) {
                    return Err(end);
                }
            }
            (Some("onStatus"), _) => {
                if let Some(end) = self.refused(about) {
                    return Err(end);
                }
                let code = about.get("code").and_then(Value::as_str).unwrap_or_default();
                if self.stage == Stage::Publish && code.eq_ignore_ascii_case("NetStream.Publish.Start") {
                    self.stage = Stage::Live;
                }
            }
            // onBWDone, onFCPublish and the like.
            (_, _) => {}
        }
        Ok(())
    }

    /// Why a status ends the session, if it does.
    fn refused(&self, about: &Value) -> Option<End> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let [level, code, description] =
            ["level", "code", "description"].map(|name| text(about, name).unwrap_or_default());
        tracing::debug!(level, code, "the server says");
        if let Some(url) = about.get("ex").and_then(|more| text(more, "redirect"))
            && self.stage < Stage::Live
        {
            return Some(End::Redirect(url));
        }
        if self.stage == Stage::Connect
            && let Some(answer) =
                auth::answer(&description, self.place.credentials(), &self.place.application, fastrand::u32(..))
        {
            return Some(self.prove(answer));
        }
        status::trouble(self.stage, &level, &code).map(End::ConnectionError)
    }

    fn prove(&self, answer: Answer) -> End {
        let refused = |reason: &str| {
            End::ConnectionError(ConnectionError { kind: ConnectionErrorKind::Rejected, reason: reason.to_owned() })
        };
        match answer {
            // What was said already is not said again: it would go round in circles.
            Answer::Query(query) if query != self.place.proof => End::Proof(query),
            Answer::Query(_) | Answer::Wrong => {
                refused("the server does not take user name and password: see those in [ingest] url")
            }
            Answer::Missing => {
                refused("the server wants a user name and a password: write rtmp://USER:PASSWORD@… in [ingest] url")
            }
        }
    }

    /// The application is there: a stream is asked for.
    fn let_in(&mut self) {
        self.stage = Stage::Create;
        self.control(kind::SET_CHUNK_SIZE, &u32::try_from(CHUNK_SIZE).unwrap_or(128).to_be_bytes());
        self.chunk_size = CHUNK_SIZE;
        let stream = Value::text(self.place.stream.clone());
        self.command("releaseStream", transaction::RELEASE, [Value::Null, stream.clone()]);
        self.command("FCPublish", transaction::FC_PUBLISH, [Value::Null, stream]);
        self.command("createStream", transaction::CREATE, [Value::Null]);
    }

    fn created(&mut self, number: &Value) -> Result<(), End> {
        let number = number.as_number().filter(|number| (0.0..=f64::from(u32::MAX)).contains(number));
        let Some(number) = number else {
            let reason = "the server gives no stream: see the part of [ingest] url between host and stream key";
            return Err(End::ConnectionError(ConnectionError {
                kind: ConnectionErrorKind::Rejected,
                reason: reason.to_owned(),
            }));
        };
        // It was found to fit.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let number = number as u32;
        self.stream = number;
        self.stage = Stage::Publish;
        let asked = [Value::Null, Value::text(self.place.stream.clone()), Value::text("live")];
        self.command_on(channel::STREAM, number, "publish", transaction::PUBLISH, asked);
        Ok(())
    }
}
