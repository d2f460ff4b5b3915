//! The judge: each check once, in one order, and nothing is taken note of before all have passed.

use std::collections::BTreeMap;

use notes::{NoteError, Refusal, Trust};

use super::Epoch;
use super::memory::{AnswerMemory, Digest, digest};
use crate::ipc::{
    Parameters, Rejection, ReplyCode, Response, SignedCommand, Unreadable, Verb, WHY, clean, unknown_verb,
};

/// How far ahead a deadline may be, in seconds: a broker that holds a command back can hold it for no longer.
const MAX_AHEAD_S: u64 = 300;

/// What a command is judged by, besides what came before it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Whose signatures count.
    pub trust: &'a Trust,
    /// The box's name. `None`: it has none yet.
    pub box_id: Option<&'a str>,
    /// Seconds since the epoch began.
    pub uptime_s: u64,
}

/// A command that is carried out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The verb of its topic.
    pub verb: Verb,
    /// What to do.
    pub parameters: Parameters,
    /// The operator's id for it.
    pub id: String,
    /// Names of the keys that count, for the ledger.
    pub key: String,
    /// SHA-256 of its text.
    pub digest: Digest,
}

/// What is to be done with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out: it is taken note of, and never accepted again.
    New(Box<Accepted>),
    /// It was accepted before: its answer, now or when there is one, and nothing else.
    Known(Digest),
    /// It may not be carried out.
    Refused(Rejection),
}

/// Judges signed commands; remembers those that were accepted.
#[derive(Debug)]
pub struct CommandJudge {
    epoch: Epoch,
    /// The highest sequence number of each key, by its name. As many as there are trusted keys.
    highest: BTreeMap<String, u64>,
    memory: AnswerMemory,
}

impl CommandJudge {
    /// Knows no command yet.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, highest: BTreeMap::new(), memory: AnswerMemory::default() }
    }

    /// The epoch that commands have to name.
    pub fn epoch(&self) -> &str {
        self.epoch.as_str()
    }

    /// Judges what came as `cmd/<word>`, and takes note of it where it is accepted. `has_room` takes from the verb's
    /// quota, as the last check: a command that is refused costs nothing.
    pub fn admit(
        &mut self,
        surroundings: &Surroundings<'_>,
        word: &str,
        payload: &str,
        has_room: impl FnOnce(Verb) -> Result<(), Rejection>,
    ) -> Verdict {
        self.judge(surroundings, word, payload, has_room).unwrap_or_else(Verdict::Refused)
    }

    fn judge(
        &mut self,
        surroundings: &Surroundings<'_>,
        word: &str,
        payload: &str,
        has_room: impl FnOnce(Verb) -> Result<(), Rejection>,
    ) -> Result<Verdict, Rejection> {
        let verb = Verb::of(word).ok_or_else(unknown_verb)?;
        let verified = surroundings.trust.verify(payload.as_bytes(), verb.row().role);
        let verified = verified.map_err(|refusal| rejection(&refusal))?;
        let command = SignedCommand::read(&verified.json).map_err(|Unreadable { id: _, rejection }| rejection)?;
        address(&command, verb, surroundings.box_id)?;
        let digest = digest(&verified.text);
        if self.memory.knows(&digest) {
            return Ok(Verdict::Known(digest));
        }
        self.freshness(&command, surroundings.uptime_s)?;
        self.sequence(&command, &verified.signers)?;
        has_room(verb)?;
        let all_busy = |()| Rejection::new(ReplyCode::Busy, "too many commands are being carried out: send it again");
        self.memory.make_room().map_err(all_busy)?;
        for signer in &verified.signers {
            self.highest.insert(signer.clone(), command.seq);
        }
        self.memory.begin(digest, command.id.clone());
        let key = clean(&verified.signers.join(", "), WHY);
        let SignedCommand { id, parameters, .. } = command;
        Ok(Verdict::New(Box::new(Accepted { verb, parameters, id, key, digest })))
    }

    /// Whether it is of this epoch, and its deadline neither passed nor far ahead.
    fn freshness(&self, command: &SignedCommand, uptime_s: u64) -> Result<(), Rejection> {
        let SignedCommand { epoch, deadline_s, .. } = command;
        if epoch != self.epoch.as_str() {
            let why = "it is of another epoch: the guard has restarted since, or it was meant for another box; read \
                       epoch in state and sign it anew";
            return Err(Rejection::new(ReplyCode::WrongEpoch, why));
        }
        if *deadline_s <= uptime_s {
            let why = format!("its deadline-s was {deadline_s}, and the guard is at {uptime_s}: sign it anew");
            return Err(Rejection::new(ReplyCode::Expired, why));
        }
        if deadline_s.saturating_sub(uptime_s) > MAX_AHEAD_S {
            let why = format!(
                "its deadline-s {deadline_s} is more than {MAX_AHEAD_S} s ahead, the guard is at {uptime_s}: sign it anew"
            );
            return Err(Rejection::new(ReplyCode::TooFarAhead, why));
        }
        Ok(())
    }

    /// Whether its number is the highest of each of its keys, and its id a new one.
    fn sequence(&self, command: &SignedCommand, signers: &[String]) -> Result<(), Rejection> {
        let SignedCommand { seq, id, .. } = command;
        let highest = signers.iter().filter_map(|signer| self.highest.get(signer)).max();
        if let Some(highest) = highest.filter(|highest| seq <= *highest) {
            let why = format!("its seq {seq} is not higher than {highest}, which its key has used: sign it anew");
            return Err(Rejection::new(ReplyCode::Replayed, why));
        }
        if self.memory.knows_id(id) {
            return Err(Rejection::new(ReplyCode::IdReused, "another command had its id: sign it with a new one"));
        }
        Ok(())
    }

    /// The answer to a command that was accepted; `None`: there is none yet.
    pub fn answer(&self, digest: &Digest) -> Option<&Response> {
        self.memory.answer(digest)
    }

    /// A command that was accepted has its answer.
    pub fn settle(&mut self, digest: &Digest, answer: Response) {
        self.memory.settle(digest, answer);
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.memory.len()
    }
}

/// Whether it is for this box, and for the topic that it came on.
fn address(command: &SignedCommand, verb: Verb, box_id: Option<&str>) -> Result<(), Rejection> {
    if command.verb != verb {
        let why = format!("it says {} and came as {}: send it to its own topic", command.verb.as_str(), verb.as_str());
        return Err(Rejection::new(ReplyCode::Misaddressed, why));
    }
    if box_id != Some(command.box_id.as_str()) {
        return Err(Rejection::new(ReplyCode::Misaddressed, "it is for another box: sign it with this box's name"));
    }
    Ok(())
}

/// The code and the sentence of a note that does not count.
pub fn rejection(refusal: &Refusal) -> Rejection {
    let code = match refusal {
        Refusal::Malformed(NoteError::NoSignatures) => ReplyCode::Unsigned,
        Refusal::Malformed(_) | Refusal::WrongType { .. } => ReplyCode::Malformed,
        Refusal::UnknownKey | Refusal::BadSignature { .. } => ReplyCode::BadSignature,
        Refusal::RoleMissing { .. } | Refusal::Threshold { .. } => ReplyCode::NotAllowed,
    };
    Rejection::new(code, refusal.to_string())
}
