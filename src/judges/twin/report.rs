//! What is reported of a document: each key, within the size of a message.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::DocumentRefusal;
use crate::config::{Config, DESIRED_KEYS, Judged, Verdict};
use crate::ipc::{KeyCode, KeyReport, ReportedConfig, Values, clean};

/// A report fits into this many bytes where it can: its texts are cut, its keys never.
const MAX_REPORT: usize = 1024;
/// Bytes that a text may have, tried one after the other.
const TEXT_LENGTHS: [usize; 7] = [200, 150, 110, 80, 60, 40, 20];

/// A document's keys, where all of it waits: for `why`.
pub(super) fn waiting(
    values: &Values,
    judged: Option<&Judged>,
    now: &Config,
    taken: &Values,
    why: &str,
) -> BTreeMap<String, KeyReport> {
    let keys = values.iter().map(|(key, value)| {
        let verdict = judged.and_then(|judged| judged.keys.iter().find(|(known, _)| known == key));
        let report = match verdict {
            Some((_, verdict)) if *verdict != Verdict::Ok => report(key, verdict, now),
            Some(_) if taken.get(key) == Some(value) => report(key, &Verdict::Ok, now),
            Some(_) | None => {
                KeyReport { value: value_in(key, now), code: KeyCode::PendingIdle, text: Some(why.to_owned()) }
            }
        };
        (key.to_owned(), report)
    });
    keys.collect()
}

/// A document's keys, where it is in force.
pub(super) fn in_force(keys: &[(String, Verdict)], now: &Config) -> BTreeMap<String, KeyReport> {
    keys.iter().map(|(key, verdict)| (key.clone(), report(key, verdict, now))).collect()
}

fn report(key: &str, verdict: &Verdict, now: &Config) -> KeyReport {
    let (code, text) = match verdict {
        Verdict::Ok => (KeyCode::Ok, None),
        Verdict::Locked(text) => (KeyCode::Locked, Some(text.clone())),
        Verdict::Refused(text) => (KeyCode::Refused, Some(text.clone())),
        Verdict::Unknown(text) => (KeyCode::Unknown, Some(text.clone())),
    };
    KeyReport { value: value_in(key, now), code, text }
}

fn value_in(key: &str, now: &Config) -> Option<Value> {
    let key = DESIRED_KEYS.iter().find(|known| known.name == key)?;
    Some(key.value_in(now)).filter(|value| !value.is_null())
}

/// The whole report, cut to the size of a message.
pub(super) fn compose(
    epoch: &str,
    for_version: Option<u64>,
    keys: BTreeMap<String, KeyReport>,
    refusal: Option<&DocumentRefusal>,
) -> ReportedConfig {
    let whole = ReportedConfig {
        epoch: epoch.to_owned(),
        for_version,
        keys,
        code: refusal.map(|refusal| refusal.code.to_owned()),
        error: refusal.map(|refusal| refusal.text.clone()),
    };
    let cut = TEXT_LENGTHS.into_iter().map(|longest| with_texts(&whole, longest));
    let fits = |report: &ReportedConfig| serde_json::to_string(report).is_ok_and(|text| text.len() <= MAX_REPORT);
    cut.into_iter().find(fits).unwrap_or_else(|| with_texts(&whole, 0))
}

/// The same with texts of at most `longest` bytes; with 0 the keys go without, and the error keeps a few words.
fn with_texts(whole: &ReportedConfig, longest: usize) -> ReportedConfig {
    let mut report = whole.clone();
    for key in report.keys.values_mut() {
        key.text = key.text.take().filter(|_| longest > 0).map(|text| clean(&text, longest));
    }
    report.error = report.error.take().map(|text| clean(&text, longest.max(TEXT_LENGTHS[TEXT_LENGTHS.len() - 1])));
    report
}
