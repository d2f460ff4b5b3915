//! An example for each message, made of the types or of their schemas. Signatures are real: of a key whose seed is
//! zeros, which no box may trust.

use notes::{Note, SignerKey};
use serde_json::{Map, Value, json};

use super::messages::signed_line;
use super::written;
use crate::agent::messages::{Answer, Published, Reply, json as line};
use crate::agent::state::State;
use crate::ipc::{Fact, KeyCode, KeyReport, LedgerEntry, ReportedConfig, Status, StoredFact, Verb};

const EPOCH: &str = "00112233445566778899aabbccddeeff";
const BOX: &str = "shop-0042";

fn at() -> jiff::Timestamp {
    "2026-11-29T10:00:00Z".parse().unwrap()
}

fn status() -> Status {
    Status { epoch: EPOCH.to_owned(), uptime_s: 4200, ..Status::idle(at(), "2022-07-11") }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(super) fn state() -> Value {
    value(&line(&State::from(&status())))
}

pub(super) fn telemetry() -> Value {
    of(&written::<crate::agent::telemetry::Telemetry>())
}

pub(super) fn entry(fact: StoredFact) -> LedgerEntry {
    LedgerEntry {
        seq: 4,
        at: at(),
        clock: Some(at()),
        synchronised: Some(true),
        boot: Some("0123456789abcdef".to_owned()),
        monotonic_ms: Some(81_234),
        fact,
        prev: "0".repeat(64),
        hash: "f".repeat(64),
    }
}

pub(super) fn published(entry: &LedgerEntry) -> String {
    line(&Published { id: format!("{BOX}-5f0e8a21c4d97b36-{}", entry.seq), entry })
}

pub(super) fn event() -> Value {
    value(&published(&entry(StoredFact::Known(Fact::OnAir { session: 7 }))))
}

pub(super) fn reply() -> Value {
    let reply = Reply {
        id: Some("c1".to_owned()),
        verb: "stop".to_owned(),
        ok: true,
        error: None,
        code: None,
        progress: None,
        receipt: None,
        diagnosis: None,
    };
    let state = State::from(&status());
    value(&line(&Answer { reply, epoch: state.epoch.clone(), uptime_s: state.uptime_s, state: Some(state) }))
}

pub(super) fn command(verb: Verb) -> Value {
    let mut all = json!({ "id": "c1" });
    if !matches!(verb, Verb::Stop | Verb::Mute) {
        all["issued-at"] = "2026-11-29T10:00:00Z".into();
        all["expires-at"] = "2026-11-29T10:01:00Z".into();
    }
    add(&mut all, verb);
    all
}

/// What a verb takes beside what each command has.
fn add(all: &mut Value, verb: Verb) {
    match verb {
        Verb::SetVideo => all["bitrate-kbps"] = 1800.into(),
        Verb::SetIngest => {
            all["url"] = "rtmps://push.example.cn/live".into();
            all["stream-key"] = "live_2026".into();
        }
        Verb::SetPolicy => all["note"] = note("policy").into(),
        Verb::Update => all["version"] = "0.2.0".into(),
        Verb::Erase => all["reason"] = "consent-withdrawn".into(),
        Verb::RequestStart
        | Verb::Stop
        | Verb::Mute
        | Verb::Unmute
        | Verb::Identify
        | Verb::Diagnose
        | Verb::Unbind => {}
    }
}

fn signer() -> SignerKey {
    SignerKey::new("operator.example.cn/fleet-2026", &[0; 32]).unwrap()
}

fn signed(kind: &str, json: &Value) -> String {
    Note::sign(&format!("tallybox/{kind}/v1\n{json}\n"), &[&signer()]).unwrap().to_string()
}

pub(super) fn command_line(verb: Verb) -> Value {
    let mut all = json!({
        "box": BOX, "verb": verb.as_str(), "id": "c1", "epoch": EPOCH, "seq": 1, "deadline-s": 4260,
    });
    add(&mut all, verb);
    all
}

pub(super) fn signed_command(verb: Verb) -> String {
    signed("command", &command_line(verb))
}

pub(super) fn note(kind: &str) -> String {
    let json = match kind {
        "desired" => json!({ "box": BOX, "version": 3, "values": { "video.bitrate-kbps": 3000 } }),
        "policy" => json!({ "version": "2026-11-29", "material": true, "url": "https://example.cn/privacy" }),
        _ => json!({
            "version": "0.2.0", "channel": "stable", "not-after": "2027-02-01T00:00:00Z",
            "files": { "arm64": { "url": "https://example.cn/tallybox_0.2.0_arm64.deb", "size": 6_000_000,
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } },
        }),
    };
    signed(kind, &json)
}

pub(super) fn reported() -> Value {
    let key = KeyReport { value: Some(3000.into()), code: KeyCode::Ok, text: None };
    let keys = [("video.bitrate-kbps".to_owned(), key)].into();
    let reported = ReportedConfig { epoch: EPOCH.to_owned(), for_version: Some(3), keys, ..ReportedConfig::default() };
    value(&line(&reported))
}

pub(super) fn checkpoint() -> String {
    let text = "tallybox/shop-0042/0123456789abcdef\n4\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    Note::sign(text, &[&SignerKey::new("tallybox/shop-0042/0123456789abcdef", &[0; 32]).unwrap()]).unwrap().to_string()
}

/// A value that fits a schema of a type: each optional field with something in it.
pub(super) fn of(schema: &Value) -> Value {
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    if let Some(first) = ["enum", "oneOf", "anyOf", "allOf"].iter().find_map(|key| schema.get(*key)?.get(0)) {
        return if first.is_object() { of(first) } else { first.clone() };
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds[0].as_str(),
        other => other.and_then(Value::as_str),
    };
    match kind {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), of(schema)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Some("array") => json!([of(&schema["items"])]),
        Some("integer") => schema.get("minimum").filter(|least| least.as_i64() > Some(1)).cloned().unwrap_or(json!(1)),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        Some("null") | None => Value::Null,
        Some(_) if schema.get("format").is_some_and(|format| format == "date-time") => json!("2026-11-29T10:00:00Z"),
        Some(_) => json!("text"),
    }
}

/// The line of a signed command fits its schema.
pub(super) fn command_lines() -> Vec<(String, Value, Value)> {
    let line = |verb: Verb| (format!("cmd-{}-note", verb.as_str()), signed_line(verb), command_line(verb));
    Verb::ALL.into_iter().map(line).collect()
}
