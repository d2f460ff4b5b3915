//! The socket of an RTMP session: TCP that never blocks, with TLS or without, and the kernel's figures on it.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::offset_of;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::sockopt::{GetStruct, SetStruct};
use nix::sys::socket::{GetSockOpt, SetSockOpt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Bytes passed to TLS at a time: its longest record (RFC 8446, section 5.1).
const MAX_TLS_RECORD: usize = 16 * 1024;

/// The part of the kernel's `struct tcp_info` that is read: up to `tcpi_bytes_acked`, which Linux has since 4.2.
const TCP_INFO_SIZE: usize = 128;

/// `getsockopt(TCP_INFO)`; the call itself is nix's.
#[derive(Clone, Copy, Debug)]
struct TcpInfo;

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; TCP_INFO_SIZE], GetStruct<[u8; TCP_INFO_SIZE]>);

/// Bytes that the kernel takes beyond what it may send now. What it has not taken waits in the queue of frames, where
/// it can still be dropped; on a link that has fallen, its buffer alone is seconds of delay. With less, a link would be
/// idle between two polls (crates/bitrate: `simulation` has the same limit).
const MAX_UNSENT: u32 = 32 * 1024;

/// `setsockopt(TCP_NOTSENT_LOWAT)`.
#[derive(Clone, Copy, Debug)]
struct UnsentLimit;

nix::setsockopt_impl!(UnsentLimit, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, u32, SetStruct<'_, u32>);

/// The outcome of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// This many bytes.
    Bytes(usize),
    /// There is nothing to read now.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// A connection.
pub(super) struct RtmpSocket {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes written to the kernel, including those of TLS itself.
    written: u64,
    /// The last write did not fit into the kernel's buffer.
    is_blocked: bool,
}

impl RtmpSocket {
    /// Takes over a connected socket, with TLS to the server of that name where it is given.
    pub(super) fn new(stream: TcpStream, tls: Option<(Arc<ClientConfig>, ServerName<'static>)>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Frames are written whole, so that Nagle's algorithm gains nothing, and it would delay the handshake's short
        // messages.
        stream.set_nodelay(true)?;
        UnsentLimit.set(&stream, &MAX_UNSENT)?;
        let tls = tls.map(|(config, name)| ClientConnection::new(config, name)).transpose();
        let tls = tls.map_err(io::Error::other)?.map(Box::new);
        Ok(Self { stream, tls, written: 0, is_blocked: false })
    }

    /// Reads without blocking.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
        let Some(tls) = &mut self.tls else { return read_outcome(self.stream.read(buffer)) };
        loop {
            match tls.reader().read(buffer) {
                // Closed without `close_notify`, as many servers do.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(ReadOutcome::Closed),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return read_outcome(outcome),
            }
            match read_outcome(tls.read_tls(&mut self.stream))? {
                ReadOutcome::Nothing => return Ok(ReadOutcome::Nothing),
                ReadOutcome::Bytes(_) => {
                    let outcome = tls.process_new_packets().map_err(io::Error::other);
                    if outcome.is_err() {
                        // The server is due the alert with the reason.
                        let _ = tls.write_tls(&mut self.stream);
                    }
                    outcome?;
                }
                ReadOutcome::Closed if tls.is_handshaking() => return Ok(ReadOutcome::Closed),
                ReadOutcome::Closed => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                    return Ok(ReadOutcome::Closed);
                }
            }
        }
    }

    /// Writes as much of `out` as the kernel accepts, and removes it from `out`.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut taken = 0;
        let outcome = self.write_from(out, &mut taken);
        out.drain(..taken);
        self.is_blocked = !outcome?;
        Ok(())
    }

    /// Returns whether all was written.
    fn write_from(&mut self, out: &[u8], taken: &mut usize) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            while let Some(rest) = out.get(*taken..).filter(|rest| !rest.is_empty()) {
                let Some(written) = write_outcome(self.stream.write(rest))? else { return Ok(false) };
                *taken += written;
                self.written += written as u64;
            }
            return Ok(true);
        };
        loop {
            while tls.wants_write() {
                let Some(written) = write_outcome(tls.write_tls(&mut self.stream))? else { return Ok(false) };
                self.written += written as u64;
            }
            // Nothing else is written before the handshake is done.
            let Some(rest) = out.get(*taken..).filter(|rest| !rest.is_empty() && !tls.is_handshaking()) else {
                return Ok(true);
            };
            *taken += tls.writer().write(&rest[..rest.len().min(MAX_TLS_RECORD)])?;
        }
    }

    /// Whether the last write did not fit into the kernel's buffer.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// The server's address.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Bytes written to the kernel.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Bytes that the server has acknowledged; `None`: the kernel does not report them.
    pub(super) fn acked_bytes(&self) -> Option<u64> {
        let info = TcpInfo.get(&self.stream).ok()?;
        let bytes = info.get(TCP_INFO_SIZE - size_of::<u64>()..)?.try_into().ok()?;
        // The SYN counts as one byte.
        Some(u64::from_ne_bytes(bytes).saturating_sub(1))
    }

    /// The smoothed round-trip time in milliseconds; `None`: the kernel does not report it, or has not measured it yet.
    pub(super) fn rtt_ms(&self) -> Option<u32> {
        let info = TcpInfo.get(&self.stream).ok()?;
        let micros =
            info.get(offset_of!(libc::tcp_info, tcpi_rtt)..)?.first_chunk().copied().map(u32::from_ne_bytes)?;
        (micros > 0).then(|| micros.div_ceil(1000))
    }

    /// Waits until there is something to read or, if output is blocked, room to write; for at most `span`.
    pub(super) fn wait(&self, span: Duration) {
        let flags = if self.is_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        // Reading and writing show the outcome.
        let _ = poll(&mut [PollFd::new(&self.stream, flags)], Timespec::try_from(span).ok().as_ref());
    }

    /// Closes the sending direction.
    pub(super) fn shut_down_write(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.write(&mut Vec::new())?;
        }
        self.stream.shutdown(Shutdown::Write)
    }
}

fn read_outcome(outcome: io::Result<usize>) -> io::Result<ReadOutcome> {
    match outcome {
        Ok(0) => Ok(ReadOutcome::Closed),
        Ok(bytes) => Ok(ReadOutcome::Bytes(bytes)),
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {
            Ok(ReadOutcome::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// `None`: the kernel's buffer is full.
fn write_outcome(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (RtmpSocket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (RtmpSocket::new(stream, None).unwrap(), listener.accept().unwrap().0)
    }

    #[test]
    fn what_the_other_side_does_not_read_is_not_acknowledged_and_blocks_nobody() {
        let (mut socket, mut other) = pair();
        assert!(socket.stream.nodelay().unwrap());
        assert_eq!((socket.written_bytes(), socket.acked_bytes()), (0, Some(0)));
        // The handshake has measured it; on the loopback it is far below a second.
        assert!(socket.rtt_ms().is_some_and(|millis| (1..1000).contains(&millis)), "{:?}", socket.rtt_ms());
        let mut out = vec![7; 32 << 20];
        socket.write(&mut out).unwrap();
        assert!(socket.is_blocked() && !out.is_empty());
        let written = socket.written_bytes();
        assert!(socket.acked_bytes().unwrap() < written);
        let drain = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            let mut all = 0;
            while let Ok(read @ 1..) = other.read(&mut buffer) {
                assert!(buffer[..read].iter().all(|byte| *byte == 7));
                all += read;
            }
            all
        });
        for _ in 0..10_000 {
            if out.is_empty() && socket.acked_bytes() == Some(32 << 20) {
                break;
            }
            socket.wait(Duration::from_millis(5));
            socket.write(&mut out).unwrap();
        }
        assert_eq!((out.len(), socket.written_bytes(), socket.acked_bytes()), (0, 32 << 20, Some(32 << 20)));
        socket.shut_down_write().unwrap();
        assert_eq!(drain.join().unwrap(), 32 << 20);
    }

    #[test]
    fn the_kernel_takes_little_that_it_cannot_send() {
        let (mut socket, _other) = pair();
        let (mut out, mut unacked, mut same) = (vec![7; 32 << 20], 0, 0);
        // The other side reads nothing: at last everything that is not acknowledged is unsent.
        while same < 20 {
            socket.wait(Duration::from_millis(5));
            socket.write(&mut out).unwrap();
            let now = socket.written_bytes() - socket.acked_bytes().unwrap();
            same = if now == unacked { same + 1 } else { 0 };
            unacked = now;
        }
        assert!(socket.is_blocked() && !out.is_empty());
        // The limit is looked at for each of the kernel's buffers, of 64 KiB at most; its own would be megabytes.
        assert!(unacked <= u64::from(MAX_UNSENT) + 2 * 64 * 1024, "{unacked}");
    }

    #[test]
    fn each_connection_to_one_port_has_figures_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || RtmpSocket::new(TcpStream::connect(address).unwrap(), None).unwrap();
        let (mut first, mut second) = (connect(), connect());
        let (mut one, other) = (listener.accept().unwrap().0, listener.accept().unwrap().0);
        first.write(&mut vec![1; 1000]).unwrap();
        one.read_exact(&mut [0; 1000]).unwrap();
        drop(other);
        for _ in 0..1000 {
            if first.acked_bytes() == Some(1000) {
                break;
            }
            first.wait(Duration::from_millis(5));
        }
        assert_eq!((first.acked_bytes(), second.acked_bytes()), (Some(1000), Some(0)));
        second.wait(Duration::from_secs(30));
        assert_eq!(second.read(&mut [0; 10]).unwrap(), ReadOutcome::Closed);
        assert_eq!(first.read(&mut [0; 10]).unwrap(), ReadOutcome::Nothing);
    }
}
