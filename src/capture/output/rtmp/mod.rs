//! RTMP and RTMPS over a socket of our own: the publisher writes frames to it and reads from it without blocking.
//!
//! `rml_rtmp` (0.8) was considered: it has no redirects and no authentication, and copies each frame twice.

mod amf;
mod auth;
mod chunk;
mod dial;
mod endpoint;
mod flv;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod session;
mod socket;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::Duration;

use super::tls;
use crate::capture::media::Frame;
use crate::capture::output::connection::{IngestConnection, TransportStats};
use crate::capture::output::credentials::{Redactor, redact};
use crate::capture::output::error::{ConnectionError, ConnectionErrorKind};
use crate::capture::output::target::IngestTarget;
use crate::clock::Clock;
use crate::config::{self, Secret};
use crate::connect::Destinations;
use crate::worker::detached;

use endpoint::RtmpEndpoint;
pub(super) use flv::{FlvMuxer, FlvTag, StreamBitrates};
use session::{RtmpSession, SessionEnd};
use socket::{ReadOutcome, RtmpSocket};
use status::SessionStage;

/// At most this many connections in one attempt: two redirects, or the steps of authentication and a redirect.
const MAX_CONNECTIONS: u8 = 4;
/// Output of this many bytes is written at once, even if more frames are queued.
const FLUSH_THRESHOLD: usize = 64 * 1024;
/// Bytes per read, and reads in a row before it is the frames' turn.
const READ_SIZE: usize = 4096;
const MAX_READS: usize = 16;
/// Unpublishing may take this long: a part of the few tenths of a second that a session's end has.
const UNPUBLISH_TIMEOUT: Duration = Duration::from_millis(100);

/// A connection, or an attempt to make one.
struct RtmpConnection {
    endpoint: RtmpEndpoint,
    state: ConnectionState,
    muxer: FlvMuxer,
    /// The CA file for RTMPS; `None`: the system's root certificates.
    ca_file: Option<PathBuf>,
    destinations: Destinations,
    redactor: Redactor,
    /// How many connections this attempt has made.
    attempts: u8,
    first_frame: FirstFrame,
    error: Option<ConnectionError>,
}

enum ConnectionState {
    /// A thread looks the name up, which cannot be interrupted, and connects.
    Connecting(Receiver<Result<RtmpSocket, ConnectionError>>),
    Open(Box<OpenSession>),
    Closed,
}

struct OpenSession {
    socket: RtmpSocket,
    session: RtmpSession,
}

/// How far the first frame has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstFrame {
    /// None was sent.
    NotSent,
    /// It is not completely written yet.
    Queued,
    /// It is written, and ends at this byte.
    Written(u64),
}

/// Starts to connect.
pub(super) fn connect(
    target: &IngestTarget,
    options: &config::Rtmp,
    names: [&Secret; 2],
    login: Option<&(Secret, Secret)>,
) -> Result<Box<dyn IngestConnection>, ConnectionError> {
    let endpoint = RtmpEndpoint::new(target, options, names, login);
    let bitrates = StreamBitrates {
        video_kbps: target.rendition.bitrate_kbps,
        audio_kbps: target.has_audio.then_some(target.audio_kbps),
    };
    let mut rtmp = RtmpConnection {
        endpoint,
        state: ConnectionState::Closed,
        muxer: FlvMuxer::new(bitrates),
        ca_file: target.destination.ca_file.clone(),
        destinations: target.destinations.clone(),
        redactor: target.redactor.clone(),
        attempts: 0,
        first_frame: FirstFrame::NotSent,
        error: None,
    };
    rtmp.connect_socket();
    match rtmp.error.take() {
        Some(error) => Err(error),
        None => Ok(Box::new(rtmp)),
    }
}

impl RtmpConnection {
    /// Starts to connect to the endpoint.
    fn connect_socket(&mut self) {
        self.attempts += 1;
        if self.attempts > MAX_CONNECTIONS {
            let reason = "the server sends this box to other servers in circles";
            return self.fail(ConnectionError::rejected(reason));
        }
        let (endpoint, ca_file) = (self.endpoint.clone(), self.ca_file.clone());
        let destinations = self.destinations.clone();
        let (sender, outcome) = channel();
        // Nobody waits for this thread. A connection that it makes too late is closed with the channel.
        let thread = detached("rtmp-dial", move || {
            let _ = sender.send(dial::connect_socket(&endpoint, &destinations, ca_file.as_deref()));
        });
        match thread {
            Ok(()) => self.state = ConnectionState::Connecting(outcome),
            Err(error) => self.fail(ConnectionError::unreachable(error.to_string())),
        }
    }

    fn on_connected(&mut self, outcome: Result<RtmpSocket, ConnectionError>) {
        match outcome {
            Ok(socket) => {
                let session = RtmpSession::new(self.endpoint.clone());
                self.state = ConnectionState::Open(Box::new(OpenSession { socket, session }));
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: ConnectionError) {
        let ConnectionError { kind, reason } = error;
        let reason = redact(&reason, &self.redactor);
        self.error = Some(ConnectionError { kind, reason: format!("{}: {reason}", self.redactor.host_port) });
        self.state = ConnectionState::Closed;
    }

    fn on_session_end(&mut self, end: SessionEnd) {
        match end {
            SessionEnd::Failed(error) => self.fail(error),
            SessionEnd::Authenticate(auth_query) => {
                self.endpoint.auth_query = auth_query;
                self.connect_socket();
            }
            SessionEnd::Redirect(url) => match self.endpoint.redirected(&url, &self.destinations) {
                Ok(endpoint) => {
                    self.endpoint = endpoint;
                    self.connect_socket();
                }
                Err(error) => self.fail(error),
            },
        }
    }

    /// Writes as much of the output as the kernel accepts.
    fn flush(&mut self) {
        let ConnectionState::Open(open) = &mut self.state else { return };
        if let Err(error) = open.socket.write(open.session.output()) {
            let error = transport_error(&error, &open.session);
            return self.fail(error);
        }
        if self.first_frame == FirstFrame::Queued && open.session.pending_bytes() == 0 && !open.socket.is_blocked() {
            self.first_frame = FirstFrame::Written(open.socket.written_bytes());
        }
    }

    fn is_publishing(&self) -> bool {
        matches!(&self.state, ConnectionState::Open(open) if open.session.stage() == SessionStage::Live)
    }
}

/// Why the connection failed, from an error of its socket.
fn transport_error(error: &io::Error, session: &RtmpSession) -> ConnectionError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => ConnectionError {
            kind: ConnectionErrorKind::CertificateInvalid,
            reason: tls::describe_error(error).to_owned(),
        },
        None => session.error_on_close(),
    }
}

impl IngestConnection for RtmpConnection {
    fn poll(&mut self) {
        if let ConnectionState::Connecting(outcome) = &self.state {
            match outcome.try_recv() {
                Ok(outcome) => self.on_connected(outcome),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.fail(ConnectionError::unreachable("the connection cannot be made"));
                }
            }
        }
        self.flush();
        for _ in 0..MAX_READS {
            let ConnectionState::Open(open) = &mut self.state else { return };
            // A server that does not read what it is answered is not read from either, so that the output stays
            // bounded.
            if open.socket.is_blocked() && open.session.pending_bytes() > FLUSH_THRESHOLD {
                break;
            }
            let mut buffer = [0; READ_SIZE];
            match open.socket.read(&mut buffer) {
                Ok(ReadOutcome::Nothing) => break,
                Ok(ReadOutcome::Bytes(length)) => {
                    if let Err(end) = open.session.receive(buffer.get(..length).unwrap_or_default()) {
                        return self.on_session_end(end);
                    }
                }
                Ok(ReadOutcome::Closed) => {
                    let error = open.session.error_on_close();
                    return self.fail(error);
                }
                Err(error) => {
                    let error = transport_error(&error, &open.session);
                    return self.fail(error);
                }
            }
        }
        // Answers are written at once: the server waits for them.
        self.flush();
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        match &mut self.state {
            ConnectionState::Connecting(outcome) => {
                match outcome.recv_timeout(timeout) {
                    Ok(outcome) => self.on_connected(outcome),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        self.fail(ConnectionError::unreachable("the connection cannot be made"));
                    }
                }
                true
            }
            ConnectionState::Open(open) => {
                open.socket.wait(timeout);
                true
            }
            ConnectionState::Closed => false,
        }
    }

    fn is_connected(&self) -> bool {
        self.is_publishing()
    }

    fn server(&self) -> Option<SocketAddr> {
        match &self.state {
            ConnectionState::Open(open) => open.socket.server(),
            ConnectionState::Connecting(_) | ConnectionState::Closed => None,
        }
    }

    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        let ConnectionState::Open(open) = &mut self.state else { return Ok(()) };
        self.muxer.mux(&frame, |tag| open.session.publish(tag));
        if self.first_frame == FirstFrame::NotSent {
            self.first_frame = FirstFrame::Queued;
        }
        if open.session.pending_bytes() >= FLUSH_THRESHOLD {
            self.flush();
        }
        Ok(())
    }

    fn batches_audio(&self) -> bool {
        true
    }

    fn would_block(&self) -> bool {
        // Frames wait in the queue, where they can still be dropped.
        matches!(&self.state, ConnectionState::Open(open) if open.socket.is_blocked())
    }

    fn stats(&self) -> TransportStats {
        let ConnectionState::Open(open) = &self.state else { return TransportStats::default() };
        let unacked_bytes = open.socket.acked_bytes().map(|bytes| open.socket.written_bytes().saturating_sub(bytes));
        TransportStats { unsent_bytes: open.session.pending_bytes() as u64, unacked_bytes, ..TransportStats::default() }
    }

    fn rtt_ms(&self) -> Option<u32> {
        let ConnectionState::Open(open) = &self.state else { return None };
        open.socket.rtt_ms()
    }

    fn progress(&self) -> u64 {
        let ConnectionState::Open(open) = &self.state else { return 0 };
        // Without the kernel's figures the bytes that it accepted have to do.
        open.socket.acked_bytes().unwrap_or_else(|| open.socket.written_bytes())
    }

    fn first_frame_delivered(&self) -> bool {
        match self.first_frame {
            FirstFrame::NotSent | FirstFrame::Queued => false,
            FirstFrame::Written(end) => self.progress() >= end,
        }
    }

    fn take_error(&mut self) -> Option<ConnectionError> {
        self.error.take()
    }
}

impl Drop for RtmpConnection {
    /// Unpublishes, so that the server does not keep the stream until its timeout. Failing that is logged.
    fn drop(&mut self) {
        let ConnectionState::Open(open) = &mut self.state else { return };
        let OpenSession { socket, session } = open.as_mut();
        if session.stage() < SessionStage::Publish {
            return;
        }
        session.unpublish();
        let clock = Clock::start();
        let until = clock.now().saturating_add(UNPUBLISH_TIMEOUT);
        let mut is_unpublished = false;
        loop {
            let outcome = if session.pending_bytes() > 0 || socket.is_blocked() {
                socket.write(session.output())
            } else {
                Ok(())
            };
            let is_written = session.pending_bytes() == 0 && !socket.is_blocked();
            if outcome.is_err() || (is_written && !is_unpublished && socket.shut_down_write().is_err()) {
                tracing::info!(
                    "{}: the connection broke before the server heard that the stream is over",
                    self.redactor.host_port
                );
                return;
            }
            is_unpublished |= is_written;
            // With unread input the kernel would reset the connection, and drop what is in flight.
            match socket.read(&mut [0; READ_SIZE]) {
                Ok(ReadOutcome::Bytes(_)) => continue,
                Ok(ReadOutcome::Closed) | Err(_) => return,
                Ok(ReadOutcome::Nothing) => {}
            }
            let remaining = until.duration_since(clock.now());
            if remaining.is_zero() {
                break;
            }
            socket.wait(remaining);
        }
        if !is_unpublished {
            tracing::info!(
                "{}: the server reads nothing and was not told that the stream is over",
                self.redactor.host_port
            );
        }
    }
}
