//! The facts of the ledger as a platform sees them.

use serde_json::Value;

use super::{examples, written};
use crate::ipc::Fact;

/// A fact's word, what it means, its fields, an example.
pub(super) struct FactRow {
    pub(super) kind: String,
    pub(super) means: String,
    pub(super) fields: Vec<String>,
    pub(super) schema: Value,
    pub(super) example: Value,
}

/// All facts of this version.
pub(super) fn facts() -> Vec<FactRow> {
    let schema = written::<Fact>();
    let variants = schema["oneOf"].as_array().unwrap();
    let row = |variant: &Value| {
        let properties = variant["properties"].as_object().unwrap();
        FactRow {
            kind: properties["kind"]["const"].as_str().unwrap().to_owned(),
            means: variant["description"].as_str().unwrap().to_owned(),
            fields: properties.keys().filter(|name| *name != "kind").cloned().collect(),
            schema: variant.clone(),
            example: examples::of(variant),
        }
    };
    variants.iter().map(row).collect()
}
