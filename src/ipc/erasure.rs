//! What an erasure destroys: a word of the ledger and of receipts.

use serde::{Deserialize, Serialize};

/// What an erasure destroys.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Erasure {
    /// Unsent footage, and what commands had set.
    Erase,
    /// The same with keys, credentials and the binding to the shop.
    Unbind,
}

impl Erasure {
    /// The name in the ledger and in receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::Unbind => "unbind",
        }
    }
}
