//! HTTP over the box's own way out: our lookup, our race of addresses and our check of destinations. `ureq` alone tries
//! one address after the other, gives a silent one more than half of the whole timeout, and goes wherever it is told.

use std::io::{Error as IoError, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, Timeout};

use super::{Destinations, Unreachable};

/// At most this many addresses fit into `ureq`'s list.
const ADDRESSES: usize = 16;
/// What `ureq` gives no time for may take this long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Resolver and connector of the client.
#[derive(Debug)]
struct Dialer(Destinations);

/// A client that connects to `destinations` only. Redirects have to be off in `config`: each is to be checked first.
pub(crate) fn agent(config: Config, destinations: &Destinations) -> Agent {
    Agent::with_parts(
        config,
        Dialer(destinations.clone()).chain(RustlsConnector::default()),
        Dialer(destinations.clone()),
    )
}

/// The error for a connection that is not allowed; [`refusal`] finds it again.
fn refused(why: Unreachable) -> Error {
    Error::Io(IoError::other(why))
}

/// Whether no connection was allowed, and why.
pub(crate) fn refusal(error: &Error) -> Option<Unreachable> {
    let Error::Io(error) = error else { return None };
    let why = error.get_ref()?.downcast_ref::<Unreachable>()?;
    matches!(why, Unreachable::NotAllowed | Unreachable::Outside | Unreachable::Metered).then_some(*why)
}

fn duration_or_default(timeout: NextTimeout) -> Duration {
    timeout.not_zero().map_or(TIMEOUT, |span| *span)
}

impl Resolver for Dialer {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let usual = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(usual));
        let found = self.0.resolve(host, port, duration_or_default(timeout), &|| false);
        let found = found.map_err(|why| match why {
            Unreachable::NotAllowed | Unreachable::Outside | Unreachable::Metered => refused(why),
            Unreachable::Unresolved
            | Unreachable::Refused
            | Unreachable::TimedOut
            | Unreachable::NoRoute
            | Unreachable::Broken
            | Unreachable::Stopped => Error::HostNotFound,
        })?;
        let mut all = self.empty();
        found.into_iter().take(ADDRESSES).for_each(|address| all.push(address));
        Ok(all)
    }
}

impl Connector for Dialer {
    type Out = DialedStream;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<DialedStream>, Error> {
        let connected = self.0.connect_any(&details.addrs, duration_or_default(details.timeout), &|| false);
        let stream = connected.map_err(|why| match why {
            Unreachable::TimedOut => Error::Timeout(Timeout::Connect),
            Unreachable::Unresolved => Error::HostNotFound,
            Unreachable::Refused
            | Unreachable::NoRoute
            | Unreachable::Broken
            | Unreachable::NotAllowed
            | Unreachable::Outside
            | Unreachable::Metered
            | Unreachable::Stopped => refused(why),
        })?;
        stream.set_nodelay(true)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(DialedStream { stream, buffers }))
    }
}

/// A connection with the buffers that `ureq` needs.
#[derive(Debug)]
struct DialedStream {
    stream: TcpStream,
    buffers: LazyBuffers,
}

fn failed(error: IoError, timeout: NextTimeout) -> Error {
    let late = [ErrorKind::TimedOut, ErrorKind::WouldBlock].contains(&error.kind());
    if late { Error::Timeout(timeout.reason) } else { Error::Io(error) }
}

impl Transport for DialedStream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(Some(duration_or_default(timeout)))?;
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(|error| failed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(Some(duration_or_default(timeout)))?;
        let amount = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| failed(error, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Whether nothing has arrived since: neither the peer's end nor unexpected data.
    fn is_open(&mut self) -> bool {
        let quiet = |read: std::io::Result<usize>| read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(true).is_ok()
            && quiet(self.stream.peek(&mut [0]))
            && self.stream.set_nonblocking(false).is_ok()
    }
}
