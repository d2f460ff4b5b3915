//! The sockets for media, one for each address family in which media may go anywhere: a server may answer only on one
//! of them, and its name may resolve to the other.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use str0m::net::Transmit;

use super::http::HTTP_TIMEOUT;
use crate::capture::output::error::ConnectionError;
use crate::connect::{DatagramSocket, Destinations, ROUTE_PROBES, Unreachable};

/// Sockets.
#[derive(Debug)]
pub(super) struct MediaSockets(Vec<DatagramSocket>);

impl MediaSockets {
    /// Opens a socket in each address family in which `host` has an address or the allowed ranges are, at the one local
    /// address that routes there. These are all the candidates: the server learns no other address of this machine, and
    /// no STUN server of a third party is told about it.
    ///
    /// # Errors
    /// The name cannot be resolved, or there is no route in either family.
    pub(super) fn open(host: &str, port: u16, destinations: &Destinations) -> Result<Self, ConnectionError> {
        let servers = destinations.resolve(host, port, HTTP_TIMEOUT, &|| false).map_err(ConnectionError::from)?;
        Self::for_servers(&servers, destinations)
    }

    fn for_servers(servers: &[SocketAddr], destinations: &Destinations) -> Result<Self, ConnectionError> {
        let target = |probe: IpAddr| {
            let of_family = servers.iter().find(|server| server.is_ipv6() == probe.is_ipv6()).copied();
            of_family.or_else(|| destinations.lists_family_of(probe).then_some(SocketAddr::new(probe, 9)))
        };
        let all: Vec<_> = ROUTE_PROBES
            .into_iter()
            .filter_map(target)
            .filter_map(|target| DatagramSocket::towards(target, destinations).ok())
            .collect();
        if all.is_empty() { Err(ConnectionError::from(Unreachable::NoRoute)) } else { Ok(Self(all)) }
    }

    /// The local address of each socket.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(DatagramSocket::local)
    }

    /// Sends a datagram from its source address.
    pub(super) fn send(&self, packet: &Transmit) {
        let Some(socket) = self.0.iter().find(|socket| socket.local() == packet.source) else { return };
        // A datagram that cannot be sent counts as lost: the peer requests it again.
        if let Err(error) = socket.send(&packet.contents, packet.destination) {
            tracing::debug!("a datagram was not sent: {error}");
        }
    }

    /// A received datagram: its size, its source, and its destination.
    pub(super) fn receive(&self, data: &mut [u8]) -> Option<(usize, SocketAddr, SocketAddr)> {
        self.0.iter().find_map(|socket| {
            let (size, source) = socket.receive(data).ok()?;
            Some((size, source, socket.local()))
        })
    }

    /// Waits for a datagram or the waker, for at most `timeout`.
    pub(super) fn wait(&self, waker: &OwnedFd, timeout: Duration) -> std::io::Result<()> {
        let limit = Timespec::try_from(timeout).ok();
        let mut all: Vec<_> = self.0.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        all.push(PollFd::new(waker, PollFlags::IN));
        match rustix::event::poll(&mut all, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Does not block: without a wake-up there is nothing to read.
        let _ = rustix::io::read(waker, &mut [0; 8]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_server_learns_no_address_of_a_family_in_which_nothing_may_be_sent() {
        let families = |servers: &[&str], ranges: &str| {
            let servers: Vec<_> = servers.iter().map(|text| text.parse().unwrap()).collect();
            let residency = if ranges.is_empty() { "" } else { "[residency]\nallowed-addresses" };
            let config = crate::config::example(&format!("{residency}{ranges}\n"));
            let sockets = MediaSockets::for_servers(&servers, &Destinations::of_ingest(&config)).unwrap();
            sockets.addresses().map(|local| local.is_ipv6()).collect::<Vec<_>>()
        };
        assert_eq!(families(&["127.0.0.1:9"], ""), [false]);
        assert_eq!(families(&["[::1]:9"], ""), [true]);
        assert_eq!(families(&["[::1]:9"], " = [\"2001:db8::/32\"]"), [true]);
        // Media of a server of one family may go to ranges of the other, if there is a route.
        assert!(families(&["[::1]:9"], " = [\"198.51.100.0/24\"]").contains(&true));
    }

    #[test]
    fn each_family_that_the_server_has_gets_a_socket_that_is_heard() {
        let servers = ["[::1]:9", "127.0.0.1:9"].map(|text| text.parse().unwrap());
        let sockets =
            MediaSockets::for_servers(&servers, &Destinations::of_ingest(&crate::config::example(""))).unwrap();
        let all: Vec<_> = sockets.addresses().collect();
        assert_eq!(
            all.iter().map(SocketAddr::ip).collect::<Vec<_>>(),
            ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        let waker = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
        for local in all {
            let peer = UdpSocket::bind((local.ip(), 0)).unwrap();
            peer.send_to(b"x", local).unwrap();
            sockets.wait(&waker, Duration::from_secs(20)).unwrap();
            let from = peer.local_addr().unwrap();
            assert_eq!(sockets.receive(&mut [0; 8]), Some((1, from, local)));
            sockets.send(&Transmit {
                proto: str0m::net::Protocol::Udp,
                source: local,
                destination: from,
                contents: b"y".to_vec().into(),
            });
            let mut answer = [0; 8];
            peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(peer.recv_from(&mut answer).unwrap(), (1, local));
        }
    }
}
