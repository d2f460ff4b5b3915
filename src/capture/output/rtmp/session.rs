//! The protocol of one publishing session, without I/O: the server's bytes go in, and the client's come out.
//!
//! It follows "Adobe's Real Time Messaging Protocol" 1.0 (2012). Commands that it leaves out (`releaseStream`,
//! `FCPublish`, `FCUnpublish`) are sent as OBS, `FFmpeg` and GStreamer send them.

use super::amf::{self, AmfValue};
use super::auth::{self, AuthAnswer};
use super::chunk::{self, ChunkReader, MalformedChunk, MessageHeader, RtmpMessage, message_type};
use super::endpoint::RtmpEndpoint;
use super::flv::FlvTag;
use super::status::{self, NOT_RTMP, SessionStage};
use crate::capture::output::error::ConnectionError;
use crate::config::hide;

/// RTMP's only version (section 5.2.2).
const VERSION: u8 = 3;
/// Bytes of C1, C2, S1 and S2 (section 5.2.3).
const HANDSHAKE_SIZE: usize = 1536;
/// Our chunk size once the server has accepted the connection, in bytes: that of OBS, which every server supports.
const CHUNK_SIZE: usize = 4096;
const DEFAULT_CHUNK_SIZE: usize = 128;

/// Chunk streams, numbered as `FFmpeg` does. Each track has its own, so that timestamps are ordered per track only.
mod chunk_stream_id {
    pub(super) const CONTROL: u8 = 2;
    pub(super) const COMMAND: u8 = 3;
    pub(super) const AUDIO: u8 = 4;
    pub(super) const DATA: u8 = 5;
    pub(super) const VIDEO: u8 = 6;
    pub(super) const STREAM: u8 = 8;
}

/// Transaction ids of the commands: answers carry the same.
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
pub(super) enum SessionEnd {
    /// The server redirects to another one.
    Redirect(String),
    /// The server asks for authentication: the next connection sends this query.
    Authenticate(String),
    /// The session failed.
    Failed(ConnectionError),
}

impl From<MalformedChunk> for SessionEnd {
    fn from(error: MalformedChunk) -> Self {
        tracing::debug!("not RTMP: {error}");
        Self::Failed(ConnectionError::rejected(NOT_RTMP))
    }
}

/// A session.
pub(super) struct RtmpSession {
    endpoint: RtmpEndpoint,
    stage: SessionStage,
    /// What the server has sent of the handshake.
    handshake: Vec<u8>,
    chunk_reader: ChunkReader,
    output: Vec<u8>,
    chunk_size: usize,
    stream_id: u32,
    /// Bytes, as acknowledgements count them.
    received_bytes: u32,
    acknowledged_bytes: u32,
    /// The server expects an acknowledgement after this many bytes; 0: it expects none.
    window_ack_size: u32,
}

impl RtmpSession {
    /// Starts the handshake.
    pub(super) fn new(endpoint: RtmpEndpoint) -> Self {
        let mut output = vec![0; 1 + HANDSHAKE_SIZE];
        // After the version: a timestamp and zeros, four bytes each, then random bytes.
        output[0] = VERSION;
        fastrand::fill(&mut output[9..]);
        Self {
            endpoint,
            stage: SessionStage::Handshake,
            handshake: Vec::new(),
            chunk_reader: ChunkReader::default(),
            output,
            chunk_size: DEFAULT_CHUNK_SIZE,
            stream_id: 0,
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_ack_size: 0,
        }
    }

    /// How far the session has come.
    pub(super) fn stage(&self) -> SessionStage {
        self.stage
    }

    /// The bytes to send. The caller removes what it has sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// How many bytes are to be sent.
    pub(super) fn pending_bytes(&self) -> usize {
        self.output.len()
    }

    /// Processes bytes of the server.
    ///
    /// # Errors
    /// The session is over.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), SessionEnd> {
        self.received_bytes = self.received_bytes.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0));
        if self.stage == SessionStage::Handshake {
            self.on_handshake(bytes)?;
        } else {
            self.chunk_reader.feed(bytes);
        }
        while let Some(message) = self.chunk_reader.next()? {
            self.on_message(&message)?;
        }
        // At half of the window, so that the server never has to wait for an acknowledgement.
        if self.window_ack_size > 0
            && self.received_bytes.wrapping_sub(self.acknowledged_bytes) >= self.window_ack_size / 2
        {
            self.acknowledged_bytes = self.received_bytes;
            self.control(message_type::ACKNOWLEDGEMENT, &self.received_bytes.to_be_bytes());
        }
        Ok(())
    }

    /// Why the server closed the connection, from the stage at which it did.
    pub(super) fn error_on_close(&self) -> ConnectionError {
        status::error_on_close(self.stage)
    }

    /// Sends an FLV tag. The server must have accepted the stream.
    pub(super) fn publish(&mut self, tag: FlvTag<'_>) {
        let FlvTag { kind, time, head, body } = tag;
        let chunk_stream = match kind {
            message_type::AUDIO => chunk_stream_id::AUDIO,
            message_type::VIDEO => chunk_stream_id::VIDEO,
            _ => chunk_stream_id::DATA,
        };
        let header = MessageHeader { chunk_stream, time, kind, stream: self.stream_id };
        chunk::write(&mut self.output, self.chunk_size, header, &[head, body]);
    }

    /// Ends the stream: the server need not wait for its timeout.
    pub(super) fn unpublish(&mut self) {
        let stream = AmfValue::text(self.endpoint.stream.clone());
        self.command("FCUnpublish", transaction::FC_UNPUBLISH, [AmfValue::Null, stream]);
        let id = AmfValue::Number(self.stream_id.into());
        self.command("deleteStream", transaction::DELETE, [AmfValue::Null, id]);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        let header = MessageHeader { chunk_stream: chunk_stream_id::CONTROL, time: 0, kind, stream: 0 };
        chunk::write(&mut self.output, self.chunk_size, header, &[body]);
    }

    fn command(&mut self, name: &str, transaction: f64, values: impl IntoIterator<Item = AmfValue>) {
        self.command_on(chunk_stream_id::COMMAND, 0, name, transaction, values);
    }

    fn command_on(
        &mut self,
        chunk_stream: u8,
        stream: u32,
        name: &str,
        transaction: f64,
        values: impl IntoIterator<Item = AmfValue>,
    ) {
        let all: Vec<_> = [AmfValue::text(name), AmfValue::Number(transaction)].into_iter().chain(values).collect();
        let header = MessageHeader { chunk_stream, time: 0, kind: message_type::AMF0_COMMAND, stream };
        chunk::write(&mut self.output, self.chunk_size, header, &[&amf::encode(&all)]);
    }

    /// The server's half of the handshake: version, S1, which C2 echoes, and S2, which echoes C1.
    fn on_handshake(&mut self, bytes: &[u8]) -> Result<(), SessionEnd> {
        let previous_length = self.handshake.len();
        self.handshake.extend(bytes);
        match self.handshake.first() {
            None | Some(&VERSION) => {}
            Some(other) => return Err(SessionEnd::Failed(status::error_from_first_byte(*other))),
        }
        if let Some(theirs) = self.handshake.get(1..=HANDSHAKE_SIZE)
            && previous_length <= HANDSHAKE_SIZE
        {
            self.output.extend(theirs);
        }
        let Some(behind) = self.handshake.get(1 + 2 * HANDSHAKE_SIZE..) else { return Ok(()) };
        self.chunk_reader.feed(behind);
        self.handshake = Vec::new();
        self.stage = SessionStage::Connect;
        let request = AmfValue::object([
            ("app", AmfValue::text(self.endpoint.app())),
            ("type", AmfValue::text("nonprivate")),
            // Some servers accept only Flash Media Live Encoder; the comment names the real client.
            ("flashVer", AmfValue::text("FMLE/3.0 (compatible; tallybox)")),
            ("tcUrl", AmfValue::text(self.endpoint.tc_url())),
        ]);
        self.command("connect", transaction::CONNECT, [request]);
        Ok(())
    }

    fn on_message(&mut self, message: &RtmpMessage) -> Result<(), SessionEnd> {
        let body = message.body.as_slice();
        match message.kind {
            message_type::USER_CONTROL => {
                if let [high, low, data @ ..] = body
                    && u16::from_be_bytes([*high, *low]) == PING_REQUEST
                    && let Some(time) = data.get(..4)
                {
                    self.control(message_type::USER_CONTROL, &[&PING_RESPONSE.to_be_bytes(), time].concat());
                }
            }
            message_type::WINDOW_ACK_SIZE => {
                if let Some(size) = body.get(..4).and_then(|bytes| bytes.try_into().ok()) {
                    self.window_ack_size = u32::from_be_bytes(size);
                }
            }
            message_type::SET_PEER_BANDWIDTH => {
                if let Some(size) = body.get(..4) {
                    self.control(message_type::WINDOW_ACK_SIZE, size);
                }
            }
            message_type::AMF0_COMMAND => self.on_command(&amf::decode(body))?,
            message_type::AMF3_COMMAND => self.on_command(&amf::decode(body.get(1..).unwrap_or_default()))?,
            // Acknowledgements, which TCP gives too, and messages that are not for publishers.
            _ => {}
        }
        Ok(())
    }

    /// A command of the server: name, transaction, command object, and information.
    fn on_command(&mut self, values: &[AmfValue]) -> Result<(), SessionEnd> {
        let [name, transaction, rest @ ..] = values else { return Ok(()) };
        let info = rest.get(1).unwrap_or(&AmfValue::Null);
        match (name.as_str(), transaction.as_number()) {
            (Some("_result"), Some(transaction::CONNECT)) if self.stage == SessionStage::Connect => {
                if let Some(end) = self.end_from_status(info) {
                    return Err(end);
                }
                self.request_stream();
            }
            (Some("_result"), Some(transaction::CREATE)) if self.stage == SessionStage::CreateStream => {
                self.on_stream_created(info)?;
            }
            (Some("_error"), Some(transaction::RELEASE | transaction::FC_PUBLISH)) => {
                // There was nothing to release, or the server does not know the command.
                tracing::debug!("the server answers releaseStream or FCPublish with an error");
            }
            (Some("_error"), _) => {
                let nothing = AmfValue::object([("level", AmfValue::text("error"))]);
                let info = if self.end_from_status(info).is_some() { info } else { &nothing };
                if let Some(end) = self.end_from_status(info) {
                    return Err(end);
                }
            }
            (Some("onStatus"), _) => {
                if let Some(end) = self.end_from_status(info) {
                    return Err(end);
                }
                let code = info.get("code").and_then(AmfValue::as_str).unwrap_or_default();
                if self.stage == SessionStage::Publish && code.eq_ignore_ascii_case("NetStream.Publish.Start") {
                    self.stage = SessionStage::Live;
                }
            }
            // `onBWDone`, `onFCPublish` and others.
            (_, _) => {}
        }
        Ok(())
    }

    /// Why a status ends the session, if it does.
    fn end_from_status(&self, info: &AmfValue) -> Option<SessionEnd> {
        let text = |value: &AmfValue, name: &str| value.get(name).and_then(AmfValue::as_str).map(str::to_owned);
        let [level, code, description] =
            ["level", "code", "description"].map(|name| text(info, name).unwrap_or_default());
        // The server knows the key, and may repeat it.
        let [shown_level, shown_code] =
            [&level, &code].map(|text| hide(status::known_form(text), &self.endpoint.stream));
        tracing::debug!(level = shown_level, code = shown_code, "the server says");
        if let Some(url) = info.get("ex").and_then(|more| text(more, "redirect"))
            && self.stage < SessionStage::Live
        {
            return Some(SessionEnd::Redirect(url));
        }
        if self.stage == SessionStage::Connect
            && let Some(answer) =
                auth::answer(&description, self.endpoint.login(), &self.endpoint.application, fastrand::u32(..))
        {
            return Some(self.authenticate(answer));
        }
        status::error_from_status(self.stage, &level, &code).map(SessionEnd::Failed)
    }

    fn authenticate(&self, answer: AuthAnswer) -> SessionEnd {
        let refused = |reason: &str| SessionEnd::Failed(ConnectionError::rejected(reason));
        match answer {
            // The same query is not sent twice: that would never end.
            AuthAnswer::Query(query) if query != self.endpoint.auth_query => SessionEnd::Authenticate(query),
            AuthAnswer::Query(_) | AuthAnswer::Wrong => {
                refused("the server does not take user name and password: see those in [ingest] url")
            }
            AuthAnswer::Missing => {
                refused("the server wants a user name and a password: write rtmp://USER:PASSWORD@… in [ingest] url")
            }
        }
    }

    /// The server has accepted the application: requests a stream.
    fn request_stream(&mut self) {
        self.stage = SessionStage::CreateStream;
        self.control(message_type::SET_CHUNK_SIZE, &u32::try_from(CHUNK_SIZE).unwrap_or(128).to_be_bytes());
        self.chunk_size = CHUNK_SIZE;
        let stream = AmfValue::text(self.endpoint.stream.clone());
        self.command("releaseStream", transaction::RELEASE, [AmfValue::Null, stream.clone()]);
        self.command("FCPublish", transaction::FC_PUBLISH, [AmfValue::Null, stream]);
        self.command("createStream", transaction::CREATE, [AmfValue::Null]);
    }

    fn on_stream_created(&mut self, number: &AmfValue) -> Result<(), SessionEnd> {
        let number = number.as_number().filter(|number| (0.0..=f64::from(u32::MAX)).contains(number));
        let Some(number) = number else {
            let reason = "the server gives no stream: see the part of [ingest] url between host and stream key";
            return Err(SessionEnd::Failed(ConnectionError::rejected(reason)));
        };
        // The range was checked above.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let number = number as u32;
        self.stream_id = number;
        self.stage = SessionStage::Publish;
        let request = [AmfValue::Null, AmfValue::text(self.endpoint.stream.clone()), AmfValue::text("live")];
        self.command_on(chunk_stream_id::STREAM, number, "publish", transaction::PUBLISH, request);
        Ok(())
    }
}
