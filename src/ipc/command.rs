//! A command as JSON: the fields of every command, and the parameters of its verb. And the outcome of one as a code.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::verbs::{Parameters, Verb, without_values};
use super::{MESSAGE, clean};

/// Longest id of a command, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Hex digits of an epoch.
pub const EPOCH_DIGITS: usize = 32;

/// Why a command was not carried out. Stable: programs decide by it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyCode {
    /// It cannot be read.
    Malformed,
    /// It was retained.
    Retained,
    /// There is no such verb.
    UnknownVerb,
    /// It has to be signed.
    Unsigned,
    /// No trusted key signed it, or a signature is wrong.
    BadSignature,
    /// The key may not sign this verb.
    NotAllowed,
    /// It is for another box, or another verb than its topic.
    Misaddressed,
    /// It is from before the guard's last start, or from another box.
    WrongEpoch,
    /// Its sequence number is not higher than the last one of its key.
    Replayed,
    /// Its time is over.
    Expired,
    /// Its time is further ahead than a command may live.
    TooFarAhead,
    /// Another command had its id.
    IdReused,
    /// Too many at once: it may be sent again.
    Busy,
    /// The box's state does not allow it.
    Refused,
    /// Nobody could judge it: it may be sent again.
    Unavailable,
    /// It was carried out, and failed.
    Failed,
}

impl ReplyCode {
    /// All codes.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Retained,
        Self::UnknownVerb,
        Self::Unsigned,
        Self::BadSignature,
        Self::NotAllowed,
        Self::Misaddressed,
        Self::WrongEpoch,
        Self::Replayed,
        Self::Expired,
        Self::TooFarAhead,
        Self::IdReused,
        Self::Busy,
        Self::Refused,
        Self::Unavailable,
        Self::Failed,
    ];
}

/// Why something was not done: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rejection {
    /// The kind.
    pub code: ReplyCode,
    /// What is wrong, and what to do.
    pub why: String,
}

impl Rejection {
    /// With this code and sentence.
    pub fn new(code: ReplyCode, why: impl Into<String>) -> Self {
        // It may repeat what somebody sent, and reaches the platform, the ledger and the log.
        Self { code, why: clean(&why.into(), MESSAGE) }
    }
}

/// The bytes of a signed command, on their way to the guard. They may hold a stream's key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedPayload(pub String);

impl fmt::Debug for SignedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedPayload({} bytes)", self.0.len())
    }
}

/// The JSON line of a `tallybox/command/v1`, read and not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCommand {
    /// The name of the box that it is for.
    pub box_id: String,
    /// The operator's id for it.
    pub id: String,
    /// The guard's epoch.
    pub epoch: String,
    /// Rises with each command of a key within an epoch.
    pub seq: u64,
    /// Until when it may be carried out, in seconds of the guard's own clock since its epoch began.
    pub deadline_s: u64,
    /// What to do.
    pub parameters: Parameters,
    /// Its name.
    pub verb: Verb,
}

/// Why a command cannot be read; its id, if that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The id.
    pub id: Option<String>,
    /// The code and the sentence.
    pub rejection: Rejection,
}

impl SignedCommand {
    /// Reads the JSON line. A field that is not known, or there twice, makes it unreadable.
    pub fn read(json: &str) -> Result<Self, Unreadable> {
        let mut fields = match serde_json::from_str::<Fields>(json) {
            Ok(Fields(fields)) => fields,
            Err(error) => {
                let why = format!("its JSON cannot be read: {}", without_values(&error.to_string()));
                let rejection = Rejection::new(ReplyCode::Malformed, why);
                return Err(Unreadable { id: None, rejection });
            }
        };
        let id = fields.remove("id").and_then(|id| id.as_str().filter(|id| is_id(id)).map(str::to_owned));
        let unreadable = |rejection| Unreadable { id: id.clone(), rejection };
        let malformed = |why: String| unreadable(Rejection::new(ReplyCode::Malformed, why));
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) | None => Err(malformed(format!("{name}: write a text"))),
        };
        let (box_id, word, epoch) = (text("box")?, text("verb")?, text("epoch")?);
        let mut number = |name: &str| {
            let found = fields.remove(name).and_then(|number| number.as_u64());
            found.ok_or_else(|| malformed(format!("{name}: write a whole number from 0 on")))
        };
        let (seq, deadline_s) = (number("seq")?, number("deadline-s")?);
        let verb = Verb::of(&word).ok_or_else(|| unreadable(unknown_verb()))?;
        let parameters = Parameters::read(verb, fields).map_err(malformed)?;
        let Some(id) = id else {
            return Err(malformed(id_wanted()));
        };
        Ok(Self { box_id, id, epoch, seq, deadline_s, parameters, verb })
    }
}

/// There is no such verb.
pub fn unknown_verb() -> Rejection {
    let verbs = Verb::ALL.map(Verb::as_str).join(", ");
    Rejection::new(ReplyCode::UnknownVerb, format!("there is no such command: send one of {verbs}"))
}

/// What to write instead of an id that is none.
pub fn id_wanted() -> String {
    format!("id: write a text of 1 to {MAX_ID_BYTES} bytes without control characters, another for each command")
}

/// Whether it can be a command's id: it stands in answers, in the log and in the ledger.
pub fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// A JSON object of which each field is there once: which of two values counts would be anybody's guess.
#[derive(Debug)]
pub struct Fields(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom("a field is there twice"));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"box":"b","verb":"unmute","id":"c1","epoch":"00","seq":1,"deadline-s":9}"#;

    #[test]
    fn a_command_is_read_whole_or_not_at_all() {
        let read = SignedCommand::read(GOOD).unwrap();
        assert_eq!(
            (read.box_id.as_str(), read.verb, read.id.as_str(), read.epoch.as_str()),
            ("b", Verb::Unmute, "c1", "00")
        );
        assert_eq!((read.seq, read.deadline_s, read.parameters), (1, 9, Parameters::Unmute));
        let refused = |from: &str, to: &str| SignedCommand::read(&GOOD.replacen(from, to, 1)).unwrap_err();
        for (from, to, why) in [
            ("\"seq\":1", "\"seq\":-1", "seq: write a whole number"),
            ("\"seq\":1", "\"seq\":1.0", "seq: write a whole number"),
            ("\"seq\":1", "\"seq\":1,\"seq\":2", "there twice"),
            ("\"seq\":1", "\"seq\":1,\"now\":true", "unknown field `now`"),
            ("\"seq\":1,", "", "seq: write"),
            ("9}", "9", "cannot be read"),
            ("9}", "9}{}", "cannot be read"),
            ("\"b\"", "[]", "box: write a text"),
            ("\"c1\"", "\"\"", "id: write a text"),
            ("\"c1\"", "\"\\u0001\"", "id: write a text"),
            (GOOD, "\"hush-hush\"", "a value is of a wrong kind: expected an object"),
            ("\"seq\"", "\"\\u001b\"", "seq: write a whole number"),
        ] {
            let Unreadable { rejection, .. } = refused(from, to);
            assert!(rejection.code == ReplyCode::Malformed && rejection.why.contains(why), "{to}: {rejection:?}");
        }
        let Unreadable { id, rejection } = refused("unmute", "start");
        assert_eq!((id.as_deref(), rejection.code), (Some("c1"), ReplyCode::UnknownVerb));
    }

    #[test]
    fn codes_have_words() {
        let words: Vec<_> = ReplyCode::ALL.iter().map(crate::wire::listed).collect();
        assert_eq!(words[0], "malformed");
        assert_eq!(words[10], "too-far-ahead");
    }
}
