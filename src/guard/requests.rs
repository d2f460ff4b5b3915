//! What door 2 may ask of the engine. There is no arm in here that starts a capture.

use tokio::sync::oneshot;

use super::control::Call;
use super::engine::Engine;
use crate::consent::{Event, Fault, Phase};
use crate::ipc::{Answer, Fact, Request};
use crate::panel::{Button, PanelError};

/// At most this much of what strangers send is written down, in characters.
const VERB: usize = 64;
/// See [`VERB`].
const WHY: usize = 200;

fn cut(text: &str, length: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(length).collect()
}

fn pressed(moved: Result<(), PanelError>) -> Answer {
    moved.map_or_else(|error| Answer::Refused(error.to_string()), |()| Answer::Done)
}

impl Engine {
    /// Does what a connection asks.
    pub(super) fn answer(&mut self, call: Call, ending: bool) {
        let (request, reply) = match call {
            Call::TurnedAway { uid, why } => {
                tracing::warn!(uid, why, "turned away at the guard's socket");
                return self.refused(Fact::DoorRefused { uid, why: cut(&why, WHY) });
            }
            Call::Do(request, reply) => (request, reply),
        };
        if ending {
            let _ = reply.send(Answer::NotNow("the guard is ending".to_owned()));
            return;
        }
        if let Some((answer, reply)) = self.act(request, reply) {
            // A caller that went away does not need its answer.
            let _ = reply.send(answer);
        }
        self.publish();
    }

    /// Acts; gives the answer back with its channel, unless it comes later.
    fn act(&mut self, request: Request, reply: oneshot::Sender<Answer>) -> Option<(Answer, oneshot::Sender<Answer>)> {
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
                self.feed(Event::RemoteRequest);
                self.when(|phase| phase == Phase::Requested, "nothing can be asked for now")
            }
            Request::Mute {} => {
                self.mute(reply);
                return None;
            }
            Request::Unmute {} => {
                self.feed(Event::RemoteUnmute);
                let why = "remote takes back only its own mute, in a session that staff started with sound";
                let heard = self.machine.sound_wanted();
                self.when(|_| heard, why)
            }
            Request::Identify {} if self.may_capture() => {
                Answer::Refused("the lamp says that the box is capturing, and goes on saying so".to_owned())
            }
            Request::Identify {} => {
                let now = self.clock.now();
                match self.board.identify(now) {
                    Ok(()) => Answer::Done,
                    Err(error) => {
                        self.feed(Event::Broken(Fault::Lamp));
                        Answer::Refused(error.to_string())
                    }
                }
            }
            Request::Refused { verb, why } => {
                self.refused(Fact::CommandRefused { verb: cut(&verb, VERB), why: cut(&why, WHY) });
                Answer::Done
            }
            Request::Button { down } => pressed(self.board.simulate(Button::Record, down)),
            Request::MuteButton { down } => pressed(self.board.simulate(Button::Mute, down)),
            Request::Status {} | Request::Subscribe { .. } => Answer::Done,
        };
        Some((answer, reply))
    }

    fn when(&self, holds: impl FnOnce(Phase) -> bool, why: &str) -> Answer {
        let phase = self.machine.phase();
        if holds(phase) { Answer::Done } else { Answer::Refused(format!("{why}: the box is {}", phase.word())) }
    }

    fn refused(&mut self, fact: Fact) {
        if let Err(error) = self.journal.refuse(fact) {
            tracing::error!(%error, "a refusal could not be written down");
            self.feed(Event::Broken(Fault::Ledger));
        }
    }
}
