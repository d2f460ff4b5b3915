//! Signs checkpoints of the ledger, and keeps the newest beside it.

use tlog::CompactRange;

use super::checkpoint::{self, CheckpointSigner, SignedHead};
use super::store::Ledger;
use crate::atomic_file::{self, BY_UMASK, Durability};

impl Ledger {
    /// From now on checkpoints are signed: all entries were verified, and continue what was signed before.
    pub(crate) fn sign_with(&mut self, signer: CheckpointSigner) {
        self.signer = Some(signer);
    }

    /// The newest checkpoint: a signed note. `None`: nothing was signed yet.
    pub fn checkpoint(&self) -> Option<&str> {
        self.signed.as_ref().map(|signed| signed.note.as_str())
    }

    /// Whether it has a tree; it has none where its beginning was pruned by a version without.
    pub fn has_tree(&self) -> bool {
        self.position.tree.is_some()
    }

    /// Signs a checkpoint of all entries, which are on disk. The error is a sentence.
    pub(crate) fn sign_checkpoint(&mut self) -> Result<(), String> {
        let Some(tree) = self.position.tree.clone() else {
            return Err("the ledger's beginning was pruned by an older version: it has no Merkle tree, and so no \
                        checkpoints"
                .to_owned());
        };
        self.sign(&tree).map(drop)
    }

    /// Signs the checkpoint of a tree that this ledger had or has. The largest is on disk before anybody sees it: after
    /// a power cut the box still knows what it is bound to.
    pub(super) fn sign(&mut self, tree: &CompactRange) -> Result<String, String> {
        let signer = self.signer.clone().ok_or("the ledger is not verified yet")?;
        let note = (signer.0)(tree)?;
        let head = SignedHead::parse(note.clone())?;
        let is_known = self.signed.as_ref().is_some_and(|known| known.size > head.size || *known == head);
        if !is_known {
            atomic_file::replace(&checkpoint::path(&self.path), note.as_bytes(), BY_UMASK, Durability::Synced)
                .map_err(|error| format!("the checkpoint cannot be written: {error}"))?;
            self.signed = Some(head);
        }
        Ok(note)
    }
}
