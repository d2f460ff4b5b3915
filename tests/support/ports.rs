//! Ports for the servers that tests start themselves.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below those that the kernel gives to connections (32,768 and above): none of them takes a port before its server
/// does, nor while that server is away.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port on loopback that nobody listens on. It stays this process's own: no other test is given it.
pub(crate) fn free_port() -> u16 {
    // Programs begin at places of their own, so that they seldom meet.
    let start = std::process::id() as usize * 97 % RANGE.len();
    let mut ports = RANGE.cycle().skip(start).take(RANGE.len());
    ports.find(|port| is_reserved(*port) && is_free(*port)).expect("a free port")
}

/// An abstract socket's name is given once in a network namespace, and is free again when its process ends.
fn is_reserved(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("tallybox-test-port-{port}"));
    name.and_then(|name| UnixListener::bind_addr(&name)).map(std::mem::forget).is_ok()
}

fn is_free(port: u16) -> bool {
    let address = ("127.0.0.1", port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
