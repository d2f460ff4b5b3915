//! Every checkpoint that the box signs is consistent with every former one, and with the ledger.

use tlog::{CompactRange, Hash, Prover, SignedCheckpoint, leaf_hash, verify_consistency};

use super::super::truth::Truth;

/// The tree over the ledger as it was read, and the checkpoints that were told.
#[derive(Debug, Default)]
pub(in crate::sim) struct Checkpoints {
    leaves: Vec<Hash>,
    tree: CompactRange,
    /// The root of the tree of so many entries and one more.
    roots: Vec<Hash>,
    /// The newest: its size and root.
    last: Option<(u64, Hash)>,
    last_note: String,
}

impl Checkpoints {
    /// The ledger has one more entry.
    pub(in crate::sim) fn append(&mut self, line: &str) {
        let leaf = leaf_hash(line.as_bytes());
        self.leaves.push(leaf);
        self.tree.append(leaf);
        self.roots.push(self.tree.root());
    }

    /// A checkpoint was told, and the ledger read after that.
    pub(in crate::sim) fn check(&mut self, truth: &mut Truth, note: &str) {
        if self.last_note == note {
            return;
        }
        note.clone_into(&mut self.last_note);
        if let Err(why) = self.judge(note) {
            truth.violated(format_args!("checkpoint: {why}"));
        }
    }

    fn judge(&mut self, note: &str) -> Result<(), String> {
        let read = SignedCheckpoint::parse(note.as_bytes()).map_err(|error| error.to_string())?;
        let (size, root) = (read.unverified().size, read.unverified().root);
        let index = usize::try_from(size).unwrap_or(usize::MAX).checked_sub(1).ok_or("it is of nothing")?;
        match self.roots.get(index) {
            None => return Err(format!("it has {size} entries, and the ledger {}", self.roots.len())),
            Some(own) if *own != root => return Err(format!("its first {size} entries are not the ledger's")),
            Some(_) => {}
        }
        if let Some((before, former)) = self.last {
            if size < before {
                return Err(format!("it has {size} entries, and one before it had {before}"));
            }
            self.verify((before, former), (size, root))?;
        }
        self.last = Some((size, root));
        Ok(())
    }

    /// By a proof, as whoever has both checkpoints would.
    fn verify(&self, old: (u64, Hash), new: (u64, Hash)) -> Result<(), String> {
        if old.0 == new.0 {
            return if old.1 == new.1 { Ok(()) } else { Err("two of one size differ".to_owned()) };
        }
        let mut prover = Prover::of_consistency(old.0, new.0).ok_or("there is no proof")?;
        let count = usize::try_from(new.0).unwrap_or(usize::MAX);
        self.leaves.iter().take(count).for_each(|leaf| prover.append(*leaf));
        let proof = prover.finish().ok_or("the proof has no end")?;
        verify_consistency(old, new, &proof).map_err(|error| format!("it does not continue the one before: {error}"))
    }
}
