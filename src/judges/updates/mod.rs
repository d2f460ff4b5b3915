//! Software updates, as far as they are the guard's: which release is in force, whether this box takes it, and when.
//! Nothing is downloaded or installed here: the agent does the one, `tallybox update apply` (root) the other, and each
//! verifies for itself.

mod activity;
mod asked;
mod file_writer;
mod progress;
mod release_index;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rollout::{BoxView, Decision, Sha256Hex, decide};

use crate::clock::ClockReading;
use crate::config::{Config, Update};
use crate::installed_package::{self, InstalledPackage};
use crate::ipc::{Fact, Response, UpdateOutcome, UpdateState, UpdateStatus};
use crate::judges::ReplySender;
use crate::ledger::{LedgerState, UpdateRecord};
use crate::update_files;
use activity::Activity;
use asked::Asked;
use file_writer::FileWriter;
use monotonic::Monotonic;
use release_index::{Current, ReleaseIndex, Taken};

/// Attempts at a release that was not to blame for their end (the power failed, the disk was full).
const MAX_INTERRUPTED: u32 = 5;

/// What the agent has of the release with a serial.
#[derive(Debug)]
struct Fetched {
    serial: u64,
    error: Option<String>,
}

/// What the box is like at a moment, for a decision.
#[derive(Debug)]
pub struct Moment<'a> {
    /// On the guard's clock.
    pub now: Monotonic,
    /// The wall clock, and whether it is right.
    pub clock: &'a ClockReading,
    /// The box's name; `None`: it has none yet.
    pub id: Option<&'a str>,
    /// A session is on, or staff are asked for one.
    pub is_busy: bool,
}

/// What the engine has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this down.
    Record(Fact),
    /// Write this down, on disk, and then call [`Updates::hand_over`].
    RecordStart(Fact),
}

/// Updates, from the guard's side.
#[derive(Debug)]
pub struct Updates {
    settings: Update,
    index: ReleaseIndex,
    root: PathBuf,
    package: Option<InstalledPackage>,
    package_seen: Option<SystemTime>,
    request_writer: FileWriter,
    fetched: Option<Fetched>,
    asked: Option<Asked>,
    postponed: Option<Timestamp>,
    /// Since when the digest is announced.
    announced: Option<(Sha256Hex, Monotonic)>,
    record: Option<UpdateRecord>,
    activity: Activity,
    status: UpdateStatus,
}

impl Updates {
    /// Before the ledger is read. `root` is `/` but in tests.
    pub fn new(config: &Config, root: &Path, now: Monotonic) -> Self {
        let data_dir = &config.device.data_dir;
        let mut updates = Self {
            settings: config.update.clone(),
            index: ReleaseIndex::load(config, now),
            request_writer: FileWriter::new(data_dir.join(update_files::REQUEST)),
            root: root.to_owned(),
            package: None,
            package_seen: None,
            fetched: None,
            asked: None,
            postponed: None,
            announced: None,
            record: None,
            activity: Activity::default(),
            status: UpdateStatus::default(),
        };
        updates.look_at_package();
        updates
    }

    /// The ledger was read. Returns what it lacks of the release in force.
    pub fn restore(&mut self, state: &LedgerState, clock: &ClockReading, now: Monotonic) -> Option<Fact> {
        self.record.clone_from(&state.update);
        self.postponed = state.update_postponed;
        self.activity = Activity::restore(state, clock, now);
        let open = self.record.as_ref().filter(|record| record.open);
        // The power may have failed between the entry and the file.
        if let Some(record) = open.filter(|_| !self.request_writer.path().exists()) {
            self.request_writer.write(update_files::request(&record.attempt));
        }
        self.index.restore(state.releases.get(&self.settings.channel).copied().unwrap_or_default())
    }

    /// For the status.
    pub fn status(&self) -> &UpdateStatus {
        &self.status
    }

    fn look_at_package(&mut self) {
        let seen = installed_package::changed_at(&self.root);
        if seen != self.package_seen {
            self.package_seen = seen;
            self.package = installed_package::find(&self.root);
        }
    }

    /// The agent says what it has.
    pub fn on_fetched(&mut self, serial: u64, error: Option<String>) {
        if self.index.serial() != Some(serial) {
            return;
        }
        if let Some(asked) = &mut self.asked
            && let Some(response) = asked.on_fetched(error.as_deref())
        {
            asked.answer(response);
            self.asked = None;
        }
        self.fetched = Some(Fetched { serial, error });
    }

    /// The agent's folder is emptied: a package that was there has to be downloaded again.
    pub fn forget_package(&mut self) {
        self.fetched = None;
    }

    /// Updates are put off. Returns what to write down.
    pub fn postpone(&mut self, hours: u32, now: Timestamp) -> Result<Fact, String> {
        if hours > 168 {
            return Err("an update can be put off for 168 hours at most".to_owned());
        }
        let until = now.checked_add(jiff::SignedDuration::from_hours(i64::from(hours))).unwrap_or(now);
        self.postponed = Some(until);
        Ok(Fact::UpdatePostponed { until })
    }

    /// The updater says how an attempt ended. What to write down; `None`: it is written already.
    pub fn on_ended(&mut self, outcome: UpdateOutcome) -> Option<Fact> {
        let UpdateOutcome { attempt, version, error, again } = outcome;
        if self.record.as_ref().is_some_and(|record| record.attempt == attempt && !record.open) {
            return None;
        }
        if let Some(record) = self.record.as_mut().filter(|record| record.attempt == attempt) {
            record.open = false;
            record.failed = error.is_some() && !again;
            record.interrupted += u32::from(error.is_some() && again);
        } else {
            // A version that was put back does not know of the attempt.
            self.record = Some(UpdateRecord {
                digest: self.index.current().map(|current| current.digest.to_string()).unwrap_or_default(),
                version: version.clone(),
                attempt: attempt.clone(),
                open: false,
                failed: error.is_some() && !again,
                interrupted: u32::from(error.is_some() && again),
            });
        }
        self.asked = None;
        if error.is_some() {
            // Whether the package is still there, and still the right one, is the agent's to say once more.
            self.fetched = None;
        }
        self.look_at_package();
        Some(match error {
            None => Fact::UpdateSucceeded { version, attempt },
            Some(why) => Fact::UpdateFailed { version, attempt, why, again },
        })
    }

    /// The start is in the ledger, on disk: the updater may begin.
    pub fn hand_over(&mut self, fact: &Fact) {
        if let Fact::UpdateStarted { version, former: _, digest, attempt } = fact {
            let interrupted = self.record.take().filter(|record| record.digest == *digest);
            let interrupted = interrupted.map_or(0, |record| record.interrupted);
            let (digest, version) = (digest.clone(), version.clone());
            self.request_writer.write(update_files::request(attempt));
            let attempt = attempt.clone();
            if let Some(asked) = &mut self.asked {
                asked.answer(Response::Installing { attempt: attempt.clone() });
            }
            self.record = Some(UpdateRecord { digest, version, attempt, open: true, failed: false, interrupted });
        }
    }

    /// The start is not on disk, and may get there later: the updater does not begin. Returns what to write down behind
    /// it; a command that waits goes on waiting, for another attempt.
    pub fn call_off(&mut self, fact: &Fact) -> Option<Fact> {
        let Fact::UpdateStarted { version, former: _, digest, attempt } = fact else { return None };
        let interrupted = self.record.take().filter(|record| record.digest == *digest);
        let interrupted = interrupted.map_or(0, |record| record.interrupted) + 1;
        let (version, attempt) = (version.clone(), attempt.clone());
        self.record = Some(UpdateRecord {
            digest: digest.clone(),
            version: version.clone(),
            attempt: attempt.clone(),
            open: false,
            failed: false,
            interrupted,
        });
        let why = "the ledger's disk did not take its beginning".to_owned();
        Some(Fact::UpdateFailed { version, attempt, why, again: true })
    }

    /// A session is on, or has just ended: also one that is over before the next tick.
    pub fn note_session(&mut self, now: Monotonic) {
        self.activity.note(now, true);
    }

    /// Called once a second. Decides, and returns what is to be done about it.
    pub fn tick(&mut self, moment: &Moment<'_>) -> Vec<Step> {
        self.activity.note(moment.now, moment.is_busy);
        self.look_at_package();
        let mut steps: Vec<Step> = self.take_incoming().map(Step::Record).into_iter().collect();
        if let Some(Err(error)) = self.request_writer.poll() {
            // Written anew at the guard's next start at the latest; the attempt stays open until the updater ends it.
            tracing::error!("the update cannot be handed over: {}: {error}", self.request_writer.path().display());
            if let Some(record) = self.record.as_ref().filter(|record| record.open) {
                self.request_writer.write(update_files::request(&record.attempt));
            }
        }
        let decision = self.decide(moment);
        self.check_asked(decision.as_ref(), moment.now);
        steps.extend(self.announce(decision.as_ref(), moment));
        steps.extend(self.start(decision.as_ref(), moment));
        self.status = self.compose(decision.as_ref(), moment);
        steps
    }

    /// A release that is on disk comes into force.
    fn take_incoming(&mut self) -> Option<Fact> {
        let Taken { fact, is_same } = self.index.take_incoming()?;
        // What was downloaded for another serial of the same digest is still what is wanted.
        if let (Some(fetched), Some(serial)) = (self.fetched.as_mut().filter(|_| is_same), self.index.serial()) {
            fetched.serial = serial;
        }
        fact
    }

    /// A release index came. The reply follows when it is kept, or at once. `Err`: it is refused, for the ledger.
    pub fn offer(&mut self, now: Monotonic, note: &str, reply: ReplySender) -> Result<(), String> {
        self.index.offer(now, note, self.is_open(), reply)
    }

    fn decide(&self, moment: &Moment<'_>) -> Option<Decision> {
        let version = self.index.current().map(|current| &current.release.version);
        self.judge(moment, version.is_some() && self.asked.as_ref().map(|asked| &asked.version) == version)
    }

    /// The decision if somebody asked.
    fn decide_asked(&self, moment: &Moment<'_>) -> Option<Decision> {
        self.judge(moment, true)
    }

    fn judge(&self, moment: &Moment<'_>, asked: bool) -> Option<Decision> {
        let (current, package) = (self.index.current()?, self.package.as_ref()?);
        if !self.index.has_keys() {
            return None;
        }
        let is_right = moment.clock.synchronised && crate::clock::is_plausible(moment.clock.utc);
        let view = BoxView {
            id: moment.id?,
            channel: &self.settings.channel,
            architecture: &package.architecture,
            installed: &package.version,
            automatic: self.settings.automatic,
            window: self.settings.window,
            second_of_day: progress::second_of_day(moment.clock.utc),
            now: is_right.then_some(moment.clock.utc),
            session: self.activity.view(moment.now),
            postponed: self.postponed,
            asked,
            given_up: self.has_given_up(current),
        };
        Some(decide(&current.release, &view))
    }

    fn has_given_up(&self, current: &Current) -> bool {
        let record = self.record.as_ref().filter(|record| record.digest == current.digest.as_str());
        record.is_some_and(|record| record.failed || record.interrupted >= MAX_INTERRUPTED)
    }

    fn is_fetched(&self) -> bool {
        let fetched = self.fetched.as_ref().filter(|fetched| Some(fetched.serial) == self.index.serial());
        fetched.is_some_and(|fetched| fetched.error.is_none())
    }

    fn is_open(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.open)
    }

    /// Says once that an update is there and will be installed.
    fn announce(&mut self, decision: Option<&Decision>, moment: &Moment<'_>) -> Option<Step> {
        let current = self.index.current()?;
        let is_due =
            matches!(decision?, Decision::Start | Decision::Fetch { .. }) && self.is_fetched() && !self.is_open();
        if !is_due || self.announced.as_ref().is_some_and(|(digest, _)| *digest == current.digest) {
            return None;
        }
        self.announced = Some((current.digest.clone(), moment.now));
        let earliest = progress::later(moment.clock.utc, self.settings.notice);
        let held = if let Decision::Fetch { until, .. } = decision? { *until } else { None };
        let until = held.map_or(earliest, |until| earliest.max(until));
        Some(Step::Record(Fact::UpdateAnnounced { version: current.release.version.to_string(), until }))
    }

    /// How long the notice still runs; an operator who asks for the update has given it.
    fn notice_left(&self, now: Monotonic) -> Option<Duration> {
        let current = self.index.current()?;
        let (_, since) = self.announced.as_ref().filter(|(digest, _)| *digest == current.digest)?;
        if self.asked.is_some() {
            return Some(Duration::ZERO);
        }
        Some(self.settings.notice.saturating_sub(now.duration_since(*since)))
    }

    fn start(&mut self, decision: Option<&Decision>, moment: &Moment<'_>) -> Option<Step> {
        let is_free = decision == Some(&Decision::Start) && self.is_fetched() && !self.is_open();
        if !is_free || self.index.is_changing() || self.notice_left(moment.now) != Some(Duration::ZERO) {
            return None;
        }
        let (current, package) = (self.index.current()?, self.package.as_ref()?);
        Some(Step::RecordStart(Fact::UpdateStarted {
            version: current.release.version.to_string(),
            former: package.version.to_string(),
            digest: current.digest.to_string(),
            attempt: format!("{:016x}", fastrand::u64(..)),
        }))
    }

    fn why_off(&self) -> Option<&'static str> {
        if !self.index.has_keys() {
            return Some("no trusted key may sign releases, or too few: add one under [[trust]]");
        }
        self.package.is_none().then_some("tallybox was not installed as a package here")
    }

    fn compose(&self, decision: Option<&Decision>, moment: &Moment<'_>) -> UpdateStatus {
        let reconnect_spread_s = self.index.current().and_then(|current| current.release.reconnect_spread_s);
        if let Some(why) = self.why_off() {
            return UpdateStatus { why: Some(why.to_owned()), reconnect_spread_s, ..UpdateStatus::default() };
        }
        let none = UpdateStatus { state: UpdateState::Current, reconnect_spread_s, ..UpdateStatus::default() };
        let (Some(current), Some(decision)) = (self.index.current(), decision) else { return none };
        let known = UpdateStatus {
            version: Some(current.release.version.to_string()),
            serial: Some(current.release.serial),
            security: current.release.security,
            ..none
        };
        if let Some(record) = self.record.as_ref().filter(|record| record.open) {
            return UpdateStatus { state: UpdateState::Installing, version: Some(record.version.clone()), ..known };
        }
        let error = self.fetched.as_ref().filter(|fetched| Some(fetched.serial) == self.index.serial());
        let error = error.and_then(|fetched| fetched.error.as_deref());
        let notice = self.notice_left(moment.now).filter(|left| !left.is_zero());
        let notice = notice.map(|left| progress::later(moment.clock.utc, left));
        progress::status(known, decision, &progress::Download { is_done: self.is_fetched(), error, notice })
    }
}
