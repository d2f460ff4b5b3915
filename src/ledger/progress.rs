//! What others see of the thread that writes the ledger.

use crate::ipc::LedgerCheck;

/// The thread's progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriterProgress {
    /// The ledger is open.
    pub(crate) open: bool,
    /// Submitted facts that are on disk.
    pub(crate) written: u64,
    /// Why the last attempt failed.
    pub(crate) error: Option<String>,
    /// Whether the entries verify that were not verified at the opening.
    pub(crate) check: LedgerCheck,
    /// The newest checkpoint that was signed: a note.
    pub(crate) checkpoint: Option<String>,
    /// What was found wrong with the ledger in a former life of the guard, and is in no ledger yet.
    pub(crate) former_mismatch: Option<String>,
}

/// The end of the ledger, for readers that follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerHead {
    /// The ledger's id; `None`: it is not open, or empty.
    pub(crate) ledger: Option<String>,
    /// The last entry's number.
    pub(crate) seq: u64,
    /// The last `unbound` entry's number; 0: none.
    pub(crate) unbound: u64,
}
