//! The machine's TPM as the guard reaches it, through a helper that runs as root.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::sealing::{Answer, MAX_BYTES, Order};
use crate::sync::LockExt;

/// How long the guard's loop waits for one answer: two fit between two beats of its watchdog. A slow TPM takes some
/// seconds.
pub(super) const SHORT: Duration = Duration::from_secs(3);
/// The same where nobody waits.
pub(super) const LONG: Duration = Duration::from_secs(25);

/// Why nothing was sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::guard) enum SealError {
    /// There is no TPM, or nobody who could ask it.
    #[error("this machine has no TPM")]
    NoTpm,
    /// There is one, and it does not do it.
    #[error("{0}")]
    Failed(String),
}

/// Where the helper is asked, and the key that it opened. Clones share both.
#[derive(Clone, Debug, Default)]
pub(in crate::guard) struct KeySealer {
    /// `None`: there is no helper, as on a developer's machine.
    socket: Option<PathBuf>,
    /// It stays in memory, which is not swapped and not dumped: a TPM takes up to a second for each opening.
    opened: Arc<Mutex<Option<SigningKey>>>,
}

impl KeySealer {
    pub(in crate::guard) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket, opened: Arc::default() }
    }

    pub(super) fn has_helper(&self) -> bool {
        self.socket.is_some()
    }

    /// The key with this public half, if it is open.
    pub(super) fn opened(&self, public: &VerifyingKey) -> Option<SigningKey> {
        self.opened.lock_unpoisoned().as_ref().filter(|key| key.verifying_key() == *public).cloned()
    }

    pub(super) fn keep(&self, key: SigningKey) {
        *self.opened.lock_unpoisoned() = Some(key);
    }

    /// The key was destroyed: its memory is overwritten.
    pub(in crate::guard) fn forget(&self) {
        *self.opened.lock_unpoisoned() = None;
    }

    /// Seals `content`, and opens the result once for proof. Waits up to twice as long as `patience`.
    pub(super) fn seal(&self, content: &[u8], patience: Duration) -> Result<String, SealError> {
        let sealed = self.ask(Order::Seal, content, patience)?;
        if *self.ask(Order::Open, &sealed, patience)? != *content {
            return Err(SealError::Failed("what the TPM opens is not what it had sealed".to_owned()));
        }
        String::from_utf8(sealed.to_vec()).map_err(|_| SealError::Failed("what it sealed is no text".to_owned()))
    }

    /// Opens what was sealed.
    pub(super) fn open(&self, sealed: &str, patience: Duration) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.ask(Order::Open, sealed.as_bytes(), patience)
    }

    fn ask(&self, order: Order, content: &[u8], patience: Duration) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let socket = self.socket.as_deref().ok_or(SealError::NoTpm)?;
        let wrong = |why: String| SealError::Failed(format!("{}: {why}", socket.display()));
        let bytes = exchange(socket, &order.bytes(content), patience).map_err(|error| wrong(error.to_string()))?;
        match Answer::parse(&bytes) {
            Some(Answer::Done(content)) => Ok(content),
            Some(Answer::NoTpm) => Err(SealError::NoTpm),
            Some(Answer::Failed(why)) => Err(SealError::Failed(why)),
            None => Err(wrong("no answer; see journalctl -t tallybox-sealing".to_owned())),
        }
    }
}

fn exchange(socket: &Path, order: &[u8], patience: Duration) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(order)?;
    stream.shutdown(Shutdown::Write)?;
    // Its room is reserved: a buffer that grows leaves copies of a key.
    let mut answer = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_BYTES).unwrap_or_default()));
    stream.take(MAX_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}
