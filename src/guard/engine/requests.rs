//! What the control socket may ask of the engine. No arm in here starts a capture.

use super::Engine;
use crate::guard::control_server::ControlCall;
use crate::ipc::{Fact, Incident, Parameters, Request, Response};
use crate::judges::ReplySender;
use crate::judges::verb_quotas::verb_of;
use crate::panel::{Button, PanelError};
use consent::{Event, Fault, Phase};

impl Engine {
    /// Handles a call of the control socket; while the guard is ending, requests are turned down.
    pub(in crate::guard) fn handle_call(&mut self, call: ControlCall, is_ending: bool) {
        let (request, reply) = match call {
            ControlCall::Rejected { uid, why } => {
                tracing::warn!(uid, why, "turned away at the guard's socket");
                return self.append_refusal(Fact::ConnectionRefused { uid, why });
            }
            ControlCall::Request(request, reply) => (request, reply),
        };
        if is_ending {
            let _ = reply.send(Response::unavailable("the guard is ending"));
            return;
        }
        self.handle_request(request, reply);
        self.check_ledger();
        self.publish();
    }

    fn handle_request(&mut self, request: Request, reply: ReplySender) {
        let now = self.clock.now();
        if let Some(verb) = verb_of(&request)
            && let Err(rejection) = self.quotas.admit(verb, now)
        {
            let why = rejection.why.clone();
            self.append_busy(Fact::CommandRefused { verb: verb.as_str().to_owned(), why });
            let _ = reply.send(Response::Unavailable(rejection));
            return;
        }
        let response = match request {
            Request::Stop {} => return self.carry_out(&Parameters::Stop, reply),
            Request::Mute {} => return self.carry_out(&Parameters::Mute, reply),
            Request::RequestStart {} => return self.carry_out(&Parameters::RequestStart, reply),
            Request::Unmute {} => return self.carry_out(&Parameters::Unmute, reply),
            Request::Identify {} => return self.carry_out(&Parameters::Identify, reply),
            Request::SetVideo(wanted) => return self.carry_out(&Parameters::SetVideo(wanted), reply),
            Request::Policy { note } => self.receive_retained_policy(&note.0),
            Request::Command { verb, payload } => return self.signed_command(&verb, &payload, reply),
            Request::Probe {} => return self.request_probe(reply),
            Request::Refused { verb, why } => {
                self.append_refusal(Fact::CommandRefused { verb, why });
                Response::Done
            }
            Request::Network(report) => self.take_network_report(report),
            Request::Release { note } => return self.offer_release(&note, reply),
            Request::UpdateFetched { serial, error } => {
                self.updates.on_fetched(serial, error);
                Response::Done
            }
            Request::UpdateNow { version } => self.ask_update(&version),
            Request::UpdatePostpone { hours } => self.postpone_update(hours),
            Request::UpdateEnded(outcome) => self.end_update(outcome),
            Request::CredentialsErased(report) => self.confirm_credentials(report),
            Request::PrivacyExported {} => {
                let written = self.append(Fact::PrivacyExported {});
                self.dispatch_failure(written);
                Response::Done
            }
            Request::Desired { note } => self.receive_desired(&note),
            Request::Button { down } => simulated(self.panel.simulate(Button::Record, down)),
            Request::MuteButton { down } => simulated(self.panel.simulate(Button::Mute, down)),
            Request::Status {} | Request::Subscribe { .. } => Response::Done,
        };
        self.answer(response, reply);
    }

    /// Asks staff to press for a probe. The reply follows when the probe is over, or will not come.
    fn request_probe(&mut self, reply: ReplySender) {
        let phase = self.machine.phase();
        if phase != Phase::Idle {
            let _ =
                reply.send(Response::refused(format!("only an idle box is probed: this one is {}", phase.as_str())));
            return;
        }
        self.messages.session = None;
        self.replies.set_probe(reply);
        self.dispatch(Event::ProbeRequest);
    }

    /// Writes down that a command or connection was refused, or counts it. Many of them are an incident.
    pub(super) fn append_refusal(&mut self, fact: Fact) {
        if self.incidents.count_refusal(self.clock.now()) {
            let what = "30 commands or local connections were refused within 10 minutes".to_owned();
            self.detect(Incident::RepeatedRefusals, what);
        }
        self.append_busy(fact);
    }

    /// The same for what only came too often: no attack, but a platform that asks too much.
    pub(super) fn append_busy(&mut self, fact: Fact) {
        if let Err(error) = self.ledger_writer.append_refusal(fact) {
            tracing::error!(%error, "a refusal could not be written down");
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
    }
}

fn simulated(moved: Result<(), PanelError>) -> Response {
    moved.map_or_else(|error| Response::refused(error.to_string()), |()| Response::Done)
}
