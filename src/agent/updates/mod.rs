//! Software updates, as far as they are the agent's: the release index goes to the guard as it comes, and the package
//! that the guard wants is downloaded. Nothing of what the agent says about either is believed: guard and updater
//! verify for themselves.

mod download;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use notes::{Role, Trust};
use rollout::Release;
use rumqttc::mqttbytes::v5::Publish;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::guard_client::{GuardClient, GuardState};
use crate::clock::Clock;
use crate::config::{Config, Mqtt, Residency, Update};
use crate::connect::Refusals;
use crate::ipc::{Request, Response, UpdateState};
use crate::trust::SYSTEM_AUTHORITIES;
use crate::update_files::ARCHITECTURE;
use crate::worker::{OnDrop, Stop, Worker};
use download::{Fetch, Plan};
use monotonic::Monotonic;

/// Between two attempts to hand a note to a guard that does not take it now.
const OFFER_RETRY: Duration = Duration::from_secs(15);
/// The release that the guard has comes within this time of the agent's start, where the broker has it.
const MISSING_AFTER: Duration = Duration::from_mins(1);
/// After a download that broke off, at least; each further failure doubles it.
const FIRST_RETRY: Duration = Duration::from_mins(1);
/// At most.
const LONGEST_RETRY: Duration = Duration::from_hours(1);

/// Where release indexes come in.
#[derive(Debug)]
pub(super) struct ReleaseInbox {
    /// `None`: no key is trusted to sign releases, and so nothing is asked for.
    topic: Option<String>,
    newest: watch::Sender<Vec<u8>>,
}

impl ReleaseInbox {
    /// Starts the task that hands notes on and downloads packages, until `ending`.
    pub(super) fn start(
        config: &Config,
        mqtt: &Mqtt,
        guard: (GuardClient, watch::Receiver<GuardState>),
        refusals: Refusals,
        ending: CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (newest, notes) = watch::channel(Vec::new());
        let has_key = config.trust.keys.iter().any(|key| key.may.contains(&Role::Release));
        let topic = has_key.then(|| format!("{}/release/{}", mqtt.topic_prefix, config.update.channel));
        if topic.is_some() {
            let clock = Clock::start();
            let task = Task {
                trust: config.trust.clone(),
                settings: config.update.clone(),
                residency: config.residency.clone(),
                refusals,
                dir: config.agent_dir(),
                calls: guard.0,
                state: guard.1,
                notes,
                offer_at: None,
                release: None,
                running: None,
                fetch_at: clock.now(),
                failures: 0,
                missing: None,
                is_clean: false,
                clock,
            };
            tasks.spawn(async move {
                ending.run_until_cancelled(task.run()).await;
            });
        }
        Self { topic, newest }
    }

    /// The topic to subscribe to.
    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// Takes a message that is a release index.
    pub(super) fn take(&self, message: &Publish) -> bool {
        let is_release = self.topic.as_ref().is_some_and(|topic| message.topic == topic.as_bytes());
        // Empty: the operator took it away. What is in force stays so until it expires.
        if is_release && !message.payload.is_empty() && message.payload.len() <= notes::MAX_BYTES {
            self.newest.send_replace(message.payload.to_vec());
        }
        is_release
    }
}

/// A download that is under way.
struct Running {
    serial: u64,
    worker: Worker,
    result: oneshot::Receiver<Fetch>,
}

/// The release that the guard has does not come from the broker.
#[derive(Clone, Copy)]
struct Missing {
    since: Monotonic,
    is_told: bool,
}

struct Task {
    clock: Clock,
    trust: Trust,
    settings: Update,
    residency: Residency,
    /// Hosts that packages did not come from.
    refusals: Refusals,
    dir: PathBuf,
    calls: GuardClient,
    state: watch::Receiver<GuardState>,
    notes: watch::Receiver<Vec<u8>>,
    /// When the newest note is handed to the guard; `None`: it was.
    offer_at: Option<Monotonic>,
    /// The release in the newest note, if it verifies.
    release: Option<Release>,
    running: Option<Running>,
    /// No download before this.
    fetch_at: Monotonic,
    /// Downloads in a row that broke off.
    failures: u32,
    missing: Option<Missing>,
    /// No package lies about.
    is_clean: bool,
}

impl Task {
    async fn run(mut self) {
        loop {
            let offer = self.offer_at;
            let fetch = (self.running.is_none() && self.wanted_release().is_some()).then_some(self.fetch_at);
            let missing = self.missing.filter(|missing| !missing.is_told);
            let missing = missing.map(|missing| missing.since.saturating_add(MISSING_AFTER));
            let due = offer.into_iter().chain(fetch).chain(missing).min();
            let instant = self.clock.to_instant(due.unwrap_or_default());
            // What the broker sends comes last: it may never stop sending.
            tokio::select! {
                biased;
                fetched = finished(&mut self.running) => self.on_fetched(fetched).await,
                changed = self.state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                changed = self.notes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take_note();
                }
                () = tokio::time::sleep_until(instant), if due.is_some() => {}
            }
            if self.offer_at.is_some_and(|at| at <= self.clock.now()) {
                self.offer().await;
            }
            self.react();
            self.report_missing().await;
        }
    }

    fn take_note(&mut self) {
        let note = self.notes.borrow_and_update().clone();
        let verified = self.trust.verify(&note, Role::Release);
        self.release = verified.ok().and_then(|verified| Release::parse(&verified.json).ok());
        let now = self.clock.now();
        (self.offer_at, self.fetch_at, self.failures) = (Some(now), now, 0);
    }

    /// Hands the newest note to the guard.
    async fn offer(&mut self) {
        // What is no text is no note: the guard is told that something came, and says why it refuses it.
        let note = String::from_utf8_lossy(&self.notes.borrow()).into_owned();
        self.offer_at = match self.calls.call(Request::Release { note }).await {
            Response::Unavailable(_) | Response::Unwritten => Some(self.clock.now().saturating_add(OFFER_RETRY)),
            Response::Rejected(rejection) => {
                tracing::warn!("the guard refuses the release: {}", rejection.why);
                self.release = None;
                None
            }
            Response::Done | Response::Probed(_) | Response::Erased(_) | Response::Installing { .. } => None,
        };
    }

    /// What the guard wants now: the serial whose package is to be downloaded.
    fn wanted(&self) -> Option<u64> {
        let state = self.state.borrow();
        let status = state.status()?;
        // Never beside a stream: it would take its bandwidth.
        let is_wanted = status.update.state == UpdateState::Downloading && !status.phase.may_capture();
        status.update.serial.filter(|_| is_wanted)
    }

    /// The release whose package the guard wants, if it has come since the agent started. What the guard has not taken
    /// may be another one with the same serial.
    fn wanted_release(&self) -> Option<&Release> {
        let wanted = self.wanted().filter(|_| self.offer_at.is_none())?;
        self.release.as_ref().filter(|release| release.serial == wanted)
    }

    /// Tells the guard why nothing is downloaded, where the release is in force there and does not come here.
    async fn report_missing(&mut self) {
        let wanted = self.wanted().filter(|_| self.offer_at.is_none() && self.wanted_release().is_none());
        let Some(serial) = wanted else {
            self.missing = None;
            return;
        };
        let now = self.clock.now();
        let missing = self.missing.get_or_insert(Missing { since: now, is_told: false });
        if missing.is_told || now.duration_since(missing.since) < MISSING_AFTER {
            return;
        }
        missing.is_told = true;
        let error =
            "the release index does not come from the broker: the box is not connected, or it was taken away there";
        self.calls.call(Request::UpdateFetched { serial, error: Some(error.to_owned()) }).await;
    }

    /// Begins or ends a download.
    fn react(&mut self) {
        let wanted = self.wanted();
        if self.running.as_ref().is_some_and(|running| Some(running.serial) != wanted) {
            // What has come stays for the next time.
            self.running = None;
        }
        let Some(release) = self.wanted_release() else { return self.clean() };
        if self.running.is_some() || self.fetch_at > self.clock.now() {
            return;
        }
        let (serial, file) = (release.serial, release.files.of(ARCHITECTURE));
        let Some(file) = file else { return };
        let plan = Plan {
            file: file.clone(),
            dir: self.dir.clone(),
            allowed_hosts: self.settings.allowed_hosts.clone(),
            residency: self.residency.clone(),
            refusals: self.refusals.clone(),
            authorities: PathBuf::from(SYSTEM_AUTHORITIES),
        };
        let (tell, result) = oneshot::channel();
        let work = move |stop: &Stop| {
            // Nobody waits for a download that was ended.
            let _ = tell.send(download::fetch(&plan, stop));
        };
        self.is_clean = false;
        match Worker::spawn("update", OnDrop::Detach, work) {
            Ok(worker) => self.running = Some(Running { serial, worker, result }),
            Err(error) => {
                tracing::error!("{error}");
                self.fetch_at = self.clock.now().saturating_add(FIRST_RETRY);
            }
        }
    }

    /// Removes packages that nobody needs any more.
    fn clean(&mut self) {
        let is_over = {
            let state = self.state.borrow();
            let over = [UpdateState::Current, UpdateState::Failed];
            state.status().is_some_and(|status| over.contains(&status.update.state))
        };
        if is_over && !self.is_clean {
            download::remove_others(&self.dir, None);
            self.is_clean = true;
        }
    }

    /// A download is over.
    async fn on_fetched(&mut self, fetched: Option<Fetch>) {
        let Some(Running { serial, worker, result: _ }) = self.running.take() else { return };
        drop(worker);
        let (error, failures) = match fetched {
            Some(Fetch::Done) => (None, 0),
            Some(Fetch::Stopped) | None => return,
            // A slow or shaky line gets there.
            Some(Fetch::Failed { why, has_grown: true }) => (Some(why), 1),
            Some(Fetch::Failed { why, has_grown: false }) => (Some(why), self.failures + 1),
        };
        self.failures = failures;
        if let Some(why) = &error {
            tracing::warn!("the update's package is not there: {why}");
        }
        self.calls.call(Request::UpdateFetched { serial, error }).await;
        self.fetch_at = self.clock.now().saturating_add(pause(self.failures));
    }
}

/// The pause after `failures` in a row: twice as long each time, and less by up to a half, so that boxes that failed
/// together do not come back together.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1_u32 << failures.saturating_sub(1).min(10)).min(LONGEST_RETRY);
    doubled.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

/// The end of the download under way; pending while there is none.
async fn finished(running: &mut Option<Running>) -> Option<Fetch> {
    match running {
        Some(running) => (&mut running.result).await.ok(),
        None => std::future::pending().await,
    }
}
