//! Signed commands in the engine: judged, written down, carried out once, and answered as often as they come.

use super::Engine;
use crate::ipc::{CommandProgress, Fact, Parameters, ReplyCode, Response, Signed, SignedPayload, Verb};
use crate::judges::ReplySender;
use crate::judges::commands::{Accepted, Surroundings, Verdict};
use monotonic::Monotonic;

impl Engine {
    /// Seconds since the epoch began, which is when the guard started.
    fn uptime_s(&self) -> u64 {
        self.clock.now().duration_since(Monotonic::default()).as_secs()
    }

    /// A signed command came as `cmd/<word>`.
    pub(super) fn signed_command(&mut self, word: &str, payload: &SignedPayload, reply: ReplySender) {
        // Whoever sends them, signed or not: they can only make people safer.
        match Verb::of(word) {
            Some(Verb::Stop) => return self.carry_out(&Parameters::Stop, reply),
            Some(Verb::Mute) => return self.carry_out(&Parameters::Mute, reply),
            Some(_) | None => {}
        }
        let (uptime_s, now) = (self.uptime_s(), self.clock.now());
        let box_id = self.box_id();
        let surroundings = Surroundings { trust: &self.config.trust, box_id: box_id.as_deref(), uptime_s };
        let quotas = &mut self.quotas;
        match self.commands.admit(&surroundings, word, &payload.0, |verb| quotas.admit(verb, now)) {
            Verdict::New(accepted) => self.accept(*accepted, reply),
            Verdict::Known(digest) => self.under_way.answer_again(&self.commands, digest, reply),
            Verdict::Refused(rejection) => {
                tracing::warn!("signed command refused: {word:?}: {}", rejection.why);
                let fact = Fact::CommandRefused { verb: word.to_owned(), why: rejection.why.clone() };
                if rejection.code == ReplyCode::Busy {
                    self.append_busy(fact);
                } else {
                    self.append_refusal(fact);
                }
                let _ = reply.send(if rejection.code == ReplyCode::Busy {
                    Response::Unavailable(rejection)
                } else {
                    Response::Rejected(rejection)
                });
            }
        }
    }

    /// Carries it out, once the ledger has that it was accepted; nothing that it does not have takes effect.
    fn accept(&mut self, accepted: Accepted, reply: ReplySender) {
        let Accepted { verb, parameters, id, key, digest } = accepted;
        if verb.row().is_long() {
            self.long_commands.push(CommandProgress { id: id.clone(), verb, progress: String::new() });
        }
        let sender = self.under_way.begin(digest, &id, reply);
        let goes_far = verb.row().signed == Signed::Always;
        if goes_far && !self.is_restored {
            return self.refuse_without_ledger(
                verb,
                sender,
                "the ledger cannot be read, and nothing is done without it",
            );
        }
        let fact = Fact::Commanded { verb: verb.as_str().to_owned(), key, id };
        // What goes far has to be on disk first; the rest may be while its entry is still being written.
        match if goes_far { self.append_durably(fact) } else { self.append(fact) } {
            Ok(()) => self.carry_out(&parameters, sender),
            Err(failure) => {
                // The entry waits for the disk and is written later: this one says that nothing came of it.
                let why = "the ledger cannot be written, and nothing is done without it";
                self.refuse_without_ledger(verb, sender, why);
                self.dispatch(failure);
            }
        }
    }

    fn refuse_without_ledger(&mut self, verb: Verb, sender: ReplySender, why: &str) {
        let _ = self.append(Fact::CommandRefused { verb: verb.as_str().to_owned(), why: why.to_owned() });
        let _ = sender.send(Response::unavailable(why));
    }

    /// Tells what the newest command of this verb waits for.
    pub(super) fn set_progress(&mut self, verb: Verb, step: &str) {
        let newest = self.long_commands.iter_mut().rfind(|command| command.verb == verb);
        if let Some(command) = newest.filter(|command| command.progress != step) {
            step.clone_into(&mut command.progress);
        }
    }

    /// What the status tells of: the newest command that waits for something.
    pub(super) fn long_command(&self) -> Option<&CommandProgress> {
        self.long_commands.iter().rfind(|command| !command.progress.is_empty())
    }

    /// Hands on the answers that have come. Called after each event.
    pub(super) fn settle_commands(&mut self) {
        let done = self.under_way.settle(&mut self.commands);
        self.long_commands.retain(|long| !done.contains(&long.id));
    }
}
