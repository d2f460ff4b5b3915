//! The platform's values as the text of a file, so that they meet the same reader as files do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::keys::{DESIRED_KEYS, DesiredKey, ValueKind};
use crate::ipc::Values;

/// What is wrong with the form of a value, and what to write; ranges and words are the reader's matter.
pub(super) fn mismatch(key: &DesiredKey, value: &Value) -> Option<String> {
    let is_table = |value: &Value| value.as_object().is_some_and(|table| table.values().all(is_scalar));
    let fits = match key.kind {
        ValueKind::Crop => is_table(value),
        ValueKind::Masks => value.as_array().is_some_and(|all| all.iter().all(is_table)),
        ValueKind::Flag
        | ValueKind::Number(..)
        | ValueKind::Span(..)
        | ValueKind::Word(_)
        | ValueKind::Text
        | ValueKind::Secret => is_scalar(value),
    };
    match value {
        Value::Null => Some("null is no value; leave the key out of the document to take it back".to_owned()),
        _ if !fits => {
            let right = key.kind.to_string().replace('`', "");
            Some(format!("it does not have the right form; write {right} ({})", key.meaning))
        }
        Value::String(text) if text.contains(char::is_control) => {
            Some("it has a control character in it; take it out".to_owned())
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Neither list nor table, and nothing that TOML cannot say.
fn is_scalar(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// `values`, all of them keys of the table.
pub(super) fn toml(values: &Values) -> String {
    let (mut top, mut sections) = (String::new(), BTreeMap::<&str, String>::new());
    for key in DESIRED_KEYS {
        let Some(value) = values.get(key.name) else { continue };
        let (text, name) = match key.place() {
            Some((section, name)) => (sections.entry(section).or_default(), name),
            None => (&mut top, key.name),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = {}", literal(value));
    }
    for (section, text) in sections {
        let _ = write!(top, "[{section}]\n{text}");
    }
    top
}

fn literal(value: &Value) -> String {
    let join = |all: Vec<String>| all.join(", ");
    match value {
        // TOML reads every escape that JSON writes; control characters are refused before.
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Null => value.to_string(),
        Value::Array(all) => format!("[{}]", join(all.iter().map(literal).collect())),
        Value::Object(all) => {
            let pairs = all.iter().map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), literal(value)));
            format!("{{ {} }}", join(pairs.collect()))
        }
    }
}
