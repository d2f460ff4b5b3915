//! What the control socket may ask of the engine. No arm in here starts a capture.

use super::Engine;
use crate::guard::control_server::ControlCall;
use crate::guard::pending_replies::ReplySender;
use crate::guard::verb_quotas::OverQuota;
use crate::ipc::{Fact, Request, Response};
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
            let _ = reply.send(Response::Unavailable("the guard is ending".to_owned()));
            return;
        }
        self.handle_request(request, reply);
        self.check_ledger();
        self.publish();
    }

    fn handle_request(&mut self, request: Request, reply: ReplySender) {
        let now = self.clock.now();
        if let Err(OverQuota { verb, why }) = self.quotas.admit(&request, now) {
            self.append_refusal(Fact::CommandRefused { verb: verb.as_str().to_owned(), why: why.to_owned() });
            let _ = reply.send(Response::Unavailable(why.to_owned()));
            return;
        }
        let response = match request {
            Request::Stop {} => {
                self.replies.add_stop(reply);
                return self.dispatch(Event::RemoteStop);
            }
            Request::Mute {} => {
                self.replies.add_mute(reply);
                return self.dispatch(Event::RemoteMute);
            }
            Request::Probe {} => return self.request_probe(reply),
            Request::RequestStart {} => {
                self.dispatch(Event::RemoteRequest);
                self.done_if(self.machine.asks_to_start(), "nothing can be asked for now")
            }
            Request::Unmute {} => {
                self.dispatch(Event::RemoteUnmute);
                let why = "remote takes back only its own mute, in a session that staff started with sound";
                self.done_if(self.machine.wants_sound(), why)
            }
            Request::Identify {} => self.show_identity(),
            Request::Refused { verb, why } => {
                self.append_refusal(Fact::CommandRefused { verb, why });
                Response::Done
            }
            Request::Release { note } => return self.offer_release(&note, reply),
            Request::UpdateFetched { serial, error } => {
                self.updates.on_fetched(serial, error);
                Response::Done
            }
            Request::UpdateNow { version } => self.ask_update(&version),
            Request::UpdatePostpone { hours } => self.postpone_update(hours),
            Request::UpdateEnded(outcome) => self.end_update(outcome),
            Request::Desired { note } => self.receive_desired(&note),
            Request::Button { down } => simulated(self.panel.simulate(Button::Record, down)),
            Request::MuteButton { down } => simulated(self.panel.simulate(Button::Mute, down)),
            Request::Status {} | Request::Subscribe { .. } => Response::Done,
        };
        if response == Response::Done {
            self.replies.done_when_written(now, &self.ledger_writer, reply);
        } else {
            // A caller that went away does not need its reply.
            let _ = reply.send(response);
        }
    }

    fn done_if(&self, is_done: bool, why: &str) -> Response {
        let phase = self.machine.phase().as_str();
        if is_done { Response::Done } else { Response::Rejected(format!("{why}: the box is {phase}")) }
    }

    /// Asks staff to press for a probe. The reply follows when the probe is over, or will not come.
    fn request_probe(&mut self, reply: ReplySender) {
        let phase = self.machine.phase();
        if phase != Phase::Idle {
            let why = format!("only an idle box is probed: this one is {}", phase.as_str());
            let _ = reply.send(Response::Rejected(why));
            return;
        }
        self.messages.session = None;
        self.replies.set_probe(reply);
        self.dispatch(Event::ProbeRequest);
    }

    fn show_identity(&mut self) -> Response {
        let phase = self.machine.phase();
        if !may_identify(phase) || self.machine.asks_to_unbind() {
            let phase = phase.as_str();
            return Response::Rejected(format!("the lamp says that the box is {phase}, and goes on saying so"));
        }
        match self.panel.identify(self.clock.now()) {
            Ok(()) => Response::Done,
            Err(error) => {
                self.dispatch(Event::FaultDetected(Fault::Lamp));
                Response::Rejected(error.to_string())
            }
        }
    }

    pub(super) fn append_refusal(&mut self, fact: Fact) {
        if let Err(error) = self.ledger_writer.append_refusal(fact) {
            tracing::error!(%error, "a refusal could not be written down");
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
    }
}

fn simulated(moved: Result<(), PanelError>) -> Response {
    moved.map_or_else(|error| Response::Rejected(error.to_string()), |()| Response::Done)
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
