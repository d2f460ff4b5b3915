//! A version that somebody asked for, and the command that waits for what becomes of it.

use std::time::Duration;

use rollout::{Decision, Hold, Version};

use super::{Moment, Updates};
use crate::ipc::{Rejection, ReplyCode, Response, steps};
use crate::judges::ReplySender;
use monotonic::Monotonic;

/// A command waits this long for its turn: longer than the longest day of sessions.
const PATIENCE: Duration = Duration::from_hours(24);
/// Downloads in a row that fail while a command waits: it says so after some seven minutes.
const MAX_DOWNLOADS: u32 = 3;

/// A version that somebody asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    since: Monotonic,
    failed_downloads: u32,
    /// `None`: it was asked for at the box, where nobody waits.
    reply: Option<ReplySender>,
}

impl Asked {
    pub(super) fn new(version: Version, since: Monotonic, reply: Option<ReplySender>) -> Self {
        Self { version, since, failed_downloads: 0, reply }
    }

    /// Whether a command waits.
    pub(super) fn has_caller(&self) -> bool {
        self.reply.is_some()
    }

    /// The agent has the package, or says why it has not. `Some`: what the command is answered with, in the end.
    pub(super) fn on_fetched(&mut self, error: Option<&str>) -> Option<Response> {
        self.failed_downloads = error.map_or(0, |_| self.failed_downloads + 1);
        let why = error.filter(|_| self.has_caller() && self.failed_downloads >= MAX_DOWNLOADS)?;
        Some(Response::unavailable(format!("the package cannot be downloaded: {why}")))
    }

    /// Why nothing comes of it any more, if that is so.
    fn is_over(&self, decision: &Decision, now: Monotonic) -> Option<Response> {
        if *decision == Decision::Installed {
            return Some(Response::Done);
        }
        if step(decision, true).is_none() {
            return Some(Response::refused(decision.explain()));
        }
        let is_late = self.has_caller() && now.duration_since(self.since) >= PATIENCE;
        is_late.then(|| Response::refused(format!("it did not come to it within a day: {}", decision.explain())))
    }

    /// Answers the command, if one waits.
    pub(super) fn answer(&mut self, response: Response) {
        if let Some(reply) = self.reply.take() {
            // A caller that went away does not need its reply.
            let _ = reply.send(response);
        }
    }
}

impl Updates {
    /// Root asks for `version` now. `Err`: why nothing will come of it.
    pub fn ask(&mut self, version: &str, moment: &Moment<'_>) -> Result<(), String> {
        let known = self.offered(Some(version))?;
        let judged = match self.decide_asked(moment) {
            Some(Decision::Start | Decision::Fetch { .. } | Decision::Wait { why: Hold::Session, .. }) => Ok(()),
            Some(other) => Err(other.explain().to_owned()),
            None => Err(self.why_off().unwrap_or("the box has no name yet").to_owned()),
        };
        if judged.is_ok() && self.asked.as_ref().is_none_or(|asked| asked.version != known) {
            self.asked = Some(Asked::new(known, moment.now, None));
        }
        judged
    }

    /// A command asks for `version` now, or for whichever is in force. Answered here when it is handed to the updater,
    /// or when nothing comes of it any more; `Some`: answered by the caller, with this.
    pub fn command(
        &mut self,
        version: Option<&str>,
        moment: &Moment<'_>,
        reply: ReplySender,
    ) -> Option<(Response, ReplySender)> {
        let known = match self.offered(version) {
            Ok(known) => known,
            Err(why) => return Some((Response::refused(why), reply)),
        };
        if self.decide_asked(moment) == Some(Decision::Installed) {
            return Some((Response::Done, reply));
        }
        if let Some(record) = self.record.as_ref().filter(|record| record.open && record.version == known.as_str()) {
            return Some((Response::Installing { attempt: record.attempt.clone() }, reply));
        }
        if self.asked.as_ref().is_some_and(Asked::has_caller) {
            let why = "another command waits for an update already: its answer comes first";
            return Some((Response::Unavailable(Rejection::new(ReplyCode::Busy, why)), reply));
        }
        match self.ask(known.as_str(), moment) {
            Ok(()) => {
                self.asked = Some(Asked::new(known, moment.now, Some(reply)));
                None
            }
            Err(why) => Some((Response::refused(why), reply)),
        }
    }

    /// The version in force, if it is the one that is wanted.
    fn offered(&self, wanted: Option<&str>) -> Result<rollout::Version, String> {
        let Some(current) = self.index.current() else {
            return Err("no release is in force here: publish one for this box's channel".to_owned());
        };
        let known = &current.release.version;
        match wanted.filter(|wanted| *wanted != known.as_str()) {
            Some(wanted) => Err(format!("version {wanted:?} is not offered here: version {known} is in force")),
            None => Ok(known.clone()),
        }
    }

    /// What the command that asked for an update waits for; `None`: none did.
    pub fn step(&self, moment: &Moment<'_>) -> Option<&'static str> {
        self.asked.as_ref().filter(|asked| asked.has_caller())?;
        step(&self.decide(moment)?, self.is_fetched())
    }

    /// Gives up what was asked for, where nothing comes of it any more.
    pub(super) fn check_asked(&mut self, decision: Option<&Decision>, now: Monotonic) {
        let current = self.index.current().map(|current| &current.release.version);
        let is_open = self.is_open();
        let Some(asked) = self.asked.as_mut().filter(|_| !is_open) else { return };
        let over = if current == Some(&asked.version) {
            decision.and_then(|decision| asked.is_over(decision, now))
        } else {
            Some(Response::refused("another release came into force meanwhile"))
        };
        if let Some(response) = over {
            asked.answer(response);
            self.asked = None;
        }
    }
}

/// What a command that asks for an update waits for; `None`: nothing will come of it.
fn step(decision: &Decision, is_fetched: bool) -> Option<&'static str> {
    match decision {
        Decision::Start | Decision::Fetch { .. } if !is_fetched => Some(steps::DOWNLOAD),
        Decision::Start => Some(steps::INSTALLATION),
        Decision::Wait { why: Hold::Session, .. } | Decision::Fetch { .. } => Some(steps::SESSION),
        Decision::Wait { why: Hold::Clock, .. } => Some(steps::CLOCK),
        Decision::Wait { .. }
        | Decision::Installed
        | Decision::OtherChannel
        | Decision::OtherArchitecture
        | Decision::Downgrade
        | Decision::BelowMinimum
        | Decision::Expired
        | Decision::Aborted
        | Decision::Paused
        | Decision::Manual
        | Decision::GivenUp => None,
    }
}
