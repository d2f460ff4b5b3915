//! The consent ledger: append-only, hash-chained, on disk before `append` returns.

mod broker_log;
#[cfg(feature = "box")]
mod chain;
#[cfg(feature = "box")]
pub(crate) mod checkpoint;
mod desired;
mod entry_hash;
#[cfg(feature = "box")]
mod error;
mod export;
mod footage;
mod link_log;
#[cfg(feature = "box")]
mod mismatch;
#[cfg(feature = "box")]
mod progress;
#[cfg(feature = "box")]
mod prune;
mod quotas;
mod refusals;
#[cfg(feature = "box")]
mod reserve;
#[cfg(feature = "box")]
mod resume;
#[cfg(feature = "box")]
mod signing;
mod state;
#[cfg(feature = "box")]
mod store;
#[cfg(test)]
mod tests;
mod timeline;
#[cfg(feature = "box")]
mod writer;
#[cfg(feature = "box")]
mod writer_thread;

pub(crate) use broker_log::BrokerLog;
#[cfg(feature = "box")]
pub(crate) use checkpoint::CheckpointSigner;
pub use desired::DesiredHistory;
pub use entry_hash::{GENESIS, following};
#[cfg(feature = "box")]
pub use error::LedgerError;
pub use export::{
    ExportError, VerifiedExport, beginning as export_beginning, judge as judge_checkpoint, verify as verify_export,
    verify_with as verify_export_with,
};
pub use footage::{FootageAge, FootageMarks};
pub(crate) use link_log::LinkLog;
#[cfg(feature = "box")]
pub(crate) use progress::{LedgerHead, WriterProgress};
pub use quotas::{SIZE_BUDGET, WORST_DAY, worst_case};
pub use refusals::Refusals;
pub use state::{BootTime, LedgerState, ServiceEnd, UpdateRecord};
#[cfg(feature = "box")]
pub use store::Ledger;
pub use timeline::{ClockMark, Timeline};
#[cfg(feature = "box")]
pub(crate) use writer::LedgerWriter;
