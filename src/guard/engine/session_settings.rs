//! What `set-video` and `set-ingest` change: the next session's settings, and the bitrate of the one that is on.

use std::time::Duration;

use super::Engine;
use crate::config::Config;
use crate::ipc::{Fact, Response, SessionValues, SetIngest, SetVideo, Verb, steps};
use crate::judges::{ReplySender, session_settings};
use consent::{Event, Phase};
use monotonic::Monotonic;

/// How long capture has to confirm a bitrate: its loop looks every 50 ms, and begins once the camera is open, which
/// takes up to 10 s.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(12);

/// A bitrate that capture has not confirmed yet.
#[derive(Debug)]
pub(super) struct PendingBitrate {
    kbps: u32,
    /// What counts if it does not.
    before: u32,
    until: Monotonic,
    reply: ReplySender,
}

/// An address that staff have to agree to.
#[derive(Debug)]
pub(super) struct PendingIngest {
    ingest: Box<SetIngest>,
    host: String,
    /// What staff are asked.
    asks: Vec<String>,
    until: Monotonic,
    reply: ReplySender,
}

/// What commands set since the guard started, and what waits to be.
#[derive(Debug, Default)]
pub(super) struct SessionSettings {
    pub(super) values: SessionValues,
    bitrate: Option<PendingBitrate>,
    ingest: Option<PendingIngest>,
}

impl SessionSettings {
    /// When [`Engine::check_session_settings`] has to be called at the latest.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let bitrate = self.bitrate.as_ref().map(|pending| pending.until);
        bitrate.into_iter().chain(self.ingest.as_ref().map(|pending| pending.until)).min()
    }
}

impl Engine {
    /// The configuration of the next session, or of the one that is on.
    pub(super) fn session_config(&self) -> Config {
        session_settings::session_config(self.base_config(), &self.settings.values)
    }

    /// What commands set, unless it no longer fits the platform's desired configuration, which came after it.
    pub(super) fn session_values(&self) -> SessionValues {
        let values = &self.settings.values;
        if self.base_config().with_session_values(values).is_ok() { values.clone() } else { SessionValues::default() }
    }

    /// The configuration: files, and the platform's values below them.
    fn base_config(&self) -> &Config {
        self.twin.config()
    }

    /// Takes back what staff were asked, unless they are asked for another change too.
    fn withdraw_ingest_question(&mut self) {
        if !self.twin.needs_agreement() {
            self.dispatch(Event::AgreementWithdrawn);
        }
    }

    pub(super) fn set_video(&mut self, wanted: &SetVideo, reply: ReplySender) {
        let phase = self.machine.phase();
        match session_settings::judge_video(self.base_config(), &self.settings.values, phase, wanted) {
            Ok(values) => self.apply_video(values, reply),
            Err(response) => self.answer(response, reply),
        }
    }

    fn apply_video(&mut self, values: SessionValues, reply: ReplySender) {
        let kbps = values.video.bitrate_kbps;
        let before = self.session_config().video.bitrate_kbps;
        let response = match (self.machine.phase(), &self.capture, kbps) {
            (Phase::Stopping, ..) => Response::unavailable("the session is just ending: send it again"),
            (Phase::Connecting | Phase::Live | Phase::Reconnecting, Some(capture), Some(kbps)) if kbps != before => {
                if self.settings.bitrate.is_some() {
                    return self
                        .answer(Response::unavailable("another set-video is being applied: send it again"), reply);
                }
                capture.set_bitrate(kbps);
                self.session.bitrate_refused = None;
                let until = self.clock.now().saturating_add(CONFIRM_TIMEOUT);
                self.settings.bitrate = Some(PendingBitrate { kbps, before, until, reply });
                return;
            }
            (
                Phase::Connecting
                | Phase::Live
                | Phase::Reconnecting
                | Phase::Idle
                | Phase::Requested
                | Phase::Locked
                | Phase::Policy
                | Phase::Fault,
                ..,
            ) => {
                self.settings.values = values;
                Response::Done
            }
        };
        self.answer(response, reply);
    }

    pub(super) fn set_ingest(&mut self, ingest: Box<SetIngest>, reply: ReplySender) {
        let (phase, is_asked) = (self.machine.phase(), self.settings.ingest.is_some());
        let (base, values) = (self.base_config(), &self.settings.values);
        match session_settings::judge_ingest(base, values, phase, is_asked, &ingest) {
            Err(response) => self.answer(response, reply),
            Ok((host, changes)) if changes.is_empty() => {
                let kept = self.keep_ingest(ingest, host, false, reply);
                self.dispatch_failure(kept);
            }
            Ok((host, asks)) => {
                if let Err(why) = self.refusals.judge(&asks) {
                    return self.answer(Response::refused(why), reply);
                }
                let until = self.clock.now().saturating_add(self.config.consent.request_timeout);
                self.settings.ingest = Some(PendingIngest { ingest, host, asks, until, reply });
                self.set_progress(Verb::SetIngest, steps::STAFF);
                self.dispatch(Event::AgreementNeeded);
            }
        }
    }

    /// The next session goes there, once the ledger has it.
    fn keep_ingest(
        &mut self,
        ingest: Box<SetIngest>,
        ingest_host: String,
        agreed: bool,
        reply: ReplySender,
    ) -> Result<(), Event> {
        let written = self.append_durably(Fact::IngestSet { ingest_host, agreed });
        if written.is_ok() {
            self.settings.values.ingest = Some(ingest);
            self.answer(Response::Done, reply);
        } else {
            let why = "the ledger cannot be written, and nothing is done without it";
            let _ = reply.send(Response::unavailable(why));
        }
        written
    }

    /// Staff have agreed to what they were asked.
    pub(super) fn agree_to_ingest(&mut self) -> Result<(), Event> {
        let Some(PendingIngest { ingest, host, reply, .. }) = self.settings.ingest.take() else { return Ok(()) };
        self.keep_ingest(ingest, host, true, reply)
    }

    /// Forgets what commands set, and what waits to be.
    pub(super) fn forget_session_settings(&mut self) {
        self.settings.values = SessionValues::default();
        if let Some(PendingIngest { reply, asks, .. }) = self.settings.ingest.take() {
            let noted = self.note_refusal(&asks);
            self.withdraw_ingest_question();
            self.dispatch_failure(noted);
            let _ = reply.send(Response::refused("the box was erased meanwhile"));
        }
    }

    /// Answers what capture has confirmed or refused, and what has taken too long.
    pub(super) fn check_session_settings(&mut self) {
        let now = self.clock.now();
        if let Some(pending) = self.settings.bitrate.take() {
            self.check_bitrate(pending, now);
        }
        let over = self.settings.ingest.as_ref().is_some_and(|pending| {
            now >= pending.until || pending.reply.is_closed() || !self.machine.is_agreement_pending()
        });
        if over && let Some(PendingIngest { reply, asks, .. }) = self.settings.ingest.take() {
            let noted = self.note_refusal(&asks);
            self.withdraw_ingest_question();
            self.dispatch_failure(noted);
            let _ = reply.send(Response::refused("staff did not agree to that server in time: nothing changed"));
        }
    }

    fn check_bitrate(&mut self, pending: PendingBitrate, now: Monotonic) {
        let PendingBitrate { kbps, before, until, reply } = pending;
        let is_confirmed = self.session.bitrate_kbps == Some(kbps);
        if is_confirmed || !self.machine.phase().may_capture() {
            // In force; or the session is over, and it counts for the next one.
            self.settings.values.video.bitrate_kbps = Some(kbps);
            return self.answer(Response::Done, reply);
        }
        let why = self.session.bitrate_refused.clone();
        if why.is_none() && now < until {
            self.settings.bitrate = Some(PendingBitrate { kbps, before, until, reply });
            return;
        }
        if let Some(capture) = &self.capture {
            capture.set_bitrate(before);
        }
        let late =
            || Response::unavailable("capture did not confirm it within 12 s, and goes on as before: send it again");
        self.answer(why.map_or_else(late, Response::refused), reply);
    }
}
