//! The names of all values in what is written of a type: `fact.session`, without indices; `*` for the keys of a map.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde_json::Value;

/// The paths of all values that a `T` can have.
pub(crate) fn paths<T: JsonSchema>() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk("", &super::written::<T>(), &mut found);
    found
}

fn walk(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let child = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut is_leaf = true;
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        is_leaf = false;
        walk(&child(name), inner, found);
    }
    if schema["additionalProperties"].is_object() {
        is_leaf = false;
        walk(&child("*"), &schema["additionalProperties"], found);
    }
    if schema["items"].is_object() {
        is_leaf = false;
        walk(path, &schema["items"], found);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        // `null` beside a type says that a value may be missing.
        let null = |inner: &&Value| inner["type"] != "null";
        for inner in schema[several].as_array().into_iter().flatten().filter(null) {
            is_leaf = false;
            walk(path, inner, found);
        }
    }
    let is_empty = schema["type"] == "object";
    if is_leaf && !is_empty && !path.is_empty() {
        found.insert(path.to_owned());
    }
}
