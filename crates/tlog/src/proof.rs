//! Judges proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2): of inclusion, and of consistency.

use crate::hash::{Hash, node_hash};

/// Most hashes that a proof can have: one for each bit of a size, and one more where two trees are compared.
pub const MAX_PROOF_HASHES: usize = 65;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry's place is not in the tree.
    #[error("entry number {index} (from 0) is not in a tree of {size}")]
    Index {
        /// The place, from 0.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The second tree is smaller than the first.
    #[error("the log went back from {old} entries to {size}")]
    Smaller {
        /// The first tree's size.
        old: u64,
        /// The second one's.
        size: u64,
    },
    /// Too few hashes, or too many.
    #[error("the proof has {hashes} hashes, which is not what trees of this size need")]
    Length {
        /// How many there are.
        hashes: usize,
    },
    /// They do not lead to the root.
    #[error("the proof does not lead to the root: the entry, its place or the tree is another one")]
    Root,
    /// They do not lead to both roots.
    #[error("the two trees do not belong together: entries were changed, removed or put in")]
    Inconsistent,
}

/// The root that follows where `leaf` is at place `index` of a tree of `size`.
pub fn root_of_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let wrong = ProofError::Length { hashes: proof.len() };
    if proof.len() > MAX_PROOF_HASHES {
        return Err(wrong);
    }
    let (mut at, mut last, mut root) = (index, size - 1, leaf);
    for hash in proof {
        if last == 0 {
            return Err(wrong);
        }
        if at & 1 == 1 || at == last {
            root = node_hash(*hash, root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node_hash(root, *hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 { Ok(root) } else { Err(wrong) }
}

/// Whether `leaf` is at place `index` of the tree of this size and root.
///
/// # Errors
/// It is not, or the proof does not show it.
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> Result<(), ProofError> {
    if root_of_inclusion(leaf, index, size, proof)? == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Whether the tree `new` begins with the tree `old`; each is a size and a root.
///
/// # Errors
/// It does not, or the proof does not show it.
pub fn verify_consistency(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> Result<(), ProofError> {
    let ((old, old_root), (size, new_root)) = (old, new);
    if old > size {
        return Err(ProofError::Smaller { old, size });
    }
    let wrong = ProofError::Length { hashes: proof.len() };
    if proof.len() > MAX_PROOF_HASHES {
        return Err(wrong);
    }
    if old == size || old == 0 {
        let is_good = if old == 0 { old_root == Hash::empty() } else { old_root == new_root };
        return if !proof.is_empty() {
            Err(wrong)
        } else if is_good {
            Ok(())
        } else {
            Err(ProofError::Inconsistent)
        };
    }
    let (mut at, mut last) = (old - 1, size - 1);
    let level = at.trailing_ones();
    (at, last) = (at >> level, last >> level);
    let (mut first, mut rest) = (old_root, proof);
    // Where the old tree is one whole subtree its root begins the proof.
    if at != 0 {
        let Some((begin, others)) = proof.split_first() else { return Err(wrong) };
        (first, rest) = (*begin, others);
    }
    let (mut left, mut whole) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(wrong);
        }
        if at & 1 == 1 || at == last {
            (left, whole) = (node_hash(*hash, left), node_hash(*hash, whole));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            whole = node_hash(whole, *hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong);
    }
    if left == old_root && whole == new_root { Ok(()) } else { Err(ProofError::Inconsistent) }
}
