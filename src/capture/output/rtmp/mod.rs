//! RTMP and RTMPS over a socket of the box's own: the push thread writes frames to it and reads from it, without
//! waiting.
//!
//! `rml_rtmp` (0.8) was weighed against this: it has no redirects, no authentication and no codes but as texts, copies
//! each frame twice, and brings old releases of rand, sha2 and hmac. What is left of a session is in `session`, the
//! rest is shared with nothing.

mod amf;
mod auth;
mod chunk;
mod endpoint;
mod flv;
mod session;
mod socket;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::tls;
use crate::capture::media::Frame;
use crate::capture::output::connection::{IngestConnection, TransportStats};
use crate::capture::output::credentials::Redactor;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::error::ConnectionErrorKind;
use crate::capture::output::target::IngestTarget;
use crate::clock::Clock;
use crate::config::{self, HostPattern, Secret};
use crate::connect::{self, Unreachable};

use endpoint::Place;
use flv::{Flv, Rates};
use session::{End, Session};
use socket::{Link, Received};
use status::Stage;

/// What it may take to reach the server, its name's lookup included.
const CONNECT: Duration = Duration::from_secs(8);
/// Connections that one attempt may take: two redirects, or what a server wants to know of who publishes and a
/// redirect.
const CONNECTIONS: u8 = 4;
/// What waits for the socket is written once it is this much, bytes, whatever else is there to be sent.
const ENOUGH: usize = 64 * 1024;
/// Bytes that are read at a time, and how often in a row before frames have their turn.
const READ: usize = 4096;
const READS: usize = 16;
/// What a server may take to hear that the stream is over: of the tenths of a second that a session's end has, one.
const LEAVE: Duration = Duration::from_millis(100);

/// One connection, or on its way to be one.
struct Rtmp {
    place: Place,
    state: State,
    flv: Flv,
    /// Whom RTMPS trusts: a file of the configuration's; `None`: the system's authorities.
    ca_file: Option<PathBuf>,
    allowed: Arc<[HostPattern]>,
    names: Redactor,
    /// Connections that this attempt has taken.
    connections: u8,
    first: First,
    trouble: Option<ConnectionError>,
}

enum State {
    /// A thread of its own looks the name up, which nothing can hurry, and connects.
    Dialing(Receiver<Result<Link, ConnectionError>>),
    Open(Box<Open>),
    Over,
}

struct Open {
    link: Link,
    session: Session,
}

/// What became of the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// There was none.
    Missing,
    /// Not all of it was written yet.
    QueuedFrame,
    /// It ends there in what was written.
    Written(u64),
}

/// Begins a connection.
pub(super) fn connect(
    target: &IngestTarget,
    to: &config::Rtmp,
    names: [&Secret; 2],
    login: Option<&(Secret, Secret)>,
) -> Result<Box<dyn IngestConnection>, ConnectionError> {
    let place = Place::new(target, to, names, login);
    let rates =
        Rates { video_kbps: target.picture.bitrate_kbps, audio_kbps: target.sound.then_some(target.audio_kbps) };
    let mut rtmp = Rtmp {
        place,
        state: State::Over,
        flv: Flv::new(rates),
        ca_file: target.to.ca_file.clone(),
        allowed: target.allowed.clone(),
        names: target.names.clone(),
        connections: 0,
        first: First::Missing,
        trouble: None,
    };
    rtmp.dial();
    match rtmp.trouble.take() {
        Some(trouble) => Err(trouble),
        None => Ok(Box::new(rtmp)),
    }
}

impl Rtmp {
    /// Begins to connect to the place.
    fn dial(&mut self) {
        self.connections += 1;
        if self.connections > CONNECTIONS {
            let reason = "the server sends this box to other servers in circles";
            return self.fail(ConnectionError { kind: ConnectionErrorKind::Rejected, reason: reason.to_owned() });
        }
        let (place, ca_file) = (self.place.clone(), self.ca_file.clone());
        let (made, outcome) = channel();
        // Nobody waits for this thread: it ends by itself, and closes what it made where nobody wants it any more.
        let thread = std::thread::Builder::new().name("rtmp-dial".to_owned()).spawn(move || {
            let _ = made.send(dial(&place, ca_file.as_deref()));
        });
        match thread {
            Ok(_) => self.state = State::Dialing(outcome),
            Err(error) => self.fail(ConnectionError::unreachable(format!("no thread: {error}"))),
        }
    }

    fn dialed(&mut self, outcome: Result<Link, ConnectionError>) {
        match outcome {
            Ok(link) => {
                let session = Session::begin(self.place.clone());
                self.state = State::Open(Box::new(Open { link, session }));
            }
            Err(trouble) => self.fail(trouble),
        }
    }

    fn fail(&mut self, trouble: ConnectionError) {
        let ConnectionError { kind, reason } = trouble;
        self.trouble = Some(ConnectionError { kind, reason: format!("{}: {reason}", self.names.host) });
        self.state = State::Over;
    }

    fn ended(&mut self, end: End) {
        match end {
            End::ConnectionError(trouble) => self.fail(trouble),
            End::Proof(proof) => {
                self.place.proof = proof;
                self.dial();
            }
            End::Redirect(url) => match self.place.redirected(&url, &self.allowed) {
                Ok(place) => {
                    self.place = place;
                    self.dial();
                }
                Err(trouble) => self.fail(trouble),
            },
        }
    }

    /// Writes what there is to write, as far as the kernel takes it.
    fn flush(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if let Err(error) = open.link.send(open.session.out()) {
            let trouble = broken(&error, &open.session);
            return self.fail(trouble);
        }
        if self.first == First::QueuedFrame && open.session.pending() == 0 && !open.link.is_blocked() {
            self.first = First::Written(open.link.written());
        }
    }

    fn is_live(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.session.stage() == Stage::Live)
    }
}

/// Looks the server up, connects and prepares TLS.
fn dial(place: &Place, ca_file: Option<&std::path::Path>) -> Result<Link, ConnectionError> {
    let stream = connect::connect(place.host.as_str(), place.port, CONNECT, &|| false).map_err(|why| match why {
        Unreachable::Unresolved => {
            ConnectionError::unreachable("the host name cannot be resolved: see the network's DNS, or [ingest] url")
        }
        Unreachable::Refused => {
            ConnectionError::unreachable("connection refused: no ingest server listens on that port")
        }
        Unreachable::TimedOut | Unreachable::NoRoute | Unreachable::Broken | Unreachable::Stopped => {
            ConnectionError::unreachable(why.to_string())
        }
    })?;
    let tls = if place.tls {
        let config = tls::client(ca_file)?;
        let name = ServerName::try_from(place.host.as_str().to_owned());
        let name = name.map_err(|_| ConnectionError {
            kind: ConnectionErrorKind::Rejected,
            reason: "no certificate can be for that host: see the host in [ingest] url".to_owned(),
        })?;
        Some((config, name))
    } else {
        None
    };
    Link::over(stream, tls)
        .map_err(|error| ConnectionError::unreachable(format!("the connection cannot be used: {error}")))
}

/// What an error of the connection means.
fn broken(error: &io::Error, session: &Session) -> ConnectionError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => {
            ConnectionError { kind: ConnectionErrorKind::CertificateInvalid, reason: tls::explain(error).to_owned() }
        }
        None => session.closed(),
    }
}

impl IngestConnection for Rtmp {
    fn drive(&mut self) {
        if let State::Dialing(outcome) = &self.state {
            match outcome.try_recv() {
                Ok(outcome) => self.dialed(outcome),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.fail(ConnectionError::unreachable("the connection cannot be made"));
                }
            }
        }
        self.flush();
        for _ in 0..READS {
            let State::Open(open) = &mut self.state else { return };
            // What a server that reads nothing makes the box answer stays here, and so it is not listened to.
            if open.link.is_blocked() && open.session.pending() > ENOUGH {
                break;
            }
            let mut buffer = [0; READ];
            match open.link.receive(&mut buffer) {
                Ok(Received::Nothing) => break,
                Ok(Received::Bytes(length)) => {
                    if let Err(end) = open.session.receive(buffer.get(..length).unwrap_or_default()) {
                        return self.ended(end);
                    }
                }
                Ok(Received::Closed) => {
                    let trouble = open.session.closed();
                    return self.fail(trouble);
                }
                Err(error) => {
                    let trouble = broken(&error, &open.session);
                    return self.fail(trouble);
                }
            }
        }
        // Answers go at once: the server waits for them.
        self.flush();
    }

    fn wait(&mut self, span: Duration) -> bool {
        match &mut self.state {
            State::Dialing(outcome) => {
                match outcome.recv_timeout(span) {
                    Ok(outcome) => self.dialed(outcome),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        self.fail(ConnectionError::unreachable("the connection cannot be made"));
                    }
                }
                true
            }
            State::Open(open) => {
                open.link.wait(span);
                true
            }
            State::Over => false,
        }
    }

    fn is_connected(&self) -> bool {
        self.is_live()
    }

    fn supply(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        self.flv.tags(&frame, |tag| open.session.publish(tag));
        if self.first == First::Missing {
            self.first = First::QueuedFrame;
        }
        if open.session.pending() >= ENOUGH {
            self.flush();
        }
        Ok(())
    }

    fn bundles(&self) -> bool {
        true
    }

    fn is_full(&self) -> bool {
        // Frames wait in the queue, where they can still be left out.
        matches!(&self.state, State::Open(open) if open.link.is_blocked())
    }

    fn way(&self) -> TransportStats {
        let State::Open(open) = &self.state else { return TransportStats::default() };
        let unacked_bytes = open.link.acknowledged().map(|bytes| open.link.written().saturating_sub(bytes));
        TransportStats { unsent_bytes: open.session.pending() as u64, unacked_bytes, ..TransportStats::default() }
    }

    fn rtt(&self) -> Option<u32> {
        let State::Open(open) = &self.state else { return None };
        open.link.round_trip()
    }

    fn arrived(&self) -> u64 {
        let State::Open(open) = &self.state else { return 0 };
        // Where the kernel does not tell, what it takes has to do.
        open.link.acknowledged().unwrap_or_else(|| open.link.written())
    }

    fn has_first(&self) -> bool {
        match self.first {
            First::Missing | First::QueuedFrame => false,
            First::Written(end) => self.arrived() >= end,
        }
    }

    fn trouble(&self) -> Option<ConnectionError> {
        self.trouble.clone()
    }
}

impl Drop for Rtmp {
    /// Takes leave of the server, so that no ghost of the stream stays there; the log says where it could not.
    fn drop(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        let Open { link, session } = open.as_mut();
        if session.stage() < Stage::Publish {
            return;
        }
        session.leave();
        let clock = Clock::start();
        let until = clock.now().saturating_add(LEAVE);
        let mut has_left = false;
        loop {
            let outcome = if session.pending() > 0 || link.is_blocked() { link.send(session.out()) } else { Ok(()) };
            let is_written = session.pending() == 0 && !link.is_blocked();
            if outcome.is_err() || (is_written && !has_left && link.finish().is_err()) {
                tracing::info!(
                    "{}: the connection broke before the server heard that the stream is over",
                    self.names.host
                );
                return;
            }
            has_left |= is_written;
            // Closed with something unread, the connection would be reset, and what is on its way might be lost.
            match link.receive(&mut [0; READ]) {
                Ok(Received::Bytes(_)) => continue,
                Ok(Received::Closed) | Err(_) => return,
                Ok(Received::Nothing) => {}
            }
            let left = until.duration_since(clock.now());
            if left.is_zero() {
                break;
            }
            link.wait(left);
        }
        if !has_left {
            tracing::info!("{}: the server reads nothing and was not told that the stream is over", self.names.host);
        }
    }
}
