//! The consent ledger: append-only, hash-chained, on disk before `append` returns.

mod chain;
mod error;
mod export;
mod link_log;
mod prune;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod timeline;
mod writer;
mod writer_thread;

pub use error::LedgerError;
pub use export::{ExportError, VerifiedExport, verify as verify_export};
pub(crate) use link_log::LinkLog;
pub use state::LedgerState;
pub use store::Ledger;
pub(crate) use writer::LedgerWriter;
pub(crate) use writer_thread::{LedgerHead, WriterProgress};
