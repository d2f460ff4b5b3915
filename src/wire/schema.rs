//! What a type reads, found by asking serde: its error about something unknown lists everything that is known.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Every field and variant that `T` reads, a line each, with the type of what stands there; `?`: it may be `null`.
pub(crate) fn schema<T: DeserializeOwned>() -> String {
    let mut lines = String::new();
    describe(&mut lines, "", &|value| {
        serde_json::from_value::<T>(value).err().map_or_else(String::new, |e| e.to_string())
    });
    lines
}

/// What the error about something unknown in `text` says that is known instead.
pub(crate) fn known<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let error = serde_json::from_str::<T>(text).err().expect("something unknown").to_string();
    assert!(error.starts_with("unknown "), "{error}");
    names(&error)
}

/// Every name in what is written of `value`, a line each.
pub(crate) fn written(value: &impl Serialize) -> String {
    fn walk(path: &str, value: &Value, lines: &mut String) {
        match value {
            Value::Object(object) => {
                object.iter().for_each(|(key, value)| walk(&format!("{path}.{key}"), value, lines));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                lines.push_str(path);
                lines.push('\n');
            }
        }
    }
    let mut lines = String::new();
    walk("", &serde_json::to_value(value).unwrap(), &mut lines);
    lines
}

/// The string that `value` is written as.
pub(crate) fn listed(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().expect("a string").to_owned()
}

/// "unknown field `x`, expected one of `a`, `b`": `a` and `b`.
fn names(error: &str) -> Vec<String> {
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// Describes what stands at `path`; `ask` tells what is wrong with a value there.
fn describe(lines: &mut String, path: &str, ask: &dyn Fn(Value) -> String) {
    let mut line = |what: &str| {
        let null = ask(Value::Null);
        let optional = !null.starts_with("invalid type: null") && !null.starts_with("invalid type: unit value");
        writeln!(lines, "{path}{} {what}", if optional && !path.is_empty() { "?" } else { "" }).unwrap();
    };
    let error = ask(json!({ "-": 0 }));
    let tag = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let variants =
        tag.and_then(|tag| Some((tag, ask(json!({ tag: "-" })))).filter(|(_, e)| e.starts_with("unknown variant")));
    if let Some((tag, error)) = variants {
        for variant in names(&error) {
            let inside = |value: Value| {
                if value.is_null() {
                    // The tag stands beside the fields: there is nothing that could be null.
                    return "invalid type: null".to_owned();
                }
                let mut object = Map::from_iter([(tag.to_owned(), variant.as_str().into())]);
                object.extend(value.as_object().cloned().unwrap_or_default());
                ask(object.into())
            };
            describe(lines, &format!("{path} {tag}={variant}"), &inside);
        }
    } else if error.starts_with("unknown field") {
        line("{}");
        for field in names(&error) {
            describe(lines, &format!("{path}.{field}"), &|value| ask(json!({ &field: value })));
        }
    } else if error.starts_with("unknown variant") {
        line("one of");
        for variant in names(&error) {
            let inside = format!("{path} {variant}");
            if ask(variant.as_str().into()).contains("unit variant, expected") {
                describe(lines, &inside, &|value| ask(json!({ &variant: value })));
            } else {
                writeln!(lines, "{inside}").unwrap();
            }
        }
    } else if error.contains("invalid type: map, expected a sequence") {
        line("[]");
        describe(lines, &format!("{path}[]"), &|value| ask(json!([value])));
    } else if let Some((_, wanted)) = error.split_once("invalid type: map, expected ") {
        line(wanted);
    } else {
        // Any object is taken.
        line("map");
    }
}
