//! The platform's desired configuration, between sessions: the ledger first, then the disk, then what is in force.

use super::{Engine, limits};
use crate::ipc::{Fact, Response};
use crate::judges::twin::{Question, Receipt, Step};
use consent::{Event, Fault};

impl Engine {
    /// Takes a document that the agent handed in.
    pub(super) fn receive_desired(&mut self, note: &str) -> Response {
        if !self.is_restored {
            return Response::unavailable("the ledger is not open, which says what was judged before");
        }
        if self.machine.is_unbound() {
            return Response::refused("the box was unbound, and waits to be claimed");
        }
        let Some(id) = self.box_id() else {
            return Response::unavailable("the box has no key, and so no name; see its log");
        };
        let (now, may_keep) = (self.clock.now(), !self.machine.phase().may_capture());
        let quotas = &mut self.quotas;
        match self.twin.receive(note, &id, may_keep, || quotas.admit_desired(now)) {
            Receipt::New => {
                self.advance_twin();
                Response::Done
            }
            Receipt::Repeated => Response::Done,
            Receipt::Unavailable(why) => Response::unavailable(why),
            Receipt::Refused { why, again } => {
                // The broker repeats a retained one at each connection.
                if !again {
                    self.append_refusal(Fact::CommandRefused { verb: "config/desired".to_owned(), why: why.clone() });
                }
                Response::refused(why)
            }
        }
    }

    /// The box's name in topics and documents.
    pub(super) fn box_id(&self) -> Option<String> {
        let own = || self.identity.as_ref().map(crate::ipc::BoxIdentity::device_id);
        self.config.device.id.clone().or_else(own)
    }

    /// Takes up what was in force before the guard's start.
    pub(super) fn restore_twin(&mut self, history: &crate::ledger::DesiredHistory) -> Result<(), Event> {
        // A box without a name has no document that is for it.
        let id = self.box_id().unwrap_or_default();
        let dropped = self.twin.restore(history, &id);
        let written = dropped.map_or(Ok(()), |fact| self.append(fact));
        self.machine.set_limits(limits(self.twin.config()));
        written
    }

    /// Goes on with a document that waits, as far as it can now: nothing is done while anything is captured.
    pub(super) fn advance_twin(&mut self) {
        if !self.is_restored || self.machine.phase().may_capture() || self.machine.is_unbound() {
            return;
        }
        while !self.machine.has_fault(Fault::Ledger)
            && let Some(step) = self.twin.next_step(&self.refusals)
        {
            let written = match step {
                Step::Receive(fact) => self.append_durably(fact).map(|()| self.twin.received()),
                Step::Ask(fact) => {
                    self.twin.asked();
                    self.twin_question = Question::Due;
                    fact.map_or(Ok(()), |fact| self.append(fact))
                }
                Step::Apply(fact) => self.append_durably(fact).map(|()| self.twin.applied()),
                Step::Withdraw(asks) => {
                    self.twin.withdrawn(&asks);
                    self.note_refusal(&asks)
                }
                Step::Decline(why) => {
                    self.twin.declined(&why);
                    self.append_refusal(Fact::CommandRefused { verb: "config/desired".to_owned(), why });
                    Ok(())
                }
            };
            self.dispatch_failure(written);
        }
        self.machine.set_limits(limits(self.twin.config()));
        self.settle_agreement();
    }

    /// Lets the lamp ask staff, once for each document, or no longer.
    fn settle_agreement(&mut self) {
        if let Some(event) = self.twin_question.settle(self.twin.needs_agreement()) {
            self.dispatch(event);
        }
    }

    /// Staff held the button: what they were asked is agreed to.
    pub(super) fn append_agreement(&mut self) -> Result<(), Event> {
        self.twin_question = Question::None;
        let ingest = self.agree_to_ingest();
        let twin = self.twin.agreed().map_or(Ok(()), |fact| self.append_durably(fact));
        twin.and(ingest)
    }
}
