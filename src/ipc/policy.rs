//! The policy that a platform signs: what the box knows of it.

use serde::{Deserialize, Serialize};

/// The JSON of a `tallybox/policy/v1` note. Unknown fields are refused: what the box does not know it cannot keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyDocument {
    /// The version: a day, such as `2026-11-29`.
    pub version: String,
    /// Whether it changes what people agreed to, so that staff have to acknowledge it.
    pub material: bool,
    /// The day from which on the platform calls it effective. For people: the box applies it when it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
    /// SHA-256 of the text, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_sha256: Option<String>,
    /// Where the text is: an https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whom people may ask; at most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Within how many days they are answered: 1 to 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_days: Option<u16>,
}
