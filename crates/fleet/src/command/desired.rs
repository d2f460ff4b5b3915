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
    /// `None`: the document is withdrawn, and what the boxes' own files say counts again.
    pub(crate) values: Option<Map<String, Value>>,
}

/// A box's report.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Reported {
    for_version: Option<u64>,
    keys: BTreeMap<String, KeyReport>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct KeyReport {
    code: String,
    text: Option<String>,
}

impl Desired {
    /// The retained message of a box: empty where the document is withdrawn.
    pub(super) fn payload(&self, key: &SignerKey, target: &str) -> Result<String, Exit> {
        let Some(values) = &self.values else { return Ok(String::new()) };
        let document = json!({ "box": target, "version": self.version, "values": values });
        let text = format!("{}\n{document}\n", DocumentType::Desired.as_str());
        let note = Note::sign(&text, &[key]).map_err(|error| Exit::data(format!("it cannot be signed: {error}")))?;
        Ok(note.to_string())
    }

    /// What a report means; `None`: it is about another document. The text says what became of keys that are not in
    /// force.
    pub(super) fn judge(&self, payload: &[u8]) -> Option<(Outcome, Option<String>)> {
        let report: Reported = view::parse(payload)?;
        if self.values.is_none() && report.for_version.is_none() {
            return Some((Outcome::Done, None));
        }
        if report.for_version != Some(self.version) {
            return report.error.map(|error| (Outcome::Refused, Some(error)));
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
        Some((outcome, (!told.is_empty()).then(|| told.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_judged_by_their_version_and_keys() {
        let values = json!({ "video.bitrate-kbps": 3000 }).as_object().cloned();
        let desired = Desired { version: 7, values };
        let judge = |text: &str| desired.judge(text.as_bytes());
        assert_eq!(judge(r#"{"epoch":"0f","for-version":6,"keys":{}}"#), None, "the report before");
        let good = r#"{"for-version":7,"keys":{"video.bitrate-kbps":{"value":3000,"code":"ok"}}}"#;
        assert_eq!(judge(good), Some((Outcome::Done, None)));
        let waits =
            r#"{"for-version":7,"keys":{"ingest.url":{"value":null,"code":"pending-idle","text":"staff agree"}}}"#;
        assert_eq!(judge(waits), Some((Outcome::Done, Some("ingest.url: pending-idle: staff agree".to_owned()))));
        let locked = r#"{"for-version":7,"keys":{"video.fps":{"value":25,"code":"locked"}}}"#;
        assert_eq!(judge(locked), Some((Outcome::Refused, Some("video.fps: locked".to_owned()))));
        let refused = r#"{"for-version":6,"keys":{},"code":"unknown-key","error":"nobody here trusts that key"}"#;
        assert_eq!(judge(refused), Some((Outcome::Refused, Some("nobody here trusts that key".to_owned()))));
    }

    #[test]
    fn each_box_has_a_document_of_its_own() {
        let key = SignerKey::new("operator.example.cn/test", &[7; 32]).unwrap();
        let desired = Desired { version: 7, values: Some(Map::new()) };
        let note = Note::parse(desired.payload(&key, "shop-1").unwrap().as_bytes()).unwrap();
        let text = "tallybox/desired/v1\n{\"box\":\"shop-1\",\"version\":7,\"values\":{}}\n";
        assert_eq!((note.text(), note.is_signed_by(&key.verifier_key())), (text, Some(true)));
        let withdrawn = Desired { version: 7, values: None };
        assert_eq!(withdrawn.payload(&key, "shop-1").unwrap(), "");
    }
}
