//! Deletes footage, keys and credentials: files are unlinked, and the directory is synced before the ledger has the
//! entry.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use rustix::io::Errno;

mod credentials;

use credentials::CredentialsErasure;
pub(super) use credentials::CredentialsOutcome;

use super::identity::{self, CREDENTIALS};
use super::receipt::{self, Destroyed, ReceiptContext};
use crate::disk::Dir;
use crate::ipc::{CredentialsReport, Erasure, ErasureReason, Fact, FootageEnd};
use crate::judges::policy_note::POLICY_NOTE;
use crate::judges::twin;
use crate::overwrite::{self, Deleted};

/// Unsent footage, in data-dir. The folder itself stays, as the agent's does: capture's user writes into it.
pub(super) const FOOTAGE: &str = "footage";
/// The agent's folder in data-dir, where the agent's user writes too: how far the platform has read the ledger, and the
/// broker's remarks.
const AGENT: &str = "agent";
/// Depth of nested folders: each takes a descriptor while it is emptied.
const DEEPEST: usize = 16;
/// Files and folders per attempt: some tenths of a second on an SD card, far below the lease.
const MOST: u32 = 5_000;
/// Files that are overwritten per attempt: each waits for the disk. What lies in a folder beyond it, where another user
/// can make as many as it likes, is unlinked.
const MOST_OVERWRITTEN: u32 = 16;

/// What the platform signed for this shop, in data-dir: it ends with the binding.
const PLATFORM_NOTES: [&str; 3] = [POLICY_NOTE, twin::NOTE, twin::NEXT];

/// What signs the receipt: it goes last.
const KEY: [&str; 2] = [identity::FILE, identity::SEALED_FILE];

/// Deletions that are due. One that fails stays due, and is tried again until it is done.
#[derive(Debug, Default)]
pub(super) struct PendingErasure {
    footage: bool,
    /// With a receipt.
    erasure: Option<Erasure>,
    /// Why somebody asked for it.
    reason: Option<ErasureReason>,
    /// Credentials under `/etc`, in an unbinding.
    credentials: CredentialsErasure,
    /// A receipt that lies there is this one's, not one that could not be deleted before.
    has_receipt: bool,
    /// The number of the fact that announces it; `None`: the ledger did not take it yet.
    announced: Option<u64>,
}

/// What one attempt came to.
#[derive(Debug, Default)]
pub(super) struct Erased {
    /// What was deleted, for the ledger.
    pub(super) facts: Vec<Fact>,
    /// What could not be deleted; it is tried again.
    pub(super) error: Option<String>,
}

impl Erased {
    fn fail(&mut self, data_dir: &Path, error: &io::Error) {
        let dir = data_dir.display();
        self.error = Some(format!("files in {dir} cannot be deleted: {error}; it is tried again"));
    }
}

impl PendingErasure {
    /// Unsent footage has to go.
    pub(super) fn add_footage(&mut self) {
        self.footage = true;
    }

    /// An erasure with a receipt is due, as soon as the ledger has its announcement. The one that
    /// destroys more counts.
    pub(super) fn add(&mut self, what: Erasure, reason: Option<ErasureReason>) {
        // One that is under way may have destroyed the key: its receipt counts then.
        self.has_receipt = self.has_receipt && self.erasure.is_some();
        let before = (self.erasure, self.reason);
        self.erasure = self.erasure.max(Some(what));
        self.reason = reason.or(self.reason);
        // One that destroys no more than the one under way is part of that, and announced with it.
        if (self.erasure, self.reason) != before {
            self.announced = None;
        }
    }

    /// The helper deleted the credentials under `/etc`. Returns whether that was waited for.
    pub(super) fn confirm_credentials(&mut self, report: CredentialsReport) -> bool {
        self.erasure.is_some_and(|what| what != Erasure::Erase) && self.credentials.confirm(report)
    }

    /// The ledger has its announcement from before the guard started.
    pub(super) fn resume(&mut self, what: Erasure, reason: Option<ErasureReason>) {
        (self.erasure, self.reason, self.announced, self.has_receipt) = (Some(what), reason, Some(0), true);
    }

    pub(super) fn set_announced(&mut self, fact: u64) {
        self.announced = Some(fact);
    }

    /// The erasure that is due, if any, and the number of the fact that announces it.
    pub(super) fn due(&self) -> Option<(Erasure, Option<u64>)> {
        self.erasure.map(|what| (what, self.announced))
    }

    /// Why it was asked for.
    pub(super) fn reason(&self) -> Option<ErasureReason> {
        self.reason
    }

    /// Deletes what is due; with `is_announced` the erasure too.
    pub(super) fn run(&mut self, data_dir: &Path, context: &ReceiptContext<'_>, is_announced: bool) -> Erased {
        let mut erased = Erased::default();
        if self.footage {
            match erase_footage(data_dir) {
                Ok(files) => {
                    self.footage = false;
                    erased.facts.push(Fact::FootageDestroyed { files, why: Some(FootageEnd::Lock), session: None });
                }
                Err(error) => erased.fail(data_dir, &error),
            }
        }
        let result = match self.erasure.filter(|_| is_announced) {
            None => return erased,
            Some(Erasure::Erase) => erase_footage(data_dir).map(|files| {
                let destroyed = Destroyed { what: Erasure::Erase, reason: self.reason, files, credentials: None };
                let receipt = receipt::sign(data_dir, context, &destroyed);
                Some(Fact::Erased { files, receipt })
            }),
            Some(what @ (Erasure::Unbind | Erasure::EndOfService)) => self.erase_binding(data_dir, context, what),
        };
        match result {
            // The helper is at work.
            Ok(None) => {}
            Ok(Some(fact)) => {
                (self.erasure, self.reason, self.credentials) = (None, None, CredentialsErasure::Due);
                erased.facts.push(fact);
            }
            Err(error) => erased.fail(data_dir, &error),
        }
        erased
    }

    /// Destroys footage, keys, credentials, the platform's notes and all that the agent wrote; `None`: not all of it is
    /// gone yet. The key signs the receipt when all but itself is.
    fn erase_binding(
        &mut self,
        data_dir: &Path,
        context: &ReceiptContext<'_>,
        what: Erasure,
    ) -> io::Result<Option<Fact>> {
        let (files, has_key) = erase_all_but_key(data_dir)?;
        let mut all = files.saturating_add(u64::from(has_key));
        // With a receipt the helper has done its part, before a power cut.
        let mut receipt = self.has_receipt.then(|| receipt::staged(data_dir)).flatten();
        if receipt.is_none() {
            let (configuration, has_helper) = (context.configuration, context.has_helper);
            let credentials = self.credentials.advance(data_dir, configuration, has_helper, context.now)?;
            let Some(credentials) = credentials else { return Ok(None) };
            if let CredentialsOutcome::Confirmed(report) = &credentials {
                all = all.saturating_add(report.removed);
            }
            let reason = self.reason;
            let destroyed = Destroyed { what, reason, files: all, credentials: Some(&credentials) };
            receipt = self.stage_receipt(data_dir, context, &destroyed);
        }
        let root = Dir::open(data_dir)?;
        let mut sweep = Sweep::default();
        sweep.remove(&root, CREDENTIALS, DEEPEST);
        let rest = sweep.end(&root)?;
        credentials::withdraw(data_dir)?;
        let files = all.saturating_add(rest).saturating_sub(u64::from(has_key));
        Ok(Some(match what {
            Erasure::EndOfService => Fact::ServiceEnded { files, receipt },
            Erasure::Unbind | Erasure::Erase => Fact::Unbound { files, receipt },
        }))
    }

    /// A receipt that a power cut does not take away. Without room for it on the disk the deletion goes on all the
    /// same.
    fn stage_receipt(
        &mut self,
        data_dir: &Path,
        context: &ReceiptContext<'_>,
        destroyed: &Destroyed<'_>,
    ) -> Option<String> {
        let receipt = receipt::sign(data_dir, context, destroyed)?;
        match receipt::stage(data_dir, &receipt) {
            Ok(()) => self.has_receipt = true,
            Err(error) => tracing::error!(%error, "the receipt cannot be kept before the ledger has it"),
        }
        Some(receipt)
    }
}

/// Destroys unsent footage. Returns how many files there were.
fn erase_footage(data_dir: &Path) -> io::Result<u64> {
    let root = Dir::open(data_dir)?;
    let mut sweep = Sweep::default();
    sweep.empty_folder(&root, FOOTAGE);
    sweep.end(&root)
}

/// Destroys these of the footage's files. Returns how many there were.
pub(super) fn erase_files(data_dir: &Path, names: &[OsString]) -> io::Result<u64> {
    if names.is_empty() {
        return Ok(0);
    }
    let root = Dir::open(data_dir)?;
    let mut sweep = Sweep::default();
    let footage = root.open_dir(FOOTAGE.as_ref())?;
    for name in names {
        sweep.remove(&footage, name, DEEPEST);
    }
    sweep.end(&footage)
}

/// All of a binding but the key that signs the receipt. Returns how many files there were, and whether there is a key.
fn erase_all_but_key(data_dir: &Path) -> io::Result<(u64, bool)> {
    let root = Dir::open(data_dir)?;
    let mut sweep = Sweep::default();
    // Keys first: what others wrote must not use up the time for them. What is no folder goes with the key.
    let mut has_key = false;
    if let Ok(credentials) = root.open_dir(CREDENTIALS.as_ref()) {
        let is_there = |name: &&str| credentials.metadata(name.as_ref()).is_ok();
        has_key = KEY.iter().any(is_there);
        if let Err(error) = sweep.empty(&credentials, &KEY, DEEPEST) {
            sweep.fail(error);
        }
    }
    for note in PLATFORM_NOTES {
        sweep.remove(&root, note, DEEPEST);
    }
    sweep.empty_folder(&root, FOOTAGE);
    sweep.empty_folder(&root, AGENT);
    Ok((sweep.end(&root)?, has_key))
}

/// One attempt. It skips what cannot be deleted, and its size is bounded: a process that writes in a folder meanwhile
/// must not keep the guard busy.
///
/// Every step uses the descriptor of an open folder, never a path: a symbolic link put in place of a folder could lead
/// to the ledger.
#[derive(Debug, Default)]
struct Sweep {
    files: u64,
    seen: u32,
    overwritten: u32,
    failed: Option<io::Error>,
}

impl Sweep {
    fn fail(&mut self, error: io::Error) {
        self.failed.get_or_insert(error);
    }

    /// Removes a file, or a folder with all that is in it, from `dir`.
    fn remove(&mut self, dir: &Dir, name: impl AsRef<OsStr>, depth: usize) {
        if let Err(error) = self.try_to_remove(dir, name.as_ref(), depth) {
            self.fail(error);
        }
    }

    fn try_to_remove(&mut self, dir: &Dir, name: &OsStr, depth: usize) -> io::Result<()> {
        let deleted = if self.overwritten < MOST_OVERWRITTEN {
            overwrite::delete(dir, name)
        } else {
            dir.remove_file(name).map(|()| Deleted::Unlinked)
        };
        match deleted {
            Ok(deleted) => {
                self.files += u64::from(deleted != Deleted::Nothing);
                self.overwritten += u32::from(deleted == Deleted::Overwritten);
                return Ok(());
            }
            // What is gone already is as good as deleted.
            Err(Errno::NOENT) => return Ok(()),
            // A folder.
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(io::Error::other("folders lie too deep in each other"));
        };
        self.empty(&dir.open_dir(name)?, &[], depth)?;
        match dir.remove_dir(name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all that is in the folder `name` of `dir`; the folder itself stays. Something else in its
    /// place is an error: what should be there may lie elsewhere.
    fn empty_folder(&mut self, dir: &Dir, name: &str) {
        match dir.open_dir(name.as_ref()) {
            Err(Errno::NOENT) => {}
            Err(error) => self.fail(error.into()),
            Ok(folder) => {
                if let Err(error) = self.empty(&folder, &[], DEEPEST) {
                    self.fail(error);
                }
            }
        }
    }

    /// Removes all that is in `dir`, but for what has one of the names `kept`.
    fn empty(&mut self, dir: &Dir, kept: &[&str], depth: usize) -> io::Result<()> {
        for name in dir.names()? {
            let name = name?;
            if kept.iter().any(|kept| name == *kept) {
                continue;
            }
            self.seen += 1;
            if self.seen > MOST {
                return Err(io::Error::other("there are too many for one attempt"));
            }
            self.remove(dir, name, depth);
        }
        Ok(dir.sync()?)
    }

    /// Syncs the folder, and returns how many files were deleted.
    fn end(self, root: &Dir) -> io::Result<u64> {
        root.sync()?;
        self.failed.map_or(Ok(self.files), Err)
    }
}

#[cfg(test)]
mod tests;
