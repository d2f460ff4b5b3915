//! A simulated guard: the real consent machine and a real hash chain, with a simulated button, lamp and capture. It
//! speaks the guard's own messages.

mod capture;
mod connection;
mod effects;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tallybox::agent::GuardChannel;
use tallybox::clock::{self, Clock};
use tallybox::config::Config;
use tallybox::ipc::{BoxIdentity, Fact, Fault, Request, Response, Status, VERSION_STRING};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::ledger::SimLedger;
use super::staff::{Move, Staff};
use capture::SimCapture;
use consent::{Event, Machine, PersistedState, SessionId, SessionLimits};
use monotonic::Monotonic;

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
    machine: Machine,
    ledger: watch::Sender<SimLedger>,
    status: watch::Sender<Status>,
    capture: SimCapture,
    staff: Staff,
    identity: BoxIdentity,
    /// Staff locked the box.
    locked: bool,
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
    /// A box that comes up for the first time. Everything random about it follows from `seed`.
    pub(super) fn new(config: Arc<Config>, seed: u64, staff: Staff) -> Self {
        let memory =
            PersistedState { last_session: SessionId(0), locked: false, unbound: false, policy_pending: false };
        let policy = config.consent.policy_version.clone();
        let digest: [u8; 32] = Sha256::digest(format!("tallybox-fleet sim\n{seed}")).into();
        let mut guard = Self {
            machine: Machine::restore(limits(&config), memory),
            clock: Clock::start(),
            ledger: watch::Sender::new(SimLedger::default()),
            status: watch::Sender::new(Status::idle(clock::utc_now(), &policy)),
            capture: SimCapture::new(seed, config.video.bitrate_kbps, config.video.height),
            staff,
            identity: identity(&digest, config.device.id.as_deref()),
            locked: false,
            stops: Vec::new(),
            mutes: Vec::new(),
            config,
        };
        guard.come_up();
        guard.append(Fact::Identified { fingerprint: guard.identity.fingerprint.clone() });
        guard.append(Fact::PolicyAcknowledged { policy_version: policy });
        guard.publish();
        guard
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
                        let (status, ledger) = (self.status.subscribe(), self.ledger.subscribe());
                        connections.spawn(connection::serve(agent, status, ledger, caller.clone()));
                    }
                },
                Some((request, reply)) = calls.recv() => self.handle(request, reply),
                Some(order) = control.recv() => match order {
                    Control::Press(hold) => self.staff.press(self.clock.now(), hold),
                    Control::Close => self.staff.close(self.clock.now(), self.machine.phase()),
                    Control::Restart => {
                        connections.shutdown().await;
                        self.restart();
                    }
                },
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep_until(due) => self.tick(),
            }
        }
    }

    /// When something happens by itself.
    fn due(&self) -> Monotonic {
        let others = [self.capture.due(), Some(self.staff.due())];
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
    }

    /// A guard that died: capture ends with it, and what it had not said is not said any more.
    fn restart(&mut self) {
        let memory = PersistedState {
            last_session: self.capture.last_session(),
            locked: self.locked,
            unbound: self.machine.is_unbound(),
            policy_pending: false,
        };
        self.stops.clear();
        self.mutes.clear();
        let interrupted = self.machine.session();
        self.capture.kill();
        self.machine = Machine::restore(limits(&self.config), memory);
        if let Some(SessionId(session)) = interrupted {
            self.append(Fact::SessionInterrupted { session });
        }
        self.come_up();
        self.publish();
    }

    fn come_up(&mut self) {
        let policy_version = self.config.consent.policy_version.clone();
        self.append(Fact::GuardStarted { software: VERSION_STRING.to_owned(), policy_version });
        self.status.send_modify(|status| status.since = clock::utc_now());
        // The button is seen up: what is pressed from now on counts.
        self.dispatch(Event::ButtonUp);
    }

    fn append(&self, fact: Fact) {
        self.ledger.send_modify(|ledger| ledger.append(fact));
    }

    /// Publishes the status if it changed.
    fn publish(&mut self) {
        let (ledger, stream) = (self.ledger.borrow().id().map(str::to_owned), self.capture.stream());
        let machine = &self.machine;
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
                identity: Some(self.identity.clone()),
                ..known.clone()
            };
            let has_changed = *known != status;
            *known = status;
            has_changed
        });
    }
}

fn limits(config: &Config) -> SessionLimits {
    SessionLimits {
        max_session: config.consent.max_session,
        request_timeout: config.consent.request_timeout,
        reconnect_window: config.ingest.reconnect_window,
    }
}
