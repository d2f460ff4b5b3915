//! Messages that are signed notes: their types and JSON lines are fixed by docs/notes.md.

use serde_json::{Value, json};

use super::examples;
use super::messages::Message;

/// The schema of a note of this type, as text.
pub(super) fn pattern(kind: &str) -> Value {
    let line = match kind {
        "command" => "; docs/schemas/cmd-VERB-note.json has the JSON's schema",
        "desired" => "; docs/schemas/desired-note.json has the JSON's schema",
        _ => "",
    };
    json!({
        "type": "string",
        "pattern": format!("^tallybox/{kind}/v1\\n\\{{.*\\}}\\n\\n(\u{2014} [^ \\n]+ [A-Za-z0-9+/=]+\\n)+$"),
        "description": format!(
            "A signed note (docs/notes.md): the type, one line of JSON, an empty line, signatures{line}."
        ),
    })
}

fn text(says: &str) -> Value {
    json!({ "type": "string", "description": says })
}

/// The schemas of the JSON lines, by the types' short names; those of commands go by verb.
pub(super) fn lines() -> Vec<(&'static str, Value)> {
    let version = json!({ "type": "integer", "minimum": 1, "description": "Strictly rising." });
    vec![(
        "desired",
        json!({
            "type": "object",
            "properties": {
                "box": text("The box that it is for."),
                "version": version,
                "values": { "type": "object", "description": "Keys of the configuration, as video.bitrate-kbps." },
            },
            "required": ["box", "version", "values"],
            "additionalProperties": false,
        }),
    )]
}

/// What is retained for a box, and what it says about it.
pub(super) fn documents() -> Vec<Message> {
    let checkpoint = json!({
        "type": "string",
        "pattern": "^tallybox/[a-z0-9-]+/[0-9a-f]{16}\\n[0-9]+\\n[A-Za-z0-9+/]+=*\\n\\n(\u{2014} [^ \\n]+ [A-Za-z0-9+/=]+\\n)+$",
        "description": "A C2SP checkpoint of the box's ledger: origin, size, root hash, signatures.",
    });
    let message = |name: &str, topic: &str, is_from_box, says: &str, schema, example: Value| Message {
        name: name.to_owned(),
        topic: topic.to_owned(),
        is_from_box,
        qos: 1,
        retained: true,
        says: says.to_owned(),
        schema,
        example,
    };
    let note = |kind: &str| examples::note(kind).into();
    vec![
        message(
            "desired",
            "config/desired",
            false,
            "the configuration that the box shall have",
            pattern("desired"),
            note("desired"),
        ),
        message(
            "checkpoint",
            "checkpoint",
            true,
            "the newest checkpoint of the ledger",
            checkpoint,
            examples::checkpoint().into(),
        ),
        message("policy", "policy", false, "the privacy policy in force", pattern("policy"), note("policy")),
        message(
            "release",
            "../release/{channel}",
            false,
            "the releases of a channel",
            pattern("release"),
            note("release"),
        ),
    ]
}
