//! What an erasure destroys, and why: words of the ledger and of receipts. And what became of credentials that only
//! root can delete.

use serde::{Deserialize, Serialize};

use super::text;

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

/// Why somebody asked for an erasure: the four cases in which people may.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErasureReason {
    /// What was collected should not have been.
    Unlawful,
    /// It is not needed for its purpose any more, or its time is over.
    BeyondPurposeOrTime,
    /// Consent was withdrawn.
    ConsentWithdrawn,
    /// The account was closed.
    AccountClosed,
}

impl ErasureReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unlawful, Self::BeyondPurposeOrTime, Self::ConsentWithdrawn, Self::AccountClosed];

    /// The word in commands, in the ledger and in receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unlawful => "unlawful",
            Self::BeyondPurposeOrTime => "beyond-purpose-or-time",
            Self::ConsentWithdrawn => "consent-withdrawn",
            Self::AccountClosed => "account-closed",
        }
    }
}

/// Parameters of `erase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Erase {
    /// Why it is asked for; the receipt repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ErasureReason>,
}

/// Why footage that was kept is gone.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FootageEnd {
    /// The box was locked, or is to be unbound.
    Lock,
    /// `[privacy] footage-retention` is over.
    Retention,
    /// The disk, or the footage's share of it, is full.
    Space,
    /// How old it is cannot be told, whose it is is not known, a power cut took a part, or footage may not be kept any
    /// more.
    Doubt,
}

/// Longest list of files in a [`CredentialsReport`].
pub const MAX_CREDENTIALS_LEFT: usize = 8;

/// What the helper did about credentials that are root's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CredentialsReport {
    /// The guard's name for the request.
    #[serde(deserialize_with = "text::name")]
    pub attempt: String,
    /// How many files were deleted.
    pub removed: u64,
    /// What stays, and why: at most [`MAX_CREDENTIALS_LEFT`] of them count.
    pub left: Vec<CredentialLeft>,
}

/// A credential that was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CredentialLeft {
    /// The file, or the key in one; cut at 200 bytes.
    #[serde(deserialize_with = "text::why")]
    pub what: String,
    /// Why, and who deletes it; cut at 200 bytes.
    #[serde(deserialize_with = "text::why")]
    pub why: String,
}
