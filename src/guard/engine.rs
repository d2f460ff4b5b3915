//! Runs the consent machine: feeds it what happens, and carries out what it wants, in order.

use monotonic::Monotonic;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::account::policy_pending_message;
use super::capture_events::SessionReport;
use super::capture_process::process::PidFile;
use super::capture_process::{CaptureEvent, CaptureHandle, LaunchMode};
use super::erasure;
use super::identity;
use super::panel_controller::PanelController;
use super::replies::Unwritten;
use super::requests::VerbQuotas;
use super::supply_voltage::SupplyMonitor;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::ipc::{BoxIdentity, Fact, LedgerCheck, Response, Status, VERSION_STRING};
use crate::ledger::{LedgerWriter, LinkLog};
use consent::{
    CaptureExit, Effect, Event, Fault, Machine, PersistedState, Phase, Purpose, Reason, SessionId, SessionLimits,
};

/// Consent machine, panel, ledger and capture, joined.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) clock: Clock,
    pub(super) config: Arc<Config>,
    launch_mode: LaunchMode,
    pub(super) machine: Machine,
    pub(super) panel: PanelController,
    pub(super) ledger_writer: LedgerWriter,
    pub(super) capture: Option<CaptureHandle>,
    pub(super) session: SessionReport,
    pub(super) link_log: LinkLog,
    /// What was last said about why a session ended.
    pub(super) message: Option<String>,
    /// What does not work about the ledger, while it is a fault.
    pub(super) ledger_message: Option<String>,
    /// What could not be deleted, until it is.
    pub(super) erasure_message: Option<String>,
    /// What waits for staff about the policy.
    pub(super) policy_message: String,
    events: mpsc::Sender<(u64, CaptureEvent)>,
    tasks: JoinSet<()>,
    /// Remote stops that wait for capture to be gone.
    pub(super) stop_replies: Vec<oneshot::Sender<Response>>,
    /// Remote mutes that wait for capture to confirm.
    pub(super) mute_replies: Vec<oneshot::Sender<Response>>,
    /// What was done, and is answered when the ledger has it.
    pub(super) unwritten: Vec<Unwritten>,
    /// The verbs that others may call, and how often.
    pub(super) quotas: VerbQuotas,
    /// Who asked for the probe that is pending or under way.
    pub(super) probe_reply: Option<oneshot::Sender<Response>>,
    pub(super) status: watch::Sender<Status>,
    pub(super) erasure: erasure::PendingErasure,
    /// Which box this is; `None`: its key cannot be used.
    pub(super) identity: Option<BoxIdentity>,
    /// The ledger's memory is known; without it the guard has to start anew before anything can start.
    is_restored: bool,
    /// What was last wrong with the ledger.
    pub(super) ledger_error: Option<String>,
    pub(super) supply: SupplyMonitor,
    /// The ledger can be read after all: the guard has to start anew.
    pub(super) restart: bool,
}

impl Engine {
    pub(super) fn new(
        config: Arc<Config>,
        launch_mode: LaunchMode,
        clock: Clock,
        panel: PanelController,
        ledger_writer: LedgerWriter,
        events: mpsc::Sender<(u64, CaptureEvent)>,
    ) -> Self {
        // Until the ledger says otherwise the box is locked.
        let unknown = PersistedState { last_session: SessionId(0), locked: true, unbound: false, policy_pending: true };
        let machine = Machine::restore(limits(&config), unknown);
        let status = watch::Sender::new(Status {
            phase: machine.phase(),
            session: None,
            since: clock::utc_now(),
            reason: None,
            message: None,
            muted: false,
            policy_version: config.consent.policy_version.clone(),
            software: VERSION_STRING.to_owned(),
            lamp: machine.lamp(),
            faults: Vec::new(),
            encoder: None,
            camera: None,
            stream: None,
            second: None,
            capture_pid: None,
            panel: panel.name().to_owned(),
            unbound: false,
            ledger: None,
            ledger_check: LedgerCheck::Running,
            identity: None,
        });
        Self {
            clock,
            config,
            launch_mode,
            machine,
            panel,
            ledger_writer,
            capture: None,
            session: SessionReport::default(),
            link_log: LinkLog::new(clock.now()),
            message: None,
            ledger_message: None,
            erasure_message: None,
            policy_message: String::new(),
            events,
            tasks: JoinSet::new(),
            stop_replies: Vec::new(),
            mute_replies: Vec::new(),
            unwritten: Vec::new(),
            quotas: VerbQuotas::new(clock.now()),
            probe_reply: None,
            status,
            erasure: erasure::PendingErasure::default(),
            identity: None,
            is_restored: false,
            ledger_error: None,
            supply: SupplyMonitor::new(Path::new("/")),
            restart: false,
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn may_capture(&self) -> bool {
        self.machine.phase().may_capture()
    }

    /// Brings up ledger and panel; what does not come up is a fault, and nothing starts.
    pub(super) fn boot(&mut self) {
        let now = self.clock.now();
        // The panel first: a ledger that fails wants a lamp that can say so.
        let panel = self.panel.reopen(now);
        if self.replay().is_err() {
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
        if panel.is_err() {
            self.dispatch(Event::FaultDetected(Fault::Button));
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        } else if self.panel.show(now, self.machine.lamp()).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        }
        self.publish();
    }

    /// Starts the machine from what the ledger remembers, and writes down that the guard is up.
    fn replay(&mut self) -> Result<(), ()> {
        let policy_version = self.config.consent.policy_version.clone();
        let recall = self.ledger_writer.open().map_err(|error| self.ledger_failed(error))?.with_policy(&policy_version);
        self.machine = Machine::restore(limits(&self.config), recall.persisted_state(&self.config.hash));
        self.is_restored = true;
        let started =
            Fact::GuardStarted { software: VERSION_STRING.to_owned(), policy_version: policy_version.clone() };
        self.policy_message = policy_pending_message(recall.acknowledged.as_deref(), &policy_version);
        if recall.policy_pending {
            tracing::warn!("{}", self.policy_message);
        }
        let cut = recall.open_session.map(|session| Fact::SessionInterrupted { session });
        let policy = if recall.acknowledged.is_none() {
            Some(Fact::PolicyAcknowledged { policy_version })
        } else if recall.policy_pending && recall.announced.as_ref() != Some(&policy_version) {
            Some(Fact::PolicyPending { policy_version })
        } else {
            None
        };
        let hash = self.config.hash.clone();
        let configured = (recall.configuration.as_ref() != Some(&hash)).then(|| Fact::Configured {
            hash,
            ingest_host: self.config.ingest.hosts(),
            broker_host: self.config.mqtt.as_ref().map(|mqtt| mqtt.host.to_string()),
        });
        let now = clock::read();
        let stepped = recall.time.stepped_back_from(&now).map(|from| Fact::ClockStepped { from, to: now.utc });
        // One that fails waits, with all behind it, in order: no session may run under what the ledger has not seen.
        let facts = cut.into_iter().chain([started]).chain(stepped).chain(policy).chain(configured);
        let written = facts.map(|fact| self.write(fact)).fold(Ok(()), Result::and);
        let identified = self.identify(recall.identity.as_deref());
        written.and(identified).map_err(|_| ())
    }

    /// Finds out which box this is, and writes it down unless the ledger knows it as `known`. Consent does not stand on
    /// it: a box whose key is damaged says so, and goes on.
    pub(super) fn identify(&mut self, known: Option<&str>) -> Result<(), Event> {
        self.identity = match identity::read_or_make(&self.config.device.data_dir) {
            Ok(identity) => Some(identity),
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        };
        match &self.identity {
            Some(BoxIdentity { fingerprint, .. }) if known != Some(fingerprint) => {
                self.write(Fact::Identified { fingerprint: fingerprint.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn ledger_failed(&mut self, text: String) {
        if self.ledger_message.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.ledger_message = Some(text);
        }
    }

    pub(super) fn write(&mut self, fact: Fact) -> Result<(), Event> {
        // In the message itself: journalctl shows no fields.
        tracing::info!("ledger: {fact:?}");
        let written = self.ledger_writer.append(fact);
        self.noted(written)
    }

    /// The same for what takes effect only once it is on disk.
    fn write_durably(&mut self, fact: Fact) -> Result<(), Event> {
        tracing::info!("ledger: {fact:?}");
        let written = self.ledger_writer.append_durably(fact);
        self.noted(written)
    }

    fn noted(&mut self, written: Result<(), String>) -> Result<(), Event> {
        written.map_err(|text| {
            self.ledger_failed(text);
            Event::FaultDetected(Fault::Ledger)
        })
    }

    /// Feeds one event, and whatever failures its effects bring.
    pub(super) fn dispatch(&mut self, event: Event) {
        let before = self.machine.phase();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if matches!(event, Event::CaptureExited(_)) {
                self.capture = None;
            }
            let mut failed = false;
            for effect in self.machine.step(self.clock.now(), event) {
                // A launch stands behind its lamp and its entry. All else that is wanted is done, and written, whatever
                // became of what was wanted before it.
                if failed && matches!(effect, Effect::RecordStart { .. } | Effect::Launch(_)) {
                    continue;
                }
                if let Err(failure) = self.apply(effect, &mut events) {
                    events.push_back(failure);
                    failed = true;
                }
            }
        }
        let phase = self.machine.phase();
        if phase != before {
            tracing::info!("phase: {}", phase.as_str());
            self.status.send_modify(|status| status.since = clock::utc_now());
        }
        if !phase.may_capture() {
            if phase != Phase::Requested {
                self.answer_probe();
            }
            self.session = SessionReport::default();
            for stop in std::mem::take(&mut self.stop_replies) {
                self.answer_when_written(stop);
            }
        }
        self.answer_mutes();
        self.publish();
    }

    fn apply(&mut self, effect: Effect, events: &mut VecDeque<Event>) -> Result<(), Event> {
        let now = self.clock.now();
        let policy_version = || self.config.consent.policy_version.clone();
        match effect {
            Effect::SetLamp(lamp) => self.panel.show(now, lamp).map_err(|_| Event::FaultDetected(Fault::Lamp)),
            Effect::RecordStart { session, sound, purpose } => {
                self.message = None;
                let (session, policy_version) = (session.0, policy_version());
                self.write_durably(match purpose {
                    Purpose::OnAir => Fact::SessionStarted { session, sound, policy_version },
                    Purpose::Probe => Fact::Probed { session, sound, policy_version },
                })
            }
            Effect::Launch(grant) => {
                let (hash, events) = (&self.config.hash, self.events.clone());
                let pid_file = PidFile::new(&self.config.device.runtime_dir);
                self.capture =
                    Some(CaptureHandle::launch(&self.launch_mode, grant, hash, pid_file, &mut self.tasks, events));
                Ok(())
            }
            Effect::Stop(_) => {
                match &self.capture {
                    Some(capture) => capture.stop(),
                    None => events.push_back(Event::CaptureExited(CaptureExit::NeverStarted)),
                }
                Ok(())
            }
            Effect::Kill => {
                if let Some(capture) = &self.capture {
                    tracing::warn!("capture did not end by itself: it is killed");
                    capture.kill();
                }
                Ok(())
            }
            Effect::RecordStop { session, reason } => {
                let ledger = reason == Reason::Fault(Fault::Ledger);
                let message = if ledger { self.ledger_message.clone() } else { self.message.clone() };
                let stopped = Fact::SessionStopped { session: session.0, reason: reason.as_str().to_owned(), message };
                // Each is handed over, also behind one that the disk did not take.
                let mut done = Ok(());
                for fact in self.link_log.finish().into_iter().chain([stopped]) {
                    let written = self.write(fact);
                    done = done.and(written);
                }
                done
            }
            Effect::RecordRequest(purpose) => self.write(Fact::Requested { purpose }),
            Effect::RecordRequestEnded(reason) => self.write(Fact::RequestEnded { reason: reason.as_str().to_owned() }),
            Effect::RecordLock => self.write(Fact::Locked {}),
            Effect::RecordUnlock => self.write(Fact::Unlocked {}),
            Effect::RecordPolicyAcknowledged => {
                let policy_version = policy_version();
                self.write(Fact::PolicyAcknowledged { policy_version })
            }
            Effect::RecordFault(part) => self.write(Fact::FaultDetected { part }),
            Effect::Configure(wanted) => {
                if let Some(capture) = &self.capture {
                    capture.configure(wanted);
                }
                Ok(())
            }
            Effect::RecordMute { session, muted, by } => self.write(Fact::Muted { session: session.0, muted, by }),
            Effect::DestroyFootage => {
                self.erasure.footage = true;
                self.erase()
            }
            Effect::Unbind => {
                self.erasure.binding = true;
                self.erase()
            }
            Effect::SelfTest => {
                self.self_test();
                Ok(())
            }
        }
    }

    /// Tries each broken part again.
    pub(super) fn self_test(&mut self) {
        let now = self.clock.now();
        for part in Fault::ALL {
            if !self.machine.has_fault(part) {
                continue;
            }
            let works = match part {
                Fault::Lamp | Fault::Button => self.panel.self_test(now, part),
                Fault::Ledger if !self.is_restored => {
                    self.restart = self.ledger_writer.is_open();
                    false
                }
                Fault::Ledger => self.ledger_writer.is_healthy(),
                Fault::Power => !self.supply.is_low(),
            };
            if works && self.write(Fact::FaultCleared { part }).is_ok() {
                if part == Fault::Ledger {
                    self.ledger_message = None;
                }
                self.dispatch(Event::FaultCleared(part));
            }
        }
    }

    /// Renews the lease of a capture that still has consent.
    pub(super) fn renew_lease(&mut self) {
        if let Some(capture) = &self.capture
            && self.machine.phase() != Phase::Stopping
        {
            capture.renew();
        }
    }

    pub(super) fn deadline(&self) -> monotonic::Monotonic {
        let panel = self.panel.deadline();
        let answers = self.unwritten.iter().map(|waiting| waiting.until).min();
        self.machine.deadline().into_iter().chain(answers).fold(panel, Monotonic::min)
    }
}

fn limits(config: &Config) -> SessionLimits {
    SessionLimits {
        max_session: config.consent.max_session,
        request_timeout: config.consent.request_timeout,
        reconnect_window: config.ingest.reconnect_window,
    }
}
