//! What each verb does, once it may: asked for by the platform, by an unsigned request or a signed command, or here.

use super::Engine;
use crate::ipc::{Erase, Parameters, Response, SetPolicy};
use crate::judges::ReplySender;
use consent::{Event, Fault, Phase};

/// Why a box in minors' mode asks for nothing.
const NO_REQUESTS: &str =
    "this box is in minors' mode: nobody far away asks for a start; people at the box press, and a guardian holds";

impl Engine {
    /// Carries a verb out and answers, now or when it is done. No arm in here starts a capture.
    pub(super) fn carry_out(&mut self, parameters: &Parameters, reply: ReplySender) {
        let response = match parameters {
            Parameters::Stop => {
                self.replies.add_stop(reply);
                return self.dispatch(Event::RemoteStop);
            }
            Parameters::Mute => {
                self.replies.add_mute(reply);
                return self.dispatch(Event::RemoteMute);
            }
            Parameters::RequestStart if self.config.consent.minors_mode => Response::refused(NO_REQUESTS),
            Parameters::RequestStart => {
                self.dispatch(Event::RemoteRequest);
                self.done_if(self.machine.asks_to_start(), "nothing can be asked for now")
            }
            Parameters::Unmute => {
                self.dispatch(Event::RemoteUnmute);
                let why = "remote takes back only its own mute, in a session that staff started with sound";
                self.done_if(self.machine.wants_sound(), why)
            }
            Parameters::Identify => self.show_identity(),
            // What is found is the agent's to tell.
            Parameters::Diagnose => Response::Done,
            Parameters::SetVideo(wanted) => return self.set_video(wanted, reply),
            Parameters::SetIngest(wanted) => return self.set_ingest(wanted.clone(), reply),
            Parameters::SetPolicy(SetPolicy { note }) => return self.set_policy(note, reply),
            Parameters::Erase(Erase { reason }) => return self.erase(*reason, reply),
            Parameters::Unbind => return self.ask_to_unbind(reply),
            Parameters::Update(wanted) => return self.command_update(wanted.version.as_deref(), reply),
        };
        self.answer(response, reply);
    }

    /// Sends a response; that something is done only once the ledger has it.
    pub(super) fn answer(&mut self, response: Response, reply: ReplySender) {
        if response == Response::Done {
            self.replies.done_when_written(self.clock.now(), &self.ledger_writer, reply);
        } else {
            // A caller that went away does not need its reply.
            let _ = reply.send(response);
        }
    }

    fn done_if(&self, is_done: bool, why: &str) -> Response {
        let phase = self.machine.phase().as_str();
        if is_done { Response::Done } else { Response::refused(format!("{why}: the box is {phase}")) }
    }

    fn show_identity(&mut self) -> Response {
        let phase = self.machine.phase();
        if !may_identify(phase) || self.machine.asks_to_unbind() {
            let phase = phase.as_str();
            return Response::refused(format!("the lamp says that the box is {phase}, and goes on saying so"));
        }
        match self.panel.identify(self.clock.now()) {
            Ok(()) => Response::Done,
            Err(error) => {
                self.dispatch(Event::FaultDetected(Fault::Lamp));
                Response::refused(error.to_string())
            }
        }
    }
}

/// Whether the lamp shows nothing that people have to see: that the box may be capturing, is locked, has a fault, or
/// has a policy to be acknowledged.
const fn may_identify(phase: Phase) -> bool {
    match phase {
        Phase::Idle | Phase::Requested => true,
        Phase::Connecting
        | Phase::Live
        | Phase::Reconnecting
        | Phase::Stopping
        | Phase::Locked
        | Phase::Policy
        | Phase::Fault => false,
    }
}
