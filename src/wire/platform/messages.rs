//! Every message: its topic, its schema, an example.

use serde_json::{Map, Value, json};

use super::{examples, notes, read, written};
use crate::agent::messages::{Answer, Published};
use crate::agent::publisher::Kind;
use crate::agent::state::State;
use crate::agent::telemetry::Telemetry;
use crate::ipc::{
    Erase, NoParameters, ReportedConfig, SetIngest, SetPolicy, SetVideo, Signed, Update, VERBS, Verb, VerbRow,
};

/// A message on one topic.
pub(super) struct Message {
    /// What it is called in the `AsyncAPI` document, and its schema's file.
    pub(super) name: String,
    /// Below the box's own topic; `../` leaves it.
    pub(super) topic: String,
    /// Who sends it.
    pub(super) is_from_box: bool,
    pub(super) qos: u8,
    pub(super) retained: bool,
    /// What it says, for people.
    pub(super) says: String,
    /// For JSON its schema; for text a pattern.
    pub(super) schema: Value,
    pub(super) example: Value,
}

impl Message {
    pub(super) fn is_json(&self) -> bool {
        self.schema["type"] != "string"
    }

    /// The example as it is sent.
    pub(super) fn payload(&self) -> String {
        self.example.as_str().map_or_else(|| self.example.to_string(), str::to_owned)
    }

    pub(super) fn is_command(&self) -> bool {
        self.topic.starts_with("cmd/")
    }
}

fn own(kind: Kind, qos: u8, retained: bool, says: &str, schema: Value, example: Value) -> Message {
    let topic = kind.topic().to_owned();
    assert_eq!((qos, retained), (u8::from(kind != Kind::Telemetry), kind.is_retained()), "{topic}");
    let name = topic.rsplit('/').next().unwrap().to_owned();
    Message { name, topic, is_from_box: true, qos, retained, says: says.to_owned(), schema, example }
}

/// All of them, in the order of the documents.
pub(super) fn all() -> Vec<Message> {
    let availability = json!({ "type": "string", "enum": ["online", "offline", "stopped"],
        "description": "offline is the last will, stopped a clean end." });
    let urgency = crate::agent::publisher::Urgency::Routine;
    let mut all = vec![
        own(Kind::Availability, 1, true, "whether the box is connected", availability, json!("online")),
        own(Kind::State, 1, true, "what the box is doing", written::<State>(), examples::state()),
        own(Kind::Telemetry, 0, false, "health of machine and stream", written::<Telemetry>(), examples::telemetry()),
        own(Kind::Event, 1, false, "a ledger entry with an id", written::<Published<'_>>(), examples::event()),
        own(Kind::Reply(urgency), 1, false, "the answer to a command", written::<Answer>(), examples::reply()),
    ];
    all.extend(VERBS.iter().flat_map(commands));
    let says = "what became of the desired configuration, key by key";
    all.push(own(Kind::Reported, 1, true, says, written::<ReportedConfig>(), examples::reported()));
    all.extend(notes::documents());
    all
}

/// What may follow `id` in the JSON of a command.
pub(super) fn parameters(verb: Verb) -> Value {
    match verb {
        Verb::SetVideo => read::<SetVideo>(),
        Verb::SetIngest => read::<SetIngest>(),
        Verb::SetPolicy => read::<SetPolicy>(),
        Verb::Update => read::<Update>(),
        Verb::Erase => read::<Erase>(),
        Verb::RequestStart
        | Verb::Stop
        | Verb::Mute
        | Verb::Unmute
        | Verb::Identify
        | Verb::Diagnose
        | Verb::Unbind => read::<NoParameters>(),
    }
}

/// `fields` before those of the verb's parameters; all of `fields` are required.
fn with(verb: Verb, fields: &Value, open: bool) -> Value {
    let mut schema = parameters(verb);
    let parameters = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut properties: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
    let mut required: Vec<Value> = properties.keys().cloned().map(Value::from).collect();
    required.extend(schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    properties.extend(parameters);
    schema["properties"] = properties.into();
    schema["required"] = required.into();
    schema["additionalProperties"] = open.into();
    schema["description"] = format!("The box {}.", verb.row().does).replace('`', "").into();
    schema
}

fn id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 128, "description": "Another one for each command." })
}

/// A verb's command without a signature, if the box takes one, and signed.
fn commands(row: &VerbRow) -> Vec<Message> {
    let verb = row.verb;
    let word = verb.as_str();
    let message = |name: String, says: String, schema, example| Message {
        name,
        topic: format!("cmd/{word}"),
        is_from_box: false,
        qos: 1,
        retained: false,
        says,
        schema,
        example,
    };
    let mut all = Vec::new();
    let time = |says: &str| json!({ "type": "string", "format": "date-time", "description": says });
    let mut fields = json!({ "id": id() });
    if row.signed != Signed::Never {
        fields["issued-at"] = time("At most 5 minutes ahead of the box's clock.");
        fields["expires-at"] = time("At most 24 hours after issued-at.");
    }
    if row.signed != Signed::Always {
        let schema = with(verb, &fields, row.signed == Signed::Never);
        let says = format!("{word}, without a signature");
        all.push(message(format!("cmd-{word}"), says, schema, examples::command(verb)));
    }
    let says = format!("{word}, signed with the role {}", row.role.as_str());
    let name = format!("cmd-{word}-signed");
    all.push(message(name, says, notes::pattern("command"), examples::signed_command(verb).into()));
    all
}

/// The JSON line of a signed command.
pub(super) fn signed_line(verb: Verb) -> Value {
    let number = |says: &str| json!({ "type": "integer", "minimum": 0, "description": says });
    let fields = json!({
        "box": { "type": "string", "description": "The box that it is for." },
        "verb": { "const": verb.as_str() },
        "id": id(),
        "epoch": { "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "As the box's state has it." },
        "seq": number("Rises with each command of a key within an epoch."),
        "deadline-s": number("In the guard's own seconds, as uptime-s of state counts them; at most 300 ahead."),
    });
    with(verb, &fields, false)
}
