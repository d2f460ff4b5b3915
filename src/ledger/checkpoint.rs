//! Checkpoints that the box signs, and the newest of them in a file beside the ledger: a ledger that does not continue
//! what was signed is not used, so that no two checkpoints ever contradict each other.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tlog::{CompactRange, Hash, SignedCheckpoint};

use super::chain::ChainPosition;
use super::error::LedgerError;
use crate::untrusted_file;

/// Longest checkpoint, in bytes: that of a note.
const MAX_BYTES: u64 = notes::MAX_BYTES as u64;
/// The file's name, beside the ledger.
const FILE: &str = "ledger.checkpoint";

type Sign = dyn Fn(&CompactRange) -> Result<String, String> + Send + Sync;

/// Signs the checkpoint of a tree with the box's key: the note, or why there is none.
#[derive(Clone)]
pub(crate) struct CheckpointSigner(pub(super) Arc<Sign>);

impl CheckpointSigner {
    pub(crate) fn new(sign: impl Fn(&CompactRange) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sign))
    }
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointSigner")
    }
}

/// The largest checkpoint that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedHead {
    pub(super) size: u64,
    root: Hash,
    pub(super) note: String,
}

/// Where the newest checkpoint of a ledger is.
pub(crate) fn path(ledger: &Path) -> PathBuf {
    ledger.with_file_name(FILE)
}

impl SignedHead {
    pub(super) fn parse(note: String) -> Result<Self, String> {
        let read = SignedCheckpoint::parse(note.as_bytes()).map_err(|error| error.to_string())?;
        let (size, root) = (read.unverified().size, read.unverified().root);
        Ok(Self { size, root, note })
    }

    /// The one beside a ledger; `None`: nothing was signed yet.
    pub(super) fn read(ledger: &Path) -> Result<Option<Self>, LedgerError> {
        let path = path(ledger);
        let unusable = |problem: String| LedgerError::Checkpoint { path: path.clone(), problem };
        match untrusted_file::read(&path, MAX_BYTES) {
            Ok(bytes) => {
                let note = String::from_utf8(bytes).map_err(|_| unusable("it is no text".to_owned()))?;
                Self::parse(note).map(Some).map_err(unusable)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(error.to_string())),
        }
    }

    /// Whether a position of the chain fits: it is judged where it is the one that was signed.
    pub(super) fn admits(&self, position: &ChainPosition) -> Result<(), LedgerError> {
        let is_other = |tree: &CompactRange| tree.size() == self.size && tree.root() != self.root;
        if position.tree.as_ref().is_some_and(is_other) {
            return Err(self.refuse("its entries are others"));
        }
        Ok(())
    }

    /// Whether a ledger that ends at this position has all that was signed.
    pub(super) fn admits_end(&self, position: &ChainPosition) -> Result<(), LedgerError> {
        if position.seq < self.size {
            return Err(self.refuse(&format!("it has {} of them, as one from a backup has", position.seq)));
        }
        Ok(())
    }

    fn refuse(&self, problem: &str) -> LedgerError {
        LedgerError::NotSigned { size: self.size, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests;
