//! `(state, event, now) -> effects`: the ten rules of docs/consent.md.

mod button;

use super::audio_consent::{AudioChange, AudioConsent, Confirmation};
use super::button_state::ButtonState;
use super::limits::{KILL_AFTER, KILL_RETRY_INTERVAL, MAX_PROBE};
use super::{
    Actor, CaptureExit, CaptureReport, Effect, Event, Fault, Grant, LampPattern, Phase, Purpose, Reason, SessionId,
    SessionLimits,
};
use monotonic::Monotonic;

/// What the ledger remembers across a power cut. Nothing in it can restore a session.
#[derive(Clone, Copy, Debug)]
pub struct PersistedState {
    /// The last session's number.
    pub last_session: SessionId,
    /// Staff locked the box and did not unlock it.
    pub locked: bool,
    /// The box was unbound and not claimed again: no gesture ends that.
    pub unbound: bool,
    /// The policy in force is not the one that staff acknowledged.
    pub policy_pending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Connecting,
    Live,
    Reconnecting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionState {
    None,
    Requested { until: Monotonic, purpose: Purpose },
    Active { id: SessionId, ends: Monotonic, link: LinkState, link_since: Monotonic, sound: AudioConsent },
    Stopping { id: SessionId, reason: Reason, kill_at: Monotonic, sound: AudioConsent },
}

/// Whose box this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// A shop's.
    Bound,
    /// A shop's until capture is gone.
    Ending,
    /// Nobody's, until somebody claims it.
    Unbound,
}

/// The consent state machine. One step never looks at a clock: time comes with the event.
#[derive(Debug)]
pub struct Machine {
    limits: SessionLimits,
    session: SessionState,
    last_session: SessionId,
    button: ButtonState,
    locked: bool,
    policy_pending: bool,
    binding: Binding,
    faults: u8,
    /// What the lamp was last told; `None` when a failure left that in doubt.
    shown: Option<LampPattern>,
    last_reason: Option<Reason>,
}

impl Machine {
    /// The box after power came back: idle, or locked, or waiting for a policy. Never in a session.
    pub fn restore(limits: SessionLimits, memory: PersistedState) -> Self {
        Self {
            limits,
            session: SessionState::None,
            last_session: memory.last_session,
            button: ButtonState::Unknown,
            locked: memory.locked,
            policy_pending: memory.policy_pending,
            binding: if memory.unbound { Binding::Unbound } else { Binding::Bound },
            faults: 0,
            shown: Some(LampPattern::Dark),
            last_reason: None,
        }
    }

    /// What the box is doing.
    pub fn phase(&self) -> Phase {
        match self.session {
            SessionState::Active { link: LinkState::Connecting, .. } => Phase::Connecting,
            SessionState::Active { link: LinkState::Live, .. } => Phase::Live,
            SessionState::Active { link: LinkState::Reconnecting, .. } => Phase::Reconnecting,
            SessionState::Stopping { .. } => Phase::Stopping,
            SessionState::None | SessionState::Requested { .. } if self.faults != 0 => Phase::Fault,
            SessionState::None | SessionState::Requested { .. } if self.locked || self.is_unbound() => Phase::Locked,
            SessionState::None | SessionState::Requested { .. } if self.policy_pending => Phase::Policy,
            SessionState::Requested { .. } => Phase::Requested,
            SessionState::None => Phase::Idle,
        }
    }

    /// The session whose capture may exist.
    pub fn session(&self) -> Option<SessionId> {
        match self.session {
            SessionState::Active { id, .. } | SessionState::Stopping { id, .. } => Some(id),
            SessionState::None | SessionState::Requested { .. } => None,
        }
    }

    /// Whether the stream, if there is one, is without sound for certain: no microphone was asked for, or capture has
    /// confirmed the mute.
    pub fn is_muted(&self) -> bool {
        match self.session {
            SessionState::Active { sound, .. } | SessionState::Stopping { sound, .. } => sound.is_silent(),
            SessionState::None | SessionState::Requested { .. } => false,
        }
    }

    /// Whether sound shall leave.
    pub fn wants_sound(&self) -> bool {
        match self.session {
            SessionState::Active { sound, .. } => !sound.wanted().muted,
            SessionState::None | SessionState::Requested { .. } | SessionState::Stopping { .. } => false,
        }
    }

    /// Whether a mute is wanted that capture has not confirmed yet.
    pub fn is_mute_pending(&self) -> bool {
        match self.session {
            SessionState::Active { sound, .. } => sound.deadline().is_some(),
            SessionState::None | SessionState::Requested { .. } | SessionState::Stopping { .. } => false,
        }
    }

    /// Why the last session or request since the guard's start ended, whatever the box does now.
    pub fn last_reason(&self) -> Option<Reason> {
        self.last_reason
    }

    /// Why the box is in its present phase, and in `idle` why the last session or request ended: see
    /// [`Reason::is_valid_in`].
    pub fn reason(&self) -> Option<Reason> {
        match (self.phase(), self.session) {
            (Phase::Idle, _) => self.last_reason,
            (Phase::Stopping, SessionState::Stopping { reason, .. }) => Some(reason),
            (Phase::Locked, _) if self.is_unbound() => Some(Reason::Unbind),
            (Phase::Locked, _) => Some(Reason::Lock),
            (Phase::Policy, _) => Some(Reason::Policy),
            (Phase::Fault, _) => Fault::ALL.into_iter().find(|part| self.has_fault(*part)).map(Reason::Fault),
            (
                Phase::Stopping | Phase::Requested | Phase::Connecting | Phase::Live | Phase::Reconnecting,
                SessionState::None
                | SessionState::Requested { .. }
                | SessionState::Active { .. }
                | SessionState::Stopping { .. },
            ) => None,
        }
    }

    /// Whether the box was unbound, and nobody claimed it since.
    pub fn is_unbound(&self) -> bool {
        self.binding == Binding::Unbound
    }

    /// Whether `fault` is known and not yet mended.
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    /// What the lamp has to show now.
    pub fn lamp(&self) -> LampPattern {
        match self.phase() {
            Phase::Connecting | Phase::Stopping => LampPattern::FastBlink,
            Phase::Live if self.is_muted() => LampPattern::SolidNotched,
            Phase::Live => LampPattern::Solid,
            Phase::Reconnecting => LampPattern::DoubleBlink,
            Phase::Idle | Phase::Requested | Phase::Locked | Phase::Policy | Phase::Fault
                if self.button.is_unbind_warning() =>
            {
                LampPattern::UnbindWarning
            }
            Phase::Idle => LampPattern::Dark,
            Phase::Requested => LampPattern::SlowPulse,
            Phase::Locked => LampPattern::LockFlash,
            Phase::Policy => LampPattern::TripleBlink,
            Phase::Fault => LampPattern::Sos,
        }
    }

    /// When a [`Event::Tick`] will next be needed; earlier ones do no harm.
    pub fn deadline(&self) -> Option<Monotonic> {
        let session = match self.session {
            SessionState::None => None,
            SessionState::Requested { until, .. } => Some(until),
            SessionState::Active { ends, link, link_since, sound, .. } => {
                let link = match link {
                    LinkState::Live => ends,
                    LinkState::Connecting | LinkState::Reconnecting => {
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

    /// Takes one event at `now` and says what has to be done, in order.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        if event == Event::FaultDetected(Fault::Button) {
            // Nor is anything known of the time since somebody last looked.
            self.button.forget();
        }
        // Deadlines that passed before this event came are met first, whatever the event is.
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
            Event::RemoteStop => self.revoke(now, Reason::Remote, &mut effects),
            Event::RemoteMute => self.change_audio(Actor::Remote, |sound| sound.by_remote(now, true), &mut effects),
            Event::RemoteUnmute => self.change_audio(Actor::Remote, |sound| sound.by_remote(now, false), &mut effects),
            Event::PolicyChanged => {
                self.revoke(now, Reason::Policy, &mut effects);
                self.policy_pending = true;
            }
            Event::Revoke(reason) => self.revoke(now, reason, &mut effects),
            Event::CaptureReported(report) => self.on_capture_report(now, report, &mut effects),
            Event::CaptureExited(outcome) => self.on_capture_exit(outcome, &mut effects),
            Event::FaultDetected(fault) => self.on_fault(now, fault, &mut effects),
            Event::FaultCleared(fault) => self.faults &= !fault.bit(),
        }
        self.update_lamp(&mut effects);
        effects
    }

    /// Whatever else a step did, the lamp shows the state it ended in; a start has lit it already.
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
            SessionState::Requested { until, .. } => {
                if now >= until {
                    self.revoke(now, Reason::RequestTimeout, effects);
                }
            }
            SessionState::Active { ends, link, link_since, sound, .. } => {
                let offline = match link {
                    LinkState::Live => false,
                    LinkState::Connecting | LinkState::Reconnecting => {
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

    fn start(&mut self, now: Monotonic, sound: bool, effects: &mut Vec<Effect>) {
        let id = SessionId(self.last_session.0 + 1);
        let (purpose, longest) = match self.session {
            SessionState::Requested { purpose: Purpose::Probe, .. } => (Purpose::Probe, MAX_PROBE),
            SessionState::Requested { purpose: Purpose::OnAir, .. }
            | SessionState::None
            | SessionState::Active { .. }
            | SessionState::Stopping { .. } => (Purpose::OnAir, self.limits.max_session),
        };
        self.last_session = id;
        self.last_reason = None;
        let (ends, sound_now) = (now.saturating_add(longest), AudioConsent::start(sound));
        self.session =
            SessionState::Active { id, ends, link: LinkState::Connecting, link_since: now, sound: sound_now };
        self.update_lamp(effects);
        effects.push(Effect::RecordStart { session: id, sound, purpose });
        effects.push(Effect::Launch(Grant::from_press(id, sound, purpose)));
    }

    fn request(&mut self, now: Monotonic, purpose: Purpose, effects: &mut Vec<Effect>) {
        if self.phase() == Phase::Idle {
            self.session = SessionState::Requested { until: now.saturating_add(self.limits.request_timeout), purpose };
            effects.push(Effect::RecordRequest(purpose));
        }
    }

    /// Ends consent, from whatever phase. Never waits: capture loses its lease with the first effect.
    fn revoke(&mut self, now: Monotonic, reason: Reason, effects: &mut Vec<Effect>) {
        match self.session {
            SessionState::None | SessionState::Stopping { .. } => {}
            SessionState::Requested { .. } => {
                self.session = SessionState::None;
                self.last_reason = Some(reason);
                effects.push(Effect::RecordRequestEnded(reason));
            }
            SessionState::Active { id, sound, .. } => {
                self.last_reason = Some(reason);
                self.session = SessionState::Stopping { id, reason, kill_at: now.saturating_add(KILL_AFTER), sound };
                effects.push(Effect::Stop(reason));
            }
        }
    }

    fn on_capture_report(&mut self, now: Monotonic, report: CaptureReport, effects: &mut Vec<Effect>) {
        if let SessionState::Active { id, ref mut link, ref mut link_since, ref mut sound, .. } = self.session {
            let new = match (report, *link) {
                (CaptureReport::Applied(said), _) => {
                    match sound.confirm(said) {
                        Confirmation::None => {}
                        Confirmation::Silenced(by) => effects.push(Effect::RecordMute { session: id, muted: true, by }),
                        Confirmation::Disobeyed => self.revoke(now, Reason::MuteUnconfirmed, effects),
                    }
                    return;
                }
                (CaptureReport::Live, _) => LinkState::Live,
                // Before the first success the lamp says "connecting", and the window counts from the press.
                (CaptureReport::Reconnecting, LinkState::Connecting) => LinkState::Connecting,
                (CaptureReport::Reconnecting, LinkState::Live | LinkState::Reconnecting) => LinkState::Reconnecting,
            };
            if new != *link {
                *link = new;
                *link_since = now;
            }
        }
    }

    fn on_capture_exit(&mut self, outcome: CaptureExit, effects: &mut Vec<Effect>) {
        let (session, reason) = match self.session {
            SessionState::None | SessionState::Requested { .. } => return,
            SessionState::Stopping { id, reason, .. } => (id, reason),
            SessionState::Active { id, .. } => {
                let reason = match outcome {
                    CaptureExit::Stopped | CaptureExit::Died => Reason::CaptureDied,
                    CaptureExit::ProbeFinished => Reason::Probed,
                    CaptureExit::Failed => Reason::CaptureFailed,
                    CaptureExit::NeverStarted => Reason::NeverStarted,
                };
                (id, reason)
            }
        };
        self.session = SessionState::None;
        self.last_reason = Some(reason);
        effects.push(Effect::RecordStop { session, reason });
        self.unbind_when_idle(effects);
    }

    fn on_fault(&mut self, now: Monotonic, fault: Fault, effects: &mut Vec<Effect>) {
        let new = !self.has_fault(fault);
        self.faults |= fault.bit();
        match fault {
            Fault::Button => self.button.forget(),
            Fault::Lamp | Fault::Ledger | Fault::Power => {}
        }
        self.revoke(now, Reason::Fault(fault), effects);
        // A failure drops the effects behind it, `Light` perhaps among them: drive the lamp anew. Only a lamp that
        // is known to be broken is left alone, or its failure would call for itself for ever.
        if new || fault != Fault::Lamp {
            self.shown = None;
        }
        if new {
            effects.push(Effect::RecordFault(fault));
        }
    }

    /// Silence counts once capture has confirmed it; that sound may leave again is said before it does.
    fn change_audio(
        &mut self,
        by: Actor,
        change: impl FnOnce(&mut AudioConsent) -> AudioChange,
        effects: &mut Vec<Effect>,
    ) {
        let SessionState::Active { id, ref mut sound, .. } = self.session else { return };
        let change = change(sound);
        let wanted = sound.wanted();
        match change {
            AudioChange::None => return,
            AudioChange::Mute => {}
            AudioChange::Unmute { recorded } => {
                self.update_lamp(effects);
                if recorded {
                    effects.push(Effect::RecordMute { session: id, muted: false, by });
                }
            }
        }
        effects.push(Effect::Configure(wanted));
    }
}
