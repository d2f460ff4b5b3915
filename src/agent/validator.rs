//! Commands as they come from the broker, judged before anything is done, and their answers, remembered. Pure.
//!
//! Signed commands are the guard's to judge, every time that they come: nothing of them is remembered here.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::messages::Reply;
use super::payload::{self, MAX_BYTES};
use super::reply_store::StoredReply;
use crate::ipc::{Parameters, Rejection, ReplyCode, Signed, SignedPayload, Verb, unknown_verb};

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
    pub(super) parameters: Parameters,
}

/// A command for the guard to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedMessage {
    /// As far as it can be read before that.
    pub(super) id: Option<String>,
    pub(super) verb: Verb,
    pub(super) payload: SignedPayload,
}

/// A command that may not be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Its id, if it has a readable one.
    pub(super) id: Option<String>,
    pub(super) rejection: Rejection,
}

/// What is to be done with a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is new and may be carried out: [`CommandValidator::begin`] it, or refuse it without a trace.
    New(Command),
    /// The guard judges it.
    Signed(SignedMessage),
    /// It was carried out; this was its answer.
    Answered(Box<Reply>),
    /// It is being carried out; its answer will come.
    UnderWay(Command),
    /// It may not be carried out.
    Rejected(Refused),
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
        let remembered = answered.into_iter().skip(skipped).map(|StoredReply { id, verb, ok, error, code }| {
            let word = verb.as_str().to_owned();
            let reply = Reply {
                id: Some(id.clone()),
                verb: word,
                ok,
                error,
                code,
                progress: None,
                receipt: None,
                diagnosis: None,
            };
            Remembered { id, verb, reply: Some(reply) }
        });
        Self { remembered: remembered.collect() }
    }

    /// What an agent after this one has to remember: all but `diagnose`, which may be carried out again.
    pub(super) fn answered(&self) -> Vec<StoredReply> {
        let answers = self.remembered.iter().filter(|known| known.verb != Verb::Diagnose);
        let kept = answers.filter_map(|known| {
            let reply = known.reply.as_ref()?;
            let Reply { ok, error, code, .. } = reply.clone();
            Some(StoredReply { id: known.id.clone(), verb: known.verb, ok, error, code })
        });
        kept.collect()
    }

    /// Judges what came as `cmd/<word>` at `now`; `now` is `None` while the clock is not set.
    ///
    /// `stop` and `mute` need an id and nothing else: they can do no harm to anybody in front of the camera, and
    /// neither a wrong clock on either side nor a wrong signature must keep them out. The others have to be fresh, or
    /// signed; `has_trust`: this box trusts keys.
    pub(super) fn validate(
        &self,
        now: Option<Timestamp>,
        word: &str,
        retained: bool,
        payload: &[u8],
        has_trust: bool,
    ) -> Verdict {
        if retained && payload.is_empty() {
            return Verdict::Cleared;
        }
        let verb = Verb::of(word);
        let (is_note, is_safe) = (payload::is_note(payload), matches!(verb, Some(Verb::Stop | Verb::Mute)));
        if payload.len() > MAX_BYTES && !(is_note && is_safe) {
            let why = format!("it is longer than 8 KiB: send {} bytes less", payload.len() - MAX_BYTES);
            return refuse(None, Rejection::new(ReplyCode::Malformed, why));
        }
        if retained {
            return refuse(payload::id_of(payload), Rejection::new(ReplyCode::Retained, MAX_RETAINED));
        }
        let Some(verb) = verb else { return refuse(payload::id_of(payload), unknown_verb()) };
        match (is_note, verb) {
            (true, Verb::Stop) => self.once(payload::note_id(payload), Parameters::Stop, verb, || Ok(())),
            (true, Verb::Mute) => self.once(payload::note_id(payload), Parameters::Mute, verb, || Ok(())),
            (true, _) => signed(verb, payload),
            (false, _) => match payload::read(verb, payload) {
                Err((id, why)) => refuse(id, Rejection::new(ReplyCode::Malformed, why)),
                Ok(read) if needs_signature(verb, has_trust) => refuse(Some(read.id), unsigned(has_trust)),
                Ok(payload::Read { id, times, parameters }) => {
                    self.once(id, parameters, verb, || times.map_or(Ok(()), |times| times.validate(now)))
                }
            },
        }
    }

    /// Whether a command is new, and `judge` says that it may be carried out; else what became of it.
    fn once(
        &self,
        id: String,
        parameters: Parameters,
        verb: Verb,
        judge: impl FnOnce() -> Result<(), Rejection>,
    ) -> Verdict {
        if let Some(known) = self.remembered.iter().find(|known| known.id == id) {
            return match &known.reply {
                _ if known.verb != verb => {
                    let word = known.verb.as_str();
                    let why = format!("its id was taken already, by a command {word}: send it with a new id");
                    refuse(Some(id), Rejection::new(ReplyCode::IdReused, why))
                }
                Some(reply) => Verdict::Answered(Box::new(reply.clone())),
                None => Verdict::UnderWay(Command { id, verb, parameters }),
            };
        }
        match judge() {
            Ok(()) => Verdict::New(Command { id, verb, parameters }),
            Err(rejection) => refuse(Some(id), rejection),
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

fn refuse(id: Option<String>, rejection: Rejection) -> Verdict {
    Verdict::Rejected(Refused { id, rejection })
}

const fn needs_signature(verb: Verb, has_trust: bool) -> bool {
    match verb.row().signed {
        Signed::Never => false,
        Signed::WithTrust => has_trust,
        Signed::Always => true,
    }
}

fn unsigned(has_trust: bool) -> Rejection {
    let why = if has_trust {
        "this box trusts keys: sign it, as `tallybox note sign --type command` does"
    } else {
        "it always has to be signed: give the box a key under [[trust]], and sign it with that"
    };
    Rejection::new(ReplyCode::Unsigned, why)
}

/// A signed command is text, whoever signed it.
fn signed(verb: Verb, payload: &[u8]) -> Verdict {
    match std::str::from_utf8(payload) {
        Ok(text) => {
            let id = text.lines().nth(1).and_then(|line| payload::id_of(line.as_bytes()));
            Verdict::Signed(SignedMessage { id, verb, payload: SignedPayload(text.to_owned()) })
        }
        Err(_) => refuse(None, Rejection::new(ReplyCode::Malformed, "the note is not UTF-8: send its bytes unchanged")),
    }
}

#[cfg(test)]
mod tests;
