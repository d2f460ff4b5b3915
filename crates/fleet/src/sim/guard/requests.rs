//! What an agent may ask of a simulated guard.

use tallybox::ipc::{Fact, Phase, Request, Response};
use tokio::sync::oneshot;

use super::SimGuard;
use consent::Event;

impl SimGuard {
    // A request that is newer than this simulation is turned down.
    #[allow(clippy::wildcard_enum_match_arm)]
    pub(super) fn handle(&mut self, request: Request, reply: oneshot::Sender<Response>) {
        let response = match request {
            Request::Stop {} => {
                self.stops.push(reply);
                return self.dispatch(Event::RemoteStop);
            }
            Request::Mute {} => {
                self.mutes.push(reply);
                return self.dispatch(Event::RemoteMute);
            }
            Request::RequestStart {} => {
                self.dispatch(Event::RemoteRequest);
                self.staff.asked(self.clock.now());
                self.done_if(self.machine.phase() == Phase::Requested, "nothing can be asked for now")
            }
            Request::Unmute {} => {
                self.dispatch(Event::RemoteUnmute);
                let why = "remote takes back only its own mute, in a session that staff started with sound";
                self.done_if(self.machine.wants_sound(), why)
            }
            Request::Identify {} => {
                let may = matches!(self.machine.phase(), Phase::Idle | Phase::Requested);
                self.done_if(may, "the lamp goes on saying what it says")
            }
            Request::Refused { verb, why } => {
                self.append(Fact::CommandRefused { verb, why });
                Response::Done
            }
            Request::Status {} | Request::Subscribe { .. } => Response::Done,
            _ => Response::refused("a simulated box does not do that"),
        };
        // A caller that went away does not need its reply.
        let _ = reply.send(response);
    }

    fn done_if(&self, is_done: bool, why: &str) -> Response {
        let phase = self.machine.phase().as_str();
        if is_done { Response::Done } else { Response::refused(format!("{why}: the box is {phase}")) }
    }
}
