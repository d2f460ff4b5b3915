//! Where connections to the control socket come from.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::UnixListener;
#[cfg(feature = "sim")]
use tokio::sync::mpsc;

use crate::ipc::IpcStream;

/// Between two attempts to accept a connection for which there is no room: nothing tells when there is room again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Where connections come from.
#[derive(Debug)]
pub(in crate::guard) enum Listener {
    /// The guard's socket.
    Unix(UnixListener),
    /// The other roles of a simulation, each connection with its user.
    #[cfg(feature = "sim")]
    Memory(mpsc::Receiver<(tokio::io::DuplexStream, u32)>),
}

impl Listener {
    /// The next connection, and its user. Waits while the machine or the guard has no descriptor or memory for one.
    /// `Err`: the socket is lost. Cancel-safe.
    pub(super) async fn accept(&mut self) -> io::Result<(IpcStream, u32)> {
        match self {
            Self::Unix(listener) => {
                let stream = accept(listener).await?;
                let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
                Ok((stream.into(), uid))
            }
            #[cfg(feature = "sim")]
            Self::Memory(connections) => match connections.recv().await {
                Some((stream, uid)) => Ok((stream.into(), uid)),
                None => std::future::pending().await,
            },
        }
    }
}

async fn accept(listener: &UnixListener) -> io::Result<tokio::net::UnixStream> {
    let mut is_told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if is_passing(&error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!("the guard's socket does not accept: {error}");
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a connection can be accepted later. Running out of descriptors or memory passes, and a peer that has left
/// already is nothing.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::CONNABORTED];
    Errno::from_io_error(error).is_some_and(|error| passing.contains(&error))
}
