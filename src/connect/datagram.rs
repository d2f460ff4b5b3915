//! A UDP socket that sends to allowed destinations only: in WebRTC the server's answer names where media goes.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::Destinations;
use super::route::local_address;

/// A socket that does not block.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    socket: UdpSocket,
    local: SocketAddr,
    destinations: Destinations,
}

impl DatagramSocket {
    /// At the local address that routes to `server`. Nothing is sent: the kernel looks the route up.
    pub(crate) fn towards(server: SocketAddr, destinations: &Destinations) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((local_address(server)?, 0))?;
        socket.set_nonblocking(true)?;
        Ok(Self { local: socket.local_addr()?, socket, destinations: destinations.clone() })
    }

    /// Its own address.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a datagram, if `to` is an allowed destination.
    pub(crate) fn send(&self, data: &[u8], to: SocketAddr) -> std::io::Result<()> {
        if !self.destinations.allows_media(to.ip()) {
            return Err(std::io::Error::other("no allowed destination"));
        }
        self.socket.send_to(data, to).map(drop)
    }

    /// A received datagram: its size and source.
    pub(crate) fn receive(&self, data: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(data)
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
