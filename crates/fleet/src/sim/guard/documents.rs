//! Desired configurations and policies of a simulated box, judged by the box's own code.

use tallybox::ipc::{Fact, Rejection, Response};
use tallybox::judges::policy_note::{Judgement, PolicyNote, judge};
use tallybox::judges::twin::{Question, Receipt, Step};
use tallybox::ledger::Refusals;

use super::{SimGuard, limits};
use consent::Event;

impl SimGuard {
    /// Takes a desired configuration.
    pub(super) fn receive_desired(&mut self, note: &str) -> Response {
        if self.machine.is_unbound() {
            return Response::refused("the box was unbound, and waits to be claimed");
        }
        let (now, may_keep) = (self.clock.now(), !self.machine.phase().may_capture());
        let (quotas, id) = (&mut self.judges.quotas, self.config.device.id.as_deref().unwrap_or_default());
        match self.judges.twin.receive(note, id, may_keep, || quotas.admit_desired(now)) {
            Receipt::New => {
                self.advance_twin();
                Response::Done
            }
            Receipt::Repeated => Response::Done,
            Receipt::Unavailable(why) => Response::unavailable(why),
            Receipt::Refused { why, again } => {
                if !again {
                    self.append(Fact::CommandRefused { verb: "config/desired".to_owned(), why: why.clone() });
                }
                Response::refused(why)
            }
        }
    }

    /// Goes on with a document that waits, as far as it can now.
    pub(super) fn advance_twin(&mut self) {
        if self.machine.phase().may_capture() || self.machine.is_unbound() {
            return;
        }
        while let Some(step) = self.judges.twin.next_step(&self.judges.refusals) {
            match step {
                Step::Receive(fact) => {
                    self.append(fact);
                    self.judges.twin.received();
                }
                Step::Ask(fact) => {
                    self.judges.twin.asked();
                    self.judges.question = Question::Due;
                    if let Some(fact) = fact {
                        self.append(fact);
                    }
                }
                Step::Apply(fact) => {
                    self.append(fact);
                    self.judges.twin.applied();
                }
                Step::Withdraw(asks) => {
                    self.judges.twin.withdrawn(&asks);
                    self.note_refusal(&asks);
                }
                Step::Decline(why) => {
                    self.judges.twin.declined(&why);
                    self.append(Fact::CommandRefused { verb: "config/desired".to_owned(), why });
                }
            }
        }
        self.machine.set_limits(limits(self.judges.twin.config()));
        if let Some(event) = self.judges.question.settle(self.judges.twin.needs_agreement()) {
            self.dispatch(event);
        }
    }

    /// Staff did not agree to what they were asked.
    pub(super) fn note_refusal(&mut self, asks: &[String]) {
        let questions = Refusals::hashes(asks);
        self.judges.refusals.add(&questions);
        self.append(Fact::AgreementRefused { asked: asks.join("; "), questions });
    }

    /// A policy came: with a command, or as it is retained.
    pub(super) fn receive_policy(&mut self, note: &str) -> Response {
        if self.machine.is_unbound() {
            return Response::unavailable("the box has no ledger, or no shop: no policy is taken");
        }
        match PolicyNote::verify(&self.config.trust, note) {
            Ok(note) => self.adopt_policy(note),
            Err(error) => Response::Rejected(error.into()),
        }
    }

    /// The retained policy: the same refusal is written down once.
    pub(super) fn receive_retained_policy(&mut self, note: &str) -> Response {
        let response = self.receive_policy(note);
        if let Response::Rejected(Rejection { why, .. }) = &response
            && self.judges.policy.refused.as_ref() != Some(why)
        {
            self.judges.policy.refused = Some(why.clone());
            self.append(Fact::CommandRefused { verb: "policy".to_owned(), why: why.clone() });
        }
        response
    }

    fn adopt_policy(&mut self, note: PolicyNote) -> Response {
        let (waits_for_staff, reasons) =
            match judge(&note, self.judges.policy.history(self.machine.is_policy_pending())) {
                Judgement::Known => return Response::Done,
                Judgement::Refuse(why) => return Response::refused(why),
                Judgement::Adopt { waits_for_staff, reasons } => (waits_for_staff, reasons),
            };
        if let Err(error) = note.store(&self.config.device.data_dir) {
            return Response::refused(format!("the policy cannot be kept: {error}; look at the disk's free space"));
        }
        let (policy_version, material) = (note.document.version.clone(), note.document.material);
        let keys = note.signers().to_vec();
        self.append(Fact::PolicyUpdated { policy_version, material, waits_for_staff, reasons, keys });
        self.judges.policy.adopt(note);
        if waits_for_staff {
            self.dispatch(Event::PolicyChanged);
        }
        Response::Done
    }
}
