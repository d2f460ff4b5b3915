//! The way to the guard: its socket, or, for a simulated box, channels to a guard in the same process. The messages are
//! the same.

use std::path::PathBuf;

use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::ipc::{FromGuard, IpcConnection, IpcError, ToGuard};

/// Messages that wait in a channel, each way: a guard that is busy makes the agent wait, as a full socket would.
const CAPACITY: usize = 8;

/// Where the guard is.
#[derive(Clone, Debug)]
pub enum GuardAddress {
    /// The socket of a guard that is a process of its own.
    Socket(PathBuf),
    /// Who takes connections in this process. Once the receiver is dropped the guard counts as out of reach.
    InProcess(mpsc::Sender<GuardChannel>),
    /// The guard of a simulated box, and the user as whom it sees the agent. A connection that is dropped was closed.
    #[cfg(feature = "sim")]
    Simulated(mpsc::Sender<(tokio::io::DuplexStream, u32)>, u32),
}

/// Bytes that a simulated connection holds, each way.
#[cfg(feature = "sim")]
const BUFFER: usize = 64 * 1024;

/// The guard's end of a connection in one process. Dropping it closes the connection.
#[derive(Debug)]
pub struct GuardChannel {
    /// What the agent asks.
    pub requests: mpsc::Receiver<ToGuard>,
    /// What it is told.
    pub messages: mpsc::Sender<FromGuard>,
}

impl GuardAddress {
    /// Connects. The error is a sentence.
    pub(super) async fn connect(&self) -> Result<GuardConnection, String> {
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
                Ok(GuardConnection::Socket(IpcConnection::new(stream)))
            }
            Self::InProcess(guard) => {
                let (ask, requests) = mpsc::channel(CAPACITY);
                let (messages, told) = mpsc::channel(CAPACITY);
                let taken = guard.send(GuardChannel { requests, messages }).await;
                taken.map(|()| GuardConnection::InProcess { ask, told }).map_err(|_| "it does not run".to_owned())
            }
            #[cfg(feature = "sim")]
            Self::Simulated(door, uid) => {
                let (ours, theirs) = tokio::io::duplex(BUFFER);
                let taken = door.send((theirs, *uid)).await;
                let connected = taken.map(|()| GuardConnection::Socket(IpcConnection::new(ours)));
                connected.map_err(|_| "it does not run".to_owned())
            }
        }
    }
}

impl std::fmt::Display for GuardAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::InProcess(_) => f.write_str("this process"),
            #[cfg(feature = "sim")]
            Self::Simulated(..) => f.write_str("this simulation"),
        }
    }
}

/// The agent's end of a connection.
#[derive(Debug)]
pub(super) enum GuardConnection {
    Socket(IpcConnection<FromGuard, ToGuard>),
    InProcess { ask: mpsc::Sender<ToGuard>, told: mpsc::Receiver<FromGuard> },
}

impl GuardConnection {
    /// Sends one message. Not cancel-safe: a connection on which a send was cancelled has to be dropped.
    pub(super) async fn send(&mut self, message: ToGuard) -> Result<(), IpcError> {
        match self {
            Self::Socket(socket) => socket.send(&message).await,
            Self::InProcess { ask, .. } => {
                ask.send(message).await.map_err(|_| IpcError::Socket(std::io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    /// The next message; `None`: the guard has closed. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Option<FromGuard>, IpcError> {
        match self {
            Self::Socket(socket) => socket.receive().await,
            Self::InProcess { told, .. } => Ok(told.recv().await),
        }
    }
}
