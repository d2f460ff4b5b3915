//! One end of a socket between roles: JSON frames over a Unix socket, each after its length in 4 bytes, big endian.

use core::marker::PhantomData;

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::IpcStream;

/// Longest frame in bytes. The longest message of today is under 8 KiB, since texts are cut where they come in; a
/// ledger may hold entries from before that, which are as long as a frame was then (64 KiB) and have to be handed on.
pub const MAX_FRAME: usize = 128 * 1024;

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The socket failed, or the frame was longer than [`MAX_FRAME`].
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// The frame is no message of this version. Both ends come from one package: the peer is some other program.
    #[error("not a message of this socket: {0}")]
    Message(String),
}

impl From<serde_json::Error> for IpcError {
    fn from(error: serde_json::Error) -> Self {
        // It repeats words of the message, which may be as long as a frame.
        Self::Message(super::clean(&error.to_string(), super::WHY))
    }
}

impl IpcError {
    /// Whether the peer violated the protocol, which no program of this package does. A socket that failed is no
    /// violation.
    pub fn is_protocol_error(&self) -> bool {
        match self {
            Self::Message(_) => true,
            Self::Socket(error) => error.kind() == std::io::ErrorKind::InvalidData,
        }
    }
}

/// How frames are told apart.
pub(crate) fn frame_codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec()
}

/// Receives messages `In`, sends messages `Out`.
#[derive(Debug)]
pub struct IpcConnection<In, Out> {
    framed: Framed<IpcStream, LengthDelimitedCodec>,
    kinds: PhantomData<fn(Out) -> In>,
}

impl<In: DeserializeOwned, Out: Serialize> IpcConnection<In, Out> {
    /// Wraps a connected stream.
    pub fn new(stream: impl Into<IpcStream>) -> Self {
        Self { framed: Framed::new(stream.into(), frame_codec()), kinds: PhantomData }
    }

    /// Sends one message. Not cancel-safe: a connection on which a send was cancelled has to be dropped.
    pub async fn send(&mut self, message: &Out) -> Result<(), IpcError> {
        Ok(self.framed.send(Bytes::from(serde_json::to_vec(message)?)).await?)
    }

    /// The next message; `None`: the peer has closed. Cancel-safe.
    pub async fn receive(&mut self) -> Result<Option<In>, IpcError> {
        match self.framed.next().await {
            None => Ok(None),
            Some(frame) => Ok(Some(serde_json::from_slice(&frame?)?)),
        }
    }

    /// Closes this direction: the peer reads the end, and may still send. A peer that is gone already is no error.
    pub async fn finish(&mut self) {
        let _ = self.framed.get_mut().shutdown().await;
    }
}
