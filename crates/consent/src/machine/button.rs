//! What the record button does to the machine: touches, and the holds of rules 7 to 10.

use super::{Binding, Machine};
use crate::button_state::{Gesture, Hold};
use crate::{Effect, Fault, Phase, Reason};
use monotonic::Monotonic;

impl Machine {
    pub(super) fn button_down(&mut self, now: Monotonic, found: bool, effects: &mut Vec<Effect>) {
        let may_capture = self.phase().may_capture();
        if may_capture {
            self.revoke(now, Reason::Press, effects);
        }
        // What a broken button says is good for stopping only.
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
                self.binding = Binding::Ending;
                self.unbind_when_idle(effects);
            }
        }
        if self.has_fault(Fault::Button) {
            // It came up after all: whoever runs the machine looks again before believing it.
            effects.push(Effect::SelfTest);
        }
    }

    /// Locks at once. What cannot be undone, unsent footage, waits until the button comes up: one that is stuck must
    /// not do it.
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
                // One that was unbound waits for a new configuration.
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
        if self.binding == Binding::Ending && !self.phase().may_capture() {
            // From now on the box waits for whoever claims it, which takes the place of the lock on the way to here.
            (self.binding, self.locked) = (Binding::Unbound, false);
            effects.push(Effect::Unbind);
        }
    }
}
