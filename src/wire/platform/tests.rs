use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use roas_asyncapi::v3_0::Document;
use roas_asyncapi::validation::Validate;
use serde_json::{Value, json};

use super::events::facts;
use super::{asyncapi, compare, docs, examples, messages, notes, pretty, tables};
use crate::ipc::{Fact, ReplyCode, StoredFact};

/// Longest payload of a box, in bytes, but for those in [`LONGER`].
const MAX_BYTES: usize = 1024;
/// What carries a whole note of another kind: a policy, or a receipt for what was destroyed.
const LONGER: [(&str, usize); 4] =
    [("cmd-set-policy", 2048), ("erased", 1536), ("unbound", 1536), ("service-ended", 1536)];
/// A sentence of ours with a library's error text, as long as they are in practice.
const SENTENCE: usize = 200;
/// A receipt with its signature.
const RECEIPT: usize = 700;

/// What is wrong with each value by its schema, says a judge that is not ours.
fn mistakes(pairs: &[(Value, Value)]) -> Vec<Vec<String>> {
    let mut judge = Command::new("/usr/bin/python3")
        .arg(super::root().join("tests/wire/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, which scripts/setup test installs");
    let mut asked = judge.stdin.take().unwrap();
    let mut lines = String::new();
    for (schema, value) in pairs {
        writeln!(lines, "{}", json!({ "schema": schema, "value": value })).unwrap();
    }
    let writer = std::thread::spawn(move || asked.write_all(lines.as_bytes()).unwrap());
    let output = judge.wait_with_output().unwrap();
    writer.join().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Vec<String>> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), pairs.len(), "python3-jsonschema, which scripts/setup test installs");
    found
}

#[track_caller]
fn all_fit(pairs: &[(Value, Value)]) {
    for ((schema, value), wrong) in pairs.iter().zip(mistakes(pairs)) {
        assert!(wrong.is_empty(), "{value:#} does not fit {schema:#}: {wrong:#?}");
    }
}

#[test]
fn the_schemas_are_what_the_types_give() {
    let mut wanted = Vec::new();
    let mut keep = |name: &str, schema: &Value| {
        let mut whole = json!({ "$schema": "http://json-schema.org/draft-07/schema#" });
        let fields = schema.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        compare(&docs(&format!("schemas/{name}.json")), &pretty(&whole));
        wanted.push(format!("{name}.json"));
    };
    let all = messages::all();
    all.iter().filter(|message| message.is_json()).for_each(|message| keep(&message.name, &message.schema));
    for (name, schema, _) in examples::command_lines() {
        keep(&name, &schema);
    }
    for (kind, schema) in notes::lines() {
        keep(&format!("{kind}-note"), &schema);
    }
    // A message that is gone takes its schema along.
    let there = std::fs::read_dir(docs("schemas")).unwrap().map(|entry| entry.unwrap().file_name());
    for name in there.map(|name| name.into_string().unwrap()) {
        assert!(wanted.contains(&name), "docs/schemas/{name} is of no message: delete it");
    }
}

#[test]
#[allow(clippy::default_trait_access)] // the set of options is of a crate that has no other use here
fn the_asyncapi_document_is_what_the_types_give_and_valid() {
    let document = asyncapi::document();
    compare(&docs("asyncapi.json"), &pretty(&document));
    let read: Document = serde_json::from_value(document.clone()).unwrap();
    if let Err(wrong) = read.validate(Default::default()) {
        panic!("{wrong}");
    }
    // It can fail.
    let mut broken = document;
    broken["operations"]["state"]["channel"]["$ref"] = "#/channels/nothing".into();
    let read: Document = serde_json::from_value(broken).unwrap();
    assert!(read.validate(Default::default()).is_err());
}

#[test]
fn the_tables_of_the_mqtt_page_are_what_the_types_give() {
    let page = docs("mqtt.md");
    let (filled, names) = tables::filled(&std::fs::read_to_string(&page).unwrap());
    assert_eq!(names, ["topics", "commands", "parameters", "events"]);
    compare(&page, &filled);
    let long: Vec<&str> = filled.lines().filter(|line| line.chars().count() > 120).collect();
    assert!(long.is_empty(), "shorten what these rows are made of: {long:#?}");
    // What to do about each code is written by hand.
    for code in ReplyCode::ALL {
        let row = format!("\n| `{}` |", crate::wire::listed(&code));
        assert_eq!(filled.matches(&row).count(), 1, "docs/mqtt.md has a row for {code:?}");
    }
}

#[test]
fn the_ledgers_page_has_each_kind_of_fact() {
    let page = docs("ledger.md");
    let (filled, names) = tables::filled(&std::fs::read_to_string(&page).unwrap());
    assert_eq!(names, ["kinds"]);
    compare(&page, &filled);
    for fact in facts() {
        assert_eq!(filled.matches(&format!("\n- `{}`", fact.kind)).count(), 1, "docs/ledger.md has {}", fact.kind);
    }
}

#[test]
fn the_privacy_pages_have_the_whole_inventory() {
    for (page, name) in [("privacy.md", "inventory"), ("privacy.zh.md", "inventory in Chinese")] {
        let page = docs(page);
        let (filled, names) = tables::filled(&std::fs::read_to_string(&page).unwrap());
        assert_eq!(names, [name]);
        compare(&page, &filled);
    }
}

#[test]
fn each_example_fits_its_schema() {
    let mut pairs: Vec<_> = messages::all().into_iter().map(|message| (message.schema, message.example)).collect();
    pairs.extend(examples::command_lines().into_iter().map(|(_, schema, example)| (schema, example)));
    all_fit(&pairs);
    let wrong: Vec<_> = pairs.iter().map(|(schema, _)| (schema.clone(), json!(17))).collect();
    assert!(mistakes(&wrong).iter().all(|wrong| !wrong.is_empty()), "a number fits");
}

#[test]
fn what_a_box_always_says_is_required() {
    let (mut without, mut required) = (Vec::new(), Vec::new());
    for message in messages::all().into_iter().filter(|message| message.is_from_box && message.is_json()) {
        let Value::Object(example) = &message.example else { panic!("{}", message.name) };
        for name in example.keys() {
            let mut less = example.clone();
            less.remove(name);
            without.push((message.schema.clone(), less.into()));
            let names = message.schema["required"].as_array();
            required.push(names.is_some_and(|names| names.iter().any(|known| known == name)));
        }
    }
    let found: Vec<_> = mistakes(&without).iter().map(|wrong| !wrong.is_empty()).collect();
    assert_eq!(found, required);
    assert!(required.iter().filter(|required| **required).count() > 20);
}

#[test]
fn each_fact_is_an_event_and_is_read_back() {
    let schema = super::written::<crate::agent::messages::Published<'_>>();
    let mut pairs = Vec::new();
    for fact in facts() {
        let known: Fact = serde_json::from_value(widened("", &fact.example)).unwrap();
        let published = examples::published(&examples::entry(StoredFact::Known(known)));
        pairs.push((schema.clone(), serde_json::from_str(&published).unwrap()));
        pairs.push((fact.schema, fact.example));
    }
    all_fit(&pairs);
}

/// Words of an enum stay; other texts are as long as they are in practice: sentences, or names and hashes.
fn widened(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if text == "text" => {
            let length = match name {
                "receipt" => RECEIPT,
                "reason" | "why" | "message" => SENTENCE,
                _ => 64,
            };
            "x".repeat(length).into()
        }
        Value::Number(number) if number.is_u64() => json!(u32::MAX),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), widened(name, value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
    }
}

#[test]
fn payloads_fit_1_kib() {
    let mut long = Vec::new();
    let mut judge = |name: &str, bytes: usize| {
        let most = LONGER.iter().find(|(known, _)| name.starts_with(known)).map_or(MAX_BYTES, |(_, most)| *most);
        if bytes > most {
            long.push(format!("{name}: {bytes}"));
        }
    };
    for message in messages::all() {
        let bytes = match (message.is_json(), message.is_from_box, message.name.as_str()) {
            // Texts that only an operator chooses are as long as in the example.
            (false, _, _) | (true, false, _) | (true, true, "reported") => message.payload().len(),
            (true, true, _) => widened("", &examples::of(&message.schema)).to_string().len(),
        };
        // A reply's fields are more than any one reply has: `Answer::into_json` cuts a long one.
        if message.name != "reply" && message.name != "event" {
            judge(&message.name, bytes);
        }
    }
    for fact in facts() {
        let known: Fact = serde_json::from_value(widened("", &fact.example)).unwrap();
        let mut entry = examples::entry(StoredFact::Known(known));
        (entry.seq, entry.monotonic_ms) = (u64::from(u32::MAX), Some(u64::from(u32::MAX) * 1000));
        let id = "x".repeat(64 - "shop-0042".len());
        judge(&fact.kind, examples::published(&entry).len() + id.len());
    }
    assert!(long.is_empty(), "longer than they may be: {long:#?}");
}
