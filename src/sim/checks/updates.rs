//! Software updates: nothing is installed but the newest release that counts, never beside a session, never twice, and
//! each attempt has one end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::releases::{Handed, Published};
use super::super::truth::Truth;
use super::super::updates::{installed_version, updater_home};
use crate::disk;
use crate::ipc::{Erasure, Fact, LedgerEntry, UpdateState};

/// A box is left alone for so long after a session, less what its ledger may be late by.
const AFTER_SESSION: Duration = Duration::from_secs(5 * 60 - 10);
/// A clock that was set so lately may have been right, or wrong, when it was looked at.
const CLOCK_SLACK: Duration = Duration::from_secs(20);
/// Files of packages in the agent's folder: one, and a part of it; and of one more, which could not be removed.
const MOST_FILES: usize = 4;

/// An attempt, as the ledger has it.
#[derive(Debug)]
struct Attempt {
    /// The newest serial when it began.
    serial: Option<u64>,
    is_open: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(in crate::sim) struct Updates {
    /// The newest release that came into force.
    newest: Option<u64>,
    attempts: BTreeMap<String, Attempt>,
    /// How many of the packages that were handed over were looked at.
    judged: usize,
    /// The boot in which a session ended, and when.
    session_ended: Option<(Option<String>, u64)>,
    /// Staff are asked for a session.
    is_requested: bool,
    /// The box deletes its packages, since the last attempt began.
    deletes_packages: bool,
    /// The version that an attempt installed, as the ledger says, since the last one began.
    succeeded: Option<String>,
}

impl Updates {
    /// The ledger has a new entry. `is_on`: a session is on.
    #[allow(clippy::wildcard_enum_match_arm)] // the rest has nothing to do with updates
    pub(in crate::sim) fn follow(&mut self, truth: &mut Truth, entry: &LedgerEntry, fact: &Fact, is_on: bool) {
        match fact {
            Fact::GuardStarted { .. }
            | Fact::RequestEnded { .. }
            | Fact::SessionStarted { .. }
            | Fact::Probed { .. } => self.is_requested = false,
            Fact::Requested { .. } => self.is_requested = true,
            Fact::SessionStopped { .. } => {
                self.session_ended = entry.monotonic_ms.map(|at| (entry.boot.clone(), at));
            }
            Fact::UpdateOffered { serial, .. } => self.newest = self.newest.max(Some(*serial)),
            Fact::ErasureStarted { what: Erasure::Unbind | Erasure::EndOfService, .. }
            | Fact::EndOfServiceReceived { .. } => self.deletes_packages = true,
            Fact::UpdateStarted { digest, attempt, .. } => {
                (self.deletes_packages, self.succeeded) = (false, None);
                if let Err(why) = self.start(truth, entry, digest, attempt, is_on) {
                    truth.violated(format_args!("updates: {why}: {fact:?}"));
                }
            }
            Fact::UpdateSucceeded { attempt, version } => {
                self.end(truth, attempt, fact);
                self.succeeded = Some(version.clone());
            }
            Fact::UpdateFailed { attempt, why, .. } => {
                self.end(truth, attempt, fact);
                if why.starts_with("the package is not there") && !self.deletes_packages {
                    truth.violated(format_args!("updates: an attempt began without its package: {fact:?}"));
                }
            }
            _ => {}
        }
    }

    fn start(
        &mut self,
        truth: &Truth,
        entry: &LedgerEntry,
        digest: &str,
        attempt: &str,
        is_on: bool,
    ) -> Result<(), String> {
        let is_release = |release: &&Published| Some(release.serial) == self.newest && release.digest == digest;
        let release = truth.updates.published.iter().find(is_release);
        let of_boot = self.session_ended.as_ref().filter(|(boot, _)| *boot == entry.boot);
        let since_session = of_boot.map(|(_, at)| *at);
        let since_session = entry.monotonic_ms.zip(since_session).map(|(now, then)| now.saturating_sub(then));
        let wrong = [
            (release.is_none(), "it is not the newest release that counts"),
            (entry.synchronised == Some(false), "nobody knows the time"),
            (
                release.zip(entry.clock).is_some_and(|(release, now)| release.not_after <= now),
                "the release has expired",
            ),
            (is_on, "a session is on"),
            (self.is_requested, "staff are asked for a session"),
            (since_session.is_some_and(|ms| Duration::from_millis(ms) < AFTER_SESSION), "a session ended just before"),
            (self.attempts.values().any(|attempt| attempt.is_open), "another attempt has not ended"),
            (self.attempts.contains_key(attempt), "it is the second time"),
        ];
        self.attempts.insert(attempt.to_owned(), Attempt { serial: self.newest, is_open: true });
        wrong.iter().find(|(is, _)| *is).map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
    }

    fn end(&mut self, truth: &mut Truth, attempt: &str, fact: &Fact) {
        match self.attempts.get_mut(attempt) {
            Some(attempt) if attempt.is_open => attempt.is_open = false,
            Some(_) => truth.violated(format_args!("updates: an attempt ends twice: {fact:?}")),
            None => truth.violated(format_args!("updates: an attempt ends that never began: {fact:?}")),
        }
    }

    /// Looks at the disk, and at what was installed, with all entries of the ledger known.
    pub(in crate::sim) fn look(&mut self, truth: &mut Truth, data: &Path) {
        let handed = truth.updates.handed.clone();
        for (number, one) in handed.iter().enumerate().skip(self.judged) {
            if let Err(why) = self.judge(truth, one, &handed[..number]) {
                truth.violated(format_args!("updates: {why}: {one:?}"));
            }
        }
        self.judged = handed.len();
        if let (Some(says), Some(is)) = (self.succeeded.take(), installed_version())
            && says != is
        {
            truth.violated(format_args!("updates: the ledger says that {says} was installed, and {is} is"));
        }
        let names = disk::names(&data.join("agent")).unwrap_or_default();
        let packages = names.iter().filter(|name| name.to_string_lossy().starts_with("update-")).count();
        if packages > MOST_FILES {
            truth.violated(format_args!("updates: {packages} packages lie in the agent's folder"));
        }
    }

    fn judge(&self, truth: &Truth, one: &Handed, before: &[Handed]) -> Result<(), &'static str> {
        let attempt = self.attempts.get(&one.attempt).ok_or("a package is installed for no attempt of the ledger's")?;
        let of_package = |release: &&Published| release.sha256 == one.digest;
        let all: Vec<_> = truth.updates.published.iter().filter(of_package).collect();
        let is_new = all.iter().any(|release| Some(release.serial) >= attempt.serial);
        let counts = all.iter().any(|release| release.not_after > one.wall);
        let is_clock_known = one.at.saturating_sub(truth.updates.clock_changed) > CLOCK_SLACK;
        let wrong = [
            (all.is_empty(), "a package is installed that no release names"),
            (!is_new, "a package is installed that an older release names"),
            (is_clock_known && !counts, "a package is installed whose release has expired"),
            (is_clock_known && !one.synchronised, "a package is installed while nobody knows the time"),
            (before.iter().any(|other| other.attempt == one.attempt), "a package is installed twice for one attempt"),
        ];
        wrong.iter().find(|(is, _)| *is).map_or(Ok(()), |(_, why)| Err(why))
    }

    /// All is well around the box, and nothing is under way any more.
    pub(in crate::sim) fn end_all(&self, truth: &mut Truth) {
        for (name, _) in self.attempts.iter().filter(|(_, attempt)| attempt.is_open) {
            truth.violated(format_args!("updates: the attempt {name} has no end"));
        }
        let installed = installed_version();
        let Some(update) = truth.status.as_ref().map(|status| status.update.clone()) else { return };
        if installed.is_none() {
            truth.violated(format_args!("updates: no package is installed"));
        }
        let says_installed = update.state == UpdateState::Current && update.version.is_some();
        if says_installed && update.version != installed {
            truth.violated(format_args!("updates: the status says {update:?}, and {installed:?} is installed"));
        }
        let home = updater_home();
        for name in ["new.deb", "pending", "result"] {
            if disk::exists(&home.join(name)) {
                truth.violated(format_args!("updates: {name} is left in the updater's folder"));
            }
        }
    }
}
