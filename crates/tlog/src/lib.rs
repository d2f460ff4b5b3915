//! A transparency log as C2SP has it: an RFC 6962 Merkle tree, its proofs,
//! [checkpoints](https://c2sp.org/tlog-checkpoint) and [proof files](https://c2sp.org/tlog-proof). Pure: no I/O, no
//! clock, no randomness.
//!
//! A log keeps a [`CompactRange`] of its tree, which has one hash for each bit of its size: enough to grow, to know the
//! root, and to make a [`Checkpoint`]. Whoever has all entries proves with [`Prover`] that one of them, or a smaller
//! tree, is in a tree; [`verify_inclusion`] and [`verify_consistency`] judge that without any entries.
//!
//! ```
//! use tlog::{CompactRange, Prover, leaf_hash, verify_inclusion};
//!
//! let entries = ["locked", "unlocked", "locked"];
//! let mut tree = CompactRange::default();
//! let mut prover = Prover::of_inclusion(1, 3).unwrap();
//! for entry in entries {
//!     tree.append(leaf_hash(entry.as_bytes()));
//!     prover.append(leaf_hash(entry.as_bytes()));
//! }
//! let proof = prover.finish().unwrap();
//! verify_inclusion(leaf_hash(b"unlocked"), 1, 3, &proof, tree.root())?;
//! # Ok::<(), tlog::ProofError>(())
//! ```

mod checkpoint;
mod hash;
mod proof;
mod proof_file;
mod prover;
mod range;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use hash::{Hash, leaf_hash, node_hash};
pub use proof::{MAX_PROOF_HASHES, ProofError, root_of_inclusion, verify_consistency, verify_inclusion};
pub use proof_file::{GrowthFile, MAX_PROOF_BYTES, ProofFile, ProofFileError};
pub use prover::Prover;
pub use range::CompactRange;
