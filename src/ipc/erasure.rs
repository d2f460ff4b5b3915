//! What an erasure destroys: a word of the ledger and of receipts.

use serde::{Deserialize, Serialize};

/// What an erasure destroys; each is more than the one before.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Erasure {
    /// Unsent footage, and what commands had set.
    Erase,
    /// The same with keys, credentials and the binding to the shop.
    Unbind,
    /// The same because the platform's service ended.
    EndOfService,
}

impl Erasure {
    /// The name in the ledger and in receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::Unbind => "unbind",
            Self::EndOfService => "end-of-service",
        }
    }
}
