//! Commands as they come from the broker, judged before anything is done. Pure.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::ipc::Verb;

/// Longest command in bytes.
const LONGEST: usize = 8 * 1024;
/// How far ahead of ours the platform's clock may be.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Longest life of a command.
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Ids that are remembered, so that a command that comes twice is done once.
const REMEMBERED: usize = 256;

/// A command's payload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Payload {
    id: String,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// A command that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) id: String,
    pub(super) verb: Verb,
}

/// A command that may not; its id, if it has a readable one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) id: Option<String>,
    pub(super) why: String,
}

/// Judges commands; remembers the ids of those that it let through.
#[derive(Debug, Default)]
pub(super) struct Judge {
    seen: VecDeque<String>,
}

impl Judge {
    /// Judges what came as `cmd/<word>` at `now`; `now` is `None` while the clock is not set.
    ///
    /// Without a clock nothing can be said about expiry. Then only `stop` and `mute` are taken: they are the ones that
    /// can do no harm to anybody in front of the camera.
    pub(super) fn judge(
        &mut self,
        now: Option<Timestamp>,
        word: &str,
        retained: bool,
        payload: &[u8],
    ) -> Result<Command, Refusal> {
        let refuse = |id: Option<&String>, why: &str| Err(Refusal { id: id.cloned(), why: why.to_owned() });
        if retained {
            return refuse(None, "it is retained: it could be of any age, and would come again at each connection");
        }
        if payload.len() > LONGEST {
            return refuse(None, "it is longer than 8 KiB");
        }
        let payload: Payload = match serde_json::from_slice(payload) {
            Ok(payload) => payload,
            Err(error) => return refuse(None, &format!("it cannot be read: {error}")),
        };
        let id = Some(&payload.id);
        if payload.id.is_empty() || payload.id.len() > 128 {
            return refuse(None, "its id must have 1 to 128 bytes");
        }
        let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.word() == word) else {
            return refuse(id, "there is no such command");
        };
        match (now, verb) {
            (None, Verb::Stop | Verb::Mute) => {}
            (None, Verb::RequestStart | Verb::Unmute | Verb::Identify | Verb::Diagnose) => {
                return refuse(id, "this box's clock is not set, so that its age is unknown");
            }
            (Some(now), _) => {
                let life = payload.expires_at.duration_since(payload.issued_at);
                if payload.expires_at <= now {
                    return refuse(id, "it has expired");
                }
                if payload.issued_at.duration_since(now) > SKEW {
                    return refuse(id, "it is from the future: see both clocks");
                }
                if life > LIFE || life.is_negative() {
                    return refuse(id, "it must expire within 24 hours of its issue");
                }
            }
        }
        if self.seen.contains(&payload.id) {
            return refuse(id, "a command with this id was taken already");
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(payload.id.clone());
        Ok(Command { id: payload.id, verb })
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

    #[track_caller]
    fn refused(result: Result<Command, Refusal>, why: &str) {
        let refusal = result.unwrap_err();
        assert!(refusal.why.contains(why), "{refusal:?}");
    }

    #[test]
    fn a_fresh_command_is_taken_once() {
        let mut judge = Judge::default();
        let command = judge.judge(at(NOW), "stop", false, &fresh("a")).unwrap();
        assert_eq!(command, Command { id: "a".to_owned(), verb: Verb::Stop });
        refused(judge.judge(at(NOW), "stop", false, &fresh("a")), "taken already");
    }

    #[test]
    fn retained_expired_future_and_endless_commands_are_refused() {
        let mut judge = Judge::default();
        refused(judge.judge(at(NOW), "stop", true, &fresh("a")), "retained");
        let old = payload("a", "2026-11-24T11:00:00Z", "2026-11-24T12:00:00Z");
        refused(judge.judge(at(NOW), "stop", false, &old), "expired");
        let future = payload("a", "2026-11-24T12:06:00Z", "2026-11-24T12:07:00Z");
        refused(judge.judge(at(NOW), "stop", false, &future), "future");
        let endless = payload("a", NOW, "2026-11-26T12:00:00Z");
        refused(judge.judge(at(NOW), "stop", false, &endless), "24 hours");
        let turned = payload("a", "2026-11-24T12:04:00Z", "2026-11-24T12:03:00Z");
        refused(judge.judge(at(NOW), "stop", false, &turned), "24 hours");
        refused(judge.judge(at(NOW), "start", false, &fresh("a")), "no such command");
        refused(judge.judge(at(NOW), "stop", false, &vec![b' '; LONGEST + 1]), "longer");
        let extra =
            br#"{"id":"a","issued-at":"2026-11-24T12:00:00Z","expires-at":"2026-11-24T12:01:00Z","force":true}"#;
        refused(judge.judge(at(NOW), "request-start", false, extra), "unknown field");
    }

    #[test]
    fn without_a_clock_only_what_makes_the_box_safer_is_taken() {
        let mut judge = Judge::default();
        for verb in Verb::ALL {
            let taken = judge.judge(None, verb.word(), false, &fresh(verb.word())).is_ok();
            assert_eq!(taken, matches!(verb, Verb::Stop | Verb::Mute), "{verb:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(word in ".{0,20}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Judge::default().judge(at(NOW), &word, false, &payload).is_err());
        }
    }
}
