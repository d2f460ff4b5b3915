//! What the engine does with capture's reports.

use super::Engine;
use crate::guard::capture_process::CaptureEvent;
use crate::ipc::{Connector, Fact, FailureKind, FromCapture};
use consent::{CaptureReport, Event, Reason};
use monotonic::Monotonic;

impl Engine {
    /// Takes an event of the capture of `session`. Events of an earlier capture are dropped.
    pub(in crate::guard) fn on_capture_event(&mut self, session: u64, event: CaptureEvent) {
        if self.capture.as_ref().is_none_or(|capture| capture.session != session) {
            return;
        }
        match event {
            CaptureEvent::Exited(exit, message) => {
                self.messages.session = message.or(self.messages.session.take());
                self.dispatch(Event::CaptureExited(exit));
                if self.erasure.due().is_some() {
                    let erased = self.run_erasure();
                    self.dispatch_failure(erased);
                }
            }
            CaptureEvent::Message(message) => self.on_message(session, message),
        }
        self.publish();
    }

    fn on_message(&mut self, session: u64, message: FromCapture) {
        match message {
            FromCapture::Hello { pid } => self.session.pid = Some(pid),
            FromCapture::Applied(state) => {
                let settings = state.settings();
                self.session.on_bitrate(state.bitrate_kbps, state.bitrate_refused);
                self.dispatch(Event::CaptureReported(CaptureReport::Applied(settings)));
                self.check_session_settings();
            }
            FromCapture::Encoder { name, why } => self.session.on_encoder(&name, &why),
            FromCapture::EncoderFallback { from, to, why } => {
                self.session.on_encoder_fallback(&from, &to, &why);
                self.link_log.on_encoder_fallback(Fact::EncoderFallback { session, from, to, why });
                self.append_link_facts(self.clock.now());
            }
            FromCapture::DestinationRefused { host, why } => {
                let written = self.append(Fact::DestinationRefused { by: Connector::Capture, host, why });
                self.dispatch_failure(written);
            }
            FromCapture::Camera { mode } => self.session.on_camera(mode),
            FromCapture::Stats(stats) => self.session.on_stats(self.clock.now(), stats),
            FromCapture::Secondary(stats) => self.session.on_secondary(stats),
            FromCapture::Live {} => {
                self.session.ingest_error = None;
                self.on_link_change(session, CaptureReport::Live);
            }
            FromCapture::Reconnecting { reason } => {
                self.session.on_ingest_unreachable(reason);
                self.on_link_change(session, CaptureReport::Reconnecting);
            }
            FromCapture::DeviceLost { device, why } => self.session.on_device_lost(device, why),
            FromCapture::DeviceRecovered { device } => self.session.on_device_recovered(device),
            FromCapture::ProbeFinished(report) => self.session.probe = Some(report),
            FromCapture::Failed { kind, message } => {
                tracing::error!(?kind, "capture cannot go on: {message}");
                self.messages.session = Some(message);
                if let Some(reason) = revocation(kind) {
                    self.dispatch(Event::Revoke(reason));
                }
            }
        }
    }

    fn on_link_change(&mut self, session: u64, report: CaptureReport) {
        let before = self.machine.phase();
        self.dispatch(Event::CaptureReported(report));
        if self.machine.phase() == before || self.machine.session().is_none_or(|id| id.0 != session) {
            return;
        }
        match report {
            CaptureReport::Live => {
                if let Some(fact) = self.link_log.on_air(session) {
                    let written = self.append(fact);
                    self.dispatch_failure(written);
                }
            }
            CaptureReport::Reconnecting => {
                self.link_log.off_air(session, self.session.ingest_error.clone().unwrap_or_default());
            }
            CaptureReport::Applied(_) => {}
        }
        self.append_link_facts(self.clock.now());
    }

    /// Writes what may be written of the link by now.
    pub(super) fn append_link_facts(&mut self, now: Monotonic) {
        for fact in self.link_log.due(now) {
            let written = self.append(fact);
            self.dispatch_failure(written);
        }
    }
}

/// The reason for which consent ends, where a failure of capture has one of its own.
const fn revocation(kind: FailureKind) -> Option<Reason> {
    match kind {
        FailureKind::IngestNotAllowed => Some(Reason::IngestNotAllowed),
        FailureKind::MeteredLink => Some(Reason::MeteredLink),
        FailureKind::CameraLost => Some(Reason::CameraLost),
        FailureKind::MicrophoneLost => Some(Reason::MicrophoneLost),
        FailureKind::Source | FailureKind::Encoder | FailureKind::Config | FailureKind::Internal => None,
    }
}
