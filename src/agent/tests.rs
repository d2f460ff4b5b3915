//! One name for one thing: every name in what the box puts out stands in docs/names.md, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::messages::{Answer, Diagnosis, Published, Reply};
use super::state::State;
use super::telemetry::Telemetry;
use crate::config::{Config, ThirdParty};
use crate::ipc::{
    BoxIdentity, CommandProgress, DesiredStatus, Fact, KeyCode, KeyReport, LedgerEntry, ReportedConfig, SecondaryStats,
    VideoSettings,
};
use crate::ipc::{PolicyDocument, PolicyText, PolicyTexts, Status, StreamStats, UpdateStatus};
use crate::ipc::{ReplyCode, SetIngest, SetPolicy, SetVideo, Update};
use crate::wire::known;

fn fields<T: DeserializeOwned>() -> Vec<String> {
    known::<T>(r#"{"-":0}"#)
}

/// The names in a value, those of the objects in it too.
fn keys(value: &Value, found: &mut Vec<String>) {
    if let Value::Object(object) = value {
        for (key, value) in object {
            found.push(key.clone());
            keys(value, found);
        }
    }
}

fn written(value: &impl serde::Serialize) -> Vec<String> {
    let mut found = Vec::new();
    keys(&serde_json::to_value(value).unwrap(), &mut found);
    found
}

/// An answer with everything that one can have.
fn reply() -> Answer {
    let diagnosis = Diagnosis {
        software: "",
        tls: true,
        unacknowledged_events: 0,
        acknowledged_event: 0,
        status: None,
        faults: Vec::new(),
        telemetry: Telemetry::default(),
    };
    let reply = Reply {
        id: None,
        verb: String::new(),
        ok: true,
        error: None,
        code: None,
        progress: Some(String::new()),
        receipt: Some(String::new()),
        diagnosis: Some(diagnosis),
    };
    let state = Some(State::without_guard(jiff::Timestamp::UNIX_EPOCH, ""));
    Answer { reply, epoch: None, uptime_s: None, state }
}

#[test]
fn names_in_answers_commands_and_files_are_pinned() {
    use crate::wire::{pin, schema, written};
    pin("reply", &written(&reply()));
    let unsigned = ".id\n.issued-at\n.expires-at\n".to_owned();
    let signed = ".box\n.verb\n.id\n.epoch\n.seq\n.deadline-s\n";
    let parameters = schema::<SetVideo>() + &schema::<SetIngest>() + &schema::<SetPolicy>() + &schema::<Update>();
    pin("command", &(unsigned + "signed\n" + signed + "parameters\n" + &parameters));
    let codes: Vec<_> = ReplyCode::ALL.iter().map(|code| crate::wire::listed(code) + "\n").collect();
    pin("reply-codes", &codes.concat());
    pin("remembered-answers", &schema::<super::reply_store::StoredReply>());
}

/// Every name, and the outputs that have it.
fn names() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut all: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut add = |output: &'static str, names: Vec<String>| {
        for name in names {
            all.entry(name).or_default().insert(output);
        }
    };
    add("status", fields::<Status>());
    add("status", fields::<StreamStats>());
    add("status", fields::<SecondaryStats>());
    add("status", fields::<BoxIdentity>());
    add("status", written(&crate::cli::status::Surroundings::default()));
    add("state", written(&State::without_guard(crate::clock::utc_now(), "")));
    add("telemetry", written(&Telemetry::default()));
    add("ledger", fields::<LedgerEntry>());
    add("ledger", vec!["kind".to_owned()]);
    for kind in known::<Fact>(r#"{"kind":"-"}"#) {
        let text = format!(r#"{{"kind":"{kind}","-":0}}"#);
        let error = serde_json::from_str::<Fact>(&text).unwrap_err().to_string();
        if !error.contains("there are no fields") {
            add("ledger", known::<Fact>(&text));
        }
    }
    let entry: LedgerEntry = serde_json::from_value(serde_json::json!({
        "seq": 1, "at": "2026-11-29T10:00:00Z", "fact": { "kind": "locked" }, "prev": "", "hash": ""
    }))
    .unwrap();
    add(
        "event",
        written(&Published { id: String::new(), entry: &entry }).into_iter().filter(|name| name == "id").collect(),
    );
    let reply = reply();
    let telemetry = written(&Telemetry::default());
    add("reply", written(&reply).into_iter().filter(|name| !telemetry.contains(name)).collect());
    let key = KeyReport { value: None, code: KeyCode::Ok, text: Some(String::new()) };
    let (code, error) = (Some(String::new()), Some(String::new()));
    let reported = ReportedConfig { code, error, keys: [("-".to_owned(), key)].into(), ..ReportedConfig::default() };
    add("reported", written(&reported).into_iter().filter(|name| name != "-").collect());
    add("status", fields::<DesiredStatus>());
    add("status", fields::<VideoSettings>());
    add("status", fields::<CommandProgress>());
    add("status", fields::<PolicyDocument>());
    add("status", fields::<PolicyTexts>());
    add("status", fields::<PolicyText>());
    add("status", fields::<UpdateStatus>());
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tallybox.toml");
    let config = Config::load(std::path::Path::new(shipped)).unwrap();
    let report = crate::privacy::report(&config, crate::text::Language::En);
    add("privacy report", written(&report));
    add("privacy report", written(&report.items[0]));
    add("privacy report", written(&report.kinds[0]));
    let [name, scene, data, company, link] = std::array::from_fn(|_| String::new());
    add("privacy report", written(&ThirdParty { name, scene, data, company, link }));
    all
}

#[test]
fn every_name_stands_in_the_list_with_the_outputs_that_have_it() {
    let text = include_str!("../../docs/names.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let mut listed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let outputs = cells[2].split(", ").filter(|output| *output != "doctor").collect();
        let before = listed.insert(cells[1].trim_matches('`').to_owned(), outputs);
        assert!(before.is_none(), "{row}: twice");
        assert!(cells[3].len() > 3, "{row}: it does not say what it is");
    }
    listed.retain(|_, outputs| !outputs.is_empty());
    let found = names();
    let missing: Vec<_> = found.iter().filter(|(name, outputs)| listed.get(*name) != Some(*outputs)).collect();
    assert!(missing.is_empty(), "not so in docs/names.md: {missing:?}");
    let gone: Vec<_> = listed.keys().filter(|name| !found.contains_key(*name)).collect();
    assert!(gone.is_empty(), "in docs/names.md and in no output: {gone:?}");
}
