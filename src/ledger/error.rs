//! Why the ledger cannot be used.

/// Why the ledger cannot be used, with advice.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed: disk full, not writable, not a database.
    #[error("the ledger cannot be read or written: {0}; look at the disk's free space and at who owns data-dir")]
    Store(#[from] rusqlite::Error),
    /// The chain is broken: entries were changed, removed or damaged.
    #[error(
        "entry {seq} of the ledger is bad: {problem}; keep the file as evidence, move it out of data-dir, and the box starts a new one"
    )]
    Invalid {
        /// The first bad entry.
        seq: u64,
        /// The problem.
        problem: String,
    },
}

impl LedgerError {
    /// Whether another process holds the ledger, so that a retry will do.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Store(error) => error.sqlite_error_code().is_some_and(|code| {
                [rusqlite::ErrorCode::DatabaseBusy, rusqlite::ErrorCode::DatabaseLocked].contains(&code)
            }),
            Self::Invalid { .. } => false,
        }
    }
}
