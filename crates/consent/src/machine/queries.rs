//! What the machine's state means: phase, lamp, reason.

use super::{IngestState, Machine, Ownership, Parting, SessionState};
use crate::button_state::Question;
use crate::{Fault, LampPattern, Phase, Reason, SessionId};

impl Machine {
    /// What the box is doing.
    pub fn phase(&self) -> Phase {
        match self.session {
            SessionState::Active { link: IngestState::Connecting, .. } => Phase::Connecting,
            SessionState::Active { link: IngestState::Live, .. } => Phase::Live,
            SessionState::Active { link: IngestState::Reconnecting, .. } => Phase::Reconnecting,
            SessionState::Stopping { .. } => Phase::Stopping,
            SessionState::None
            | SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. } => self.phase_without_session(),
        }
    }

    fn phase_without_session(&self) -> Phase {
        if self.faults != 0 {
            Phase::Fault
        } else if self.locked || self.is_unbound() {
            Phase::Locked
        } else if self.policy_pending || self.agreement_pending {
            Phase::Policy
        } else if self.session == SessionState::None {
            Phase::Idle
        } else {
            Phase::Requested
        }
    }

    /// Whether staff are asked to press to start, on air or for a probe.
    pub fn asks_to_start(&self) -> bool {
        self.phase() == Phase::Requested && !self.asks_to_unbind()
    }

    /// Whether staff are asked to confirm that the box is to be unbound.
    pub fn asks_to_unbind(&self) -> bool {
        matches!(self.session, SessionState::UnbindRequested { .. }) && self.phase() == Phase::Requested
    }

    /// Whether a guardian's hold is waited for: minors' mode, after the press.
    pub fn asks_for_guardian(&self) -> bool {
        matches!(self.session, SessionState::GuardianAsked { .. }) && self.phase() == Phase::Requested
    }

    /// Whether a hold that began while a guardian was asked is under way.
    pub(super) fn is_guardian_touching(&self) -> bool {
        matches!(self.button.question(), Question::Guardian(_))
    }

    /// Whether a policy waits for staff to acknowledge it.
    pub fn is_policy_pending(&self) -> bool {
        self.policy_pending
    }

    /// Whether a change waits for staff to agree.
    pub fn is_agreement_pending(&self) -> bool {
        self.agreement_pending
    }

    /// The session whose capture may exist.
    pub fn session(&self) -> Option<SessionId> {
        match self.session {
            SessionState::Active { id, .. } | SessionState::Stopping { id, .. } => Some(id),
            SessionState::None
            | SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. } => None,
        }
    }

    /// Whether the stream, if there is one, has no sound for certain: the session has no microphone, or capture has
    /// confirmed the mute.
    pub fn is_muted(&self) -> bool {
        match self.session {
            SessionState::Active { sound, .. } | SessionState::Stopping { sound, .. } => sound.is_silent(),
            SessionState::None
            | SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. } => false,
        }
    }

    /// Whether a session is on that is to have sound.
    pub fn wants_sound(&self) -> bool {
        match self.session {
            SessionState::Active { sound, .. } => !sound.settings().muted,
            SessionState::None
            | SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. }
            | SessionState::Stopping { .. } => false,
        }
    }

    /// Whether capture has not confirmed a mute yet.
    pub fn is_mute_pending(&self) -> bool {
        match self.session {
            SessionState::Active { sound, .. } => sound.deadline().is_some(),
            SessionState::None
            | SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. }
            | SessionState::Stopping { .. } => false,
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
            (Phase::Locked, _) if self.is_service_ended() => Some(Reason::EndOfService),
            (Phase::Locked, _) if self.is_unbound() => Some(Reason::Unbind),
            (Phase::Locked, _) => Some(Reason::Lock),
            (Phase::Policy, _) if self.policy_pending => Some(Reason::Policy),
            (Phase::Policy, _) => Some(Reason::Agreement),
            (Phase::Requested, SessionState::UnbindRequested { .. }) => Some(Reason::Unbind),
            (Phase::Requested, SessionState::GuardianAsked { .. }) => Some(Reason::Guardian),
            (Phase::Fault, _) => Fault::ALL.into_iter().find(|part| self.has_fault(*part)).map(Reason::Fault),
            (
                Phase::Stopping | Phase::Requested | Phase::Connecting | Phase::Live | Phase::Reconnecting,
                SessionState::None
                | SessionState::Requested { .. }
                | SessionState::UnbindRequested { .. }
                | SessionState::GuardianAsked { .. }
                | SessionState::Active { .. }
                | SessionState::Stopping { .. },
            ) => None,
        }
    }

    /// Whether no shop has the box: it was unbound, or the platform's service ended, and nobody claimed it since.
    pub fn is_unbound(&self) -> bool {
        matches!(self.ownership, Ownership::Ended(_))
    }

    /// Whether the platform's service ended, and nobody claimed the box since.
    pub fn is_service_ended(&self) -> bool {
        self.ownership == Ownership::Ended(Parting::ServiceEnded)
    }

    /// Whether `fault` was detected and not cleared since.
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    /// The pattern that belongs to the present state.
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
            Phase::Requested if self.asks_to_unbind() => LampPattern::UnbindRequest,
            Phase::Requested if self.button.is_guardian_enough() => LampPattern::ReleaseNow,
            Phase::Requested => LampPattern::SlowPulse,
            Phase::Locked => LampPattern::LockFlash,
            Phase::Policy => LampPattern::TripleBlink,
            Phase::Fault => LampPattern::Sos,
        }
    }
}
