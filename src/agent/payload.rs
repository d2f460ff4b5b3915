//! The payload of a command, read with an error that says what to write instead. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::ipc::{
    Fields, MAX_ID_BYTES, Parameters, Rejection, ReplyCode, Verb, clean, id_wanted, is_id, without_values,
};

/// Longest command in bytes.
pub(super) const MAX_BYTES: usize = 8 * 1024;
/// Longest value of a sender's that an error repeats, in bytes.
const MAX_QUOTED: usize = 40;
/// How far ahead of ours the platform's clock may be.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Longest life of a command.
const MAX_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// What every command but `stop` and `mute` looks like.
const WHOLE: &str =
    r#"{"id":"c1","issued-at":"2026-11-29T10:00:00Z","expires-at":"2026-11-29T10:01:00Z"}, and the verb's parameters"#;
/// What `stop` and `mute` need.
const SHORT: &str = r#"{"id":"c1"}"#;

/// When a command was issued and when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// Why a payload is refused: its id if that can be read, and what to write instead.
type PayloadError = (Option<String>, String);

/// How a signed command begins, whatever follows.
const NOTE: &[u8] = b"tallybox/";

/// Whether it is meant as a signed command.
pub(super) fn is_note(payload: &[u8]) -> bool {
    payload.starts_with(NOTE)
}

/// The id of a `stop` or `mute` that came as a note, whether its signature is good, wrong or cut off. Without a
/// readable one it is made from the bytes, so that the answer has one and a repetition the same.
pub(super) fn note_id(payload: &[u8]) -> String {
    let line = payload.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    id_of(line).unwrap_or_else(|| format!("note-{:.16}", crate::hex(&Sha256::digest(payload))))
}

/// What a command without a signature says.
pub(super) struct Read {
    pub(super) id: String,
    /// What it has to be judged by; nothing for `stop` and `mute`.
    pub(super) times: Option<Times>,
    pub(super) parameters: Parameters,
}

/// Reads a command without a signature.
pub(super) fn read(verb: Verb, payload: &[u8]) -> Result<Read, PayloadError> {
    // Whatever else they say is no reason to refuse what makes people safer.
    let simple = match verb {
        Verb::Stop => Some(Parameters::Stop),
        Verb::Mute => Some(Parameters::Mute),
        Verb::RequestStart
        | Verb::Unmute
        | Verb::SetVideo
        | Verb::SetIngest
        | Verb::SetPolicy
        | Verb::Update
        | Verb::Identify
        | Verb::Diagnose
        | Verb::Erase
        | Verb::Unbind => None,
    };
    if let Some(parameters) = simple {
        let mut fields: Map<String, Value> = parse(payload, SHORT)?;
        let id = match fields.remove("id") {
            // As much of it as can stand in an answer.
            Some(Value::String(text)) if !is_id(&text) => id(Some(clean(&text, MAX_ID_BYTES).into()))?,
            found => id(found)?,
        };
        return Ok(Read { id, times: None, parameters });
    }
    let Fields(mut fields) = parse(payload, WHOLE)?;
    let id = id(fields.remove("id"))?;
    let known = |why| (Some(id.clone()), why);
    let (issued_at, expires_at) = (fields.remove("issued-at"), fields.remove("expires-at"));
    let parameters =
        Parameters::read(verb, fields).map_err(|why| known(format!("it cannot be read: {why}; write {WHOLE}")))?;
    let issued_at = time("issued-at", issued_at).map_err(known)?;
    let expires_at = time("expires-at", expires_at).map_err(known)?;
    Ok(Read { id, times: Some(Times { issued_at, expires_at }), parameters })
}

/// The id of a payload whose verb is not known.
pub(super) fn id_of(payload: &[u8]) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    id(fields.remove("id")).ok()
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8], wanted: &str) -> Result<T, PayloadError> {
    let why = if payload.is_empty() {
        "it is empty".to_owned()
    } else {
        match serde_json::from_slice(payload) {
            Ok(read) => return Ok(read),
            Err(error) if error.is_data() => format!("it cannot be read: {}", without_values(&error.to_string())),
            Err(error) => format!("it cannot be read, it is no JSON: {error}"),
        }
    };
    Err((id_of(payload), format!("{why}; write {wanted}")))
}

fn id(value: Option<Value>) -> Result<String, PayloadError> {
    match value {
        Some(Value::String(id)) if is_id(&id) => Ok(id),
        _ => Err((None, id_wanted())),
    }
}

fn time(name: &str, value: Option<Value>) -> Result<Timestamp, String> {
    let found = match value {
        None => "there is none".to_owned(),
        Some(Value::String(text)) => match text.parse() {
            Ok(time) => return Ok(time),
            Err(_) => format!("{:?} is no time in UTC", cut(&text)),
        },
        Some(other) => format!("{} is no text", cut(&other.to_string())),
    };
    Err(format!("{name}: write 2026-11-29T10:00:00Z; {found}"))
}

fn cut(text: &str) -> String {
    clean(text, MAX_QUOTED)
}

impl Times {
    /// Whether a command with these times may be carried out at `now`; `None`: the clock is not set.
    pub(super) fn validate(self, now: Option<Timestamp>) -> Result<(), Rejection> {
        let Self { issued_at, expires_at } = self;
        let Some(now) = now else {
            let why = "this box's clock is not set, so that the command's age is unknown: until it is, \
                        send stop and mute only";
            return Err(Rejection::new(ReplyCode::Unavailable, why));
        };
        if expires_at <= now {
            let why =
                format!("it has expired: expires-at was {expires_at:.0}, and here it is {now:.0}; send a new one");
            return Err(Rejection::new(ReplyCode::Expired, why));
        }
        if issued_at.duration_since(now) > MAX_CLOCK_SKEW {
            let why = format!(
                "it is from the future: issued-at is {issued_at:.0}, and here it is {now:.0}; set the clock that is wrong"
            );
            return Err(Rejection::new(ReplyCode::TooFarAhead, why));
        }
        let life = expires_at.duration_since(issued_at);
        if life > MAX_LIFETIME {
            let why = "expires-at: write a time at most 24 hours after issued-at";
            return Err(Rejection::new(ReplyCode::TooFarAhead, why));
        }
        if life.is_negative() {
            let why = "expires-at: write a time after issued-at, and at most 24 hours after it";
            return Err(Rejection::new(ReplyCode::Malformed, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wrong(verb: Verb, payload: &str, id: Option<&str>, said: &[&str]) {
        let Err((found, why)) = read(verb, payload.as_bytes()) else { panic!("read: {payload}") };
        assert_eq!(found.as_deref(), id, "{payload}");
        assert!(said.iter().all(|said| why.contains(said)), "{payload}: {why}");
        assert!(why.contains("write "), "{why}");
    }

    #[test]
    fn each_mistake_is_named_with_what_to_write_instead() {
        let start = Verb::RequestStart;
        wrong(start, "", None, &["it is empty", r#""expires-at":"2026-11-29T10:01:00Z""#]);
        wrong(start, "{id: 1}", None, &["no JSON", "column"]);
        wrong(start, r#""c1""#, None, &["cannot be read"]);
        wrong(start, "{}", None, &["id: write a text of 1 to 128 bytes"]);
        wrong(start, r#"{"id":7}"#, None, &["id: write a text"]);
        wrong(start, r#"{"id":"c1\n"}"#, None, &["id: write a text", "without control characters"]);
        wrong(start, r#"{"id":"a"}"#, Some("a"), &["issued-at: write 2026-11-29T10:00:00Z", "there is none"]);
        wrong(
            start,
            r#"{"id":"a","issued-at":1}"#,
            Some("a"),
            &["issued-at: write 2026-11-29T10:00:00Z", "1 is no text"],
        );
        let unzoned = r#"{"id":"a","issued-at":"2026-11-29T10:00:00Z","expires-at":"2026-11-29 10:01"}"#;
        wrong(
            start,
            unzoned,
            Some("a"),
            &["expires-at: write 2026-11-29T10:00:00Z", "\"2026-11-29 10:01\" is no time"],
        );
        wrong(start, r#"{"id":"a","issued_at":"2026-11-29T10:00:00Z"}"#, Some("a"), &["unknown field `issued_at`"]);
        wrong(start, r#"{"id":"a","id":"b"}"#, Some("b"), &["a field is there twice"]);
        wrong(Verb::Stop, "", None, &[r#"write {"id":"c1"}"#]);
        wrong(Verb::Mute, r#"{"id":""}"#, None, &["id: write a text"]);
        // Encoded twice: what it says may be a stream's key.
        let Err((_, why)) = read(Verb::SetIngest, br#""{\"stream-key\":\"hush-hush\"}""#) else { panic!("read") };
        assert!(why.contains("a value is of a wrong kind: expected an object") && !why.contains("hush"), "{why}");
        wrong(start, r#"{"id":"a","\u001b[31m":1}"#, Some("a"), &["unknown field ` [31m`"]);
        let odd = r#"{"id":"a","issued-at":"2026-11-29T10:00:00Z","expires-at":"2026-11-29T10:01:00Z","fps":"x"}"#;
        wrong(Verb::SetVideo, odd, Some("a"), &["a value is of a wrong kind: expected u32"]);
    }

    #[test]
    fn no_id_that_is_a_text_keeps_a_stop_from_counting() {
        let id = |payload: &str| read(Verb::Stop, payload.as_bytes()).map(|read| read.id).map_err(|(_, why)| why);
        assert_eq!(id(r#"{"id":"c1\n\u001b[31mc2"}"#).as_deref(), Ok("c1 [31mc2"));
        assert_eq!(id(&format!(r#"{{"id":"{}"}}"#, "a".repeat(500))).unwrap().len(), MAX_ID_BYTES);
        assert!(id(r#"{"id":"\n"}"#).unwrap_err().contains("id: write a text"));
    }
}
