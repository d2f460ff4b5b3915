//! What an agent may ask of a simulated guard.

use tallybox::ipc::{Fact, Parameters, Request, Response};
use tallybox::judges::ReplySender;
use tallybox::judges::verb_quotas::verb_of;

use super::SimGuard;

impl SimGuard {
    pub(super) fn handle(&mut self, request: Request, reply: ReplySender) {
        if let Some(rejection) = request.denial(false, !self.config.trust.is_empty()) {
            self.append(Fact::CommandRefused { verb: request.word().to_owned(), why: rejection.why.clone() });
            return self.answer(reply, Response::Rejected(rejection));
        }
        let now = self.clock.now();
        if let Some(verb) = verb_of(&request)
            && let Err(rejection) = self.judges.quotas.admit(verb, now)
        {
            self.append(Fact::CommandRefused { verb: verb.as_str().to_owned(), why: rejection.why.clone() });
            return self.answer(reply, Response::Unavailable(rejection));
        }
        let response = match request {
            Request::Stop {} => return self.carry_out(&Parameters::Stop, reply),
            Request::Mute {} => return self.carry_out(&Parameters::Mute, reply),
            Request::RequestStart {} => return self.carry_out(&Parameters::RequestStart, reply),
            Request::Unmute {} => return self.carry_out(&Parameters::Unmute, reply),
            Request::Identify {} => return self.carry_out(&Parameters::Identify, reply),
            Request::SetVideo(wanted) => return self.carry_out(&Parameters::SetVideo(wanted), reply),
            Request::Command { verb, payload } => return self.signed_command(&verb, &payload.0, reply),
            Request::Policy { note } => self.receive_retained_policy(&note.0),
            Request::Desired { note } => self.receive_desired(&note),
            Request::Release { note } => return self.offer_release(&note, reply),
            Request::UpdateFetched { serial, error } => {
                self.on_fetched(serial, error);
                Response::Done
            }
            Request::Refused { verb, why } => {
                self.append(Fact::CommandRefused { verb, why });
                Response::Done
            }
            // What a simulated agent's connections do is what is simulated.
            Request::Network(_) | Request::Status {} | Request::Subscribe { .. } => Response::Done,
            // Only local callers may ask these, and there are none; its button is the script's.
            Request::Probe {}
            | Request::UpdateNow { .. }
            | Request::UpdatePostpone { .. }
            | Request::UpdateEnded(_)
            | Request::CredentialsErased(_)
            | Request::PrivacyExported {}
            | Request::Button { .. }
            | Request::MuteButton { .. } => Response::refused("a simulated box does not do that"),
        };
        self.answer(reply, response);
    }
}
