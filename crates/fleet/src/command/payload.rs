//! A command's payload: signed by the operator's key for one box, its epoch and its clock, or plain.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use notes::{Note, SignerKey};
use serde_json::{Map, Value, json};
use tallybox::exit::Exit;
use tallybox::ipc::{Signed, Verb};

/// How long a command may wait until a box carries it out: a broker that keeps it longer keeps it for nothing.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// What is asked of each box.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) verb: String,
    pub(crate) parameters: Map<String, Value>,
}

/// The guard's time, as it told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuardTime {
    pub(super) epoch: String,
    pub(super) uptime_s: u64,
}

/// A new id: 128 random bits.
pub(super) fn new_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The numbers of the commands that one key signs: each higher than all before, on whichever machine the key is used.
#[derive(Debug, Default)]
pub(super) struct Sequence(u64);

impl Sequence {
    /// The next: microseconds since 1970, or one more than the last where the clock went back.
    pub(super) fn next(&mut self, now: Timestamp) -> u64 {
        self.0 = u64::try_from(now.as_microsecond()).unwrap_or(0).max(self.0 + 1);
        self.0
    }
}

/// Whether no box takes it without a signature.
pub(super) fn is_always_signed(command: &Command) -> bool {
    Verb::of(&command.verb).is_some_and(|verb| verb.row().signed == Signed::Always)
}

/// The payload for a box that trusts this key.
pub(super) fn signed(
    key: &SignerKey,
    command: &Command,
    (target, id): (&str, &str),
    time: &GuardTime,
    seq: u64,
) -> Result<String, Exit> {
    let mut document = json!({
        "box": target, "verb": command.verb, "id": id, "epoch": time.epoch, "seq": seq,
        "deadline-s": time.uptime_s + TIME_TO_LIVE.as_secs(),
    });
    if let Value::Object(fields) = &mut document {
        fields.extend(command.parameters.clone());
    }
    let text = format!("{}\n{document}\n", notes::DocumentType::Command.as_str());
    let note =
        Note::sign(&text, &[key]).map_err(|error| Exit::data(format!("the command cannot be signed: {error}")))?;
    Ok(note.to_string())
}

/// The payload for a box that trusts no key.
pub(super) fn plain(command: &Command, id: &str, now: Timestamp) -> String {
    let until = now.checked_add(SignedDuration::try_from(TIME_TO_LIVE).unwrap_or_default()).unwrap_or(now);
    let mut document = json!({ "id": id });
    if let Value::Object(fields) = &mut document {
        if !matches!(command.verb.as_str(), "stop" | "mute") {
            // Whole seconds: boxes take RFC 3339, and people read it.
            let text = |time: Timestamp| time.strftime("%FT%TZ").to_string();
            fields.insert("issued-at".to_owned(), text(now).into());
            fields.insert("expires-at".to_owned(), text(until).into());
        }
        fields.extend(command.parameters.clone());
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_whatever_the_clock_does() {
        let mut sequence = Sequence::default();
        let time = |second| Timestamp::from_second(second).unwrap();
        let numbers = [1000, 1000, 5, 2000].map(|second| sequence.next(time(second)));
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    }

    #[test]
    fn a_signed_command_says_what_it_is_and_verifies() {
        let key = SignerKey::new("operator.example.cn/test", &[7; 32]).unwrap();
        let parameters = json!({ "bitrate-kbps": 2000 }).as_object().unwrap().clone();
        let command = Command { verb: "set-video".to_owned(), parameters };
        let time = GuardTime { epoch: "0f".repeat(16), uptime_s: 100 };
        let text = signed(&key, &command, ("shop-1", "c1"), &time, 9).unwrap();
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(note.is_signed_by(&key.verifier_key()), Some(true));
        let json = r#"{"box":"shop-1","verb":"set-video","id":"c1","epoch":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","seq":9,"deadline-s":160,"bitrate-kbps":2000}"#;
        assert_eq!(note.text(), format!("tallybox/command/v1\n{json}\n"));
        assert!(text.len() < 1024, "{}", text.len());
    }

    #[test]
    fn a_plain_stop_has_an_id_only() {
        let command = |verb: &str| Command { verb: verb.to_owned(), parameters: Map::new() };
        let now = "2026-11-29T10:00:00Z".parse().unwrap();
        assert_eq!(plain(&command("stop"), "c1", now), r#"{"id":"c1"}"#);
        let asked = r#"{"id":"c1","issued-at":"2026-11-29T10:00:00Z","expires-at":"2026-11-29T10:01:00Z"}"#;
        assert_eq!(plain(&command("request-start"), "c1", now), asked);
    }
}
