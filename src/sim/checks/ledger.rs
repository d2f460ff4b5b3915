//! The ledger has what happened: what it said once it says for ever, and no start stands where the rules allow none.

use std::path::Path;
use std::time::SystemTime;

use super::super::operator::SentCommand;
use super::super::truth::{Hold, Truth};
use super::checkpoints::Checkpoints;
use super::erased::Erased;
use super::rights::Rights;
use super::updates::Updates;
use crate::disk::{self, exists};
use crate::ipc::{Erasure, Fact, LedgerEntry, StoredFact};
use crate::ledger::Ledger;

/// Longest entry, in bytes: an event has to fit into what a broker takes.
const MAX_ENTRY: usize = 8 * 1024;
/// Most entries within a second.
const MOST_ENTRIES: usize = 80;
/// Entries per read.
const PAGE: u32 = 500;

/// What an observer has seen of the ledger.
#[derive(Debug, Default)]
pub(in crate::sim) struct Seen {
    /// The files as they were read last.
    version: Version,
    /// Each entry that was on disk once.
    entries: Vec<LedgerEntry>,
    on: Option<u64>,
    locked: bool,
    unbound: bool,
    /// Versions of signed policies: one that staff need not acknowledge, and one that waits for them.
    carried: Option<String>,
    waiting: Option<String>,
    /// The platform asked staff to unbind the box.
    asked_to_unbind: bool,
    newest: u64,
    rights: Rights,
    erased: Erased,
    checkpoints: Checkpoints,
    updates: Updates,
}

/// The disk, which is another one after each power cut, and what changes with each write of the ledger's two files.
type Version = [Option<((u64, u64), SystemTime)>; 2];

fn version(path: &Path) -> Version {
    [path.to_owned(), path.with_extension("db-wal")]
        .map(|file| Some((disk::metadata(&file).ok()?.id, disk::modified(&file).ok()?)))
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
    /// Nothing of an update is under way any more.
    pub(in crate::sim) fn end_updates(&self, truth: &mut Truth) {
        self.updates.end_all(truth);
    }

    /// An erasure is under way.
    pub(in crate::sim) fn is_erasing(&self) -> bool {
        self.erased.is_open()
    }

    /// Each entry so far.
    pub(in crate::sim) fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    /// Reads the ledger in the folder `data` anew: what was in it is in it, and what is new keeps to the rules. `sent`
    /// is what operators have signed.
    pub(in crate::sim) fn look(&mut self, truth: &mut Truth, data: &Path, sent: &[SentCommand]) {
        let path = data.join("ledger.db");
        if !exists(&path) {
            return;
        }
        // Told before the ledger is read: all of what they are of is there.
        let checkpoints = std::mem::take(&mut truth.checkpoints);
        let version = version(&path);
        if version != self.version {
            match entries(&path) {
                Ok(all) => self.read(truth, sent, all),
                Err(why) => return truth.violated(format_args!("rule 6: the ledger cannot be read: {why}")),
            }
            self.version = version;
        }
        self.erased.look(truth, data);
        self.updates.look(truth, data);
        for note in checkpoints {
            self.checkpoints.check(truth, &note);
        }
        for session in truth.captures.iter().filter_map(|capture| capture.session).collect::<Vec<_>>() {
            if session > self.newest {
                truth.violated(format_args!("rule 6: session {session} has no entry"));
            }
        }
    }

    /// All entries are `all`.
    fn read(&mut self, truth: &mut Truth, sent: &[SentCommand], all: Vec<LedgerEntry>) {
        let known = self.entries.len();
        let is_kept = all.len() >= known && all.iter().zip(&self.entries).all(|(is, was)| is.hash == was.hash);
        if !is_kept {
            return truth.violated(format_args!("rule 6: the ledger has lost entries that it had"));
        }
        for entry in all.into_iter().skip(known) {
            if let StoredFact::Known(fact) = &entry.fact {
                self.rights.follow(truth, sent, fact);
                self.erased.follow(fact);
                self.updates.follow(truth, &entry, fact, self.on.is_some());
                self.follow(truth, fact);
            }
            let line = entry.line();
            if line.len() > MAX_ENTRY {
                truth.violated(format_args!("bounds: an entry of {} bytes", line.len()));
            }
            self.checkpoints.append(&line);
            self.entries.push(entry);
            self.count(truth);
        }
    }

    /// However much is asked, entries are written at a bounded rate.
    fn count(&self, truth: &mut Truth) {
        let [.., last] = self.entries.as_slice() else { return };
        let Some(first) = self.entries.len().checked_sub(MOST_ENTRIES + 1).map(|at| &self.entries[at]) else { return };
        let span = last.monotonic_ms.zip(first.monotonic_ms).map(|(last, first)| last.saturating_sub(first));
        if first.boot == last.boot && span.is_some_and(|span| span < 1_000) {
            truth.violated(format_args!("bounds: more than {MOST_ENTRIES} entries within a second"));
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
                    self.waiting.is_some()
                        || ![&truth.acknowledged, &self.carried].contains(&&Some(policy_version.clone())),
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
            if !truth.use_hold(if self.locked { Hold::Lock } else { Hold::Agree }) {
                truth.violated(format_args!("rule 9: nobody held the button for {fact:?}"));
            }
        } else if let Fact::PolicyAcknowledged { policy_version } = fact {
            // What a new box has is acknowledged by whoever installed it.
            if truth.acknowledged.is_some() && !truth.use_hold(Hold::Agree) {
                truth.violated(format_args!("rule 7: nobody held the button for {fact:?}"));
            }
            (truth.acknowledged, self.waiting) = (Some(policy_version.clone()), None);
        } else if let Fact::PolicyUpdated { policy_version, waits_for_staff, .. } = fact {
            *(if *waits_for_staff { &mut self.waiting } else { &mut self.carried }) = Some(policy_version.clone());
        } else if let Fact::ErasureStarted { what: Erasure::Unbind, .. } = fact {
            // Staff hold for 10 s, or for 2 s where the platform asked.
            let is_asked = std::mem::take(&mut self.asked_to_unbind) && truth.use_hold(Hold::Agree);
            if !is_asked && !truth.use_hold(Hold::Unbind) {
                truth.violated(format_args!("rule 10: nobody unbound the box"));
            }
        } else if let Fact::UnbindRequested {} = fact {
            self.asked_to_unbind = true;
        } else if let Fact::Unbound { .. } | Fact::ServiceEnded { .. } = fact {
            // The lock that the hold passed on its way goes with it: whoever claims the box finds it idle.
            (self.unbound, self.locked, self.carried, self.waiting) = (true, false, None, None);
        } else if let Fact::Configured { .. } = fact {
            self.unbound = false;
        }
    }
}
