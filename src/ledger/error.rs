//! Why the ledger cannot be used.

use std::path::PathBuf;

use crate::ipc::{WHY, clean};

/// Why the ledger cannot be used, with advice.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed: disk full, not writable, not a database.
    #[error("the ledger cannot be read or written: {}; look at the disk's free space and at who owns data-dir", clean(&.0.to_string(), WHY))]
    Store(#[from] rusqlite::Error),
    /// The chain is broken: entries were changed, removed or damaged.
    #[error(
        "entry {seq} of the ledger is bad: {}; keep ledger.db and ledger.checkpoint as evidence: move them and credentials/identity out of data-dir, and the box starts a new ledger, with a new identity",
        clean(problem, WHY)
    )]
    Invalid {
        /// The first bad entry.
        seq: u64,
        /// The problem.
        problem: String,
    },
    /// The ledger is not the one that the box signed checkpoints of: it was put back from a backup, or replaced.
    #[error(
        "the ledger is not the one that this box signed {size} entries of: {problem}; put the newest ledger.db back; where that is lost, keep ledger.db and ledger.checkpoint as evidence: move them and credentials/identity out of data-dir, and the box starts a new ledger, with a new identity"
    )]
    NotSigned {
        /// How many entries the last signed checkpoint is of.
        size: u64,
        /// The problem.
        problem: String,
    },
    /// What the box signed last cannot be read.
    #[error("{path}, the last checkpoint that this box signed, cannot be used: {problem}; put it back from a backup")]
    Checkpoint {
        /// The file.
        path: PathBuf,
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
            Self::Invalid { .. } | Self::NotSigned { .. } | Self::Checkpoint { .. } => false,
        }
    }

    /// Whether what is on the disk is not the ledger that the box wrote, whole and newest: more than a disk that does
    /// not answer.
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Store(rusqlite::Error::SqliteFailure(error, _)) => [
                rusqlite::ErrorCode::NotADatabase,
                rusqlite::ErrorCode::DatabaseCorrupt,
                rusqlite::ErrorCode::TypeMismatch,
                // A table or column that is not there.
                rusqlite::ErrorCode::Unknown,
            ]
            .contains(&error.code),
            Self::Store(
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::SqlInputError { .. },
            )
            | Self::Invalid { .. }
            | Self::NotSigned { .. }
            | Self::Checkpoint { .. } => true,
            Self::Store(_) => false,
        }
    }

    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Store(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Invalid { .. } | Self::NotSigned { .. } | Self::Checkpoint { .. } => false,
        }
    }
}
