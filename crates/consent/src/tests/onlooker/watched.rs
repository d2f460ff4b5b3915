//! A machine with its onlooker: each step is judged.

use core::time::Duration;

use proptest::prelude::*;

use super::Onlooker;
use crate::tests::ms;
use crate::{Effect, Event, Fault, Machine, PersistedState, Phase, SessionLimits};

/// A machine, who watches it, and what time it is, in ms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::tests) struct Watched {
    pub(in crate::tests) machine: Machine,
    pub(in crate::tests) onlooker: Onlooker,
    pub(in crate::tests) now: u64,
}

impl Watched {
    pub(in crate::tests) fn new(now: u64, limits: SessionLimits, memory: PersistedState) -> Self {
        let request_timeout = u64::try_from(limits.request_timeout.as_millis()).unwrap_or(u64::MAX);
        let onlooker = Onlooker { minors: limits.minors_mode, request_timeout, ..Onlooker::default() };
        Self { machine: Machine::restore(limits, memory), onlooker, now }
    }

    /// Time passes: the guard polls, without a look at what follows from it.
    pub(in crate::tests) fn poll(&mut self, now: u64) -> Result<(), TestCaseError> {
        self.now = now;
        self.onlooker.sees_event(now, Event::Tick);
        self.onlooker.sees_press(Event::Tick);
        for effect in self.machine.step(ms(now), Event::Tick) {
            self.onlooker.sees_effect(now, effect)?;
        }
        Ok(())
    }

    /// Something happens. `told` gets the effects.
    pub(in crate::tests) fn take(
        &mut self,
        now: u64,
        event: Event,
        mut told: impl FnMut(&Effect),
    ) -> Result<(), TestCaseError> {
        let Self { machine, onlooker, .. } = self;
        self.now = now;
        onlooker.sees_event(now, event);
        onlooker.judges();
        onlooker.sees_press(event);
        for effect in machine.step(ms(now), event) {
            told(&effect);
            onlooker.sees_effect(now, effect)?;
        }
        onlooker.sees_new_question(now, event);
        onlooker.sees_ask(now);
        // One step may find the button stuck and then clear the fault.
        onlooker.broken = machine.has_fault(Fault::Button);
        self.agrees(event)
    }

    /// What the machine says of itself is what was seen.
    fn agrees(&self, event: Event) -> Result<(), TestCaseError> {
        let Self { machine, onlooker, now } = self;
        let within = |span| machine.deadline().is_some_and(|at| at.duration_since(ms(*now)) <= span);
        prop_assert!(
            !(machine.is_unbound() && machine.phase() == Phase::Idle),
            "an unbound box that a press would start"
        );
        prop_assert_eq!(onlooker.capture.is_some(), machine.phase().may_capture());
        prop_assert_eq!(machine.session().is_some(), machine.phase().may_capture());
        says_the_present(machine)?;
        if machine.is_muted() {
            prop_assert!(
                !onlooker.sound || (onlooker.wanted.muted && onlooker.confirmed),
                "muted that nobody confirmed"
            );
        }
        prop_assert!(!machine.is_mute_pending() || within(Duration::from_millis(500)), "a mute is waited for too long");
        if revokes(event) {
            prop_assert!(onlooker.capture != Some(true), "{:?} did not reach stop", event);
        }
        prop_assert!(machine.phase() != Phase::Stopping || within(Duration::from_millis(300)), "no kill in time");
        if !machine.phase().may_capture() && onlooker.lamp.says_capturing() {
            return Err(TestCaseError::fail(format!("lamp says {:?} and nothing captures", onlooker.lamp)));
        }
        Ok(())
    }
}

pub(super) fn revokes(event: Event) -> bool {
    matches!(
        event,
        Event::ButtonDown
            | Event::ButtonFoundDown
            | Event::RemoteStop
            | Event::EndService
            | Event::PolicyChanged
            | Event::Revoke(_)
            | Event::FaultDetected(_)
    )
}

/// A reason always belongs to its phase, and none is missing where nothing starts or a session ends.
fn says_the_present(machine: &Machine) -> Result<(), TestCaseError> {
    let (phase, reason) = (machine.phase(), machine.reason());
    prop_assert!(reason.is_none_or(|reason| reason.is_valid_in(phase)), "{reason:?} in {phase:?}");
    let explained = matches!(phase, Phase::Stopping | Phase::Locked | Phase::Policy | Phase::Fault);
    prop_assert!(!explained || reason.is_some(), "no reason in {phase:?}");
    Ok(())
}
