//! `(state, event, now) -> effects`: the ten rules of docs/consent.md.

mod button;
#[cfg(test)]
mod canonical;
mod queries;
mod session;

use super::audio_consent::AudioConsent;
use super::button_state::{ButtonState, Question};
use super::limits::KILL_RETRY_INTERVAL;
use super::{Actor, Effect, Event, Fault, LampPattern, Purpose, Reason, SessionId, SessionLimits};
use monotonic::Monotonic;

/// What the ledger remembers across a power cut. Nothing in it can restore a session.
#[derive(Clone, Copy, Debug)]
pub struct PersistedState {
    /// The last session's number.
    pub last_session: SessionId,
    /// Staff locked the box and did not unlock it.
    pub locked: bool,
    /// Shop and box parted, and the box was not claimed again: no gesture ends that.
    pub parted: Option<Parting>,
    /// The policy in force is not the one that staff acknowledged.
    pub policy_pending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum IngestState {
    Connecting,
    Live,
    Reconnecting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SessionState {
    None,
    Requested {
        until: Monotonic,
        purpose: Purpose,
    },
    UnbindRequested {
        since: Monotonic,
        until: Monotonic,
    },
    /// Minors' mode: staff pressed, and a guardian's hold has to follow.
    GuardianAsked {
        since: Monotonic,
        until: Monotonic,
        purpose: Purpose,
        sound: bool,
    },
    Active {
        id: SessionId,
        ends: Monotonic,
        link: IngestState,
        link_since: Monotonic,
        sound: AudioConsent,
    },
    Stopping {
        id: SessionId,
        reason: Reason,
        kill_at: Monotonic,
        sound: AudioConsent,
    },
}

/// Whose box this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ownership {
    /// A shop has it.
    Bound,
    /// Without a shop as soon as capture is gone.
    Ending(Parting),
    /// No shop has it until it is claimed.
    Ended(Parting),
}

/// How a shop and its box part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parting {
    /// It was unbound.
    Unbound,
    /// The platform's service ended.
    ServiceEnded,
}

/// The consent state machine. It reads no clock: time comes with the event.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub struct Machine {
    limits: SessionLimits,
    session: SessionState,
    last_session: SessionId,
    button: ButtonState,
    locked: bool,
    policy_pending: bool,
    agreement_pending: bool,
    /// When staff were last asked for a hold, not for a press.
    asked_at: Option<Monotonic>,
    ownership: Ownership,
    faults: u8,
    /// The pattern that the lamp was last set to; `None` after a failure that left it in doubt.
    shown: Option<LampPattern>,
    last_reason: Option<Reason>,
}

impl Machine {
    /// The box as it comes up: idle, locked, or with a policy to be acknowledged. Never in a session.
    pub fn restore(limits: SessionLimits, memory: PersistedState) -> Self {
        Self {
            limits,
            session: SessionState::None,
            last_session: memory.last_session,
            button: ButtonState::Unknown,
            locked: memory.locked,
            policy_pending: memory.policy_pending,
            agreement_pending: false,
            asked_at: None,
            ownership: memory.parted.map_or(Ownership::Bound, Ownership::Ended),
            faults: 0,
            shown: Some(LampPattern::Dark),
            last_reason: None,
        }
    }

    /// When the next [`Event::Tick`] is due; earlier ones do no harm.
    pub fn deadline(&self) -> Option<Monotonic> {
        let session = match self.session {
            SessionState::None => None,
            SessionState::Requested { until, .. } | SessionState::UnbindRequested { until, .. } => Some(until),
            // A hold that has begun in time is waited for.
            SessionState::GuardianAsked { until, .. } => (!self.is_guardian_touching()).then_some(until),
            SessionState::Active { ends, link, link_since, sound, .. } => {
                let link = match link {
                    IngestState::Live => ends,
                    IngestState::Connecting | IngestState::Reconnecting => {
                        ends.min(link_since.saturating_add(self.limits.reconnect_window))
                    }
                };
                Some(sound.deadline().map_or(link, |at| at.min(link)))
            }
            SessionState::Stopping { kill_at, .. } => Some(kill_at),
        };
        match (session, self.button.deadline()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Sets the limits of the next session. A session that is on would have them too: called between sessions.
    pub fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// Takes one event at `now` and returns the effects that have to be applied, in order.
    ///
    /// ```
    /// use core::time::Duration;
    ///
    /// use consent::{CaptureExit, CaptureReport, Effect, Event, LampPattern, Machine, PersistedState, Phase};
    /// use consent::{Reason, SessionId, SessionLimits};
    /// use monotonic::Monotonic;
    ///
    /// let at = |millis| Monotonic::from_start(Duration::from_millis(millis));
    /// let last_session = SessionId(41);
    /// let state = PersistedState { last_session, locked: false, parted: None, policy_pending: false };
    /// let mut machine = Machine::restore(SessionLimits::default(), state);
    /// // Rule 1: what is held when the guard comes up is no press. The button has to be seen up first.
    /// machine.step(at(0), Event::ButtonUp);
    ///
    /// // Rule 8: a press starts when it is released, as its length decides about the microphone.
    /// assert!(machine.step(at(1000), Event::ButtonDown).is_empty());
    /// let start = machine.step(at(1200), Event::ButtonUp);
    /// // Rules 3 and 6: the lamp is lit and the ledger has the entry before a grant launches capture.
    /// let [Effect::SetLamp(lamp), Effect::RecordStart { sound: true, .. }, Effect::Launch(_grant)] = &start[..] else {
    ///     panic!("not this: {start:?}");
    /// };
    /// assert_eq!((*lamp, machine.phase()), (LampPattern::FastBlink, Phase::Connecting));
    /// machine.step(at(2000), Event::CaptureReported(CaptureReport::Live));
    /// assert_eq!(machine.lamp(), LampPattern::Solid);
    ///
    /// // Rule 8: any touch stops capture, on the way down. The lamp stays lit until the process is gone.
    /// let stop = machine.step(at(9000), Event::ButtonDown);
    /// assert!(matches!(stop[..], [Effect::Stop(Reason::Press), Effect::SetLamp(LampPattern::FastBlink)]));
    /// let gone = machine.step(at(9100), Event::CaptureExited(CaptureExit::Stopped));
    /// assert!(matches!(gone[..], [Effect::RecordStop { .. }, Effect::SetLamp(LampPattern::Dark)]));
    /// // The touch that stopped starts nothing when it is released.
    /// assert!(machine.step(at(9200), Event::ButtonUp).is_empty());
    /// ```
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        if event == Event::FaultDetected(Fault::Button) {
            // The time since the last poll must not count as held.
            self.button.forget();
        }
        // Deadlines that passed before this event come first.
        self.advance_to(now, &mut effects);
        match event {
            Event::Tick => {}
            Event::ButtonDown => self.button_down(now, false, &mut effects),
            Event::ButtonFoundDown => self.button_down(now, true, &mut effects),
            Event::ButtonUp => self.button_up(now, &mut effects),
            Event::ButtonHeldFor(held) => self.button.extend_hold(held),
            Event::MuteButtonDown => self.change_audio(Actor::Staff, |sound| sound.toggle(now), &mut effects),
            Event::RemoteRequest => self.request(now, Purpose::OnAir, &mut effects),
            Event::ProbeRequest => self.request(now, Purpose::Probe, &mut effects),
            Event::UnbindRequest => self.request_unbind(now, &mut effects),
            Event::EndService => self.part(now, Parting::ServiceEnded, Reason::EndOfService, &mut effects),
            Event::RemoteStop => self.revoke(now, Reason::Remote, &mut effects),
            Event::RemoteMute => self.change_audio(Actor::Remote, |sound| sound.by_remote(now, true), &mut effects),
            Event::RemoteUnmute => self.change_audio(Actor::Remote, |sound| sound.by_remote(now, false), &mut effects),
            Event::PolicyChanged => {
                self.revoke(now, Reason::Policy, &mut effects);
                self.policy_pending = true;
                self.button.retract_question();
            }
            Event::AgreementNeeded => self.need_agreement(now, &mut effects),
            Event::AgreementWithdrawn => self.withdraw_agreement(now),
            Event::Revoke(reason) => self.revoke(now, reason, &mut effects),
            Event::CaptureReported(report) => self.on_capture_report(now, report, &mut effects),
            Event::CaptureExited(outcome) => self.on_capture_exit(outcome, &mut effects),
            Event::FaultDetected(fault) => self.on_fault(now, fault, &mut effects),
            Event::FaultCleared(fault) => self.faults &= !fault.bit(),
        }
        // The question ended, with a fault for example: a touch from then is no answer if it is asked again.
        let answers = self.button.question();
        if answers != Question::None && answers != self.question() {
            self.button.retract_question();
        }
        self.update_lamp(&mut effects);
        effects
    }

    /// The lamp shows the state that a step ended in; a start has lit it already.
    fn update_lamp(&mut self, effects: &mut Vec<Effect>) {
        let lamp = self.lamp();
        if self.shown != Some(lamp) {
            self.shown = Some(lamp);
            effects.push(Effect::SetLamp(lamp));
        }
    }

    fn advance_to(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        self.button.poll(now);
        while let Some(hold) = self.button.next_hold() {
            self.on_hold(now, hold, effects);
        }
        match self.session {
            SessionState::None => {}
            SessionState::Requested { until, .. } | SessionState::UnbindRequested { until, .. } => {
                if now >= until {
                    self.revoke(now, Reason::RequestTimeout, effects);
                }
            }
            SessionState::GuardianAsked { until, .. } => {
                if now >= until && !self.is_guardian_touching() {
                    self.revoke(now, Reason::RequestTimeout, effects);
                }
            }
            SessionState::Active { ends, link, link_since, sound, .. } => {
                let offline = match link {
                    IngestState::Live => false,
                    IngestState::Connecting | IngestState::Reconnecting => {
                        now.duration_since(link_since) >= self.limits.reconnect_window
                    }
                };
                if now >= ends {
                    self.revoke(now, Reason::MaxSession, effects);
                } else if offline {
                    self.revoke(now, Reason::ReconnectWindow, effects);
                } else if sound.deadline().is_some_and(|at| now >= at) {
                    self.revoke(now, Reason::MuteUnconfirmed, effects);
                }
            }
            SessionState::Stopping { id, reason, kill_at, sound } => {
                if now >= kill_at {
                    effects.push(Effect::Kill);
                    self.session =
                        SessionState::Stopping { id, reason, kill_at: now.saturating_add(KILL_RETRY_INTERVAL), sound };
                }
            }
        }
    }

    fn on_fault(&mut self, now: Monotonic, fault: Fault, effects: &mut Vec<Effect>) {
        let new = !self.has_fault(fault);
        self.faults |= fault.bit();
        match fault {
            Fault::Button => self.button.forget(),
            Fault::Lamp | Fault::Ledger | Fault::Power | Fault::Tamper => {}
        }
        self.revoke(now, Reason::Fault(fault), effects);
        // A failure may have left the lamp in doubt: it is set again, unless the lamp itself is known to have failed,
        // or its failure would repeat itself for ever.
        if new || fault != Fault::Lamp {
            self.shown = None;
        }
        if new {
            effects.push(Effect::RecordFault(fault));
        }
    }
}
