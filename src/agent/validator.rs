//! Commands as they come from the broker, judged before anything is done, and their answers, remembered. Pure.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::messages::Reply;
use super::payload::{self, MAX_BYTES};
use super::reply_store::StoredReply;
use crate::ipc::Verb;

/// Commands that are remembered with their answers, so that a command that comes twice is done once.
const MAX_REMEMBERED: usize = 256;
/// Said to whoever sends a retained command, whatever the verb: one that is obeyed now would end each later session
/// too.
const MAX_RETAINED: &str = "it is retained, and would come again at each connection: send it without the retain flag, \
                        and delete the retained one with an empty retained message";

/// A command that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) id: String,
    pub(super) verb: Verb,
}

/// A command that may not; its id, if it has a readable one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) id: Option<String>,
    pub(super) why: String,
}

/// What is to be done with a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is new and may be carried out: [`CommandValidator::begin`] it, or refuse it without a trace.
    New(Command),
    /// It was carried out; this was its answer.
    Answered(Box<Reply>),
    /// It is being carried out; its answer will come.
    UnderWay(Command),
    /// It may not be carried out.
    Rejected(Rejection),
    /// Not a command: somebody deleted a retained one.
    Cleared,
}

/// A command that was begun, and its answer once there is one.
#[derive(Clone, Debug)]
struct Remembered {
    id: String,
    verb: Verb,
    reply: Option<Reply>,
}

/// Judges commands; remembers those that were begun.
#[derive(Debug, Default)]
pub(super) struct CommandValidator {
    remembered: VecDeque<Remembered>,
}

impl CommandValidator {
    /// One that remembers what an agent before this one answered.
    pub(super) fn remembering(answered: Vec<StoredReply>) -> Self {
        let skipped = answered.len().saturating_sub(MAX_REMEMBERED);
        let remembered = answered.into_iter().skip(skipped).map(|StoredReply { id, verb, ok, error }| {
            let word = verb.as_str().to_owned();
            let reply = Reply { id: Some(id.clone()), verb: word, ok, error, diagnosis: None };
            Remembered { id, verb, reply: Some(reply) }
        });
        Self { remembered: remembered.collect() }
    }

    /// What an agent after this one has to remember: all but `diagnose`, which may be carried out again.
    pub(super) fn answered(&self) -> Vec<StoredReply> {
        let answers = self.remembered.iter().filter(|known| known.verb != Verb::Diagnose);
        let kept = answers.filter_map(|known| {
            let reply = known.reply.as_ref()?;
            Some(StoredReply { id: known.id.clone(), verb: known.verb, ok: reply.ok, error: reply.error.clone() })
        });
        kept.collect()
    }

    /// Judges what came as `cmd/<word>` at `now`; `now` is `None` while the clock is not set.
    ///
    /// `stop` and `mute` need an id and nothing else: they can do no harm to anybody in front of the camera, and a
    /// clock that is wrong on either side must not keep them out. The others have to be fresh.
    pub(super) fn validate(&self, now: Option<Timestamp>, word: &str, retained: bool, payload: &[u8]) -> Verdict {
        let refuse = |id: Option<String>, why: String| Verdict::Rejected(Rejection { id, why });
        if retained && payload.is_empty() {
            return Verdict::Cleared;
        }
        if payload.len() > MAX_BYTES {
            return refuse(None, format!("it is longer than 8 KiB: send {} bytes less", payload.len() - MAX_BYTES));
        }
        if retained {
            return refuse(payload::id_of(payload), MAX_RETAINED.to_owned());
        }
        let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.as_str() == word) else {
            let verbs = Verb::ALL.map(Verb::as_str).join(", ");
            return refuse(payload::id_of(payload), format!("there is no such command: send one of {verbs}"));
        };
        let (id, times) = match payload::read(verb, payload) {
            Ok(read) => read,
            Err((id, why)) => return refuse(id, why),
        };
        if let Some(known) = self.remembered.iter().find(|known| known.id == id) {
            return match &known.reply {
                _ if known.verb != verb => {
                    let word = known.verb.as_str();
                    refuse(Some(id), format!("its id was taken already, by a command {word}: send it with a new id"))
                }
                Some(reply) => Verdict::Answered(Box::new(reply.clone())),
                None => Verdict::UnderWay(Command { id, verb }),
            };
        }
        match times.map_or(Ok(()), |times| times.validate(now)) {
            Ok(()) => Verdict::New(Command { id, verb }),
            Err(why) => refuse(Some(id), why),
        }
    }

    /// Takes the id of a command that is carried out from now on.
    pub(super) fn begin(&mut self, command: &Command) {
        if self.remembered.len() >= MAX_REMEMBERED {
            // The oldest that has its answer: one that is under way still waits for it.
            let oldest = self.remembered.iter().position(|known| known.reply.is_some()).unwrap_or(0);
            self.remembered.remove(oldest);
        }
        self.remembered.push_back(Remembered { id: command.id.clone(), verb: command.verb, reply: None });
    }

    /// Remembers the answer to a command that was carried out, or judged by the guard.
    pub(super) fn settle(&mut self, id: &str, reply: &Reply) {
        if let Some(known) = self.remembered.iter_mut().find(|known| known.id == id) {
            known.reply = Some(reply.clone());
        }
    }

    /// Gives back the id of a command that nobody carried out or judged: it may be tried again.
    pub(super) fn forget(&mut self, id: &str) {
        self.remembered.retain(|known| known.id != id);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-11-24T12:00:00Z";

    fn at(time: &str) -> Option<Timestamp> {
        time.parse().ok()
    }

    fn payload(id: &str, issued: &str, expires: &str) -> Vec<u8> {
        format!(r#"{{"id":"{id}","issued-at":"{issued}","expires-at":"{expires}"}}"#).into_bytes()
    }

    fn fresh(id: &str) -> Vec<u8> {
        payload(id, NOW, "2026-11-24T12:01:00Z")
    }

    fn reply(id: &str, ok: bool) -> Reply {
        Reply { id: Some(id.to_owned()), verb: "stop".to_owned(), ok, error: None, diagnosis: None }
    }

    #[track_caller]
    fn refused(judged: Verdict, why: &str) {
        let Verdict::Rejected(refusal) = judged else { panic!("not refused: {judged:?}") };
        assert!(refusal.why.contains(why), "{refusal:?}");
    }

    #[test]
    fn a_command_that_comes_twice_is_done_once_and_answered_twice() {
        let mut validator = CommandValidator::default();
        let command = Command { id: "a".to_owned(), verb: Verb::Unmute };
        assert_eq!(validator.validate(at(NOW), "unmute", false, &fresh("a")), Verdict::New(command.clone()));
        validator.begin(&command);
        assert_eq!(validator.validate(at(NOW), "unmute", false, &fresh("a")), Verdict::UnderWay(command.clone()));
        validator.settle("a", &reply("a", false));
        assert_eq!(
            validator.validate(at(NOW), "unmute", false, &fresh("a")),
            Verdict::Answered(Box::new(reply("a", false)))
        );
        // Its answer is asked for again when it has long expired.
        assert_eq!(
            validator.validate(at("2026-12-24T12:00:00Z"), "unmute", false, &fresh("a")),
            Verdict::Answered(Box::new(reply("a", false)))
        );
        refused(validator.validate(at(NOW), "stop", false, &fresh("a")), "taken already, by a command unmute");
    }

    #[test]
    fn an_id_is_not_burnt_by_a_command_that_nobody_carried_out() {
        let mut validator = CommandValidator::default();
        let command = Command { id: "a".to_owned(), verb: Verb::Identify };
        assert_eq!(validator.validate(at(NOW), "identify", false, &fresh("a")), Verdict::New(command.clone()));
        assert_eq!(validator.validate(at(NOW), "identify", false, &fresh("a")), Verdict::New(command.clone()));
        validator.begin(&command);
        validator.forget("a");
        assert_eq!(validator.validate(at(NOW), "identify", false, &fresh("a")), Verdict::New(command));
    }

    #[test]
    fn answers_outlive_the_judge() {
        let mut validator = CommandValidator::default();
        for (id, verb) in [("a", Verb::RequestStart), ("b", Verb::Diagnose), ("c", Verb::Stop)] {
            validator.begin(&Command { id: id.to_owned(), verb });
        }
        let answer = Reply { verb: "request-start".to_owned(), ..reply("a", true) };
        validator.settle("a", &answer);
        validator.settle("b", &reply("b", true));
        // `c` is under way: nobody knows what became of it.
        let next = CommandValidator::remembering(validator.answered());
        assert_eq!(next.validate(at(NOW), "request-start", false, &fresh("a")), Verdict::Answered(Box::new(answer)));
        for (word, id, verb) in [("diagnose", "b", Verb::Diagnose), ("stop", "c", Verb::Stop)] {
            let command = Command { id: id.to_owned(), verb };
            assert_eq!(next.validate(at(NOW), word, false, &fresh(id)), Verdict::New(command));
        }
    }

    #[test]
    fn the_oldest_answers_are_forgotten_and_never_a_command_under_way() {
        let mut validator = CommandValidator::default();
        let name = |number: usize| Command { id: number.to_string(), verb: Verb::Stop };
        for number in 0..1000 {
            validator.begin(&name(number));
            if number > 0 {
                validator.settle(&number.to_string(), &reply(&number.to_string(), true));
            }
        }
        assert_eq!(validator.remembered.len(), MAX_REMEMBERED);
        assert_eq!(validator.validate(at(NOW), "stop", false, &fresh("0")), Verdict::UnderWay(name(0)));
        assert_eq!(validator.validate(at(NOW), "stop", false, &fresh("1")), Verdict::New(name(1)));
        assert_eq!(
            validator.validate(at(NOW), "stop", false, &fresh("999")),
            Verdict::Answered(Box::new(reply("999", true)))
        );
    }

    #[test]
    fn stop_and_mute_need_an_id_and_nothing_else() {
        let validator = CommandValidator::default();
        for (verb, word) in [(Verb::Stop, "stop"), (Verb::Mute, "mute")] {
            for payload in [
                r#"{"id":"a"}"#,
                r#"{"id":"a","issued-at":"1999-01-01T00:00:00Z","expires-at":"1999-01-01T00:01:00Z"}"#,
                r#"{"id":"a","issued-at":"2099-01-01T00:00:00Z","expires-at":"2199-01-01T00:01:00Z"}"#,
                r#"{"id":"a","issued-at":"yesterday","expires-at":17}"#,
                r#"{"id":"a","issued-at":null,"why":"fire alarm"}"#,
            ] {
                for now in [None, at(NOW), at("1970-01-01T00:00:00Z"), at("2036-11-24T12:00:00Z")] {
                    let judged = validator.validate(now, word, false, payload.as_bytes());
                    assert_eq!(judged, Verdict::New(Command { id: "a".to_owned(), verb }), "{payload} at {now:?}");
                }
            }
            refused(validator.validate(at(NOW), word, true, br#"{"id":"a"}"#), "retained");
            refused(validator.validate(at(NOW), word, false, b"{}"), "id: write");
            refused(validator.validate(at(NOW), word, false, br#"{"id":""}"#), "1 to 128");
            assert_eq!(validator.validate(at(NOW), word, true, b""), Verdict::Cleared);
        }
        for word in ["request-start", "unmute", "identify", "diagnose"] {
            refused(validator.validate(at(NOW), word, false, br#"{"id":"a"}"#), "issued-at: write 2026-");
        }
    }

    #[test]
    fn retained_expired_future_and_endless_commands_are_refused() {
        let validator = CommandValidator::default();
        refused(validator.validate(at(NOW), "request-start", true, &fresh("a")), "retained");
        let old = payload("a", "2026-11-24T11:00:00Z", "2026-11-24T12:00:00Z");
        refused(validator.validate(at(NOW), "unmute", false, &old), "expired");
        let future = payload("a", "2026-11-24T12:06:00Z", "2026-11-24T12:07:00Z");
        refused(validator.validate(at(NOW), "request-start", false, &future), "future");
        let endless = payload("a", NOW, "2026-11-26T12:00:00Z");
        refused(validator.validate(at(NOW), "identify", false, &endless), "24 hours");
        let turned = payload("a", "2026-11-24T12:04:00Z", "2026-11-24T12:03:00Z");
        refused(validator.validate(at(NOW), "diagnose", false, &turned), "24 hours");
        refused(validator.validate(at(NOW), "start", false, &fresh("a")), "no such command");
        refused(validator.validate(at(NOW), "stop", false, &vec![b' '; MAX_BYTES + 1]), "longer");
        let extra =
            br#"{"id":"a","issued-at":"2026-11-24T12:00:00Z","expires-at":"2026-11-24T12:01:00Z","force":true}"#;
        refused(validator.validate(at(NOW), "request-start", false, extra), "unknown field");
    }

    #[test]
    fn without_a_clock_only_what_makes_the_box_safer_is_taken() {
        for verb in Verb::ALL {
            let judged = CommandValidator::default().validate(None, verb.as_str(), false, &fresh(verb.as_str()));
            assert_eq!(matches!(judged, Verdict::New(_)), matches!(verb, Verb::Stop | Verb::Mute), "{verb:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(word in ".{0,20}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let judged = CommandValidator::default().validate(at(NOW), &word, false, &payload);
            prop_assert!(matches!(judged, Verdict::Rejected(_)));
        }
    }
}
