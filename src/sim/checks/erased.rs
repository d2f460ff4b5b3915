//! What was erased never comes back.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::truth::Truth;
use crate::disk;
use crate::ipc::{Erasure, Fact};

/// Of the data folder: keys, and what the platform signed for the shop.
const CREDENTIALS: &str = "credentials";
const NOTES: [&str; 3] = ["policy.note", "desired.note", "desired-next.note"];
const FOOTAGE: &str = "footage";

/// What was destroyed so far, as the ledger says.
#[derive(Debug, Default)]
pub(in crate::sim) struct Erased {
    /// The highest session number of which nothing is left.
    sessions: u64,
    newest: u64,
    single: BTreeSet<u64>,
    /// The binding ended, and nobody claimed the box since.
    is_unbound: bool,
    /// One has begun and has not ended.
    is_open: bool,
    /// Contents of the credentials that are there, of those that are being destroyed, and of those that were.
    there: BTreeSet<Vec<u8>>,
    doomed: BTreeSet<Vec<u8>>,
    destroyed: BTreeSet<Vec<u8>>,
}

impl Erased {
    /// The ledger has a new entry.
    #[allow(clippy::wildcard_enum_match_arm)] // the rest destroys nothing
    pub(in crate::sim) fn follow(&mut self, fact: &Fact) {
        match fact {
            Fact::ErasureStarted { .. } => self.is_open = true,
            Fact::Erased { .. } | Fact::Unbound { .. } | Fact::ServiceEnded { .. } => self.is_open = false,
            _ => {}
        }
        match fact {
            Fact::SessionStarted { session, .. } => self.newest = self.newest.max(*session),
            Fact::FootageDestroyed { session: Some(session), .. } => drop(self.single.insert(*session)),
            Fact::FootageDestroyed { session: None, .. } | Fact::Erased { .. } => self.sessions = self.newest,
            // The entry of the end may be written after the next key is there.
            Fact::ErasureStarted { what: Erasure::Unbind | Erasure::EndOfService, .. }
            | Fact::EndOfServiceReceived { .. }
                if self.doomed.is_empty() =>
            {
                self.doomed.clone_from(&self.there);
            }
            Fact::Unbound { .. } | Fact::ServiceEnded { .. } => {
                (self.sessions, self.is_unbound) = (self.newest, true);
                self.destroyed.append(&mut self.doomed);
            }
            Fact::Configured { .. } => self.is_unbound = false,
            _ => {}
        }
    }

    /// Whether one has begun and has not ended.
    pub(in crate::sim) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Looks at the disk, with all entries of the ledger known.
    pub(in crate::sim) fn look(&mut self, truth: &mut Truth, data: &Path) {
        for name in disk::names(&data.join(FOOTAGE)).unwrap_or_default() {
            let name = name.to_string_lossy().into_owned();
            let session = name.split_once('-').and_then(|(session, _)| session.parse().ok()).unwrap_or(u64::MAX);
            if session <= self.sessions || self.single.contains(&session) {
                truth.violated(format_args!("erased: {name} is there, and the ledger says that it was destroyed"));
            }
        }
        let folder = data.join(CREDENTIALS);
        let names = disk::names(&folder).unwrap_or_default();
        let contents = names.iter().filter_map(|name| disk::read(&folder.join(name)).ok());
        self.there = contents.filter(|content| !content.is_empty()).collect();
        if self.there.iter().any(|content| self.destroyed.contains(content)) {
            truth.violated(format_args!("erased: a key is there that was destroyed"));
        }
        let is_left = |name: &&&str| disk::exists(&data.join(name));
        if let Some(name) = NOTES.iter().find(is_left).filter(|_| self.is_unbound) {
            truth.violated(format_args!("erased: {name} is there, and the box is unbound"));
        }
    }
}
