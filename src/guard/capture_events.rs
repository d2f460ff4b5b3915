//! What capture says, and what the guard says of it all.

use monotonic::Monotonic;
use std::time::Duration;

use jiff::Timestamp;

use super::account::Explanation;
use super::capture_process::CaptureEvent;
use super::engine::Engine;
use crate::ipc::{
    CaptureDevice, Fact, FailureKind, FromCapture, ProbeReport, SecondaryStats, Status, StreamStats, VERSION_STRING,
};
use consent::{CaptureReport, Event, Fault, Reason};

/// Capture tells its figures each second. Those of one that has told none for this long, because it hangs or the
/// machine does, are not told as the present ones.
const STALE: Duration = Duration::from_secs(5);

/// What is known about the present session beyond what consent needs.
#[derive(Debug, Default)]
pub(super) struct SessionReport {
    pub(super) encoder: Option<String>,
    /// The camera's mode.
    pub(super) camera: Option<String>,
    pub(super) stream: Option<StreamStats>,
    /// When capture told them.
    pub(super) told: Monotonic,
    pub(super) second: Option<SecondaryStats>,
    pub(super) pid: Option<u32>,
    /// What a probe found.
    pub(super) findings: Option<ProbeReport>,
    /// Why the server is out of reach.
    pub(super) offline: Option<String>,
    /// Devices that are away, the camera first, and why.
    pub(super) away: Vec<(CaptureDevice, String)>,
    /// Which encoder took whose place, and why.
    pub(super) fallback: Option<String>,
}

/// Which device is away, as a reason.
pub(super) fn lost_reason(device: CaptureDevice) -> Reason {
    match device {
        CaptureDevice::Camera => Reason::CameraLost,
        CaptureDevice::Microphone => Reason::MicrophoneLost,
    }
}

impl Engine {
    /// News of a capture; those of an earlier one are of no account.
    pub(super) fn on_capture_event(&mut self, session: u64, events: CaptureEvent) {
        if self.capture.as_ref().is_none_or(|capture| capture.session != session) {
            return;
        }
        match events {
            CaptureEvent::Exited(outcome, message) => {
                self.message = message.or(self.message.take());
                self.dispatch(Event::CaptureExited(outcome));
            }
            CaptureEvent::Message(FromCapture::Hello { pid }) => self.session.pid = Some(pid),
            CaptureEvent::Message(FromCapture::Applied(wanted)) => {
                self.dispatch(Event::CaptureReported(CaptureReport::Applied(wanted)));
            }
            CaptureEvent::Message(FromCapture::Encoder { name, why }) => {
                tracing::info!("encoder: {name}: {why}");
                self.session.encoder = Some(format!("{name}: {why}"));
            }
            CaptureEvent::Message(FromCapture::Camera { mode }) => {
                tracing::info!("camera: {mode}");
                self.session.camera = Some(mode);
            }
            CaptureEvent::Message(FromCapture::EncoderFallback { from, to, why }) => {
                self.on_encoder_fallback(session, from, to, why);
            }
            CaptureEvent::Message(FromCapture::Stats(stats)) => {
                (self.session.stream, self.session.told) = (Some(stats), self.clock.now());
            }
            CaptureEvent::Message(FromCapture::Secondary(second)) => {
                let before = self.session.second.as_ref();
                if let Some(reason) = &second.reason
                    && before.is_none_or(|before| before.reason.as_ref() != Some(reason))
                {
                    tracing::warn!("the second ingest server is out of reach: {reason}");
                }
                self.session.second = Some(second);
            }
            CaptureEvent::Message(FromCapture::Live {}) => {
                self.session.offline = None;
                self.on_link_change(session, CaptureReport::Live);
            }
            CaptureEvent::Message(FromCapture::Reconnecting { reason }) => {
                if self.session.offline.as_ref() != Some(&reason) {
                    tracing::warn!("the ingest server is out of reach: {reason}");
                }
                self.session.offline = Some(reason);
                self.on_link_change(session, CaptureReport::Reconnecting);
            }
            CaptureEvent::Message(FromCapture::DeviceLost { device, why }) => {
                tracing::warn!("{}: {why}", lost_reason(device).as_str());
                self.session.away.retain(|(known, _)| *known != device);
                self.session.away.push((device, why));
                self.session.away.sort_by_key(|(device, _)| *device != CaptureDevice::Camera);
            }
            CaptureEvent::Message(FromCapture::DeviceRecovered { device }) => {
                tracing::info!("{}: it is back", lost_reason(device).as_str());
                self.session.away.retain(|(known, _)| *known != device);
            }
            CaptureEvent::Message(FromCapture::ProbeFinished(findings)) => self.session.findings = Some(findings),
            CaptureEvent::Message(FromCapture::Failed { kind, message }) => {
                tracing::error!(?kind, "capture cannot go on: {message}");
                self.message = Some(message);
                let reason = match kind {
                    FailureKind::IngestNotAllowed => Some(Reason::IngestNotAllowed),
                    FailureKind::CameraLost => Some(Reason::CameraLost),
                    FailureKind::MicrophoneLost => Some(Reason::MicrophoneLost),
                    FailureKind::Source
                    | FailureKind::Encoder
                    | FailureKind::Ingest
                    | FailureKind::Config
                    | FailureKind::Internal => None,
                };
                if let Some(reason) = reason {
                    self.dispatch(Event::Revoke(reason));
                }
            }
        }
        self.publish();
    }

    /// The stream goes on with another encoder, and everybody hears of it.
    fn on_encoder_fallback(&mut self, session: u64, from: String, to: String, why: String) {
        tracing::error!("the encoder {from} was given up: {why}; {to} goes on in its place");
        let said = format!("{to}: in place of {from}: {why}");
        self.session.encoder = Some(said.clone());
        self.session.fallback = Some(said);
        self.link_log.on_encoder_fallback(Fact::EncoderFallback { session, from, to, why });
        self.write_link(self.clock.now());
    }

    fn on_link_change(&mut self, session: u64, report: CaptureReport) {
        let before = self.machine.phase();
        self.dispatch(Event::CaptureReported(report));
        if self.machine.phase() == before || self.machine.session().is_none_or(|id| id.0 != session) {
            return;
        }
        match report {
            CaptureReport::Live => {
                if let Some(fact) = self.link_log.on_air(session)
                    && let Err(failure) = self.write(fact)
                {
                    self.dispatch(failure);
                }
            }
            CaptureReport::Reconnecting => {
                self.link_log.off_air(session, self.session.offline.clone().unwrap_or_default());
            }
            CaptureReport::Applied(_) => {}
        }
        self.write_link(self.clock.now());
    }

    /// Writes what may be written of the link by now.
    pub(super) fn write_link(&mut self, now: Monotonic) {
        for fact in self.link_log.due(now) {
            if let Err(failure) = self.write(fact) {
                self.dispatch(failure);
            }
        }
    }

    /// Forgets figures that are not known to hold any more.
    pub(super) fn forget_stale(&mut self, now: Monotonic) {
        if self.session.stream.is_some() && now.duration_since(self.session.told) > STALE {
            tracing::warn!(
                "capture has told nothing of its stream for {} s: it hangs, or the machine does",
                STALE.as_secs()
            );
            (self.session.stream, self.session.second) = (None, None);
            self.publish();
        }
    }

    /// Tells everybody who listens, if anything changed.
    pub(super) fn publish(&mut self) {
        let now = self.clock.now();
        let Explanation { reason, message } = self.account();
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|part| self.machine.has_fault(*part)).collect();
        let since: Timestamp = self.status.borrow().since;
        let status = Status {
            phase: self.machine.phase(),
            session: self.machine.session().map(|session| session.0),
            since,
            reason,
            message,
            muted: self.machine.is_muted(),
            policy_version: self.config.consent.policy_version.clone(),
            software: VERSION_STRING.to_owned(),
            lamp: self.panel.pattern(now),
            faults,
            encoder: self.session.encoder.clone(),
            camera: self.session.camera.clone(),
            stream: self.session.stream,
            second: self.session.second.clone(),
            capture_pid: self.session.pid,
            panel: self.panel.name().to_owned(),
            unbound: self.machine.is_unbound(),
            ledger: self.ledger_writer.ledger_id(),
            ledger_check: self.ledger_writer.check(),
            identity: self.identity.clone(),
        };
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            if changed {
                *known = status;
            }
            changed
        });
    }
}
