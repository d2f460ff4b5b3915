//! A simulated guard: the real consent machine, a real hash chain, and the box's own judges of what the platform
//! signs, with a simulated button, lamp and capture. It speaks the guard's own messages.

mod capture;
mod commands;
mod connection;
mod documents;
mod effects;
mod judges;
mod requests;
mod updater;
mod verbs;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tallybox::agent::GuardChannel;
use tallybox::clock::{self, Clock};
use tallybox::config::Config;
use tallybox::exit::Exit;
use tallybox::ipc::{
    BoxIdentity, CommandProgress, Fact, Fault, ReportedConfig, Request, Response, SessionValues, Status,
    VERSION_STRING, VideoSettings,
};
use tallybox::judges::session_settings::session_config;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::ledger::SimLedger;
use super::staff::{Move, Staff};
use capture::SimCapture;
use connection::Told;
use consent::{Event, Machine, SessionLimits};
use judges::Judges;
use monotonic::Monotonic;
use updater::Updater;
use verbs::PendingIngest;

pub(super) use updater::{first_version, install};

/// What an agent asks, and where the answer goes.
type Call = (Request, oneshot::Sender<Response>);

/// Calls that wait for a guard.
const MAX_CALLS: usize = 16;

/// What a script does to a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Staff press the record button for so long.
    Press(Duration),
    /// It ends as in a power cut, and starts anew.
    Restart,
    /// Staff end what runs, and go home.
    Close,
}

/// One box's guard.
pub(super) struct SimGuard {
    config: Arc<Config>,
    clock: Clock,
    /// When it started.
    since: Monotonic,
    machine: Machine,
    ledger: watch::Sender<SimLedger>,
    status: watch::Sender<Status>,
    reported: watch::Sender<ReportedConfig>,
    capture: SimCapture,
    staff: Staff,
    identity: BoxIdentity,
    /// The private half of its key.
    key: [u8; 32],
    judges: Judges,
    updater: Updater,
    /// What commands set since the guard started.
    values: SessionValues,
    ingest: Option<PendingIngest>,
    long_command: Option<CommandProgress>,
    /// What it runs.
    software: String,
    seed: u64,
    update_failures: u8,
    /// Remote stops and mutes that wait for capture.
    stops: Vec<oneshot::Sender<Response>>,
    mutes: Vec<oneshot::Sender<Response>>,
}

/// The public half of a box's key that follows from its seed.
fn identity(seed: &[u8; 32], id: Option<&str>) -> BoxIdentity {
    let mut identity = BoxIdentity::new(seed, String::new());
    if let Ok(key) = notes::SignerKey::new(&identity.signer_name(id), seed) {
        identity.verifier_key = key.verifier_key().to_string();
    }
    identity
}

impl SimGuard {
    /// A box that comes up for the first time. What is random about it follows from `seed`, but for the epoch.
    /// `update_failures`: of 100 boxes so many fail when they update.
    pub(super) fn new(config: Arc<Config>, seed: u64, staff: Staff, update_failures: u8) -> Result<Self, Exit> {
        let clock = Clock::start();
        let (now, ledger) = (clock.now(), SimLedger::default());
        let policy = config.consent.policy_version.clone();
        let (judges, _) = Judges::start(&config, ledger.state(), now).map_err(|error| no_epoch(&error))?;
        let (updater, _) = Updater::start(&config, ledger.state(), now, (seed, update_failures));
        let digest: [u8; 32] = Sha256::digest(format!("tallybox-fleet sim\n{seed}")).into();
        let mut guard = Self {
            machine: Machine::restore(limits(&config), ledger.state().persisted_state(&config.hash)),
            clock,
            since: now,
            updater,
            ledger: watch::Sender::new(ledger),
            status: watch::Sender::new(Status::idle(clock::utc_now(), &policy)),
            reported: watch::Sender::default(),
            capture: SimCapture::new(seed, config.video.bitrate_kbps, config.video.height),
            staff,
            identity: identity(&digest, config.device.id.as_deref()),
            key: digest,
            judges,
            values: SessionValues::default(),
            ingest: None,
            long_command: None,
            software: VERSION_STRING.to_owned(),
            stops: Vec::new(),
            mutes: Vec::new(),
            seed,
            update_failures,
            config,
        };
        guard.come_up();
        guard.append(Fact::Identified { fingerprint: guard.identity.fingerprint.clone() });
        guard.append(Fact::PolicyAcknowledged { policy_version: policy });
        guard.publish();
        Ok(guard)
    }

    /// The public half of its key.
    pub(super) fn verifier_key(&self) -> String {
        self.identity.verifier_key.clone()
    }

    /// The ledger, as it grows.
    pub(super) fn ledger(&self) -> watch::Receiver<SimLedger> {
        self.ledger.subscribe()
    }

    /// Serves agents that connect, until all that could connect are gone.
    pub(super) async fn run(mut self, mut agents: mpsc::Receiver<GuardChannel>, mut control: mpsc::Receiver<Control>) {
        let mut connections = JoinSet::new();
        let (caller, mut calls) = mpsc::channel::<Call>(MAX_CALLS);
        loop {
            let due = self.clock.to_instant(self.due());
            tokio::select! {
                biased;
                agent = agents.recv() => match agent {
                    None => return,
                    Some(agent) => {
                        let told = Told {
                            status: self.status.subscribe(),
                            reported: self.reported.subscribe(),
                            ledger: self.ledger.subscribe(),
                            clock: self.clock,
                            since: self.since,
                        };
                        connections.spawn(connection::serve(agent, told, caller.clone()));
                    }
                },
                Some((request, reply)) = calls.recv() => self.handle(request, reply),
                Some(order) = control.recv() => match order {
                    Control::Press(hold) => self.staff.press(self.clock.now(), hold),
                    Control::Close => self.staff.close(self.clock.now(), self.machine.phase()),
                    Control::Restart => {
                        connections.shutdown().await;
                        if let Err(error) = self.restart() {
                            return eprintln!("{}: its guard ended: {error}", self.identity.device_id());
                        }
                    }
                },
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep_until(due) => self.tick(),
            }
            self.settle();
        }
    }

    /// When something happens by itself.
    fn due(&self) -> Monotonic {
        let asked = self.ingest.as_ref().map(|pending| pending.until);
        let others = [self.capture.due(), Some(self.staff.due()), self.updater.due(), asked];
        let far = self.clock.now().saturating_add(Duration::from_hours(1));
        others.into_iter().chain([self.machine.deadline()]).flatten().fold(far, Monotonic::min)
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if let Some(step) = self.staff.step(now, self.machine.phase()) {
            self.dispatch(match step {
                Move::Down => Event::ButtonDown,
                Move::Up => Event::ButtonUp,
                Move::Mute => Event::MuteButtonDown,
            });
        }
        while let Some(event) = self.capture.next(now) {
            self.on_capture(event);
        }
        self.dispatch(Event::Tick);
        self.tick_updates(now);
    }

    /// What may go on after each event.
    fn settle(&mut self) {
        self.advance_twin();
        self.check_ingest();
        self.publish();
        self.settle_commands();
    }

    /// A guard that died: capture ends with it, and what it had not said is not said any more.
    fn restart(&mut self) -> Result<(), Exit> {
        let (now, ledger) = (self.clock.now(), self.ledger.borrow().state().clone());
        (self.since, self.values, self.ingest, self.long_command) = (now, SessionValues::default(), None, None);
        self.stops.clear();
        self.mutes.clear();
        self.capture.kill();
        let (judges, lost) = Judges::start(&self.config, &ledger, now).map_err(|error| no_epoch(&error))?;
        self.judges = judges;
        let (updater, lacking) = Updater::start(&self.config, &ledger, now, (self.seed, self.update_failures));
        self.updater = updater;
        let interrupted = ledger.open_session;
        let state = ledger.with_policy(&self.judges.policy.version);
        self.machine = Machine::restore(limits(self.judges.twin.config()), state.persisted_state(&self.config.hash));
        if let Some(session) = interrupted {
            self.append(Fact::SessionInterrupted { session });
        }
        self.come_up();
        lost.into_iter().chain(lacking).for_each(|fact| self.append(fact));
        self.publish();
        Ok(())
    }

    fn come_up(&mut self) {
        let (software, policy_version) = (self.software.clone(), self.judges.policy.version.clone());
        self.append(Fact::GuardStarted { software, policy_version });
        self.status.send_modify(|status| status.since = clock::utc_now());
        // The button is seen up: what is pressed from now on counts.
        self.dispatch(Event::ButtonUp);
    }

    fn append(&self, fact: Fact) {
        // As a box does, which also signs each day.
        let is_signed = matches!(fact, Fact::GuardStarted { .. } | Fact::SessionStopped { .. });
        let name = self.identity.signer_name(self.config.device.id.as_deref());
        let key = if is_signed { notes::SignerKey::new(&name, &self.key).ok() } else { None };
        self.ledger.send_modify(|ledger| {
            ledger.append(fact);
            if let Some(key) = &key {
                ledger.sign(key);
            }
        });
    }

    /// Publishes the status if it changed.
    fn publish(&mut self) {
        let (ledger, stream) = (self.ledger.borrow().id().map(str::to_owned), self.capture.stream());
        let checkpoint = self.ledger.borrow().checkpoint().map(str::to_owned);
        let (machine, policy) = (&self.machine, &self.judges.policy);
        let settings = session_config(self.judges.twin.config(), &self.values);
        let video = &settings.video;
        self.status.send_if_modified(|known| {
            let status = Status {
                phase: machine.phase(),
                session: machine.session().map(|session| session.0),
                reason: machine.reason().map(|reason| reason.as_str().to_owned()),
                muted: machine.is_muted(),
                lamp: machine.lamp(),
                faults: Fault::ALL.into_iter().filter(|part| machine.has_fault(*part)).collect(),
                stream,
                panel: "sim".to_owned(),
                signed_commands: !self.config.trust.is_empty(),
                unbound: machine.is_unbound(),
                ledger,
                ledger_check: tallybox::ipc::LedgerCheck::Good,
                checkpoint,
                identity: Some(self.identity.clone()),
                epoch: self.judges.commands.epoch().to_owned(),
                policy_version: policy.version.clone(),
                policy: policy.note.as_ref().map(|note| note.document.clone()),
                software: self.software.clone(),
                update: self.updater.status().clone(),
                video: Some(VideoSettings {
                    width: video.width,
                    height: video.height,
                    fps: video.fps,
                    bitrate_kbps: video.bitrate_kbps,
                }),
                ingest: settings.ingest.places(),
                command: self.long_command.clone().filter(|command| !command.progress.is_empty()),
                desired: self.judges.twin.status(),
                ..known.clone()
            };
            let has_changed = *known != status;
            *known = status;
            has_changed
        });
        let reported = self.judges.twin.report(self.judges.commands.epoch(), !self.machine.phase().may_capture());
        self.reported.send_if_modified(|known| {
            let has_changed = *known != reported;
            *known = reported;
            has_changed
        });
    }
}

fn no_epoch(error: &std::io::Error) -> Exit {
    Exit::software(format!("the kernel gives no random numbers for an epoch: {error}"))
}

fn limits(config: &Config) -> SessionLimits {
    SessionLimits {
        max_session: config.consent.max_session,
        request_timeout: config.consent.request_timeout,
        reconnect_window: config.ingest.reconnect_window,
        minors_mode: config.consent.minors_mode,
    }
}
