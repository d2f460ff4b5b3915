//! How each effect of the consent machine is applied.

use std::collections::VecDeque;

use super::Engine;
use crate::guard::capture_process::{CaptureHandle, LaunchSettings, PidFile};
use crate::ipc::{Erasure, Fact};
use consent::{CaptureExit, Effect, Event, Fault, Grant, Purpose, Reason, SessionId};

impl Engine {
    /// Applies one effect. `Err`: the event that its failure is; `events` gets one that is no failure.
    pub(super) fn apply(&mut self, effect: Effect, events: &mut VecDeque<Event>) -> Result<(), Event> {
        let policy_version = || self.policy.version.clone();
        match effect {
            Effect::SetLamp(lamp) => {
                self.panel.show(self.clock.now(), lamp).map_err(|_| Event::FaultDetected(Fault::Lamp))
            }
            Effect::RecordStart { session, sound, purpose, guardian } => {
                self.append_start(session, sound, purpose, guardian)
            }
            Effect::Launch(grant) => {
                self.launch(grant);
                Ok(())
            }
            Effect::Stop(_) => {
                self.stop_capture(events);
                Ok(())
            }
            Effect::Kill => {
                self.kill_capture();
                Ok(())
            }
            Effect::Configure(settings) => {
                if let Some(capture) = &self.capture {
                    capture.configure(settings);
                }
                Ok(())
            }
            Effect::RecordStop { session, reason } => self.append_stop(session, reason),
            Effect::RecordRequest(purpose) => self.append(Fact::Requested { purpose }),
            Effect::RecordUnbindRequest => self.append(Fact::UnbindRequested {}),
            Effect::RecordRequestEnded(reason) => {
                self.append(Fact::RequestEnded { reason: reason.as_str().to_owned() })
            }
            Effect::RecordLock => self.append(Fact::Locked {}),
            Effect::RecordUnlock => self.append(Fact::Unlocked {}),
            Effect::RecordPolicyAcknowledged => {
                let policy_version = policy_version();
                self.policy.acknowledged = Some(policy_version.clone());
                self.forget_refusals();
                self.append(Fact::PolicyAcknowledged { policy_version })
            }
            Effect::RecordAgreement => self.append_agreement(),
            Effect::RecordFault(part) => self.append(Fact::FaultDetected { part }),
            Effect::RecordMute { session, muted, by } => self.append(Fact::Muted { session: session.0, muted, by }),
            Effect::DestroyFootage => {
                self.erasure.add_footage();
                self.run_erasure()
            }
            Effect::Unbind => self.part(Erasure::Unbind),
            Effect::EndService => self.part(Erasure::EndOfService),
            Effect::SelfTest => {
                self.self_test();
                Ok(())
            }
        }
    }

    fn append_start(&mut self, session: SessionId, sound: bool, purpose: Purpose, guardian: bool) -> Result<(), Event> {
        self.messages.session = None;
        let (session, policy_version) = (session.0, self.policy.version.clone());
        self.append_durably(match purpose {
            Purpose::OnAir => Fact::SessionStarted { session, sound, policy_version, guardian },
            Purpose::Probe => Fact::Probed { session, sound, policy_version },
        })
    }

    /// Shop and box part. Told first: the agent must not take the entries to come for those of a box that is bound.
    fn part(&mut self, how: Erasure) -> Result<(), Event> {
        self.publish();
        self.twin.forget();
        self.begin_erasure(how, None)
    }

    fn launch(&mut self, grant: Grant) {
        let (events, pid_file) = (self.capture_events.clone(), PidFile::new(&self.config.device.runtime_dir));
        let settings = LaunchSettings {
            configuration: self.twin.config().hash.clone(),
            values: self.twin.values().clone(),
            commands: self.session_values(),
            bitrate_kbps: self.session_config().video.bitrate_kbps,
        };
        let mode = &self.launch_mode;
        self.capture = Some(CaptureHandle::launch(mode, grant, settings, pid_file, &mut self.tasks, events));
    }

    fn stop_capture(&self, events: &mut VecDeque<Event>) {
        match &self.capture {
            Some(capture) => capture.stop(),
            None => events.push_back(Event::CaptureExited(CaptureExit::NeverStarted)),
        }
    }

    fn kill_capture(&self) {
        if let Some(capture) = &self.capture {
            tracing::warn!(
                "capture did not end in time: it is killed, and a server keeps its session until it misses us"
            );
            capture.kill();
        }
    }

    /// Writes the end of a session, after what is still to be written of its link. One entry that fails keeps no other.
    fn append_stop(&mut self, session: SessionId, reason: Reason) -> Result<(), Event> {
        let is_ledger_fault = reason == Reason::Fault(Fault::Ledger);
        let message = if is_ledger_fault { self.messages.ledger.clone() } else { self.messages.session.clone() };
        let stopped = Fact::SessionStopped { session: session.0, reason: reason.as_str().to_owned(), message };
        let facts = self.link_log.finish().into_iter().chain([stopped]);
        let written = facts.map(|fact| self.append(fact)).fold(Ok(()), Result::and);
        let noted = self.note_footage(session.0, reason);
        self.ledger_writer.request_checkpoint();
        written.and(noted)
    }
}
