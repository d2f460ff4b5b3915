//! Runs the consent machine: feeds it events, and applies the effects of each step in order.

mod capture_events;
mod commands;
mod effects;
mod end_of_service;
mod erasures;
mod footage;
mod incidents;
mod ledger;
mod periodic;
mod policy;
mod refusals;
mod requests;
mod session_settings;
mod startup;
mod twin;
mod updates;
mod verbs;

use session_settings::SessionSettings;
use startup::limits;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::capture_process::{CaptureEvent, CaptureHandle, LaunchMode};
use super::erasure::PendingErasure;
use super::footage::StoredFootage;
use super::identity::{self, KeySealer, SealingTask};
use super::incidents::Incidents;
use super::panel_controller::PanelController;
use super::pending_replies::PendingReplies;
use super::program_check::ProgramCheck;
use super::session::SessionReport;
use super::status::{self, Messages};
use super::supply_voltage::SupplyMonitor;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::ipc::{BoxIdentity, CommandProgress, Fact, KeyAtRest, ReportedConfig, Status};
use crate::judges::commands::{CommandJudge, CommandsUnderWay, Epoch};
use crate::judges::policy_in_force::PolicyInForce;
use crate::judges::twin::{Question, Twin};
use crate::judges::updates::Updates;
use crate::judges::verb_quotas::VerbQuotas;
use crate::ledger::{BrokerLog, FootageMarks, LedgerWriter, LinkLog, Refusals, ServiceEnd};
use consent::{Effect, Event, Fault, LampPattern, Machine, PersistedState, Phase, Reason, SessionId};
use monotonic::Monotonic;

/// Consent machine, panel, ledger and capture, joined.
#[derive(Debug)]
pub(super) struct Engine {
    clock: Clock,
    config: Arc<Config>,
    launch_mode: LaunchMode,
    machine: Machine,
    panel: PanelController,
    supply: SupplyMonitor,
    ledger_writer: LedgerWriter,
    link_log: LinkLog,
    broker_log: BrokerLog,
    incidents: Incidents,
    capture: Option<CaptureHandle>,
    /// Where a capture's task sends its events, with the session's number.
    capture_events: mpsc::Sender<(u64, CaptureEvent)>,
    /// The captures' tasks.
    tasks: JoinSet<()>,
    session: SessionReport,
    messages: Messages,
    /// The ledger's error that was last acted on.
    ledger_error: Option<String>,
    replies: PendingReplies,
    quotas: VerbQuotas,
    commands: CommandJudge,
    /// Commands that take their time, with what each waits for.
    long_commands: Vec<CommandProgress>,
    settings: SessionSettings,
    /// Signed commands that are being carried out.
    under_way: CommandsUnderWay,
    erasure: PendingErasure,
    /// Whether a helper that runs as root deletes credentials under `/etc`.
    has_credentials_helper: bool,
    footage: StoredFootage,
    footage_marks: FootageMarks,
    updates: Updates,
    /// The last receipt of an erasure.
    receipt: Option<String>,
    /// The last note that ended a service here.
    service_end: Option<ServiceEnd>,
    policy: PolicyInForce,
    twin: Twin,
    /// What staff did not agree to.
    refusals: Refusals,
    /// Whether staff are asked about it.
    twin_question: Question,
    /// `None`: the box's key cannot be used.
    identity: Option<BoxIdentity>,
    identity_at_rest: Option<KeyAtRest>,
    sealing: SealingTask,
    status: watch::Sender<Status>,
    reported: watch::Sender<ReportedConfig>,
    /// The machine was restored from the ledger. Until then nothing can start.
    is_restored: bool,
    needs_restart: bool,
}

/// Who does for the guard what it may not do itself.
#[derive(Debug)]
pub(super) struct Helpers {
    /// How capture is started.
    pub(super) launch_mode: LaunchMode,
    /// Whether a helper that runs as root deletes credentials under `/etc`.
    pub(super) has_credentials_helper: bool,
    /// Seals the box's key with the machine's TPM, and opens it.
    pub(super) sealer: KeySealer,
    /// Where the machine's files lie that no configuration names.
    pub(super) root: PathBuf,
}

impl Engine {
    /// Panel and ledger are not open yet: [`Engine::start`] opens them.
    pub(super) fn new(
        config: Arc<Config>,
        helpers: Helpers,
        clock: Clock,
        epoch: Epoch,
        panel: PanelController,
        capture_events: mpsc::Sender<(u64, CaptureEvent)>,
    ) -> Self {
        // Locked, until the ledger's state is known.
        let unknown = PersistedState { last_session: SessionId(0), locked: true, parted: None, policy_pending: true };
        let machine = Machine::restore(limits(&config), unknown);
        let Helpers { launch_mode, has_credentials_helper, sealer, root } = helpers;
        let status = Status {
            phase: machine.phase(),
            lamp: machine.lamp(),
            panel: panel.name().to_owned(),
            epoch: epoch.as_str().to_owned(),
            ..Status::idle(clock::utc_now(), &config.consent.policy_version)
        };
        Self {
            clock,
            launch_mode,
            machine,
            panel,
            supply: SupplyMonitor::new(&root),
            ledger_writer: LedgerWriter::new(&config.ledger(), clock, identity::checkpoint_signer(&config, &sealer)),
            link_log: LinkLog::new(clock.now()),
            broker_log: BrokerLog::new(clock.now()),
            incidents: Incidents::new(ProgramCheck::new(&root, clock.now())),
            capture: None,
            capture_events,
            tasks: JoinSet::new(),
            session: SessionReport::default(),
            messages: Messages::default(),
            ledger_error: None,
            replies: PendingReplies::default(),
            quotas: VerbQuotas::new(clock.now()),
            commands: CommandJudge::new(epoch),
            under_way: CommandsUnderWay::default(),
            long_commands: Vec::new(),
            settings: SessionSettings::default(),
            erasure: PendingErasure::default(),
            has_credentials_helper,
            footage: StoredFootage::default(),
            footage_marks: FootageMarks::default(),
            updates: Updates::new(&config, &root, clock.now()),
            receipt: None,
            service_end: None,
            policy: PolicyInForce::of_configuration(&config),
            twin: Twin::new(config.clone()),
            refusals: Refusals::default(),
            twin_question: Question::default(),
            identity: None,
            identity_at_rest: None,
            sealing: SealingTask::new(sealer, &config.device.data_dir, clock.now()),
            status: watch::Sender::new(status),
            reported: watch::Sender::default(),
            is_restored: false,
            needs_restart: false,
            config,
        }
    }

    /// The status, as it changes.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// What became of the desired configuration, as it changes.
    pub(super) fn reported(&self) -> watch::Receiver<ReportedConfig> {
        self.reported.subscribe()
    }

    pub(super) fn ledger_writer(&self) -> &LedgerWriter {
        &self.ledger_writer
    }

    pub(super) fn panel_name(&self) -> &'static str {
        self.panel.name()
    }

    pub(super) fn may_capture(&self) -> bool {
        self.machine.phase().may_capture()
    }

    /// Whether the ledger can be read after all, so that a new start of the guard would restore its state.
    pub(super) fn needs_restart(&self) -> bool {
        self.needs_restart
    }

    /// When the engine has to be called at the latest; `with_buttons`: also for a button that may settle.
    pub(super) fn deadline(&self, with_buttons: bool) -> Monotonic {
        let others = self.machine.deadline().into_iter().chain(self.replies.deadline()).chain(self.settings.deadline());
        others.fold(self.panel.deadline(with_buttons), Monotonic::min)
    }

    /// Opens panel and ledger. What cannot be opened is a fault, and nothing starts.
    pub(super) fn start(&mut self) {
        let now = self.clock.now();
        // The panel first: it has to show a ledger that fails.
        let panel = self.panel.reopen(now);
        if self.restore().is_err() {
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
        if panel.is_err() {
            self.dispatch(Event::FaultDetected(Fault::Button));
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        } else if self.panel.show(now, self.machine.lamp()).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        }
        self.take_policy_file();
        self.advance_twin();
        self.publish();
    }

    /// Ends consent, as the guard ends.
    pub(super) fn shut_down(&mut self) {
        self.dispatch(Event::Revoke(Reason::Shutdown));
    }

    /// Writes the last entry, closes the ledger and switches the lamp off. Called when no capture exists any more.
    pub(super) fn finish(&mut self) {
        let _ = self.ledger_writer.append(Fact::GuardStopped {});
        self.ledger_writer.request_checkpoint();
        self.close_ledger();
        self.check_ledger();
        let _ = self.panel.set_notice(self.clock.now(), false);
        let _ = self.panel.show(self.clock.now(), LampPattern::Dark);
        self.publish();
    }

    pub(super) fn close_ledger(&mut self) {
        self.ledger_writer.close();
    }

    /// Restores the machine from the ledger, and writes down that the guard is up.
    fn restore(&mut self) -> Result<(), ()> {
        let mut state = self.ledger_writer.open().map_err(|error| self.set_ledger_message(error))?;
        self.footage_marks = state.footage.clone();
        if state.configuration.as_ref() == Some(&self.config.hash) {
            self.refusals = state.refusals.clone();
        }
        // First of all: what comes after it may be for another shop.
        let erased = self.resume_erasure(&mut state);
        self.restore_policy(&state);
        let state = state.with_policy(&self.policy.version);
        self.machine = Machine::restore(limits(&self.config), state.persisted_state(&self.config.hash));
        self.is_restored = true;
        let offered = self.updates.restore(&state, &clock::read(), self.clock.now());
        self.messages.policy = status::policy_pending_message(state.acknowledged.as_deref(), &self.policy.version);
        if state.policy_pending {
            tracing::warn!("{}", self.messages.policy);
        }
        // An entry that fails waits, with all that follow: no session may run under what the ledger does not have.
        let facts = startup::facts(&self.config, &self.policy.version, &state);
        let written = facts.into_iter().chain(offered).map(|fact| self.append(fact)).fold(Ok(()), Result::and);
        // An unbinding that is not finished needs the old key, or has destroyed it: the new one comes after it.
        let is_bound = self.erasure.due().is_none();
        let identified = if is_bound { self.identify(state.identity.as_deref()) } else { Ok(()) };
        self.adopt_stored_policy();
        let desired = if is_bound { self.restore_twin(&state.desired) } else { Ok(()) };
        self.restore_incidents(&state);
        erased.and(written).and(identified).and(desired).map_err(|_| ())
    }

    /// Feeds one event to the machine, and then the failures that its effects bring.
    pub(super) fn dispatch(&mut self, event: Event) {
        let before = self.machine.phase();
        if matches!(event, Event::ButtonDown | Event::ButtonFoundDown | Event::MuteButtonDown) {
            self.notice_seen();
        }
        let (mut events, mut was_on) = (VecDeque::from([event]), before.may_capture());
        while let Some(event) = events.pop_front() {
            if matches!(event, Event::CaptureExited(_)) {
                self.capture = None;
            }
            let mut has_failed = false;
            for effect in self.machine.step(self.clock.now(), event) {
                // A launch needs its lamp and its entry. All other effects are applied whatever became of those before.
                if has_failed && matches!(effect, Effect::RecordStart { .. } | Effect::Launch(_)) {
                    continue;
                }
                if let Err(failure) = self.apply(effect, &mut events) {
                    events.push_back(failure);
                    has_failed = true;
                }
            }
            // A session that fails at its start is over in the next turn: somebody wanted one all the same.
            was_on |= self.machine.phase().may_capture();
        }
        let phase = self.machine.phase();
        if phase != before {
            tracing::info!("phase: {}", phase.as_str());
            self.status.send_modify(|status| status.since = clock::utc_now());
        }
        let now = self.clock.now();
        if was_on {
            self.updates.note_session(now);
        }
        if was_on && !phase.may_capture() {
            self.panel.note_session_end();
        }
        if !phase.may_capture() {
            if phase != Phase::Requested {
                let message = self.messages.session.as_deref();
                self.replies.finish_probe(self.session.probe, self.machine.last_reason(), message);
            }
            self.session = SessionReport::default();
            self.replies.finish_stops(now, &self.ledger_writer);
        }
        self.replies.finish_mutes(now, &self.machine, &self.ledger_writer);
        self.check_unbind_request();
        self.publish();
    }

    fn dispatch_failure(&mut self, result: Result<(), Event>) {
        if let Err(failure) = result {
            self.dispatch(failure);
        }
    }

    /// Publishes the status if it changed.
    fn publish(&mut self) {
        let since = self.status.borrow().since;
        let settings = self.session_config();
        let sources = status::StatusSources {
            machine: &self.machine,
            session: &self.session,
            messages: &self.messages,
            panel: &self.panel,
            ledger_writer: &self.ledger_writer,
            identity: self.identity.as_ref(),
            identity_at_rest: self.identity_at_rest,
            update: self.updates.status(),
            receipt: self.receipt.as_deref(),
            footage: self.footage.status(),
            policy: &self.policy,
            service_end: self.service_end.as_ref(),
            minors_mode: self.config.consent.minors_mode,
            twin: &self.twin,
            settings: &settings,
            command: self.long_command(),
            epoch: self.commands.epoch(),
            incidents: &self.incidents,
            signed_commands: !self.config.trust.is_empty(),
        };
        let status = status::compose(&sources, since);
        self.status.send_if_modified(|known| {
            let has_changed = *known != status;
            if has_changed {
                *known = status;
            }
            has_changed
        });
        let reported = self.twin.report(self.commands.epoch(), !self.machine.phase().may_capture());
        self.reported.send_if_modified(|known| {
            let has_changed = *known != reported;
            if has_changed {
                *known = reported;
            }
            has_changed
        });
    }
}
