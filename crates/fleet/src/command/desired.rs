//! Desired configuration: a signed document for each box, and what the boxes report of it.

use std::collections::BTreeMap;

use notes::{DocumentType, Note, SignerKey};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tallybox::exit::Exit;

use super::dispatch::Outcome;
use crate::view;

/// The whole document, the same for all boxes but for their names.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// Higher than that of each document before.
    pub(crate) version: u64,
    /// None: what the boxes' own files say counts again. Boxes take no empty message for that, since nobody signs it.
    pub(crate) values: Map<String, Value>,
}

/// A box's report.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Reported {
    for_version: Option<u64>,
    keys: BTreeMap<String, KeyReport>,
    code: Option<String>,
    error: Option<String>,
}

/// What became of a document at a box.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) outcome: Outcome,
    /// Why it was refused as a whole, as a word.
    pub(super) code: Option<String>,
    /// What became of keys that are not in force, or why it was refused.
    pub(super) text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct KeyReport {
    code: String,
    text: Option<String>,
}

impl Desired {
    /// The retained message of a box.
    pub(super) fn payload(&self, key: &SignerKey, target: &str) -> Result<String, Exit> {
        let document = json!({ "box": target, "version": self.version, "values": self.values });
        let text = format!("{}\n{document}\n", DocumentType::Desired.as_str());
        let note = Note::sign(&text, &[key]).map_err(|error| Exit::data(format!("it cannot be signed: {error}")))?;
        Ok(note.to_string())
    }

    /// What a report means; `None`: it is about another document.
    pub(super) fn judge(&self, payload: &[u8]) -> Option<Judgement> {
        let report: Reported = view::parse(payload)?;
        if report.for_version != Some(self.version) {
            let Reported { code, error, .. } = report;
            return error.map(|error| Judgement { outcome: Outcome::Refused, code, text: Some(error) });
        }
        let told: Vec<String> = report
            .keys
            .iter()
            .filter(|(_, report)| report.code != "ok")
            .map(|(key, KeyReport { code, text })| match text {
                Some(text) => format!("{key}: {code}: {text}"),
                None => format!("{key}: {code}"),
            })
            .collect();
        // What waits for the end of a session, or for staff, is on its way.
        let is_taken = report.keys.values().all(|report| matches!(report.code.as_str(), "ok" | "pending-idle"));
        let outcome = if is_taken { Outcome::Done } else { Outcome::Refused };
        Some(Judgement { outcome, code: None, text: (!told.is_empty()).then(|| told.join("; ")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_judged_by_their_version_and_keys() {
        let values = json!({ "video.bitrate-kbps": 3000 }).as_object().cloned().unwrap();
        let desired = Desired { version: 7, values };
        let judge = |text: &str| {
            let judged = desired.judge(text.as_bytes())?;
            Some((judged.outcome, judged.code, judged.text))
        };
        assert_eq!(judge(r#"{"epoch":"0f","for-version":6,"keys":{}}"#), None, "the report before");
        let good = r#"{"for-version":7,"keys":{"video.bitrate-kbps":{"value":3000,"code":"ok"}}}"#;
        assert_eq!(judge(good), Some((Outcome::Done, None, None)));
        let waits =
            r#"{"for-version":7,"keys":{"ingest.url":{"value":null,"code":"pending-idle","text":"staff agree"}}}"#;
        assert_eq!(judge(waits), Some((Outcome::Done, None, Some("ingest.url: pending-idle: staff agree".to_owned()))));
        let locked = r#"{"for-version":7,"keys":{"video.fps":{"value":25,"code":"locked"}}}"#;
        assert_eq!(judge(locked), Some((Outcome::Refused, None, Some("video.fps: locked".to_owned()))));
        let refused = r#"{"for-version":6,"keys":{},"code":"unsigned","error":"nobody here trusts that key"}"#;
        let why = Some("nobody here trusts that key".to_owned());
        assert_eq!(judge(refused), Some((Outcome::Refused, Some("unsigned".to_owned()), why)));
    }

    #[test]
    fn each_box_has_a_document_of_its_own() {
        let key = SignerKey::new("operator.example.cn/test", &[7; 32]).unwrap();
        let desired = Desired { version: 7, values: Map::new() };
        let note = Note::parse(desired.payload(&key, "shop-1").unwrap().as_bytes()).unwrap();
        let text = "tallybox/desired/v1\n{\"box\":\"shop-1\",\"version\":7,\"values\":{}}\n";
        assert_eq!((note.text(), note.is_signed_by(&key.verifier_key())), (text, Some(true)));
    }
}
