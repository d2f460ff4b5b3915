//! One end of a door: frames of JSON over a Unix socket, 4 bytes of big-endian length before each.

use core::marker::PhantomData;

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Longest frame in bytes. The longest message of today is under 8 KiB, since texts are cut where they come in; a
/// ledger may hold entries from before that, which are as long as a frame was then (64 KiB) and have to be handed on.
pub const MAX_FRAME: usize = 128 * 1024;

/// Why a message could not be sent or taken.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The socket failed, or the frame was longer than [`MAX_FRAME`].
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// The frame is not a message of this version; both ends come from one package, so whoever wrote it is something
    /// else.
    #[error("not a message of this door: {0}")]
    Message(String),
}

impl From<serde_json::Error> for IpcError {
    fn from(error: serde_json::Error) -> Self {
        // It repeats words of the message, which may be as long as a frame.
        Self::Message(super::clean(&error.to_string(), super::WHY))
    }
}

impl IpcError {
    /// Whether the other end sent what no program of ours sends; a socket that just broke is no such thing.
    pub fn is_protocol_error(&self) -> bool {
        match self {
            Self::Message(_) => true,
            Self::Socket(error) => error.kind() == std::io::ErrorKind::InvalidData,
        }
    }
}

/// Takes messages `In`, sends messages `Out`.
#[derive(Debug)]
pub struct IpcConnection<In, Out> {
    framed: Framed<UnixStream, LengthDelimitedCodec>,
    kinds: PhantomData<fn(Out) -> In>,
}

impl<In: DeserializeOwned, Out: Serialize> IpcConnection<In, Out> {
    /// Speaks over `stream`.
    pub fn new(stream: UnixStream) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec();
        Self { framed: Framed::new(stream, codec), kinds: PhantomData }
    }

    /// Sends one message. Not cancel-safe for what comes after: drop the connection when this is dropped half way.
    pub async fn send(&mut self, message: &Out) -> Result<(), IpcError> {
        Ok(self.framed.send(Bytes::from(serde_json::to_vec(message)?)).await?)
    }

    /// The next message, `None` when the other end has closed. Cancel-safe.
    pub async fn receive(&mut self) -> Result<Option<In>, IpcError> {
        match self.framed.next().await {
            None => Ok(None),
            Some(frame) => Ok(Some(serde_json::from_slice(&frame?)?)),
        }
    }
}
