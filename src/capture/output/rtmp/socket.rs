//! The connection that a session's bytes travel over: a TCP socket that never blocks, with TLS or without, and what the
//! kernel says of it.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::offset_of;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::GetSockOpt;
use nix::sys::socket::sockopt::GetStruct;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Bytes that are handed to TLS at a time: its longest record (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;

/// The kernel's `struct tcp_info`, as far as it is asked for: all of it up to `tcpi_bytes_acked`, which Linux has since
/// 4.2.
const INFO: usize = 128;

/// `getsockopt(TCP_INFO)`; the call itself is nix's.
#[derive(Clone, Copy, Debug)]
struct TcpInfo;

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; INFO], GetStruct<[u8; INFO]>);

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// A connection.
pub(super) struct Link {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes that the kernel was given, TLS's own included.
    written: u64,
    /// The kernel had no room for what is to be sent.
    is_blocked: bool,
}

impl Link {
    /// Over a connection that is made, with TLS to the server of that name where it is given.
    pub(super) fn over(stream: TcpStream, tls: Option<(Arc<ClientConfig>, ServerName<'static>)>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Frames are written whole: waiting for more gains nothing, and the handshake is a row of short messages.
        stream.set_nodelay(true)?;
        let tls = tls.map(|(config, name)| ClientConnection::new(config, name)).transpose();
        let tls = tls.map_err(io::Error::other)?.map(Box::new);
        Ok(Self { stream, tls, written: 0, is_blocked: false })
    }

    /// Reads what has come, without waiting for it.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let Some(tls) = &mut self.tls else { return received(self.stream.read(buffer)) };
        loop {
            match tls.reader().read(buffer) {
                // Without its goodbye, as many servers close.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Received::Closed),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return received(outcome),
            }
            match received(tls.read_tls(&mut self.stream))? {
                Received::Nothing => return Ok(Received::Nothing),
                Received::Bytes(_) => {
                    let outcome = tls.process_new_packets().map_err(io::Error::other);
                    if outcome.is_err() {
                        // The alert that says why is due to the server.
                        let _ = tls.write_tls(&mut self.stream);
                    }
                    outcome?;
                }
                Received::Closed if tls.is_handshaking() => return Ok(Received::Closed),
                Received::Closed => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                    return Ok(Received::Closed);
                }
            }
        }
    }

    /// Writes as much of `out` as the kernel takes, and takes it out.
    pub(super) fn send(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut taken = 0;
        let outcome = self.send_from(out, &mut taken);
        out.drain(..taken);
        self.is_blocked = !outcome?;
        Ok(())
    }

    /// Whether all was written.
    fn send_from(&mut self, out: &[u8], taken: &mut usize) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            while let Some(rest) = out.get(*taken..).filter(|rest| !rest.is_empty()) {
                let Some(written) = sent(self.stream.write(rest))? else { return Ok(false) };
                *taken += written;
                self.written += written as u64;
            }
            return Ok(true);
        };
        loop {
            while tls.wants_write() {
                let Some(written) = sent(tls.write_tls(&mut self.stream))? else { return Ok(false) };
                self.written += written as u64;
            }
            // Before the handshake is done nothing else goes.
            let Some(rest) = out.get(*taken..).filter(|rest| !rest.is_empty() && !tls.is_handshaking()) else {
                return Ok(true);
            };
            *taken += tls.writer().write(&rest[..rest.len().min(RECORD)])?;
        }
    }

    /// Whether the kernel had no room the last time.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Bytes that the kernel was given.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that the server's kernel has acknowledged; `None`: the kernel does not tell.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        let info = TcpInfo.get(&self.stream).ok()?;
        let bytes = info.get(INFO - size_of::<u64>()..)?.try_into().ok()?;
        // SYN counts as one.
        Some(u64::from_ne_bytes(bytes).saturating_sub(1))
    }

    /// Round-trip time in milliseconds, as the kernel smooths it; `None`: it does not tell, or has not measured yet.
    pub(super) fn round_trip(&self) -> Option<u32> {
        let info = TcpInfo.get(&self.stream).ok()?;
        let micros =
            info.get(offset_of!(libc::tcp_info, tcpi_rtt)..)?.first_chunk().copied().map(u32::from_ne_bytes)?;
        (micros > 0).then(|| micros.div_ceil(1000))
    }

    /// Waits until something can be read, or, where something is to be sent, written; for `span` at most.
    pub(super) fn wait(&self, span: Duration) {
        let flags = if self.is_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        // Whatever came of it shows in reading and writing.
        let _ = poll(&mut [PollFd::new(&self.stream, flags)], Timespec::try_from(span).ok().as_ref());
    }

    /// Nothing more will be sent.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.send(&mut Vec::new())?;
        }
        self.stream.shutdown(Shutdown::Write)
    }
}

fn received(outcome: io::Result<usize>) -> io::Result<Received> {
    match outcome {
        Ok(0) => Ok(Received::Closed),
        Ok(bytes) => Ok(Received::Bytes(bytes)),
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => Ok(Received::Nothing),
        Err(error) => Err(error),
    }
}

/// `None`: there is no room.
fn sent(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
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

    fn pair() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Link::over(stream, None).unwrap(), listener.accept().unwrap().0)
    }

    #[test]
    fn what_the_other_side_does_not_read_is_not_acknowledged_and_blocks_nobody() {
        let (mut link, mut other) = pair();
        assert!(link.stream.nodelay().unwrap());
        assert_eq!((link.written(), link.acknowledged()), (0, Some(0)));
        // The handshake has measured it; on this machine's own loopback it is far below a second.
        assert!(link.round_trip().is_some_and(|millis| (1..1000).contains(&millis)), "{:?}", link.round_trip());
        let mut out = vec![7; 32 << 20];
        link.send(&mut out).unwrap();
        assert!(link.is_blocked() && !out.is_empty());
        let written = link.written();
        assert!(link.acknowledged().unwrap() < written);
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
            if out.is_empty() && link.acknowledged() == Some(32 << 20) {
                break;
            }
            link.wait(Duration::from_millis(5));
            link.send(&mut out).unwrap();
        }
        assert_eq!((out.len(), link.written(), link.acknowledged()), (0, 32 << 20, Some(32 << 20)));
        link.finish().unwrap();
        assert_eq!(drain.join().unwrap(), 32 << 20);
    }

    #[test]
    fn each_connection_to_one_port_has_figures_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || Link::over(TcpStream::connect(address).unwrap(), None).unwrap();
        let (mut first, mut second) = (connect(), connect());
        let (mut one, other) = (listener.accept().unwrap().0, listener.accept().unwrap().0);
        first.send(&mut vec![1; 1000]).unwrap();
        one.read_exact(&mut [0; 1000]).unwrap();
        drop(other);
        for _ in 0..1000 {
            if first.acknowledged() == Some(1000) {
                break;
            }
            first.wait(Duration::from_millis(5));
        }
        assert_eq!((first.acknowledged(), second.acknowledged()), (Some(1000), Some(0)));
        second.wait(Duration::from_secs(30));
        assert_eq!(second.receive(&mut [0; 10]).unwrap(), Received::Closed);
        assert_eq!(first.receive(&mut [0; 10]).unwrap(), Received::Nothing);
    }
}
