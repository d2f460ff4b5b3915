//! Circles in a graph of modules.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::Name;

/// Groups of modules each of which reaches every other one of its group.
pub(crate) fn circles<'a>(imports: &BTreeMap<&'a Name, BTreeSet<Name>>) -> Vec<Vec<&'a Name>> {
    let reached: BTreeMap<_, _> = imports.keys().map(|name| (*name, reachable(name, imports))).collect();
    let mut groups = BTreeSet::new();
    for (name, all) in reached.iter().filter(|(name, all)| all.contains(**name)) {
        let back = |other: &&&Name| all.contains(**other) && reached[**other].contains(*name);
        groups.insert(imports.keys().filter(back).copied().collect::<Vec<_>>());
    }
    groups.into_iter().collect()
}

/// All that `name` imports, directly or by a detour.
fn reachable(name: &Name, imports: &BTreeMap<&Name, BTreeSet<Name>>) -> BTreeSet<Name> {
    let (mut all, mut pending) = (BTreeSet::new(), vec![name]);
    while let Some(next) = pending.pop() {
        for import in imports.get(next).into_iter().flatten() {
            if all.insert(import.clone()) {
                pending.push(import);
            }
        }
    }
    all
}
