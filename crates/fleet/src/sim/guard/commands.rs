//! Signed commands of a simulated box: judged by the box's own judge, written down, carried out once.

use tallybox::ipc::{CommandProgress, Fact, Parameters, ReplyCode, Response, Verb};
use tallybox::judges::ReplySender;
use tallybox::judges::commands::{Accepted, Surroundings, Verdict};

use super::SimGuard;

impl SimGuard {
    /// A signed command came as `cmd/<word>`.
    pub(super) fn signed_command(&mut self, word: &str, payload: &str, reply: ReplySender) {
        match Verb::of(word) {
            Some(Verb::Stop) => return self.carry_out(&Parameters::Stop, reply),
            Some(Verb::Mute) => return self.carry_out(&Parameters::Mute, reply),
            Some(_) | None => {}
        }
        let now = self.clock.now();
        let surroundings = Surroundings {
            trust: &self.config.trust,
            box_id: self.config.device.id.as_deref(),
            uptime_s: now.duration_since(self.since).as_secs(),
        };
        let quotas = &mut self.judges.quotas;
        match self.judges.commands.admit(&surroundings, word, payload, |verb| quotas.admit(verb, now)) {
            Verdict::New(accepted) => self.accept(*accepted, reply),
            Verdict::Known(digest) => {
                self.judges.under_way.answer_again(&self.judges.commands, digest, reply);
            }
            Verdict::Refused(rejection) => {
                self.append(Fact::CommandRefused { verb: word.to_owned(), why: rejection.why.clone() });
                let response = if rejection.code == ReplyCode::Busy {
                    Response::Unavailable(rejection)
                } else {
                    Response::Rejected(rejection)
                };
                self.answer(reply, response);
            }
        }
    }

    /// Carries it out, once the ledger has that it was accepted.
    fn accept(&mut self, accepted: Accepted, reply: ReplySender) {
        let Accepted { verb, parameters, id, key, digest } = accepted;
        if verb.row().is_long() {
            self.long_command = Some(CommandProgress { id: id.clone(), verb, progress: String::new() });
        }
        let sender = self.judges.under_way.begin(digest, &id, reply);
        self.append(Fact::Commanded { verb: verb.as_str().to_owned(), key, id });
        self.carry_out(&parameters, sender);
    }

    /// Hands on the answers that have come. Called after each event.
    pub(super) fn settle_commands(&mut self) {
        let done = self.judges.under_way.settle(&mut self.judges.commands);
        self.long_command.take_if(|long| done.contains(&long.id));
    }
}
