//! What holds for each text that a person or a platform is told, and for each type that is read and written.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{HostPattern, Outside, Residency};
use crate::connect::{Destinations, Refusals};

/// Longest text about one mistake, in bytes: what the box cuts its own messages at.
const MAX_TOLD: usize = crate::ipc::MESSAGE;

/// Stands for a secret where an input has one: no text that the box tells may have it.
pub(crate) const CANARY: &str = "c4n4ry-5ecret";

/// Whether a letter may reach a terminal, a lamp's log or the platform. Written down here once more, from Unicode's
/// properties `Bidi_Control` and `Cc`, and what has no width in the category `Cf`.
fn is_shown(letter: char) -> bool {
    !letter.is_control()
        && !matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Hosts below `example.cn`, wherever they stand: where a server may lead the box.
pub(crate) fn allowed_destinations() -> Destinations {
    let hosts = [HostPattern::parse("*.example.cn").expect("a pattern")];
    let residency = Residency { allowed_addresses: Vec::new(), outside: Outside::Refuse };
    Destinations::new(hosts, &residency, Refusals::default())
}

/// A text that somebody is told: there, bounded, in one line, and all of it to be seen.
#[track_caller]
pub(crate) fn assert_told(text: &str) {
    assert!(!text.is_empty(), "nothing is told");
    assert_shown(text, MAX_TOLD);
}

/// A text that is shown, which may be empty.
#[track_caller]
pub(crate) fn assert_shown(text: &str, longest: usize) {
    assert!(text.len() <= longest, "{} bytes: {text:.200?}…", text.len());
    assert!(text.chars().all(is_shown), "{text:?}");
}

/// A text without the secret that the input had.
#[track_caller]
pub(crate) fn assert_no_secret(text: &str) {
    assert!(!text.contains(CANARY), "{text:?}");
}

/// Each text within a JSON value is shown, and bounded.
#[track_caller]
pub(crate) fn assert_all_shown(value: &Value, longest: usize) {
    match value {
        Value::String(text) => assert_shown(text, longest),
        Value::Array(values) => values.iter().for_each(|value| assert_all_shown(value, longest)),
        Value::Object(fields) => fields.values().for_each(|value| assert_all_shown(value, longest)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads JSON as `T`. What was read is written, and read again as the same.
#[track_caller]
pub(crate) fn round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(json).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, read, "{}", String::from_utf8_lossy(&written));
    Some(read)
}

/// Whether a secret stands for a value somewhere in this JSON; a key is no place for one.
pub(crate) fn has_secret_value(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(CANARY),
        Value::Array(values) => values.iter().any(has_secret_value),
        Value::Object(fields) => fields.values().any(has_secret_value),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
