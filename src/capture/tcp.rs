//! A TCP connection that GStreamer keeps to itself: what the kernel says of it, and that nothing should wait on it.
//!
//! What waits for acknowledgement is read from `/proc/self/net/tcp`: netlink (what `ss` asks) is not among the address
//! families that capture's unit allows.
//!
//! `rtmp2sink` (1.22) leaves Nagle's algorithm on. RTMP's handshake is a row of short messages, each of which then
//! waits for the server's delayed acknowledgement of the one before it, and the server's for ours: 150 ms of the 160 that
//! it takes to nginx on the same machine. On air a sound frame waits for a round trip.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{getpeername, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// A connection, found once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    inode: u64,
    descriptor: i32,
}

/// One line of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    send_queue: u64,
    inode: u64,
}

impl Row {
    /// `sl local remote state tx:rx timer:when retransmits uid timeout inode ...`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(4);
        let (send, _) = words.next()?.split_once(':')?;
        Some(Self { send_queue: u64::from_str_radix(send, 16).ok()?, inode: words.nth(4)?.parse().ok()? })
    }
}

/// Bytes of a row of `/proc/self/net/tcp`.
const ROW: usize = 150;

/// The kernel's table, as far as it is asked for. For each row the kernel searches a hash table whose size goes with the
/// machine's memory: 2 ms from one end to the other with 24 GB, and once more to see that this was the end.
fn rows() -> impl Iterator<Item = Row> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].into_iter();
    let lines = tables.filter_map(|path| fs::File::open(path).ok()).flat_map(|table| {
        // With a larger buffer the kernel would search for as many rows as fit.
        BufReader::with_capacity(ROW, table).lines().map_while(Result::ok)
    });
    lines.filter_map(|line| Row::parse(&line))
}

/// The sockets that this process has open: inode and descriptor.
fn own() -> Vec<(u64, i32)> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let sockets = links.filter_map(|link| {
        let name = fs::read_link(link.path()).ok()?;
        let inode = name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        Some((inode, link.file_name().to_str()?.parse().ok()?))
    });
    sockets.collect()
}

/// Another descriptor for what is open as `descriptor`.
fn again(descriptor: i32) -> rustix::io::Result<OwnedFd> {
    pidfd_getfd(pidfd_open(getpid(), PidfdFlags::empty())?, descriptor, PidfdGetfdFlags::empty())
}

/// The port at the other end of a connection that is made.
fn remote_port(socket: &OwnedFd) -> Option<u16> {
    let address = SocketAddr::try_from(getpeername(socket).ok()??).ok()?;
    Some(address.port())
}

impl Socket {
    /// This process's newest connection to `port`, whatever name or address it was made with.
    pub(super) fn find(port: u16) -> Option<Self> {
        let to_it = |descriptor: i32| again(descriptor).ok().and_then(|socket| remote_port(&socket)) == Some(port);
        let newest = own().into_iter().filter(|(_, descriptor)| to_it(*descriptor)).max();
        newest.map(|(inode, descriptor)| Self { inode, descriptor })
    }

    /// Sends short messages at once from now on, and acknowledges at once what has come until now. Whole frames are
    /// written at a time, so that waiting for more would gain nothing. It goes on without, only slower.
    pub(super) fn hurry(self) {
        // Where the descriptor was closed meanwhile, and another opened as it, that one is meant: it does no harm there,
        // and what is no TCP connection refuses it.
        let done = again(self.descriptor).and_then(|socket| {
            sockopt::set_tcp_nodelay(&socket, true)?;
            sockopt::set_tcp_quickack(&socket, true)
        });
        if let Err(error) = done {
            tracing::debug!("the connection is left as it is: {error}");
        }
    }

    /// Bytes that were given to the kernel and are not acknowledged; `None`: the connection is gone.
    pub(super) fn unacknowledged(self) -> Option<u64> {
        rows().find(|row| row.inode == self.inode).map(|row| row.send_queue)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::Socket;

    #[test]
    fn what_the_other_side_does_not_read_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Socket::find(port), None);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let socket = Socket::find(port).unwrap();
        assert_eq!(socket.unacknowledged(), Some(0));
        assert!(!stream.nodelay().unwrap());
        socket.hurry();
        assert!(stream.nodelay().unwrap());
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 8192]).is_ok() {}
        assert!(socket.unacknowledged().unwrap() > 65_536);
        let drain = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while other.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        let mut looks = 0;
        while socket.unacknowledged() != Some(0) {
            looks += 1;
            assert!(looks < 10_000, "{socket:?}");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        drop(stream);
        drain.join().unwrap();
    }
}
