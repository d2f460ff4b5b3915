//! Answers that come later: when capture is gone or has confirmed, and when the ledger has it.

use monotonic::Monotonic;
use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::Engine;
use crate::ipc::Response;
use consent::{Event, Fault, Phase, Reason};

/// An answer that waits for the ledger, not for long.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// The last fact that belongs to it.
    fact: u64,
    /// Until then; after that the answer is that it was done, and is not written.
    pub(super) until: Monotonic,
    reply: oneshot::Sender<Response>,
}

/// What an answer waits for the ledger: a caller has a second or two.
const UNWRITTEN: Duration = Duration::from_secs(1);

impl Engine {
    /// Looks how the ledger does: answers what waited for it, and makes a fault of what does not come to an end.
    pub(super) fn check_ledger(&mut self) {
        let now = self.clock.now();
        let trouble = self.ledger_writer.error();
        for waiting in std::mem::take(&mut self.unwritten) {
            if self.ledger_writer.is_written(waiting.fact) {
                let _ = waiting.reply.send(Response::Done);
            } else if trouble.is_some() || now >= waiting.until {
                let _ = waiting.reply.send(Response::Unwritten);
            } else {
                self.unwritten.push(waiting);
            }
        }
        if trouble != self.ledger_error {
            self.ledger_error.clone_from(&trouble);
            if let Some(text) = trouble.clone() {
                self.ledger_failed(text);
            }
        }
        if trouble.is_some() && !self.machine.has_fault(Fault::Ledger) {
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
    }

    /// Answers that something was done, when the ledger has it; where that takes long, that it does not have it yet.
    pub(super) fn answer_when_written(&mut self, reply: oneshot::Sender<Response>) {
        if self.ledger_writer.is_written(self.ledger_writer.submitted()) {
            // A caller that went away does not need its answer.
            let _ = reply.send(Response::Done);
            return;
        }
        let (fact, until) = (self.ledger_writer.submitted(), self.clock.now().saturating_add(UNWRITTEN));
        self.unwritten.push(Unwritten { fact, until, reply });
    }

    /// Asks staff to press for a probe; answered when it is over, or will not come.
    pub(super) fn probe(&mut self, reply: oneshot::Sender<Response>) {
        if self.machine.phase() != Phase::Idle {
            let why = format!("only an idle box is probed: this one is {}", self.machine.phase().as_str());
            let _ = reply.send(Response::Rejected(why));
            return;
        }
        self.message = None;
        self.probe_reply = Some(reply);
        self.dispatch(Event::ProbeRequest);
    }

    /// The probe is over, or nobody pressed for it.
    pub(super) fn answer_probe(&mut self) {
        let Some(probe_reply) = self.probe_reply.take() else { return };
        let why = match self.machine.last_reason() {
            Some(Reason::RequestTimeout) => "nobody pressed the button in time",
            other => other.map_or("it did not begin", Reason::as_str),
        };
        let answer = match self.session.findings {
            Some(findings) => Response::Probed(findings),
            None => Response::Rejected(self.message.clone().unwrap_or_else(|| why.to_owned())),
        };
        let _ = probe_reply.send(answer);
    }

    /// Answers a remote mute when capture has confirmed it, or it will not.
    pub(super) fn mute(&mut self, reply: oneshot::Sender<Response>) {
        self.mute_replies.push(reply);
        self.dispatch(Event::RemoteMute);
    }

    pub(super) fn answer_mutes(&mut self) {
        if self.machine.is_mute_pending() {
            return;
        }
        let phase = self.machine.phase();
        let answer = if phase.may_capture() && self.machine.is_muted() {
            Response::Done
        } else if self.machine.wants_sound() {
            Response::Rejected("the sound was switched on again before that".to_owned())
        } else {
            Response::Rejected(format!("there is no stream to mute: the box is {}", phase.as_str()))
        };
        for mute in std::mem::take(&mut self.mute_replies) {
            if answer == Response::Done {
                self.answer_when_written(mute);
            } else {
                // A caller that went away does not need its answer.
                let _ = mute.send(answer.clone());
            }
        }
    }

    /// Answers a remote stop now, or when capture is gone and the ledger says so.
    pub(super) fn stop(&mut self, reply: oneshot::Sender<Response>) {
        self.stop_replies.push(reply);
        self.dispatch(Event::RemoteStop);
    }
}
