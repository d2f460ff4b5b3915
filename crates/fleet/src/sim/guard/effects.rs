//! What the consent machine wants done, in a box that is simulated.

use std::collections::VecDeque;

use tallybox::clock;
use tallybox::ipc::{Fact, Response};

use super::SimGuard;
use super::capture::CaptureEvent;
use consent::{CaptureExit, CaptureReport, Effect, Event, Phase, Purpose, SessionId};

impl SimGuard {
    /// Feeds one event to the machine, and then what its effects bring.
    pub(super) fn dispatch(&mut self, event: Event) {
        let before = self.machine.phase();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.machine.step(self.clock.now(), event) {
                self.apply(effect, &mut events);
            }
        }
        let phase = self.machine.phase();
        if phase != before {
            if phase == Phase::Policy {
                self.staff.asked_to_agree(self.clock.now());
            }
            self.status.send_modify(|status| status.since = clock::utc_now());
        }
        // Whoever hears an answer has the status that belongs to it.
        self.publish();
        self.answer_waiting();
    }

    // An effect that is newer than this simulation leaves no trace in it.
    #[allow(clippy::wildcard_enum_match_arm)]
    fn apply(&mut self, effect: Effect, events: &mut VecDeque<Event>) {
        let now = self.clock.now();
        let policy_version = || self.judges.policy.version.clone();
        let fact = match effect {
            Effect::RecordStart { session: SessionId(session), sound, purpose, guardian } => {
                let policy_version = policy_version();
                match purpose {
                    Purpose::OnAir => Fact::SessionStarted { session, sound, policy_version, guardian },
                    Purpose::Probe => Fact::Probed { session, sound, policy_version },
                }
            }
            Effect::Launch(grant) => return self.capture.launch(now, grant),
            Effect::Stop(_) => return self.capture.stop(now),
            Effect::Kill => {
                self.capture.kill();
                return events.push_back(Event::CaptureExited(CaptureExit::Stopped));
            }
            Effect::Configure(settings) => return self.capture.configure(now, settings),
            Effect::RecordStop { session, reason } => {
                Fact::SessionStopped { session: session.0, reason: reason.as_str().to_owned(), message: None }
            }
            Effect::RecordRequest(purpose) => Fact::Requested { purpose },
            Effect::RecordRequestEnded(reason) => Fact::RequestEnded { reason: reason.as_str().to_owned() },
            Effect::RecordLock => Fact::Locked {},
            Effect::RecordUnlock => Fact::Unlocked {},
            Effect::RecordPolicyAcknowledged => {
                let policy_version = policy_version();
                self.judges.policy.acknowledged = Some(policy_version.clone());
                self.judges.refusals.clear();
                self.judges.twin.reconsider();
                Fact::PolicyAcknowledged { policy_version }
            }
            Effect::RecordAgreement => return self.agree(),
            Effect::RecordFault(part) => Fact::FaultDetected { part },
            Effect::RecordMute { session, muted, by } => Fact::Muted { session: session.0, muted, by },
            Effect::DestroyFootage => Fact::FootageDestroyed { files: 0, why: None, session: None },
            // It has no files, and nothing to give a receipt for.
            Effect::Unbind => {
                self.judges.twin.forget();
                self.judges.policy.forget_note(&self.config);
                Fact::Unbound { files: 0, receipt: None }
            }
            Effect::RecordUnbindRequest => Fact::UnbindRequested {},
            _ => return,
        };
        self.append(fact);
    }

    pub(super) fn on_capture(&mut self, event: CaptureEvent) {
        let now = self.clock.now();
        let session = self.machine.session().map_or(0, |session| session.0);
        match event {
            CaptureEvent::Applied(settings) => {
                self.dispatch(Event::CaptureReported(CaptureReport::Applied(settings)));
            }
            CaptureEvent::Live => {
                self.capture.on_live(now);
                self.append(Fact::OnAir { session });
                self.dispatch(Event::CaptureReported(CaptureReport::Live));
            }
            CaptureEvent::Reconnecting => {
                self.capture.on_reconnecting(now);
                let reason = "push.example.cn:443: the connection was lost".to_owned();
                self.append(Fact::OffAir { session, reason });
                self.dispatch(Event::CaptureReported(CaptureReport::Reconnecting));
            }
            CaptureEvent::Stats => {
                self.capture.update(now);
                self.publish();
            }
            CaptureEvent::Exited => self.dispatch(Event::CaptureExited(CaptureExit::Stopped)),
        }
    }

    /// Answers those who waited for capture.
    fn answer_waiting(&mut self) {
        if !self.machine.phase().may_capture() {
            self.stops.drain(..).for_each(|reply| drop(reply.send(Response::Done)));
        }
        if !self.machine.is_mute_pending() {
            let is_silent = self.machine.phase().may_capture() && self.machine.is_muted();
            for reply in std::mem::take(&mut self.mutes) {
                let phase = self.machine.phase().as_str();
                let why = || format!("there is no stream to mute: the box is {phase}");
                let _ = reply.send(if is_silent { Response::Done } else { Response::refused(why()) });
            }
        }
    }
}
