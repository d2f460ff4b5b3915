//! What the record button does to the machine: touches, and the holds of rules 7 to 10.

use super::{Binding, Machine};
use crate::touch::{Gesture, Hold};
use crate::{Effect, Fault, Phase, Reason};
use monotonic::Monotonic;

impl Machine {
    pub(super) fn button_down(&mut self, now: Monotonic, found: bool, todo: &mut Vec<Effect>) {
        let may_capture = self.phase().may_capture();
        if may_capture {
            self.revoke(now, Reason::Press, todo);
        }
        // What a broken button says is good for stopping only.
        if self.has_fault(Fault::Button) {
            self.touch.forget();
        } else {
            self.touch.down(now, may_capture, found);
        }
    }

    pub(super) fn button_up(&mut self, now: Monotonic, todo: &mut Vec<Effect>) {
        match (self.touch.up(now), self.phase()) {
            (Gesture::Start { sound }, Phase::Idle | Phase::Requested) => self.start(now, sound, todo),
            (Gesture::Start { .. }, Phase::Fault) => todo.push(Effect::SelfTest),
            (
                Gesture::Start { .. },
                Phase::Connecting | Phase::Live | Phase::Reconnecting | Phase::Stopping | Phase::Locked | Phase::Policy,
            )
            | (Gesture::Nothing, _) => {}
            (Gesture::Lock { new, in_time }, _) => {
                if new {
                    self.lock(now, todo);
                }
                if in_time {
                    todo.push(Effect::DestroyFootage);
                }
            }
            (Gesture::Unbind, _) => {
                self.revoke(now, Reason::Unbind, todo);
                self.binding = Binding::Ending;
                self.unbind_when_dark(todo);
            }
        }
        if self.has_fault(Fault::Button) {
            // It came up after all: whoever runs the machine looks again before believing it.
            todo.push(Effect::SelfTest);
        }
    }

    /// Locks at once. What cannot be undone, unsent footage, waits until the button comes up: one that is stuck must
    /// not do it.
    fn lock(&mut self, now: Monotonic, todo: &mut Vec<Effect>) {
        self.revoke(now, Reason::Lock, todo);
        self.locked = true;
        self.touch.spend();
        todo.push(Effect::RecordLock);
    }

    pub(super) fn held(&mut self, now: Monotonic, hold: Hold, todo: &mut Vec<Effect>) {
        match hold {
            Hold::Short | Hold::UnbindWarning => {}
            Hold::Acknowledge => match self.phase() {
                Phase::Locked if self.locked => {
                    self.locked = false;
                    self.touch.spend();
                    todo.push(Effect::RecordUnlock);
                }
                Phase::Policy => {
                    self.policy_pending = false;
                    self.touch.spend();
                    todo.push(Effect::RecordPolicyAcknowledged);
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
            Hold::Lock => self.lock(now, todo),
            Hold::Stuck => self.broke(now, Fault::Button, todo),
        }
    }

    pub(super) fn unbind_when_dark(&mut self, todo: &mut Vec<Effect>) {
        if self.binding == Binding::Ending && !self.phase().may_capture() {
            // From now on the box waits for whoever claims it, which takes the place of the lock on the way to here.
            (self.binding, self.locked) = (Binding::Unbound, false);
            todo.push(Effect::Unbind);
        }
    }
}
