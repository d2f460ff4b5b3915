//! The record button: presses, and the holds of rules 7 to 10.

use super::{Machine, Ownership};
use crate::button_state::{Gesture, Hold};
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
            self.button.down(now, may_capture, found);
        }
    }

    pub(super) fn button_up(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        match (self.button.up(now), self.phase()) {
            (Gesture::Start { sound }, Phase::Idle | Phase::Requested) => self.start(now, sound, effects),
            (Gesture::Start { .. }, Phase::Fault) => effects.push(Effect::SelfTest),
            (
                Gesture::Start { .. },
                Phase::Connecting | Phase::Live | Phase::Reconnecting | Phase::Stopping | Phase::Locked | Phase::Policy,
            )
            | (Gesture::Nothing, _) => {}
            (Gesture::Lock { new, in_time }, _) => {
                if new {
                    self.lock(now, effects);
                }
                if in_time {
                    effects.push(Effect::DestroyFootage);
                }
            }
            (Gesture::Unbind, _) => {
                self.revoke(now, Reason::Unbind, effects);
                self.ownership = Ownership::Ending;
                self.unbind_when_idle(effects);
            }
        }
        if self.has_fault(Fault::Button) {
            // It came up after all: a test decides whether its fault is cleared.
            effects.push(Effect::SelfTest);
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
                Phase::Policy => {
                    self.policy_pending = false;
                    self.button.consume();
                    effects.push(Effect::RecordPolicyAcknowledged);
                }
                // An unbound box stays locked until it is claimed.
                Phase::Locked
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

    pub(super) fn unbind_when_idle(&mut self, effects: &mut Vec<Effect>) {
        if self.ownership == Ownership::Ending && !self.phase().may_capture() {
            // Being unbound replaces the lock that the hold passed on its way.
            (self.ownership, self.locked) = (Ownership::Unbound, false);
            effects.push(Effect::Unbind);
        }
    }
}
