//! What door 2 may ask of the engine. There is no arm in here that starts a capture.

use monotonic::Monotonic;
use std::time::Duration;

use tokio::sync::oneshot;

use super::control_server::Call;
use super::engine::Engine;
use crate::ipc::{Fact, Request, Response, Verb};
use crate::panel::{Button, PanelError};
use crate::token_bucket::TokenBucket;
use consent::{Event, Fault, Phase};

/// How often others may call what leaves a trace in the ledger or at the lamp. Here and not in the agent, which may
/// have been taken over. `stop` and `mute` always may: repeated ones change nothing, and leave none.
#[derive(Debug)]
pub(super) struct VerbQuotas {
    request_start: TokenBucket,
    unmute: TokenBucket,
    identify: TokenBucket,
}

/// So many at once, and one each [`REFILL`]: more than a person clicks, some 8,600 a day at the very most.
const BURST: u32 = 10;
/// See [`BURST`].
const REFILL: Duration = Duration::from_secs(10);

impl VerbQuotas {
    pub(super) fn new(now: Monotonic) -> Self {
        let full = || TokenBucket::new(BURST, REFILL, now);
        Self { request_start: full(), unmute: full(), identify: full() }
    }

    /// Takes one of the verb's tokens; the verb, and why not, where there is none.
    fn admit(&mut self, request: &Request, now: Monotonic) -> Result<(), (&'static str, &'static str)> {
        let (bucket, verb) = match request {
            Request::RequestStart {} => (&mut self.request_start, Verb::RequestStart),
            Request::Unmute {} => (&mut self.unmute, Verb::Unmute),
            Request::Identify {} => (&mut self.identify, Verb::Identify),
            Request::Status {}
            | Request::Subscribe { .. }
            | Request::Probe {}
            | Request::Stop {}
            | Request::Mute {}
            | Request::Refused { .. }
            | Request::Button { .. }
            | Request::MuteButton { .. } => return Ok(()),
        };
        let why = "too many of these: ten at once, then one every 10 s";
        if bucket.try_take(now) { Ok(()) } else { Err((verb.as_str(), why)) }
    }
}

fn pressed(moved: Result<(), PanelError>) -> Response {
    moved.map_or_else(|error| Response::Rejected(error.to_string()), |()| Response::Done)
}

impl Engine {
    /// Does what a connection asks.
    pub(super) fn handle_call(&mut self, call: Call, ending: bool) {
        let (request, reply) = match call {
            Call::Rejected { uid, why } => {
                tracing::warn!(uid, why, "turned away at the guard's socket");
                return self.refused(Fact::ConnectionRefused { uid, why });
            }
            Call::Request(request, reply) => (request, reply),
        };
        if ending {
            let _ = reply.send(Response::Unavailable("the guard is ending".to_owned()));
            return;
        }
        match self.handle_request(request, reply) {
            Some((Response::Done, reply)) => self.answer_when_written(reply),
            // A caller that went away does not need its answer.
            Some((answer, reply)) => drop(reply.send(answer)),
            None => {}
        }
        self.check_ledger();
        self.publish();
    }

    /// Acts; gives the answer back with its channel, unless it comes later.
    fn handle_request(
        &mut self,
        request: Request,
        reply: oneshot::Sender<Response>,
    ) -> Option<(Response, oneshot::Sender<Response>)> {
        if let Err((verb, why)) = self.quotas.admit(&request, self.clock.now()) {
            self.refused(Fact::CommandRefused { verb: verb.to_owned(), why: why.to_owned() });
            return Some((Response::Unavailable(why.to_owned()), reply));
        }
        let answer = match request {
            Request::Stop {} => {
                self.stop(reply);
                return None;
            }
            Request::Probe {} => {
                self.probe(reply);
                return None;
            }
            Request::RequestStart {} => {
                self.dispatch(Event::RemoteRequest);
                self.done_if(|phase| phase == Phase::Requested, "nothing can be asked for now")
            }
            Request::Mute {} => {
                self.mute(reply);
                return None;
            }
            Request::Unmute {} => {
                self.dispatch(Event::RemoteUnmute);
                let why = "remote takes back only its own mute, in a session that staff started with sound";
                let heard = self.machine.wants_sound();
                self.done_if(|_| heard, why)
            }
            Request::Identify {} if !self.may_identify() => {
                let phase = self.machine.phase().as_str();
                Response::Rejected(format!("the lamp says that the box is {phase}, and goes on saying so"))
            }
            Request::Identify {} => {
                let now = self.clock.now();
                match self.panel.identify(now) {
                    Ok(()) => Response::Done,
                    Err(error) => {
                        self.dispatch(Event::FaultDetected(Fault::Lamp));
                        Response::Rejected(error.to_string())
                    }
                }
            }
            Request::Refused { verb, why } => {
                self.refused(Fact::CommandRefused { verb, why });
                Response::Done
            }
            Request::Button { down } => pressed(self.panel.simulate(Button::Record, down)),
            Request::MuteButton { down } => pressed(self.panel.simulate(Button::Mute, down)),
            Request::Status {} | Request::Subscribe { .. } => Response::Done,
        };
        Some((answer, reply))
    }

    /// Whether the lamp says nothing that somebody has to see: neither that the box may be capturing, nor that it is
    /// locked, out of order or waiting for a policy.
    fn may_identify(&self) -> bool {
        match self.machine.phase() {
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

    fn done_if(&self, held_buttons: impl FnOnce(Phase) -> bool, why: &str) -> Response {
        let phase = self.machine.phase();
        if held_buttons(phase) {
            Response::Done
        } else {
            Response::Rejected(format!("{why}: the box is {}", phase.as_str()))
        }
    }

    fn refused(&mut self, fact: Fact) {
        if let Err(error) = self.ledger_writer.append_refusal(fact) {
            tracing::error!(%error, "a refusal could not be written down");
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
    }
}
