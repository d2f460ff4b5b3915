//! What the kernel says of a TCP connection: bytes in its send queue, sent or not, that the server has not acknowledged.
//!
//! From `/proc/self/net/tcp`: GStreamer keeps the socket to itself, and netlink (what `ss` asks) is not among the address
//! families that capture's unit allows. Reading it takes some 50 µs on a box with few connections.

use std::fs;
use std::io::{BufRead, BufReader};

/// A connection, found once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    inode: u64,
}

/// One line of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    remote_port: u16,
    established: bool,
    send_queue: u64,
    inode: u64,
}

impl Row {
    /// `sl local remote state tx:rx timer:when retransmits uid timeout inode ...`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(2);
        let (_, port) = words.next()?.rsplit_once(':')?;
        let established = words.next()? == "01";
        let (send, _) = words.next()?.split_once(':')?;
        let inode = words.nth(4)?;
        Some(Self {
            remote_port: u16::from_str_radix(port, 16).ok()?,
            established,
            send_queue: u64::from_str_radix(send, 16).ok()?,
            inode: inode.parse().ok()?,
        })
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

/// The sockets that this process has open.
fn own() -> Vec<u64> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let names = links.filter_map(|link| fs::read_link(link.path()).ok());
    names.filter_map(|name| name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

impl Socket {
    /// This process's newest connection to `port`, whatever name or address it was made with.
    pub(super) fn find(port: u16) -> Option<Self> {
        let own = own();
        let ours = rows().filter(|row| row.established && row.remote_port == port);
        ours.map(|row| row.inode).filter(|inode| own.contains(inode)).max().map(|inode| Self { inode })
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
