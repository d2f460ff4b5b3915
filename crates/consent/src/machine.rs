//! `(state, event, now) -> effects`: the ten rules of docs/consent.md.

mod button;

use super::limits::{KILL_AFTER, KILL_AGAIN, PROBE};
use super::sound::{Change, Sound, Verdict};
use super::touch::Touch;
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
enum Link {
    Connecting,
    Live,
    Reconnecting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    None,
    Requested { until: Monotonic, purpose: Purpose },
    On { id: SessionId, ends: Monotonic, link: Link, link_since: Monotonic, sound: Sound },
    Stopping { id: SessionId, reason: Reason, kill_at: Monotonic, sound: Sound },
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
    session: Session,
    last_session: SessionId,
    touch: Touch,
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
            session: Session::None,
            last_session: memory.last_session,
            touch: Touch::Unknown,
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
            Session::On { link: Link::Connecting, .. } => Phase::Connecting,
            Session::On { link: Link::Live, .. } => Phase::Live,
            Session::On { link: Link::Reconnecting, .. } => Phase::Reconnecting,
            Session::Stopping { .. } => Phase::Stopping,
            Session::None | Session::Requested { .. } if self.faults != 0 => Phase::Fault,
            Session::None | Session::Requested { .. } if self.locked || self.is_unbound() => Phase::Locked,
            Session::None | Session::Requested { .. } if self.policy_pending => Phase::Policy,
            Session::Requested { .. } => Phase::Requested,
            Session::None => Phase::Idle,
        }
    }

    /// The session whose capture may exist.
    pub fn session(&self) -> Option<SessionId> {
        match self.session {
            Session::On { id, .. } | Session::Stopping { id, .. } => Some(id),
            Session::None | Session::Requested { .. } => None,
        }
    }

    /// Whether the stream, if there is one, is without sound for certain: no microphone was asked for, or capture has
    /// confirmed the mute.
    pub fn is_muted(&self) -> bool {
        match self.session {
            Session::On { sound, .. } | Session::Stopping { sound, .. } => sound.is_silent(),
            Session::None | Session::Requested { .. } => false,
        }
    }

    /// Whether sound shall leave.
    pub fn wants_sound(&self) -> bool {
        match self.session {
            Session::On { sound, .. } => !sound.wanted().muted,
            Session::None | Session::Requested { .. } | Session::Stopping { .. } => false,
        }
    }

    /// Whether a mute is wanted that capture has not confirmed yet.
    pub fn is_mute_pending(&self) -> bool {
        match self.session {
            Session::On { sound, .. } => sound.deadline().is_some(),
            Session::None | Session::Requested { .. } | Session::Stopping { .. } => false,
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
            (Phase::Stopping, Session::Stopping { reason, .. }) => Some(reason),
            (Phase::Locked, _) if self.is_unbound() => Some(Reason::Unbind),
            (Phase::Locked, _) => Some(Reason::Lock),
            (Phase::Policy, _) => Some(Reason::Policy),
            (Phase::Fault, _) => Fault::ALL.into_iter().find(|part| self.has_fault(*part)).map(Reason::Fault),
            (
                Phase::Stopping | Phase::Requested | Phase::Connecting | Phase::Live | Phase::Reconnecting,
                Session::None | Session::Requested { .. } | Session::On { .. } | Session::Stopping { .. },
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
            Phase::Idle | Phase::Requested | Phase::Locked | Phase::Policy | Phase::Fault if self.touch.warns() => {
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
            Session::None => None,
            Session::Requested { until, .. } => Some(until),
            Session::On { ends, link, link_since, sound, .. } => {
                let link = match link {
                    Link::Live => ends,
                    Link::Connecting | Link::Reconnecting => {
                        ends.min(link_since.saturating_add(self.limits.reconnect_window))
                    }
                };
                Some(sound.deadline().map_or(link, |at| at.min(link)))
            }
            Session::Stopping { kill_at, .. } => Some(kill_at),
        };
        match (session, self.touch.deadline()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Takes one event at `now` and says what has to be done, in order.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Effect> {
        let mut todo = Vec::new();
        if event == Event::FaultDetected(Fault::Button) {
            // Nor is anything known of the time since somebody last looked.
            self.touch.forget();
        }
        // Deadlines that passed before this event came are met first, whatever the event is.
        self.pass_time(now, &mut todo);
        match event {
            Event::Tick => {}
            Event::ButtonDown => self.button_down(now, false, &mut todo),
            Event::ButtonFoundDown => self.button_down(now, true, &mut todo),
            Event::ButtonUp => self.button_up(now, &mut todo),
            Event::ButtonHeldFor(held) => self.touch.was_held(held),
            Event::MuteButtonDown => self.change_sound(Actor::Staff, |sound| sound.toggle(now), &mut todo),
            Event::RemoteRequest => self.request(now, Purpose::OnAir, &mut todo),
            Event::ProbeRequest => self.request(now, Purpose::Probe, &mut todo),
            Event::RemoteStop => self.revoke(now, Reason::Remote, &mut todo),
            Event::RemoteMute => self.change_sound(Actor::Remote, |sound| sound.by_remote(now, true), &mut todo),
            Event::RemoteUnmute => self.change_sound(Actor::Remote, |sound| sound.by_remote(now, false), &mut todo),
            Event::PolicyChanged => {
                self.revoke(now, Reason::Policy, &mut todo);
                self.policy_pending = true;
            }
            Event::Revoke(reason) => self.revoke(now, reason, &mut todo),
            Event::CaptureReported(report) => self.capture_reports(now, report, &mut todo),
            Event::CaptureExited(outcome) => self.capture_gone(outcome, &mut todo),
            Event::FaultDetected(fault) => self.broke(now, fault, &mut todo),
            Event::FaultCleared(fault) => self.faults &= !fault.bit(),
        }
        self.light(&mut todo);
        todo
    }

    /// Whatever else a step did, the lamp shows the state it ended in; a start has lit it already.
    fn light(&mut self, todo: &mut Vec<Effect>) {
        let lamp = self.lamp();
        if self.shown != Some(lamp) {
            self.shown = Some(lamp);
            todo.push(Effect::SetLamp(lamp));
        }
    }

    fn pass_time(&mut self, now: Monotonic, todo: &mut Vec<Effect>) {
        self.touch.look(now);
        while let Some(hold) = self.touch.passes() {
            self.held(now, hold, todo);
        }
        match self.session {
            Session::None => {}
            Session::Requested { until, .. } => {
                if now >= until {
                    self.revoke(now, Reason::RequestTimeout, todo);
                }
            }
            Session::On { ends, link, link_since, sound, .. } => {
                let offline = match link {
                    Link::Live => false,
                    Link::Connecting | Link::Reconnecting => {
                        now.duration_since(link_since) >= self.limits.reconnect_window
                    }
                };
                if now >= ends {
                    self.revoke(now, Reason::MaxSession, todo);
                } else if offline {
                    self.revoke(now, Reason::ReconnectWindow, todo);
                } else if sound.deadline().is_some_and(|at| now >= at) {
                    self.revoke(now, Reason::MuteUnconfirmed, todo);
                }
            }
            Session::Stopping { id, reason, kill_at, sound } => {
                if now >= kill_at {
                    todo.push(Effect::Kill);
                    self.session = Session::Stopping { id, reason, kill_at: now.saturating_add(KILL_AGAIN), sound };
                }
            }
        }
    }

    fn start(&mut self, now: Monotonic, sound: bool, todo: &mut Vec<Effect>) {
        let id = SessionId(self.last_session.0 + 1);
        let (purpose, longest) = match self.session {
            Session::Requested { purpose: Purpose::Probe, .. } => (Purpose::Probe, PROBE),
            Session::Requested { purpose: Purpose::OnAir, .. }
            | Session::None
            | Session::On { .. }
            | Session::Stopping { .. } => (Purpose::OnAir, self.limits.max_session),
        };
        self.last_session = id;
        self.last_reason = None;
        let (ends, sound_now) = (now.saturating_add(longest), Sound::start(sound));
        self.session = Session::On { id, ends, link: Link::Connecting, link_since: now, sound: sound_now };
        self.light(todo);
        todo.push(Effect::RecordStart { session: id, sound, purpose });
        todo.push(Effect::Launch(Grant::from_press(id, sound, purpose)));
    }

    fn request(&mut self, now: Monotonic, purpose: Purpose, todo: &mut Vec<Effect>) {
        if self.phase() == Phase::Idle {
            self.session = Session::Requested { until: now.saturating_add(self.limits.request_timeout), purpose };
            todo.push(Effect::RecordRequest(purpose));
        }
    }

    /// Ends consent, from whatever phase. Never waits: capture loses its lease with the first effect.
    fn revoke(&mut self, now: Monotonic, reason: Reason, todo: &mut Vec<Effect>) {
        match self.session {
            Session::None | Session::Stopping { .. } => {}
            Session::Requested { .. } => {
                self.session = Session::None;
                self.last_reason = Some(reason);
                todo.push(Effect::RecordRequestEnded(reason));
            }
            Session::On { id, sound, .. } => {
                self.last_reason = Some(reason);
                self.session = Session::Stopping { id, reason, kill_at: now.saturating_add(KILL_AFTER), sound };
                todo.push(Effect::Stop(reason));
            }
        }
    }

    fn capture_reports(&mut self, now: Monotonic, report: CaptureReport, todo: &mut Vec<Effect>) {
        if let Session::On { id, ref mut link, ref mut link_since, ref mut sound, .. } = self.session {
            let new = match (report, *link) {
                (CaptureReport::Applied(said), _) => {
                    match sound.confirm(said) {
                        Verdict::None => {}
                        Verdict::Silenced(by) => todo.push(Effect::RecordMute { session: id, muted: true, by }),
                        Verdict::Disobeyed => self.revoke(now, Reason::MuteUnconfirmed, todo),
                    }
                    return;
                }
                (CaptureReport::Live, _) => Link::Live,
                // Before the first success the lamp says "connecting", and the window counts from the press.
                (CaptureReport::Reconnecting, Link::Connecting) => Link::Connecting,
                (CaptureReport::Reconnecting, Link::Live | Link::Reconnecting) => Link::Reconnecting,
            };
            if new != *link {
                *link = new;
                *link_since = now;
            }
        }
    }

    fn capture_gone(&mut self, outcome: CaptureExit, todo: &mut Vec<Effect>) {
        let (session, reason) = match self.session {
            Session::None | Session::Requested { .. } => return,
            Session::Stopping { id, reason, .. } => (id, reason),
            Session::On { id, .. } => {
                let reason = match outcome {
                    CaptureExit::Stopped | CaptureExit::Died => Reason::CaptureDied,
                    CaptureExit::ProbeFinished => Reason::Probed,
                    CaptureExit::Failed => Reason::CaptureFailed,
                    CaptureExit::NeverStarted => Reason::NeverStarted,
                };
                (id, reason)
            }
        };
        self.session = Session::None;
        self.last_reason = Some(reason);
        todo.push(Effect::RecordStop { session, reason });
        self.unbind_when_dark(todo);
    }

    fn broke(&mut self, now: Monotonic, fault: Fault, todo: &mut Vec<Effect>) {
        let new = !self.has_fault(fault);
        self.faults |= fault.bit();
        match fault {
            Fault::Button => self.touch.forget(),
            Fault::Lamp | Fault::Ledger | Fault::Power => {}
        }
        self.revoke(now, Reason::Fault(fault), todo);
        // A failure drops the effects behind it, `Light` perhaps among them: drive the lamp anew. Only a lamp that
        // is known to be broken is left alone, or its failure would call for itself for ever.
        if new || fault != Fault::Lamp {
            self.shown = None;
        }
        if new {
            todo.push(Effect::RecordFault(fault));
        }
    }

    /// Silence counts once capture has confirmed it; that sound may leave again is said before it does.
    fn change_sound(&mut self, by: Actor, change: impl FnOnce(&mut Sound) -> Change, todo: &mut Vec<Effect>) {
        let Session::On { id, ref mut sound, .. } = self.session else { return };
        let change = change(sound);
        let wanted = sound.wanted();
        match change {
            Change::None => return,
            Change::Silence => {}
            Change::Heard { recorded } => {
                self.light(todo);
                if recorded {
                    todo.push(Effect::RecordMute { session: id, muted: false, by });
                }
            }
        }
        todo.push(Effect::Configure(wanted));
    }
}
