//! The agent across connections, the state of one connection, and publishing, which everything that it does shares.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use monotonic::Monotonic;
use rumqttc::AsyncClient;

use super::broker::{Accepts, RefusedFeatures, topic};
use super::due_answers::DueAnswers;
use super::events::EventQueue;
use super::guard_client::{GuardHandle, GuardState};
use super::home_assistant::announcement::HomeAssistant;
use super::network_reporter::NetworkReporter;
use super::outbox::Outbox;
use super::parting::Parting;
use super::policy_relay::PolicyRelay;
use super::publisher::{Kind, Limits, Outcome, PublishedCheckpoint, Publisher, Refusal};
use super::renewal::Renewal;
use super::reply_store::ReplyStore;
use super::requests::{ReplyTo, Requests};
use super::state::State;
use super::systemd_notifier::SystemdNotifier;
use super::tls::Tls;
use super::twin_relay::TwinRelay;
use super::updates::ReleaseInbox;
use super::validator::CommandValidator;
use super::waiting_answers::WaitingAnswers;
use crate::clock::{self, Clock};
use crate::config::{Config, Mqtt};
use crate::connect::{Destinations, Refusals};
use crate::ipc::ReportedConfig;
use crate::transport_warnings::Warning;

/// After the broker refused `state` it is tried again this much later.
const STATE_RETRY: Duration = Duration::from_secs(30);

/// The agent, across connections.
pub(super) struct Agent<'a> {
    pub(super) config: &'a Config,
    pub(super) mqtt: &'a Mqtt,
    /// The box's name in topics.
    pub(super) id: String,
    pub(super) clock: Clock,
    pub(super) guard: GuardHandle,
    pub(super) outbox: Outbox,
    pub(super) parting: Parting,
    pub(super) releases: ReleaseInbox,
    pub(super) validator: CommandValidator,
    pub(super) reply_store: ReplyStore,
    pub(super) due_answers: DueAnswers,
    pub(super) waiting_answers: WaitingAnswers,
    pub(super) notifier: SystemdNotifier,
    pub(super) events: EventQueue,
    /// Commands under way; they outlive a connection, and so do their answers.
    pub(super) requests: Requests,
    /// Where answers to commands under way go, by the commands' ids.
    pub(super) reply_addresses: HashMap<String, Vec<ReplyTo>>,
    /// What brokers turned out not to take, beyond what they said.
    pub(super) refused_features: RefusedFeatures,
    /// SHA-256 of retained commands that were refused, by their verbs: written down once, and not at each connection.
    pub(super) retained: HashMap<String, [u8; 32]>,
    pub(super) twin: TwinRelay,
    pub(super) policies: PolicyRelay,
    /// `state` is not published before this.
    pub(super) state_at: Monotonic,
    /// When the guard went out of reach.
    pub(super) guard_lost_at: Timestamp,
    /// What connections are encrypted by.
    pub(super) tls: Tls,
    /// What is doubtful about the way to the broker.
    pub(super) warnings: Vec<Warning>,
    /// What the release in force says about reconnects, as the guard said last; for a box whose configuration says
    /// nothing.
    pub(super) spread_hint: Option<Duration>,
    /// Connections in a row that ended soon, without a word why, after the box was online.
    pub(super) cut_short: u32,
    pub(super) home_assistant: HomeAssistant,
    pub(super) network: NetworkReporter,
    /// Where the broker may be.
    pub(super) destinations: Destinations,
}

/// One connection, with what is known of it.
pub(super) struct BrokerConnection {
    pub(super) publisher: Publisher,
    pub(super) limits: Option<Limits>,
    /// What of the broker's features was tried, of those that it refused before.
    pub(super) accepts: Option<Accepts>,
    /// Some of its subscriptions were refused: they are tried again by another connection, at this time.
    pub(super) subscribe_at: Option<Monotonic>,
    /// Commands are heard.
    pub(super) online: bool,
    /// Since when.
    pub(super) online_at: Option<Monotonic>,
    /// Telemetry is sent at this time.
    pub(super) telemetry_at: Monotonic,
    pub(super) renewal: Renewal,
    /// It ends because of that.
    pub(super) renewed: bool,
    /// What was last published, and not refused.
    pub(super) published: Option<State>,
    /// There may be a newer one.
    pub(super) state_due: bool,
    /// The report on the desired configuration that was last published, and not refused.
    pub(super) reported: Option<ReportedConfig>,
    pub(super) checkpoint: PublishedCheckpoint,
}

impl BrokerConnection {
    pub(super) fn new(client: AsyncClient) -> Self {
        Self {
            publisher: Publisher::new(client),
            limits: None,
            accepts: None,
            subscribe_at: None,
            online: false,
            online_at: None,
            telemetry_at: Monotonic::default(),
            renewal: Renewal::default(),
            renewed: false,
            published: None,
            state_due: true,
            reported: None,
            checkpoint: PublishedCheckpoint::default(),
        }
    }
}

impl<'a> Agent<'a> {
    pub(super) fn new(
        config: &'a Config,
        mqtt: &'a Mqtt,
        clock: Clock,
        guard: GuardHandle,
        outbox: Outbox,
        releases: ReleaseInbox,
        (network, refusals): (NetworkReporter, Refusals),
    ) -> Self {
        let reply_store = ReplyStore::new(&config.agent_dir());
        Self {
            config,
            mqtt,
            id: config.device.id.clone().unwrap_or_default(),
            clock,
            guard,
            outbox,
            parting: Parting::default(),
            releases,
            validator: CommandValidator::remembering(reply_store.load()),
            reply_store,
            due_answers: DueAnswers::load(&config.agent_dir()),
            waiting_answers: WaitingAnswers::default(),
            notifier: SystemdNotifier::new(mqtt, &config.agent_dir()),
            events: EventQueue::new(clock.now()),
            requests: Requests::default(),
            reply_addresses: HashMap::new(),
            refused_features: RefusedFeatures::default(),
            retained: HashMap::new(),
            twin: TwinRelay::default(),
            policies: PolicyRelay::default(),
            state_at: clock.now(),
            guard_lost_at: clock::utc_now(),
            tls: Tls::default(),
            warnings: Vec::new(),
            spread_hint: None,
            cut_short: 0,
            home_assistant: HomeAssistant::new(mqtt, &config.agent_dir()),
            network,
            destinations: Destinations::of_broker(config, mqtt, refusals),
        }
    }

    /// The time over which reconnects are spread: a file of the box's own has the last word. The release index counts
    /// as the guard verified it, so that no broker can tell boxes to stay away.
    pub(super) fn reconnect_spread(&mut self) -> Duration {
        if let Some(status) = self.guard.state.borrow().status() {
            self.spread_hint = status.update.reconnect_spread_s.map(|seconds| Duration::from_secs(seconds.into()));
        }
        let hint = self.spread_hint.unwrap_or_default().min(Mqtt::MAX_RECONNECT_SPREAD);
        self.mqtt.reconnect_spread.unwrap_or(hint)
    }

    pub(super) fn topic(&self, name: &str) -> String {
        topic(self.mqtt, &self.id, name)
    }

    /// The state as it is now; `None`: nothing is known of the guard yet.
    pub(super) fn state(&self) -> Option<State> {
        let state = match (self.guard.present_status(), &*self.guard.state.borrow()) {
            (Some(status), _) => State::from(&status),
            (None, GuardState::Unknown) => return None,
            (None, GuardState::Connected(..) | GuardState::Unreachable) => {
                State::without_guard(self.guard_lost_at, &self.config.consent.policy_version)
            }
        };
        Some(State { warnings: self.warnings.clone(), ..state })
    }

    /// Whether the guard said last that the box was unbound, and nobody claimed it since.
    pub(super) fn is_unbound(&self) -> bool {
        self.guard.state.borrow().status().map_or(self.parting.has_begun(), |status| status.unbound)
    }

    /// Whether the receipt of an unbinding is still to be sent as an event. Without the trace of a binding the box has
    /// no platform to tell.
    pub(super) fn has_receipt_due(&self) -> bool {
        self.parting.is_due(self.clock.now()) && self.outbox.acknowledged().is_some() && !self.id.is_empty()
    }

    pub(super) fn publish(&mut self, line: &mut BrokerConnection, kind: Kind, payload: String) -> bool {
        let topic = self.topic(kind.topic());
        match line.publisher.send(self.clock.now(), kind, topic, payload, None) {
            Ok(()) => true,
            Err(refusal) => {
                self.on_publish_outcome(line, Outcome { kind, result: Err(refusal) });
                false
            }
        }
    }

    /// A publish has its outcome.
    pub(super) fn on_publish_outcome(&mut self, line: &mut BrokerConnection, Outcome { kind, result }: Outcome) {
        let now = self.clock.now();
        let refusal = match result {
            Ok(()) => {
                match kind {
                    Kind::Event => self.accepted(),
                    Kind::HomeAssistant => self.home_assistant_settled(true),
                    Kind::Availability
                    | Kind::State
                    | Kind::Reported
                    | Kind::Checkpoint
                    | Kind::Telemetry
                    | Kind::Reply(_) => {}
                }
                self.notifier.remark(kind.as_str(), None);
                return;
            }
            // What was under way on a connection that ended is sent again on the next.
            Err(Refusal::Lost) => return,
            Err(refusal) => refusal,
        };
        let then = match kind {
            Kind::Event => {
                self.events.refused(now);
                "they wait, and are tried again with growing pauses"
            }
            Kind::State => {
                line.published = None;
                line.state_due = true;
                self.state_at = now.saturating_add(STATE_RETRY);
                "it is tried again"
            }
            Kind::Reported => {
                self.on_report_refused(line, now);
                "it is tried again"
            }
            Kind::Checkpoint => {
                self.on_checkpoint_refused(line);
                "it is tried again"
            }
            Kind::Availability | Kind::Telemetry => "the box goes on without",
            Kind::HomeAssistant => {
                self.home_assistant_settled(false);
                "the box goes on without, and tries it again at its next connection"
            }
            Kind::Reply(_) => {
                "what they answer was done all the same, and a command that is repeated is answered again"
            }
        };
        self.notifier.remark(kind.as_str(), Some(format!("the broker refuses {}: {refusal}; {then}", kind.as_str())));
    }

    /// The broker has the event that was on its way.
    pub(super) fn accepted(&mut self) {
        let Some((place, entry)) = self.events.accepted() else { return };
        if self.is_unbound() {
            // The cursor's file was deleted with the binding, and stays deleted.
            self.parting.accepted(&entry.fact);
        } else {
            self.outbox.acknowledge(place);
        }
    }
}
