//! Names of data, as the inventory has them: topic or store, then the path in the JSON without indices.

use std::collections::BTreeSet;

use serde_json::Value;

/// The names of all values in `value`, and of lists and objects without any.
pub(super) fn flatten(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                flatten(&format!("{path}.{name}"), value, found);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for value in values {
                flatten(path, value, found);
            }
        }
        Value::String(text) if text.starts_with("tallybox/receipt/v1\n") => {
            found.insert(path.to_owned());
            of_text("receipt", text, found);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) | Value::Array(_) => {
            found.insert(path.to_owned());
        }
    }
}

/// The names in a text that is no JSON: a note has its type, what it says, and signatures, a checkpoint three lines and
/// signatures; anything else is one datum.
pub(super) fn of_text(path: &str, text: &str, found: &mut BTreeSet<String>) {
    let mut lines = text.lines();
    if path == "checkpoint" {
        let parts: Vec<&str> = lines.collect();
        assert!(parts.len() == 5 && parts[3].is_empty(), "{text}");
        found.extend(["origin", "size", "root", "signature"].map(|part| format!("{path}.{part}")));
        return;
    }
    let is_note = lines.next().is_some_and(|first| first.starts_with("tallybox/") && first.ends_with("/v1"));
    if !is_note {
        found.insert(path.to_owned());
        return;
    }
    found.insert(format!("{path}.type"));
    flatten(path, &serde_json::from_str(lines.next().unwrap()).unwrap(), found);
    assert_eq!(lines.next(), Some(""));
    for line in lines {
        assert!(line.starts_with("\u{2014} "), "{line}");
        found.insert(format!("{path}.signature"));
    }
}

/// Those of `found` that `listed` does not have. A value that is not there is covered by what would be in it.
pub(super) fn unlisted(found: &BTreeSet<String>, listed: &BTreeSet<String>) -> Vec<String> {
    let covers = |name: &String| {
        let inside = format!("{name}.");
        listed.contains(name) || listed.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside))
    };
    found.iter().filter(|name| !covers(name)).cloned().collect()
}

#[test]
fn names_are_paths_without_indices() {
    let mut found = BTreeSet::new();
    let value = serde_json::json!({ "fact": { "kind": "locked" }, "list": [{ "a": 1 }, { "b": null }], "none": [] });
    flatten("event", &value, &mut found);
    let names = ["event.fact.kind", "event.list.a", "event.list.b", "event.none"].map(str::to_owned);
    assert_eq!(found, names.clone().into());
    let listed: BTreeSet<String> = names.into();
    assert_eq!(unlisted(&["event.list", "event.lis", "event"].map(str::to_owned).into(), &listed), ["event.lis"]);
}
