//! What a connection between roles runs over: a Unix socket.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// A connected stream between two roles.
#[derive(Debug)]
pub enum IpcStream {
    /// A Unix socket.
    Unix(UnixStream),
    /// Memory, between the roles of one simulation.
    #[cfg(feature = "sim")]
    Memory(tokio::io::DuplexStream),
}

impl From<UnixStream> for IpcStream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

#[cfg(feature = "sim")]
impl From<tokio::io::DuplexStream> for IpcStream {
    fn from(stream: tokio::io::DuplexStream) -> Self {
        Self::Memory(stream)
    }
}

impl AsyncRead for IpcStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(feature = "sim")]
            Self::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for IpcStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(feature = "sim")]
            Self::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(feature = "sim")]
            Self::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(feature = "sim")]
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
