//! The ledger has what happened: what it said once it says for ever, and no start stands where the rules allow none.

use std::path::Path;

use super::super::truth::Truth;
use crate::disk::exists;
use crate::ipc::{Fact, LedgerEntry, StoredFact};
use crate::ledger::Ledger;

/// Entries per read.
const PAGE: u32 = 500;

/// What an observer has seen of the ledger.
#[derive(Debug, Default)]
pub(in crate::sim) struct Seen {
    /// The hash of each entry that was on disk once.
    hashes: Vec<String>,
    on: Option<u64>,
    locked: bool,
    unbound: bool,
    acknowledged: Option<String>,
    newest: u64,
}

/// All entries.
fn entries(path: &Path) -> Result<Vec<LedgerEntry>, String> {
    let ledger = Ledger::open_read_only(path).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    loop {
        let page = ledger.entries_after(all.len() as u64, PAGE).map_err(|error| error.to_string())?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

impl Seen {
    /// Reads the ledger anew: what was in it is in it, and what is new keeps to the rules.
    pub(in crate::sim) fn look(&mut self, truth: &mut Truth, path: &Path) {
        if !exists(path) {
            return;
        }
        let all = match entries(path) {
            Ok(all) => all,
            Err(why) => return truth.violated(format_args!("rule 6: the ledger cannot be read: {why}")),
        };
        let is_kept = all.len() >= self.hashes.len() && all.iter().zip(&self.hashes).all(|(is, was)| is.hash == *was);
        if !is_kept {
            return truth.violated(format_args!("rule 6: the ledger has lost entries that it had"));
        }
        for entry in &all[self.hashes.len()..] {
            if let StoredFact::Known(fact) = &entry.fact {
                self.follow(truth, fact);
            }
            self.hashes.push(entry.hash.clone());
        }
        for session in truth.captures.iter().filter_map(|capture| capture.session).collect::<Vec<_>>() {
            if session > self.newest {
                truth.violated(format_args!("rule 6: session {session} has no entry"));
            }
        }
    }

    fn follow(&mut self, truth: &mut Truth, fact: &Fact) {
        if let Fact::SessionStarted { session, policy_version, .. } | Fact::Probed { session, policy_version, .. } =
            fact
        {
            let forbidden = [
                (self.on.is_some(), "rule 4: a session starts while another one is on"),
                (self.locked, "rule 9: a session starts while the box is locked"),
                (
                    self.acknowledged.as_ref() != Some(policy_version),
                    "rule 7: a session starts before staff acknowledge",
                ),
                (self.unbound, "rule 10: a session starts in an unbound box"),
                (*session <= self.newest, "rule 6: a session has the number of another one"),
            ];
            for (_, rule) in forbidden.iter().filter(|(is, _)| *is) {
                truth.violated(format_args!("{rule}"));
            }
            (self.on, self.newest) = (Some(*session), *session);
        } else if let Fact::SessionStopped { session, .. } | Fact::SessionInterrupted { session } = fact {
            let was_on = self.on.take() == Some(*session);
            // A session whose lamp failed ends without having begun: its number is spent, and nothing captured.
            let never_began = *session > self.newest && truth.captures.iter().all(|one| one.session != Some(*session));
            self.newest = self.newest.max(*session);
            if !was_on && !never_began {
                truth.violated(format_args!("rule 6: session {session} ends and did not begin"));
            }
        } else if let Fact::Locked {} | Fact::Unlocked {} = fact {
            self.locked = matches!(fact, Fact::Locked {});
        } else if let Fact::PolicyAcknowledged { policy_version } = fact {
            self.acknowledged = Some(policy_version.clone());
        } else if let Fact::Unbound { .. } | Fact::Configured { .. } = fact {
            self.unbound = matches!(fact, Fact::Unbound { .. });
        }
    }
}
