//! Has the TPM open the box's key after each start, and seal one that still lies in a plain file. Nobody waits for it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::sealer::{KeySealer, LONG, SealError};
use super::{IdentityError, StoredKey, open, path, plain_content, remove_plain, replace_plain, stored};
use crate::disk;
use crate::worker;
use monotonic::Monotonic;

/// A plain key is sealed so long after the guard's start: an update that fails is taken back before, and the version
/// from before it may not know sealed keys. The updater waits for a minute at most.
const SEAL_AFTER: Duration = Duration::from_mins(10);
/// When a TPM that does not open the key is asked again.
const OPEN_AGAIN: Duration = Duration::from_secs(30);
/// When it is looked at again whether there is something to seal.
const LOOK_AGAIN: Duration = Duration::from_hours(1);

/// What the helper did.
#[derive(Debug)]
pub(super) enum Found {
    /// The open key, or why it is not open.
    Opened(Result<SigningKey, String>),
    /// The key is sealed, or why it is not.
    Sealed(SigningKey, Result<String, SealError>),
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum KeyChange {
    /// It can sign from now on.
    Opened,
    /// Where or how it lies, or whether the TPM opens it.
    AtRest,
}

/// The work that is under way, and when there is more.
#[derive(Debug)]
pub(in crate::guard) struct SealingTask {
    sealer: KeySealer,
    data_dir: PathBuf,
    next: Monotonic,
    /// Not before this a plain key is sealed.
    seal_from: Monotonic,
    pub(super) running: Option<Receiver<Found>>,
    /// Why the TPM does not open the key.
    error: Option<String>,
}

impl SealingTask {
    pub(in crate::guard) fn new(sealer: KeySealer, data_dir: &Path, now: Monotonic) -> Self {
        Self {
            sealer,
            data_dir: data_dir.to_owned(),
            next: now,
            seal_from: now.saturating_add(SEAL_AFTER),
            running: None,
            error: None,
        }
    }

    pub(in crate::guard) fn sealer(&self) -> &KeySealer {
        &self.sealer
    }

    /// Whether the TPM was asked to open the key, and did not.
    pub(in crate::guard) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// The box has another key now, or none.
    pub(in crate::guard) fn restart(&mut self, now: Monotonic) {
        (self.next, self.running, self.error) = (now, None, None);
    }

    /// Goes on without waiting for the TPM; called each second.
    pub(in crate::guard) fn poll(&mut self, now: Monotonic) -> Option<KeyChange> {
        if !self.sealer.has_helper() {
            return None;
        }
        let found = match self.running.as_ref().map(Receiver::try_recv) {
            None => {
                if now >= self.next {
                    self.begin(now);
                }
                return None;
            }
            Some(Err(TryRecvError::Empty)) => return None,
            Some(Err(TryRecvError::Disconnected)) => None,
            Some(Ok(found)) => Some(found),
        };
        self.running = None;
        found.and_then(|found| self.take(now, found))
    }

    fn begin(&mut self, now: Monotonic) {
        self.next = now.saturating_add(LOOK_AGAIN);
        match stored(&self.data_dir) {
            Ok(Some(StoredKey::Sealed { public, blob })) => {
                // A power cut left it.
                if disk::symlink_metadata(&path(&self.data_dir)).is_ok()
                    && let Err(error) = remove_plain(&self.data_dir)
                {
                    tracing::error!(%error, "what is left of the plain key cannot be deleted");
                }
                if self.sealer.opened(&public).is_none() {
                    let (sealer, data_dir) = (self.sealer.clone(), self.data_dir.clone());
                    self.spawn(move || {
                        let opened = open(&data_dir, &public, &blob, &sealer, LONG);
                        Found::Opened(opened.map_err(|error| error.to_string()))
                    });
                }
            }
            Ok(Some(StoredKey::Plain(_))) if now < self.seal_from => self.next = self.seal_from,
            Ok(Some(StoredKey::Plain(key))) => {
                let sealer = self.sealer.clone();
                self.spawn(move || {
                    let blob = match plain_content(&key) {
                        Ok(content) => sealer.seal(content.as_bytes(), LONG),
                        Err(error) => Err(SealError::Failed(error.to_string())),
                    };
                    Found::Sealed(key, blob)
                });
            }
            // What is damaged was told when the guard started.
            Ok(None) | Err(_) => {}
        }
    }

    fn spawn(&mut self, work: impl FnOnce() -> Found + Send + 'static) {
        let (tell, found) = channel();
        // Nobody may wait for it any more.
        match worker::detached("identity", move || drop(tell.send(work()))) {
            Ok(()) => self.running = Some(found),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    fn take(&mut self, now: Monotonic, found: Found) -> Option<KeyChange> {
        match found {
            Found::Opened(Ok(key)) => {
                self.sealer.keep(key);
                self.error = None;
                Some(KeyChange::Opened)
            }
            Found::Opened(Err(why)) => {
                self.next = now.saturating_add(OPEN_AGAIN);
                if self.error.as_ref() != Some(&why) {
                    tracing::error!("{why}");
                }
                self.error.replace(why).is_none().then_some(KeyChange::AtRest)
            }
            Found::Sealed(key, Ok(sealed)) => match replace_plain(&self.data_dir, &sealed, &key.verifying_key()) {
                Ok(false) => None,
                Ok(true) => {
                    self.sealer.keep(key);
                    tracing::info!("the box's key is sealed by the machine's TPM now");
                    Some(KeyChange::AtRest)
                }
                Err(error) => {
                    let path = path(&self.data_dir);
                    tracing::error!("{}", IdentityError::Store { path, error });
                    None
                }
            },
            Found::Sealed(_, Err(SealError::NoTpm)) => None,
            Found::Sealed(_, Err(SealError::Failed(why))) => {
                tracing::warn!("the box's key lies in a plain file still: {why}");
                None
            }
        }
    }
}
