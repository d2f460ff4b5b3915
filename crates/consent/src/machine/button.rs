//! The record button: presses, and the holds of rules 7 to 10.

use super::{Machine, Ownership, Parting, SessionState};
use crate::button_state::{Gesture, Hold, Question};
use crate::limits::LATE_ANSWER;
use crate::{Effect, Fault, Phase, Reason};
use monotonic::Monotonic;

impl Machine {
    pub(super) fn button_down(&mut self, now: Monotonic, found: bool, effects: &mut Vec<Effect>) {
        let may_capture = self.phase().may_capture();
        if may_capture {
            self.revoke(now, Reason::Press, effects);
        }
        // A button with a fault can only stop.
        if self.has_fault(Fault::Button) {
            self.button.forget();
        } else {
            let question = self.question();
            // Whatever answers a question starts nothing, even if that was withdrawn just before.
            let is_late_answer = self.asked_at.is_some_and(|at| now.duration_since(at) < LATE_ANSWER);
            let answers = self.asks_to_unbind() || self.asks_for_guardian();
            let consumed = may_capture || answers || is_late_answer;
            self.button.down(now, consumed, found, question);
        }
    }

    /// What the lamp asks.
    pub(super) fn question(&self) -> Question {
        match (self.phase(), self.session) {
            (Phase::Policy, _) => Question::Policy,
            (Phase::Requested, SessionState::UnbindRequested { since, .. }) => Question::Unbind(since),
            (Phase::Requested, SessionState::GuardianAsked { since, .. }) => Question::Guardian(since),
            (
                Phase::Idle
                | Phase::Requested
                | Phase::Connecting
                | Phase::Live
                | Phase::Reconnecting
                | Phase::Stopping
                | Phase::Locked
                | Phase::Fault,
                _,
            ) => Question::None,
        }
    }

    pub(super) fn button_up(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        let (to_unbind, for_guardian) = (self.asks_to_unbind(), self.asks_for_guardian());
        match (self.button.up(now), self.phase()) {
            (Gesture::ConfirmUnbind, _) if to_unbind => self.unbind(now, effects),
            (Gesture::ConfirmStart, _) if for_guardian => self.start_with_guardian(now, effects),
            // Any other touch declines, those apart that mean more.
            (Gesture::ConfirmUnbind | Gesture::ConfirmStart | Gesture::Start { .. } | Gesture::Nothing, _)
                if to_unbind || for_guardian =>
            {
                self.revoke(now, Reason::Declined, effects);
            }
            (Gesture::Start { sound }, Phase::Idle | Phase::Requested) => self.press(now, sound, effects),
            (Gesture::Start { .. }, Phase::Fault) => effects.push(Effect::SelfTest),
            (
                Gesture::Start { .. },
                Phase::Connecting | Phase::Live | Phase::Reconnecting | Phase::Stopping | Phase::Locked | Phase::Policy,
            )
            | (Gesture::Nothing | Gesture::ConfirmUnbind | Gesture::ConfirmStart, _) => {}
            (Gesture::Lock { new, in_time }, _) => {
                if new {
                    self.lock(now, effects);
                }
                if in_time {
                    effects.push(Effect::DestroyFootage);
                }
            }
            (Gesture::Unbind, _) => self.unbind(now, effects),
        }
        if self.has_fault(Fault::Button) {
            // It came up after all: a test decides whether its fault is cleared.
            effects.push(Effect::SelfTest);
        }
    }

    /// Staff unbind the box, by themselves or because they were asked.
    fn unbind(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        self.part(now, Parting::Unbound, Reason::Unbind, effects);
    }

    /// Shop and box part: what is captured ends at once, and the rest follows when it has. The end of the service is
    /// more than an unbinding, and happens once.
    pub(super) fn part(&mut self, now: Monotonic, parting: Parting, reason: Reason, effects: &mut Vec<Effect>) {
        self.revoke(now, reason, effects);
        match self.ownership {
            Ownership::Ended(Parting::ServiceEnded) => {}
            Ownership::Ending(Parting::ServiceEnded) => self.part_when_idle(effects),
            Ownership::Bound | Ownership::Ending(Parting::Unbound) | Ownership::Ended(Parting::Unbound) => {
                self.ownership = Ownership::Ending(parting);
                self.part_when_idle(effects);
            }
        }
    }

    /// Locks at once. Unsent footage, whose deletion cannot be undone, is deleted when the button is released: a stuck
    /// button must not delete it.
    fn lock(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        self.revoke(now, Reason::Lock, effects);
        self.locked = true;
        self.button.consume();
        effects.push(Effect::RecordLock);
    }

    pub(super) fn on_hold(&mut self, now: Monotonic, hold: Hold, effects: &mut Vec<Effect>) {
        match hold {
            Hold::Short | Hold::UnbindWarning => {}
            Hold::Acknowledge => match self.phase() {
                Phase::Locked if self.locked => {
                    self.locked = false;
                    self.button.consume();
                    effects.push(Effect::RecordUnlock);
                }
                // Only a hold that began while the lamp asked; and one at a time.
                Phase::Policy if self.button.question() == Question::Policy => {
                    self.button.consume();
                    if self.policy_pending {
                        self.policy_pending = false;
                        effects.push(Effect::RecordPolicyAcknowledged);
                    } else {
                        self.agreement_pending = false;
                        effects.push(Effect::RecordAgreement);
                    }
                }
                // An unbound box stays locked until it is claimed.
                Phase::Locked
                | Phase::Policy
                | Phase::Idle
                | Phase::Requested
                | Phase::Connecting
                | Phase::Live
                | Phase::Reconnecting
                | Phase::Stopping
                | Phase::Fault => {}
            },
            Hold::Lock => self.lock(now, effects),
            Hold::Stuck => self.on_fault(now, Fault::Button, effects),
        }
    }

    pub(super) fn part_when_idle(&mut self, effects: &mut Vec<Effect>) {
        if let Ownership::Ending(parting) = self.ownership
            && !self.phase().may_capture()
        {
            // Being unbound replaces the lock that the hold passed on its way.
            (self.ownership, self.locked) = (Ownership::Ended(parting), false);
            effects.push(match parting {
                Parting::Unbound => Effect::Unbind,
                Parting::ServiceEnded => Effect::EndService,
            });
        }
    }
}
