//! The life of a request and of a session, from the press to the end of the capture process.

use super::{IngestState, Machine, SessionState};
use crate::audio_consent::{AudioChange, AudioConsent, Confirmation};
use crate::limits::{KILL_AFTER, MAX_MINORS_SESSION, MAX_PROBE};
use crate::{Actor, CaptureExit, CaptureReport, Effect, Grant, Phase, Purpose, Reason, SessionId};
use monotonic::Monotonic;

impl Machine {
    /// Staff pressed: the session starts, or a guardian is asked for a hold first.
    pub(super) fn press(&mut self, now: Monotonic, sound: bool, effects: &mut Vec<Effect>) {
        let purpose = self.wanted_purpose();
        if self.limits.minors_mode {
            let until = now.saturating_add(self.limits.request_timeout);
            self.session = SessionState::GuardianAsked { since: now, until, purpose, sound };
            self.last_reason = None;
        } else {
            self.start(now, sound, purpose, effects);
        }
    }

    /// A guardian's hold followed the press.
    pub(super) fn start_with_guardian(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        if let SessionState::GuardianAsked { purpose, sound, .. } = self.session {
            self.start(now, sound, purpose, effects);
        }
    }

    /// What a press is for.
    const fn wanted_purpose(&self) -> Purpose {
        match self.session {
            SessionState::Requested { purpose, .. } | SessionState::GuardianAsked { purpose, .. } => purpose,
            SessionState::None
            | SessionState::UnbindRequested { .. }
            | SessionState::Active { .. }
            | SessionState::Stopping { .. } => Purpose::OnAir,
        }
    }

    fn start(&mut self, now: Monotonic, sound: bool, purpose: Purpose, effects: &mut Vec<Effect>) {
        let id = SessionId(self.last_session.0 + 1);
        let guardian = self.limits.minors_mode;
        let longest = match purpose {
            Purpose::Probe => MAX_PROBE,
            Purpose::OnAir if guardian => self.limits.max_session.min(MAX_MINORS_SESSION),
            Purpose::OnAir => self.limits.max_session,
        };
        self.last_session = id;
        self.last_reason = None;
        let (ends, sound_now) = (now.saturating_add(longest), AudioConsent::start(sound));
        self.session =
            SessionState::Active { id, ends, link: IngestState::Connecting, link_since: now, sound: sound_now };
        self.update_lamp(effects);
        effects.push(Effect::RecordStart { session: id, sound, purpose, guardian });
        effects.push(Effect::Launch(Grant::from_press(id, sound, purpose)));
    }

    pub(super) fn request(&mut self, now: Monotonic, purpose: Purpose, effects: &mut Vec<Effect>) {
        // In minors' mode nobody far away asks for a start.
        let may_ask = purpose == Purpose::Probe || !self.limits.minors_mode;
        if may_ask && self.phase() == Phase::Idle {
            self.session = SessionState::Requested { until: now.saturating_add(self.limits.request_timeout), purpose };
            effects.push(Effect::RecordRequest(purpose));
        }
    }

    /// Asks staff to confirm an unbinding: on an idle box whose button is up, so that no touch of before is the answer.
    pub(super) fn request_unbind(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        if self.phase() == Phase::Idle && self.button.is_up() {
            let until = now.saturating_add(self.limits.request_timeout);
            self.session = SessionState::UnbindRequested { since: now, until };
            effects.push(Effect::RecordUnbindRequest);
        }
    }

    /// Holds everything back until staff agree. What was requested under the present conditions is dropped.
    pub(super) fn need_agreement(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        match self.session {
            SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. } => self.revoke(now, Reason::Agreement, effects),
            SessionState::None | SessionState::Active { .. } | SessionState::Stopping { .. } => {}
        }
        self.agreement_pending = true;
        self.button.retract_question();
    }

    pub(super) fn withdraw_agreement(&mut self, now: Monotonic) {
        if core::mem::take(&mut self.agreement_pending) {
            self.asked_at = Some(now);
            self.button.retract_question();
        }
    }

    /// Ends consent or a request, in any phase. Capture loses its lease with the first effect.
    pub(super) fn revoke(&mut self, now: Monotonic, reason: Reason, effects: &mut Vec<Effect>) {
        match self.session {
            SessionState::None | SessionState::Stopping { .. } => {}
            SessionState::Requested { .. } => self.end_request(reason, effects),
            SessionState::UnbindRequested { .. } => {
                self.button.retract_question();
                self.asked_at = Some(now);
                self.end_request(reason, effects);
            }
            SessionState::GuardianAsked { purpose, .. } => {
                self.button.retract_question();
                self.asked_at = Some(now);
                match purpose {
                    // It was requested, and the ledger has that.
                    Purpose::Probe => self.end_request(reason, effects),
                    Purpose::OnAir => (self.session, self.last_reason) = (SessionState::None, Some(reason)),
                }
            }
            SessionState::Active { id, sound, .. } => {
                self.last_reason = Some(reason);
                self.session = SessionState::Stopping { id, reason, kill_at: now.saturating_add(KILL_AFTER), sound };
                effects.push(Effect::Stop(reason));
            }
        }
    }

    fn end_request(&mut self, reason: Reason, effects: &mut Vec<Effect>) {
        self.session = SessionState::None;
        self.last_reason = Some(reason);
        effects.push(Effect::RecordRequestEnded(reason));
    }

    pub(super) fn on_capture_report(&mut self, now: Monotonic, report: CaptureReport, effects: &mut Vec<Effect>) {
        if let SessionState::Active { id, ref mut link, ref mut link_since, ref mut sound, .. } = self.session {
            let new = match (report, *link) {
                (CaptureReport::Applied(settings), _) => {
                    match sound.confirm(settings) {
                        Confirmation::None => {}
                        Confirmation::Silenced(by) => effects.push(Effect::RecordMute { session: id, muted: true, by }),
                        Confirmation::Disobeyed => self.revoke(now, Reason::MuteUnconfirmed, effects),
                    }
                    return;
                }
                (CaptureReport::Live, _) => IngestState::Live,
                // Before the first success the phase stays "connecting", and the reconnect window counts from the
                // press.
                (CaptureReport::Reconnecting, IngestState::Connecting) => IngestState::Connecting,
                (CaptureReport::Reconnecting, IngestState::Live | IngestState::Reconnecting) => {
                    IngestState::Reconnecting
                }
            };
            if new != *link {
                *link = new;
                *link_since = now;
            }
        }
    }

    pub(super) fn on_capture_exit(&mut self, outcome: CaptureExit, effects: &mut Vec<Effect>) {
        let (session, reason) = match self.session {
            SessionState::None
            | SessionState::Requested { .. }
            | SessionState::UnbindRequested { .. }
            | SessionState::GuardianAsked { .. } => return,
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
        self.part_when_idle(effects);
    }

    /// A mute counts once capture has confirmed it; an unmute is shown and recorded before sound leaves again.
    pub(super) fn change_audio(
        &mut self,
        by: Actor,
        change: impl FnOnce(&mut AudioConsent) -> AudioChange,
        effects: &mut Vec<Effect>,
    ) {
        let SessionState::Active { id, ref mut sound, .. } = self.session else { return };
        let change = change(sound);
        let settings = sound.settings();
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
        effects.push(Effect::Configure(settings));
    }
}
