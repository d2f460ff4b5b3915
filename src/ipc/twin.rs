//! The answer to the platform's desired configuration: what became of each key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `config/reported` has, and what subscribers of the control socket get.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReportedConfig {
    /// The guard's epoch.
    pub epoch: String,
    /// The version that `keys` answers; `None`: there was no document yet.
    pub for_version: Option<u64>,
    /// Each key of that document, and what became of it.
    pub keys: BTreeMap<String, KeyReport>,
    /// Why the last document was refused as a whole, as a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same as a sentence, which says what to do. Everything else is as it was before that document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of one key.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyReport {
    /// The value in force on the box, whoever set it. `None`: it has none, or it is a secret.
    pub value: Option<Value>,
    /// What became of the desired one.
    pub code: KeyCode,
    /// What to do, where there is something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What became of a desired value.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyCode {
    /// It is in force, or will be from the next session on.
    Ok,
    /// A file of the box says it.
    Locked,
    /// It cannot be taken: the text says why.
    Refused,
    /// It waits until the session is over, or until staff agree.
    PendingIdle,
    /// There is no such key.
    Unknown,
}
