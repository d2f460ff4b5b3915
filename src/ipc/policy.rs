//! The policy that a platform signs, and the note that ends its service: what the box knows of them.

use serde::{Deserialize, Serialize};

/// The JSON of a `tallybox/policy/v1` note. Unknown fields are refused: what the box does not know it cannot keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyDocument {
    /// The version: a day, such as `2026-11-29`.
    pub version: String,
    /// Whether it changes what people agreed to, so that staff have to acknowledge it.
    pub material: bool,
    /// What changes materially; a note that names something is material. `None`: a note of before there were reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<PolicyReason>>,
    /// The day, or the time in RFC 3339, from which on the platform calls it effective. For people: the box asks staff
    /// when the note comes, whatever its clock says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
    /// The text, or where it is, in both languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<PolicyTexts>,
    /// SHA-256 of the text, in hex. Notes of before there were `texts` have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_sha256: Option<String>,
    /// Where the text is: an https address. Notes of before there were `texts` have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whom people may ask; at most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Within how many days they are answered: 1 to 365; without it 15. (The platform's own policy promises
    /// 10 working days.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_days: Option<u16>,
}

impl PolicyDocument {
    /// Days until people are answered, unless the note says otherwise.
    pub const ANSWER_DAYS: u16 = 15;
}

/// What a policy can change so that people have to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyReason {
    /// For what, which kinds of data, or how they are used.
    Purposes,
    /// Who owns or runs the service; also a new key that signs its policies.
    Ownership,
    /// Who mainly gets the data.
    Recipients,
    /// People's rights, and how they use them.
    Rights,
    /// The responsible department, contacts or complaint channels.
    Contacts,
    /// An assessment found a high risk.
    Impact,
}

impl PolicyReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Purposes, Self::Ownership, Self::Recipients, Self::Rights, Self::Contacts, Self::Impact];

    /// The word in notes, in the ledger and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purposes => "purposes",
            Self::Ownership => "ownership",
            Self::Recipients => "recipients",
            Self::Rights => "rights",
            Self::Contacts => "contacts",
            Self::Impact => "impact",
        }
    }
}

/// A policy's text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyTexts {
    /// In Chinese.
    pub zh: PolicyText,
    /// In English.
    pub en: PolicyText,
}

/// A policy's text in one language: itself, or its SHA-256 and where to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyText {
    /// The text, at most 2000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// SHA-256 of the text, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where it is: an https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The JSON of a `tallybox/end-of-service/v1` note. It counts when it comes: a time would depend on the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EndOfServiceDocument {
    /// The box whose service ends; `*` is each box that trusts the key.
    pub r#box: String,
    /// Whom people may ask from now on; at most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Within how many days they are answered: 1 to 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_days: Option<u16>,
    /// What people are told, or where they read it, in both languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<PolicyTexts>,
}
