//! A server of packages in a simulation: what it says comes in simulated time, or not at all.

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use ureq::http::Response;
use ureq::typestate::WithoutBody;
use ureq::{Body, Error, RequestBuilder, Timeout};

use crate::worker::simulated::blocking::wait_for;

/// What a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The whole address.
    pub(crate) url: String,
    /// The header `Range`.
    pub(crate) range: Option<String>,
}

/// What the server says.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Until it says anything.
    pub(crate) after: Duration,
    /// HTTP's status; 0: nobody listens.
    pub(crate) status: u16,
    /// Headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body, in pieces, and how long each takes.
    pub(crate) body: Vec<(Duration, Vec<u8>)>,
    /// Whether the connection stays open, and silent, after that.
    pub(crate) hangs: bool,
}

/// A server: what it answers, and what it is told when a client waits for more of a body.
pub(crate) trait Server: Send + Sync {
    /// Somebody asks.
    fn answer(&self, ask: &Ask) -> Answer;
    /// Somebody waits for more.
    fn on_read(&self);
}

thread_local! {
    static SERVER: RefCell<Option<Arc<dyn Server>>> = const { RefCell::new(None) };
}

/// The server counts in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Installed(());

/// All that ask for a package in this thread's simulation from now on ask `server`.
pub(crate) fn install(server: Arc<dyn Server>) -> Installed {
    SERVER.set(Some(server));
    Installed(())
}

impl Drop for Installed {
    fn drop(&mut self) {
        SERVER.set(None);
    }
}

fn server() -> Option<Arc<dyn Server>> {
    SERVER.with_borrow(Clone::clone)
}

/// Sends a request, as `ureq` would with these timeouts: until the answer, and for the whole body.
pub(crate) fn call(
    request: &RequestBuilder<WithoutBody>,
    patience: (Duration, Duration),
) -> Result<Response<Body>, Error> {
    let range = request.headers_ref().and_then(|all| all.get("Range")?.to_str().ok().map(str::to_owned));
    let url = request.uri_ref().map(ToString::to_string).unwrap_or_default();
    let ask = Ask { url, range };
    let answer = wait_for(move || async move {
        let answer = server().map(|server| server.answer(&ask)).unwrap_or_default();
        sleep(answer.after.min(patience.0)).await;
        answer
    });
    // A client that was killed hears nothing.
    let answer = answer.ok_or(Error::ConnectionFailed)?;
    if answer.after >= patience.0 {
        return Err(Error::Timeout(Timeout::RecvResponse));
    }
    if answer.status == 0 {
        return Err(Error::Io(io::ErrorKind::ConnectionRefused.into()));
    }
    let head = Response::builder().status(answer.status);
    let head = answer.headers.iter().fold(head, |head, (name, value)| head.header(*name, value));
    let body = SimulatedBody { pieces: answer.body.into_iter().collect(), hangs: answer.hangs, left: patience.1 };
    Ok(head.body(Body::builder().reader(body))?)
}

/// A body on its way.
struct SimulatedBody {
    pieces: std::collections::VecDeque<(Duration, Vec<u8>)>,
    hangs: bool,
    /// Until the client gives up.
    left: Duration,
}

impl Read for SimulatedBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let none = if self.hangs { self.left } else { Duration::ZERO };
        let after = self.pieces.front().map_or(none, |(after, _)| *after).min(self.left);
        self.left -= after;
        let came = wait_for(move || async move {
            if let Some(server) = server() {
                server.on_read();
            }
            sleep(after).await;
        });
        if came.is_none() || self.left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let Some((after, piece)) = self.pieces.front_mut() else { return Ok(0) };
        let length = piece.len().min(into.len());
        into[..length].copy_from_slice(&piece[..length]);
        piece.drain(..length);
        *after = Duration::ZERO;
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(length)
    }
}
