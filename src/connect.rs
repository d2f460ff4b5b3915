//! The way out: every connection that the box opens to another machine begins here, by [`Destinations`], and no other
//! file looks a name up or opens a socket. Looking a name up never blocks for longer than asked, and each of its
//! addresses is tried, both families in turn (RFC 8305, "Happy Eyeballs").

mod datagram;
mod destinations;
pub(crate) mod http;
mod link;
mod route;
#[cfg(feature = "sim")]
pub(crate) mod simulated;

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::clock::Clock;
use crate::worker;
use monotonic::Monotonic;

pub(crate) use datagram::DatagramSocket;
pub(crate) use destinations::{Destinations, Refusals, RefusedDestination};
pub(crate) use link::{Link, Links, ROUTE_PROBES, default_interfaces};
pub(crate) use route::Route;

/// An address that has not answered by then is not waited for: the next one is tried beside it (RFC 8305, section 8).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Between two looks at whether the caller still wants the connection.
const LOOK: Duration = Duration::from_millis(50);
/// Lookups that hang at once before no more are begun: each holds a thread until the C library gives up, some 10 to 30
/// s.
const LOOKUPS: usize = 8;
/// Addresses of one name that are tried: at 250 ms each, as many as fit into 8 s.
const ADDRESSES: usize = 32;

/// Why no connection came about. The texts are the same at each attempt: they name no address, port or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreachable {
    /// The name has no address, or nobody said so in time.
    #[error("the host name cannot be resolved")]
    Unresolved,
    /// Every address answered that nobody listens there, or one did and the others said nothing.
    #[error("connection refused: nothing listens on that port")]
    Refused,
    /// No address answered in time.
    #[error("no answer in time")]
    TimedOut,
    /// There is no way to any of its addresses.
    #[error("the network is unreachable")]
    NoRoute,
    /// The kernel refused to try, or the connection broke at once.
    #[error("the connection cannot be made")]
    Broken,
    /// The configuration does not name the host.
    #[error("the configuration allows no connection to that host")]
    NotAllowed,
    /// None of its addresses lies in the allowed ranges.
    #[error("its address lies outside of [residency] allowed-addresses")]
    Outside,
    /// Packets to each of its addresses would leave by a metered link.
    #[error("the way there is a metered link, which [ingest] metered-links refuses")]
    Metered,
    /// The caller wants it no more.
    #[error("not wanted any more")]
    Stopped,
}

impl Unreachable {
    fn of(error: Errno) -> Self {
        match error {
            Errno::CONNREFUSED => Self::Refused,
            Errno::TIMEDOUT => Self::TimedOut,
            Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::NETDOWN => {
                Self::NoRoute
            }
            _ => Self::Broken,
        }
    }

    /// How much it says about the server: where addresses fail differently, the highest is told.
    fn weight(self) -> u8 {
        match self {
            Self::Unresolved | Self::Stopped => 0,
            Self::NoRoute => 1,
            Self::Broken => 2,
            Self::TimedOut => 3,
            Self::Refused => 4,
            Self::NotAllowed | Self::Outside | Self::Metered => 5,
        }
    }

    fn worse(self, other: Self) -> Self {
        if other.weight() > self.weight() { other } else { self }
    }
}

/// The addresses of `host` in the order in which they are to be tried, at least one: the system's preference (RFC
/// 6724), with the families taking turns. The lookup goes on in a thread of its own where it takes longer than
/// `patience`.
fn resolve(
    host: &str,
    port: u16,
    patience: Duration,
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<SocketAddr>, Unreachable> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (clock, name) = (Clock::start(), host.to_owned());
    let (tell, found) = channel();
    let ticket = Ticket::take().ok_or(Unreachable::Unresolved)?;
    let work = move || {
        let addresses = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        drop(ticket);
        // Whoever asked may have given up.
        let _ = tell.send(addresses.unwrap_or_default());
    };
    worker::detached("resolve", work).map_err(|_| Unreachable::Unresolved)?;
    loop {
        if stopped() {
            return Err(Unreachable::Stopped);
        }
        let left = patience.saturating_sub(clock.now().duration_since(Monotonic::default()));
        match found.recv_timeout(left.min(LOOK)) {
            Ok(addresses) if addresses.is_empty() => return Err(Unreachable::Unresolved),
            Ok(addresses) => return Ok(interleaved(addresses)),
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(Unreachable::Unresolved),
        }
    }
}

/// One of the lookups that may be under way.
#[derive(Debug)]
struct Ticket;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

impl Ticket {
    fn take() -> Option<Self> {
        let free = |taken: usize| (taken < LOOKUPS).then_some(taken + 1);
        UNDER_WAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok().map(|_| Self)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Without doubles, and with the families in turn, beginning with that of the first (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    let first_is_v6 = distinct.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = distinct.into_iter().partition(|one| one.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || all.len() >= ADDRESSES {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// The first of `addresses` that accepts within `patience`. A failed attempt begins the next one at once, a silent one
/// after [`ATTEMPT_DELAY`]; all that are under way may win.
fn connect_any(
    addresses: &[SocketAddr],
    patience: Duration,
    stopped: &dyn Fn() -> bool,
) -> Result<TcpStream, Unreachable> {
    let clock = Clock::start();
    let elapsed = || clock.now().duration_since(Monotonic::default());
    let mut waiting = addresses.iter();
    let mut under_way: Vec<OwnedFd> = Vec::new();
    let (mut next_at, mut failed) = (Duration::ZERO, Unreachable::Unresolved);
    loop {
        if stopped() {
            return Err(Unreachable::Stopped);
        }
        let now = elapsed();
        if now >= patience {
            return Err(failed.worse(Unreachable::TimedOut));
        }
        if now >= next_at || under_way.is_empty() {
            match waiting.next().map(begin) {
                Some(Ok(socket)) => {
                    under_way.push(socket);
                    next_at = now.saturating_add(ATTEMPT_DELAY);
                }
                Some(Err(error)) => {
                    failed = failed.worse(Unreachable::of(error));
                    continue;
                }
                None if under_way.is_empty() => return Err(failed),
                None => next_at = patience,
            }
        }
        let span = next_at.min(patience).saturating_sub(now).min(LOOK);
        let mut undecided = Vec::new();
        for (socket, decided) in wait(under_way, span) {
            if !decided {
                undecided.push(socket);
                continue;
            }
            let outcome = sockopt::socket_error(&socket).and_then(|pending| pending);
            let stream = TcpStream::from(socket);
            match outcome {
                Ok(()) if stream.set_nonblocking(false).is_ok() => return Ok(stream),
                Ok(()) => failed = failed.worse(Unreachable::Broken),
                Err(error) => {
                    failed = failed.worse(Unreachable::of(error));
                    next_at = now;
                }
            }
        }
        under_way = undecided;
    }
}

/// Begins a connection that does not block.
fn begin(address: &SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Waits at most for `span`; which of `sockets` have come to a decision, good or bad.
fn wait(sockets: Vec<OwnedFd>, span: Duration) -> Vec<(OwnedFd, bool)> {
    let mut watched: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
    // An interrupted or refused poll says nothing of any of them; the deadline still holds.
    let heard = poll(&mut watched, Timespec::try_from(span).ok().as_ref()).unwrap_or(0);
    let decided: Vec<_> = watched.iter().map(|one| heard > 0 && !one.revents().is_empty()).collect();
    drop(watched);
    sockets.into_iter().zip(decided).collect()
}

#[cfg(test)]
mod tests;
