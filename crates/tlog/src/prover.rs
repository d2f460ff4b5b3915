//! Makes proofs from the entries, which pass by once: no more than a proof's hashes is kept.

use crate::hash::Hash;
use crate::range::CompactRange;

/// The part of a tree whose root a proof has.
#[derive(Debug)]
struct Part {
    start: u64,
    end: u64,
    range: CompactRange,
}

/// Collects the hashes of a proof while the leaves of the tree pass by, in order from the first one on, or from where a
/// log was pruned.
#[derive(Debug)]
pub struct Prover {
    parts: Vec<Part>,
    next: u64,
}

impl Prover {
    /// Proves that leaf `index`, from 0, is in the tree of the first `size` leaves; `None`: it is not.
    pub fn of_inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut start, mut end, mut parts) = (0, size, Vec::new());
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                parts.push((middle, end));
                end = middle;
            } else {
                parts.push((start, middle));
                start = middle;
            }
        }
        Some(Self::of(parts))
    }

    /// Proves that the tree of the first `size` leaves begins with the tree of the first `old`; `None`: it is smaller,
    /// or `old` is 0, with which every tree begins.
    pub fn of_consistency(old: u64, size: u64) -> Option<Self> {
        if old == 0 || old > size {
            return None;
        }
        let (mut start, mut end, mut parts) = (0, size, Vec::new());
        while old != end {
            let middle = start + split(end - start);
            if old <= middle {
                parts.push((middle, end));
                end = middle;
            } else {
                parts.push((start, middle));
                start = middle;
            }
        }
        // The old tree's last whole part; its root is known where that is the old tree.
        if start > 0 {
            parts.push((start, end));
        }
        Some(Self::of(parts))
    }

    fn of(parts: Vec<(u64, u64)>) -> Self {
        let part = |(start, end)| Part { start, end, range: CompactRange::default() };
        // From the leaf to the root.
        Self { parts: parts.into_iter().rev().map(part).collect(), next: 0 }
    }

    /// Begins behind what was pruned.
    pub fn skip(&mut self, pruned: &CompactRange) {
        for (start, level, root) in pruned.subtrees() {
            let end = start + (1 << level);
            for part in self.parts.iter_mut().filter(|part| part.start <= start && end <= part.end) {
                part.range.append_subtree(level, root);
            }
        }
        self.next = pruned.size();
    }

    /// The next leaf.
    pub fn append(&mut self, leaf: Hash) {
        let at = self.next;
        for part in self.parts.iter_mut().filter(|part| (part.start..part.end).contains(&at)) {
            part.range.append(leaf);
        }
        self.next += 1;
    }

    /// The proof; `None`: leaves are missing, or what it needs was pruned.
    pub fn finish(self) -> Option<Vec<Hash>> {
        let root = |part: Part| (part.range.size() == part.end - part.start).then(|| part.range.root());
        self.parts.into_iter().map(root).collect()
    }
}

/// The largest power of two below `size`, which is 2 or more.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
