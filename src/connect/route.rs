//! Which way the kernel sends to a server: a box with a cable and a mobile router moves from one to the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The network by which packets leave for a server, as far as the box's own address in it tells networks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route(IpAddr);

impl Route {
    /// The present one. Nothing is sent: the kernel looks the route up.
    ///
    /// # Errors
    /// There is no route.
    pub(crate) fn towards(server: SocketAddr) -> io::Result<Self> {
        Ok(Self(match local_address(server)? {
            // The rest of the address changes from day to day (RFC 8981).
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        }))
    }
}

/// The box's own address on the way to `server`.
pub(super) fn local_address(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect(server)?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_the_own_address_and_of_ipv6_its_network() {
        let towards = |server: &str| Route::towards(server.parse().unwrap()).unwrap();
        assert_eq!(towards("127.0.0.1:9"), Route("127.0.0.1".parse().unwrap()));
        assert_eq!(towards("127.0.0.1:9"), towards("127.0.0.1:10"));
        // Of ::1 nothing is left.
        assert_eq!(towards("[::1]:9"), Route("::".parse().unwrap()));
    }
}
