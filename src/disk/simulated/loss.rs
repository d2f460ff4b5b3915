//! What a power cut leaves: of what no sync has confirmed, anything may be there or not.

use fastrand::Rng;

use super::tree::{Change, Data, Entries, NameChange, Node, Tree, size};

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// What becomes of changes that no sync has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them survive: only the processes died.
    Nothing,
    /// All of them are gone.
    Everything,
    /// Names survive, and what was written is gone: a file that was renamed is empty.
    Contents,
    /// What was written survives, and names are as they were.
    Names,
    /// What was written survives, and of the names the last one that changed: whatever should have been there before it
    /// is not.
    AllButNewestName,
    /// As a die falls that this seeds: names up to some change, as a journal keeps them, or any of them, as POSIX
    /// allows; of each write all, nothing, its beginning, or any of its sectors.
    Torn(u64),
}

impl Tree {
    /// What is there after a power cut now, on the disk `device`.
    pub(super) fn after_cut(&self, loss: Loss, device: u64) -> Self {
        let mut rng = Rng::with_seed(match loss {
            Loss::Torn(seed) => seed,
            Loss::Nothing | Loss::Everything | Loss::Contents | Loss::Names | Loss::AllButNewestName => 0,
        });
        let mut left = self.clone();
        left.device = device;
        let names = std::mem::take(&mut left.names);
        left.settle(&kept_names(names, loss, &mut rng));
        for inode in left.inodes.values_mut() {
            match &mut inode.node {
                Node::Dir(Entries { now, durable }) => now.clone_from(durable),
                Node::File(data) => *data = survivor(data, loss, &mut rng),
            }
        }
        let reachable = left.reachable();
        left.inodes.retain(|number, _| reachable.contains(number));
        left
    }
}

fn kept_names(mut names: Vec<NameChange>, loss: Loss, rng: &mut Rng) -> Vec<NameChange> {
    match loss {
        Loss::Nothing | Loss::Contents => {}
        Loss::Everything | Loss::Names => names.clear(),
        Loss::AllButNewestName => drop(names.drain(..names.len().saturating_sub(1))),
        Loss::Torn(_) if rng.bool() => names.truncate(rng.usize(..=names.len())),
        Loss::Torn(_) => names.retain(|_| rng.bool()),
    }
    names
}

fn survivor(data: &Data, loss: Loss, rng: &mut Rng) -> Data {
    let mut durable = data.durable.clone();
    for change in &data.pending {
        match loss {
            Loss::Nothing | Loss::Names | Loss::AllButNewestName => durable.apply(change),
            Loss::Everything | Loss::Contents => {}
            Loss::Torn(_) => torn(change, rng).iter().for_each(|part| durable.apply(part)),
        }
    }
    Data::settled(durable)
}

/// What is left of one change.
fn torn(change: &Change, rng: &mut Rng) -> Vec<Change> {
    let fate = rng.u8(..4);
    match change {
        _ if fate == 0 => Vec::new(),
        Change::Length(_) => vec![change.clone()],
        Change::Write { .. } if fate == 1 => vec![change.clone()],
        Change::Write { at, bytes } => {
            let sectors = sectors(*at, bytes);
            let until = rng.usize(..=sectors.len());
            let is_kept = |number: usize, rng: &mut Rng| if fate == 2 { number < until } else { rng.bool() };
            sectors.into_iter().enumerate().filter(|(number, _)| is_kept(*number, rng)).map(|(_, part)| part).collect()
        }
    }
}

/// A write, cut where sectors of the disk begin.
fn sectors(at: u64, bytes: &[u8]) -> Vec<Change> {
    let (first, rest) = bytes.split_at((SECTOR - size(at) % SECTOR).min(bytes.len()));
    let mut at = at;
    let parts = std::iter::once(first).chain(rest.chunks(SECTOR)).filter(|part| !part.is_empty());
    let change = |part: &[u8]| {
        let change = Change::Write { at, bytes: part.to_vec() };
        at += part.len() as u64;
        change
    };
    parts.map(change).collect()
}
