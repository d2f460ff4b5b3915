//! One entry of the consent ledger: a fact with its place in the chain, and the clocks at that moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Fact;
use crate::clock::ClockReading;

/// One entry of the ledger.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LedgerEntry {
    /// Counts from 1 without a gap.
    pub seq: u64,
    /// The ordering time, UTC: the clock's where that is plausible. It goes back only where the clock was wrong before.
    #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
    pub at: Timestamp,
    /// The wall clock as it was. This and the next three fields are missing in entries of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(schema_with = "crate::wire::maybe_time"))]
    pub clock: Option<Timestamp>,
    /// Whether the kernel had the clock as synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<bool>,
    /// The boot of the machine: 16 hex digits that tell boots apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Time since that boot, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotonic_ms: Option<u64>,
    /// What happened.
    #[cfg_attr(test, schemars(with = "Fact"))]
    pub fact: StoredFact,
    /// SHA-256 of the entry before, in hex; 64 zeros before the first.
    pub prev: String,
    /// SHA-256 over all of the above, in hex; docs/ledger.md has the bytes.
    pub hash: String,
}

impl LedgerEntry {
    /// Its line in an export, without the newline: the leaf of the ledger's Merkle tree.
    pub fn line(&self) -> String {
        // Strings, numbers and flags: cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The clocks when the entry was written; `None` in entries of older versions.
    pub fn reading(&self) -> Option<ClockReading> {
        let (utc, synchronised) = (self.clock?, self.synchronised?);
        Some(ClockReading { utc, synchronised, boot: self.boot.as_deref()?.into(), monotonic_ms: self.monotonic_ms? })
    }
}

/// A fact as stored: one of this version, or one of another version that this one does not know.
///
/// After an upgrade that was rolled back the ledger has entries of the newer version. They are kept and passed on
/// unchanged, as their hash covers every byte. They do not change what this version does: whoever adds a fact that
/// restricts recording must write [`Fact::Locked`] with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredFact {
    /// A fact of this version.
    Known(Fact),
    /// A fact of another version.
    Unknown(serde_json::Map<String, serde_json::Value>),
}
