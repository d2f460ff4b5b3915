//! The inventory against what is written: every name is there, and none that nothing has.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Basis, Category, Part, Settings, facts, parts};
use crate::agent::messages::{Answer, Published};
use crate::agent::state::State;
use crate::agent::telemetry::Telemetry;
use crate::config::DESIRED_KEYS;
use crate::ipc::{Fact, ReportedConfig};
use crate::text::{Language, Text};
use crate::wire::{known, paths};

/// The names of the parts with this name, without it.
fn listed(part: &str) -> BTreeSet<String> {
    let prefix = format!("{part}.");
    let parts = parts().into_iter().filter(|known| known.name == part);
    let names = parts.flat_map(|part| part.data).map(|datum| datum.name);
    names
        .map(|name| name.strip_prefix(&prefix).unwrap_or_else(|| panic!("{name} is not in {part}")).to_owned())
        .collect()
}

#[test]
fn messages_have_the_names_that_are_listed_and_no_others() {
    assert_eq!(paths::<State>(), listed("state"));
    assert_eq!(paths::<Telemetry>(), listed("telemetry"));
    assert_eq!(paths::<Answer>(), listed("reply"));
    // `LedgerEntry` takes facts of other versions too; the schema has those of this one.
    assert_eq!(paths::<Published<'_>>(), listed("event"));
    let (mut reported, mut listed) = (paths::<ReportedConfig>(), listed("reported"));
    for key in DESIRED_KEYS {
        let inside = key.kind.parts().iter().map(|part| format!("value.{part}"));
        for name in ["value", "code", "text"].map(str::to_owned).into_iter().chain(inside) {
            assert!(listed.remove(&format!("keys.{}.{name}", key.name)), "{} {name}", key.name);
        }
    }
    reported.retain(|name| !name.starts_with("keys."));
    assert_eq!(reported, listed);
}

#[test]
fn each_kind_of_fact_is_listed_by_its_word_with_its_fields() {
    let kinds = facts::kinds();
    let words: BTreeSet<String> = kinds.iter().map(|kind| kind.kind.clone()).collect();
    assert_eq!(words, known::<Fact>(r#"{"kind":"-"}"#).into_iter().collect());
    for kind in &kinds {
        let fields: BTreeSet<String> = kind.fields.iter().map(|(field, _)| super::written(field)).collect();
        let text = format!(r#"{{"kind":"{}","-":0}}"#, kind.kind);
        let error = serde_json::from_str::<Fact>(&text).unwrap_err().to_string();
        let named = if error.contains("there are no fields") { Vec::new() } else { known::<Fact>(&text) };
        assert_eq!(fields, named.into_iter().collect(), "{}", kind.kind);
    }
    // One name, one purpose: an item stands for all facts that have the field.
    for (field, purpose) in kinds.iter().flat_map(|kind| &kind.fields) {
        let others = kinds.iter().flat_map(|kind| &kind.fields).filter(|(other, _)| other == field);
        others.for_each(|(_, other)| assert_eq!(other, purpose, "{field} means two things"));
    }
}

#[test]
fn what_home_assistant_is_told_is_listed_and_nothing_else() {
    fn walk(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(&format!("{path}.{name}"), value, found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                found.insert(path.to_owned());
            }
        }
    }
    let config = crate::config::example("[mqtt]\nurl = \"mqtt://127.0.0.1\"\nhome-assistant = true\n");
    let message = crate::agent::home_assistant_message(config.mqtt.as_ref().unwrap(), "shop-0042");
    let mut found = BTreeSet::new();
    walk("config", &serde_json::from_str(&message).unwrap(), &mut found);
    let listed: BTreeSet<String> = super::home_assistant::data().into_iter().map(|datum| datum.name).collect();
    assert_eq!(found, listed);
}

#[test]
fn names_are_unique_and_texts_are_in_their_language() {
    let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let mut names = BTreeSet::new();
    let mut texts: Vec<Text> = facts::kinds().into_iter().map(|kind| kind.purpose.text).collect();
    for Part { data, .. } in parts() {
        for datum in data {
            texts.push(datum.purpose.text);
            assert!(names.insert(datum.name.clone()), "{} is listed twice", datum.name);
        }
    }
    assert!(names.len() > 400, "{}", names.len());
    texts.extend(Basis::ALL.map(Basis::text));
    texts.extend(Category::ALL.map(Category::word));
    for text in texts {
        assert!(is_chinese(text.zh) && text.en.is_ascii(), "{text:?}");
        // Chinese has marks of its own.
        let narrow = text.zh.contains([',', ';', ':', '(', ')']);
        assert!(!narrow, "{}", text.zh);
    }
}

#[test]
fn what_is_said_is_true_for_the_configuration() {
    let says = |config: &str, name: &str| {
        let report = super::report(&crate::config::example(config), Language::En);
        report.items.into_iter().find(|item| item.name == name).unwrap_or_else(|| panic!("{name}"))
    };
    let broker = "[mqtt]\nurl = \"mqtt://127.0.0.1\"\n";
    assert_eq!(says("", "telemetry.fps").recipient, "nobody: no broker is configured");
    assert_eq!(says(broker, "telemetry.fps").recipient, "the platform, at 127.0.0.1");
    assert!(says(broker, "config.qos").recipient.starts_with("nobody"));
    assert!(!says(&format!("{broker}home-assistant = true\n"), "config.qos").recipient.starts_with("nobody"));
    assert!(says("[privacy]\nledger-retention = \"400d\"\n", "ledger.seq").retention.starts_with("400 days"));
    assert!(says("", "stream.picture").retention.contains("in memory"));
    let disk = says("outage-buffer = \"disk\"\n[privacy]\nfootage-retention = \"5m\"\n", "stream.picture");
    assert!(disk.retention.contains("300 s, on disk"), "{}", disk.retention);
    assert_eq!((disk.category, disk.basis.contains("consent")), ("sensitive", true));
    assert!(says("", "second.picture").recipient.starts_with("nobody"));
}

#[test]
fn declared_third_parties_are_told_and_an_empty_list_is_said() {
    let party = "[[recipients]]\nname = \"美颜\"\nscene = \"directing\"\ndata = \"picture\"\ncompany = \"A|B Ltd\"\n\
                 link = \"https://a.example/privacy\"\n";
    let config = crate::config::example(party);
    for (language, column) in [(Language::En, "kinds of data"), (Language::Zh, "信息种类")] {
        let told = super::markdown(&Settings::of(&config), language, 2);
        assert!(told.contains("| 美颜 | directing | picture | A\\|B Ltd | https://a.example/privacy |"), "{told}");
        assert!(told.contains(column) && super::report(&config, language).third_parties.len() == 1);
    }
    let none = super::markdown(&Settings::in_general(), Language::En, 2);
    assert!(none.contains("None: the box sends nothing to others"));
}

#[test]
fn names_are_those_that_are_written_out() {
    let fact = serde_json::to_value(Fact::CommandsRefused { count: 1 }).unwrap();
    assert_eq!(fact["kind"], super::written("CommandsRefused"));
    let telemetry = serde_json::to_value(Telemetry::default()).unwrap();
    assert!(telemetry.get(super::written("memory_available_mib")).is_some());
}
