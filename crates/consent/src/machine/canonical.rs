//! One form for all machines that behave alike from here on, for the model check.

use super::{IngestState, Machine, SessionState};
use crate::limits::LATE_ANSWER;
use crate::{Phase, Reason, SessionId};
use monotonic::Monotonic;

impl Machine {
    /// Moves all moments by `change`, and forgets what has no effect any more. Sessions have one
    /// number, and no revision is above `revision`: nothing depends on more than whether two of them are the same.
    pub(crate) fn canonical(&mut self, real_now: Monotonic, revision: u64, change: &impl Fn(Monotonic) -> Monotonic) {
        let now = change(real_now);
        self.button.move_moments(real_now, change);
        self.asked_at = self.asked_at.map(change).filter(|at| now.duration_since(*at) < LATE_ANSWER);
        self.last_session = SessionId(0);
        self.last_reason = self.last_reason.map(|reason| alike(reason, Phase::Idle));
        match &mut self.session {
            SessionState::None => {}
            SessionState::Requested { until, .. } => *until = change(*until),
            SessionState::UnbindRequested { since, until } | SessionState::GuardianAsked { since, until, .. } => {
                (*since, *until) = (change(*since), change(*until));
            }
            SessionState::Active { id, ends, link, link_since, sound } => {
                (*id, self.last_session) = (SessionId(1), SessionId(1));
                *ends = change(*ends);
                *link_since = if *link == IngestState::Live { now } else { change(*link_since) };
                sound.canonical(revision, change);
            }
            SessionState::Stopping { id, reason, kill_at, sound } => {
                *reason = alike(*reason, Phase::Stopping);
                (*id, self.last_session) = (SessionId(1), SessionId(1));
                *kill_at = change(*kill_at);
                sound.ended();
            }
        }
    }
}

/// One reason for all that may be said in `phase`: nothing depends on which it is.
fn alike(reason: Reason, phase: Phase) -> Reason {
    if reason.is_valid_in(phase) { Reason::Press } else { reason }
}
