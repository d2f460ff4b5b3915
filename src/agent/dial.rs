//! The connection to the broker: TCP, TLS, and an ear for what the client library does not tell.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rumqttc::tokio_rustls::rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls::TlsRules;
use crate::connect::Destinations;
use crate::sync::LockExt;

/// Name and addresses together; TLS and CONNACK have to fit into what the client library waits for all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was sent and is not acknowledged by the broker's kernel after this many milliseconds is lost with its
/// connection. The client library pings only where nothing else is sent, and would not notice a cut line for many
/// minutes.
const USER_TIMEOUT_MS: u32 = 40_000;
/// What the errors of a TLS handshake begin with.
pub(super) const IN_HANDSHAKE: &str = "in the TLS handshake";
/// How much is kept of what a broker says first, and last: a CONNACK or DISCONNECT with its reason fits.
const KEPT: usize = 4096;

/// What the server said, as far as it tells what it is and why it ended the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceivedEnds(Arc<Mutex<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl ReceivedEnds {
    /// The beginning of what it said.
    pub(super) fn first(&self) -> Vec<u8> {
        self.0.lock_unpoisoned().first.clone()
    }

    /// The end of what it said.
    pub(super) fn last(&self) -> Vec<u8> {
        self.0.lock_unpoisoned().last.clone()
    }

    fn note(&self, bytes: &[u8]) {
        let mut ends = self.0.lock_unpoisoned();
        let room = KEPT.saturating_sub(ends.first.len()).min(bytes.len());
        ends.first.extend_from_slice(&bytes[..room]);
        ends.last.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let over = ends.last.len().saturating_sub(KEPT);
        ends.last.drain(..over);
    }
}

/// Where the broker is.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) host: String,
    pub(super) port: u16,
    /// With TLS, and by which rules.
    pub(super) tls: Option<Arc<TlsRules>>,
    pub(super) destinations: Destinations,
}

impl Route {
    /// Connects, and shakes hands if there is TLS.
    pub(super) async fn connect(self, heard: ReceivedEnds) -> io::Result<Stream> {
        let way = reach(self.destinations, self.host.clone(), self.port).await?;
        let inner: Box<dyn Duplex> = match self.tls {
            None => way,
            Some(tls) => {
                let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
                let shaken = tls.connector().connect(name, way).await.map_err(|error| {
                    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
                        tls.distrust_sessions();
                    }
                    io::Error::other(format!("{IN_HANDSHAKE}: {error}"))
                })?;
                let kind = shaken.get_ref().1.handshake_kind();
                tracing::debug!("TLS handshake: {kind:?}");
                Box::new(shaken)
            }
        };
        Ok(Stream { inner, heard })
    }
}

/// Connects in a thread, which ends soon when nobody waits for it any more.
async fn reach(destinations: Destinations, host: String, port: u16) -> io::Result<Box<dyn Duplex>> {
    struct Wanted(Arc<AtomicBool>);
    impl Drop for Wanted {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    #[cfg(feature = "sim")]
    if let Some(dialled) = crate::connect::simulated::dial().await {
        return Ok(Box::new(dialled?));
    }
    let wanted = Wanted(Arc::default());
    let stopped = wanted.0.clone();
    let work = move || destinations.connect(&host, port, PATIENCE, &|| stopped.load(Ordering::Relaxed));
    let tcp = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    drop(wanted);
    tcp.set_nonblocking(true)?;
    let tcp = TcpStream::from_std(tcp)?;
    // Without these a cut line is noticed later, and answers may wait for each other.
    let _ = tcp.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&tcp, USER_TIMEOUT_MS);
    Ok(Box::new(tcp))
}

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A connection whose other end is listened to.
pub(super) struct Stream {
    inner: Box<dyn Duplex>,
    heard: ReceivedEnds,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if read.is_ready() {
            self.heard.note(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_long_talk_are_kept() {
        let heard = ReceivedEnds::default();
        heard.note(b"begin");
        for _ in 0..100 {
            heard.note(&[b'x'; 1000]);
        }
        heard.note(b"end");
        assert!(heard.first().starts_with(b"begin") && heard.last().ends_with(b"end"));
        assert_eq!((heard.first().len(), heard.last().len()), (KEPT, KEPT));
    }
}
