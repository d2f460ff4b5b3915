//! The right edge of a tree: the roots of its whole subtrees.

use crate::hash::{Hash, node_hash};

/// Largest size of a range, in leaves: more than any log will have, and all sums fit.
const MAX_SIZE: u64 = 1 << 62;

/// The roots of the whole subtrees that a tree of this size consists of, largest first: one for each bit of the size
/// that is set. It grows and knows its root without any entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    roots: Vec<Hash>,
}

impl CompactRange {
    /// The range of a tree of this size; `None`: a size has one hash for each of its bits, and these are more or fewer,
    /// or it is larger than any log.
    pub fn new(size: u64, roots: Vec<Hash>) -> Option<Self> {
        let fits = size <= MAX_SIZE && usize::try_from(size.count_ones()).ok()? == roots.len();
        fits.then_some(Self { size, roots })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf.
    pub fn append(&mut self, leaf: Hash) {
        self.append_subtree(0, leaf);
    }

    /// Appends a whole subtree of 2^`level` leaves; the size is a multiple of that.
    pub(crate) fn append_subtree(&mut self, level: u32, root: Hash) {
        let mut node = root;
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(left, node);
            }
        }
        self.roots.push(node);
        self.size += 1 << level;
    }

    /// The hash of the whole tree.
    pub fn root(&self) -> Hash {
        let joined = self.roots.iter().rev().copied().reduce(|right, left| node_hash(left, right));
        joined.unwrap_or_else(Hash::empty)
    }

    /// The subtrees, from left to right: where each begins, its level, its root.
    pub(crate) fn subtrees(&self) -> impl Iterator<Item = (u64, u32, Hash)> {
        let levels = (0..u64::BITS).rev().filter(|level| self.size >> level & 1 == 1);
        let mut start = 0;
        levels.zip(&self.roots).map(move |(level, root)| {
            let place = (start, level, *root);
            start += 1 << level;
            place
        })
    }
}
