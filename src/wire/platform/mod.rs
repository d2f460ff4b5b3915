//! What a box and its platform say to each other, as JSON schemas (docs/schemas), an `AsyncAPI` document
//! (docs/asyncapi.json) and the tables of docs/mqtt.md: all from the types that are written and read, and the table of
//! verbs. `TALLYBOX_BLESS=1 cargo test --features demo --lib wire::platform` writes the files anew.

mod asyncapi;
mod events;
mod examples;
mod messages;
mod notes;
mod paths;
mod tables;
mod tests;

use std::path::{Path, PathBuf};

pub(crate) use paths::paths;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The schema of an enum whose variants are words, for types of crates that know nothing of schemas.
pub(crate) fn words<T: DeserializeOwned>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": super::known::<T>("\"-\"") })
}

/// The schema of a list of such words.
pub(crate) fn list_of<T: DeserializeOwned>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": words::<T>(generator) })
}

/// The schema of a time: RFC 3339, in UTC.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// The schema of a time that may be missing.
pub(crate) fn maybe_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

/// The schema of what is written of a `T`, whole in itself. Draft 7: what `AsyncAPI` 3.0 takes.
fn written<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().for_serialize().with(|settings| settings.inline_subschemas = true);
    plain(settings.into_generator().into_root_schema_for::<T>())
}

/// The schema of what is read as a `T`.
fn read<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().for_deserialize().with(|settings| settings.inline_subschemas = true);
    plain(settings.into_generator().into_root_schema_for::<T>())
}

/// Without what says nothing to a reader: names of Rust types and number formats, and links between comments.
fn plain(schema: Schema) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.shift_remove("title");
                fields.shift_remove("$schema");
                if fields.get("format").is_some_and(|format| format != "date-time") {
                    fields.shift_remove("format");
                }
                if let Some(Value::String(text)) = fields.get_mut("description") {
                    *text = text.replace(['[', ']', '`'], "").replace('\n', " ");
                }
                fields.values_mut().for_each(walk);
            }
            Value::Array(values) => values.iter_mut().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = schema.to_value();
    walk(&mut value);
    value
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `found` with the file at `path`, or writes it there.
#[track_caller]
fn compare(path: &Path, found: &str) {
    if std::env::var_os("TALLYBOX_BLESS").is_some() {
        std::fs::write(path, found).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = kept.lines().zip(found.lines()).find(|(kept, found)| kept != found);
    assert!(
        kept == found,
        "{} is not what the types give (TALLYBOX_BLESS=1 writes it anew); first difference: {differs:#?}",
        path.display()
    );
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn docs(name: &str) -> PathBuf {
    root().join("docs").join(name)
}
