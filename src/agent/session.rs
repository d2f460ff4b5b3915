//! One connection to the broker, from its beginning to its end: every one starts clean, and what the broker has not
//! acknowledged is sent again.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnAck, Packet, SubscribeFilter, SubscribeReasonCode};
use rumqttc::{AsyncClient, Event};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::backoff::GOOD;
use super::broker::{self, Denied, topic};
use super::disconnect;
use super::events::EventQueue;
use super::explain::{CUT, Loss, explain};
use super::guard_client::{GuardLink, Seen};
use super::health::Health;
use super::messages::{Published, json};
use super::outbox::Outbox;
use super::publisher::{CAPACITY, Kind, Limits, Outcome, Publisher, Refusal};
use super::reply_store::Memory;
use super::requests::{Address, Requests};
use super::state::State;
use super::telemetry;
use super::validator::Judge;
use crate::clock::{self, Clock};
use crate::config::{Config, Mqtt};
use monotonic::Monotonic;

/// The least time between two publishes of `state`: twice a second at most, whatever the reason.
const STATE_INTERVAL: Duration = Duration::from_millis(500);
/// After the broker refused `state` it is tried again this much later.
const STATE_RETRY: Duration = Duration::from_secs(30);
/// Connections in a row that end soon and without a word before another client is suspected.
const CUT_SHORT: u32 = 3;
/// A client that another one throws out comes back within four minutes: a connection that held for longer has its id
/// for itself.
const SETTLED: Duration = Duration::from_mins(5);
/// What is remarked about a client that is thrown out.
const SHARED_ID: &str = "the id";

/// How a connection ended.
pub(super) enum End {
    /// The box was unbound: it has no business with this broker any more.
    Unbound,
    /// As it should: the agent is to end.
    Stopped,
    /// The broker is out of reach, or cannot be used.
    Lost(Loss),
}

/// The agent, across connections.
pub(super) struct Agent<'a> {
    pub(super) config: &'a Config,
    pub(super) mqtt: &'a Mqtt,
    /// The box's name in topics.
    pub(super) id: String,
    pub(super) clock: Clock,
    pub(super) guard: GuardLink,
    pub(super) outbox: Outbox,
    pub(super) judge: Judge,
    pub(super) memory: Memory,
    pub(super) health: Health,
    pub(super) events: EventQueue,
    /// Commands under way; they outlive a connection, and so do their answers.
    pub(super) requests: Requests,
    /// Where answers to commands under way go, by the commands' ids.
    pub(super) askers: HashMap<String, Vec<Address>>,
    /// What brokers turned out not to take, beyond what they said.
    pub(super) denied: Denied,
    /// SHA-256 of retained commands that were refused, by their verbs: written down once, and not at each connection.
    pub(super) retained: HashMap<String, [u8; 32]>,
    /// `state` is not published before this.
    state_at: Monotonic,
    /// When the guard went out of reach.
    alone_since: Timestamp,
    /// Connections in a row that ended soon, without a word why, after the box was online.
    cut_short: u32,
}

/// One connection, with what is known of it.
pub(super) struct Line {
    pub(super) publisher: Publisher,
    limits: Option<Limits>,
    /// Commands are heard.
    pub(super) online: bool,
    /// What was last published, and not refused.
    published: Option<State>,
    /// There may be a newer one.
    state_due: bool,
}

impl<'a> Agent<'a> {
    pub(super) fn new(config: &'a Config, mqtt: &'a Mqtt, clock: Clock, guard: GuardLink, outbox: Outbox) -> Self {
        let memory = Memory::new(&config.agent_dir());
        Self {
            config,
            mqtt,
            id: config.device.id.clone().unwrap_or_default(),
            clock,
            guard,
            outbox,
            judge: Judge::remembering(memory.load()),
            memory,
            health: Health::new(mqtt, &config.agent_dir()),
            events: EventQueue::default(),
            requests: Requests::default(),
            askers: HashMap::new(),
            denied: Denied::default(),
            retained: HashMap::new(),
            state_at: clock.now(),
            alone_since: clock::utc_now(),
            cut_short: 0,
        }
    }

    pub(super) fn topic(&self, name: &str) -> String {
        topic(self.mqtt, &self.id, name)
    }

    /// Whether the guard says that the box was unbound, and nobody claimed it since.
    pub(super) fn is_unbound(&self) -> bool {
        self.guard.seen.borrow().status().is_some_and(|status| status.unbound)
    }

    /// Keeps one connection, until it is lost or `stop` comes.
    pub(super) async fn connection(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> End {
        // Anew each time: a certificate that was renewed counts from the next connection on.
        let accepts = self.denied.at(self.clock.now());
        let (client, mut broker) = match broker::prepare(&self.id, self.mqtt, accepts) {
            Ok(prepared) => prepared,
            Err(error) => return End::Lost(error.to_string().into()),
        };
        let (client, eventloop) = AsyncClient::builder(client).capacity(CAPACITY).build();
        let (events, mut hear) = mpsc::channel(CAPACITY);
        let mut tasks = JoinSet::new();
        tasks.spawn(disconnect::listen(eventloop, events));
        let publisher = Publisher::new(client);
        let mut line = Line { publisher, limits: None, online: false, published: None, state_due: true };
        let begun = self.clock.now();
        let mut telemetry = interval(self.mqtt.telemetry_interval);
        telemetry.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let lost = loop {
            self.send_state(&mut line);
            self.send_events(&mut line);
            let due = self.due(&line);
            let done = tokio::select! {
                biased;
                () = stop.as_mut() => {
                    self.farewell(&mut line, &mut hear).await;
                    return End::Stopped;
                }
                // Before what is heard: a broker that never stops talking must not look like a loop that hangs.
                () = self.health.beat() => {
                    if line.online && self.clock.now().duration_since(begun) >= SETTLED {
                        self.health.remark(SHARED_ID, None);
                    }
                    self.check_overdue(&line)
                }
                Some(done) = self.requests.next(), if line.online => { self.done(&mut line, done); Ok(()) }
                outcome = line.publisher.outcome() => { self.settled(&mut line, outcome); Ok(()) }
                event = hear.recv() => match event {
                    None => Err("the connection ended".to_owned().into()),
                    Some(Err(error)) => {
                        self.denied.learn(self.clock.now(), &error);
                        Err(explain(&error, &broker.circumstances(line.online)))
                    }
                    Some(Ok(Event::Incoming(packet))) => self.incoming(&mut line, packet),
                    Some(Ok(Event::Outgoing(_) | Event::Auth(_))) => Ok(()),
                },
                Some(entry) = self.guard.entries.recv(), if line.online && self.events.has_room() => {
                    self.events.push(entry);
                    Ok(())
                }
                Ok(()) = self.guard.seen.changed() => {
                    if self.is_unbound() {
                        self.farewell(&mut line, &mut hear).await;
                        return End::Unbound;
                    }
                    if matches!(*self.guard.seen.borrow(), Seen::Away) {
                        self.alone_since = clock::utc_now();
                    }
                    line.state_due = true;
                    Ok(())
                }
                _ = telemetry.tick(), if line.online => { self.send_telemetry(&mut line); Ok(()) }
                () = tokio::time::sleep_until(self.clock.to_instant(due)) => Ok(()),
            };
            if let Err(reason) = done {
                break reason;
            }
        };
        if self.events.connection_lost(self.clock.now()) {
            let why = "the broker ends the connection, or does not acknowledge, when it is sent events: \
                       see its log and its access rules; they wait, and are tried again";
            self.health.remark(Kind::Event.word(), Some(why.to_owned()));
        }
        let lost = self.cut_short(lost, begun, line.online);
        if lost.patient {
            // Until a connection has held: the two take turns, and each is connected for half of the time.
            self.health.remark(SHARED_ID, Some(lost.reason.clone()));
        }
        End::Lost(lost)
    }

    /// Some brokers throw the older of two clients with one id out without a word. One that this happens to again and
    /// again waits as one that is told does.
    fn cut_short(&mut self, lost: Loss, begun: Monotonic, was_online: bool) -> Loss {
        let soon = was_online && lost.reason == CUT && self.clock.now().duration_since(begun) < GOOD;
        self.cut_short = if soon { self.cut_short + 1 } else { 0 };
        if self.cut_short < CUT_SHORT {
            return lost;
        }
        let reason = format!(
            "the connection is lost soon after each beginning: another client may use the id {:?}, or an access rule of the \
             broker's ends it; see the broker's log",
            self.id
        );
        Loss { reason, said: None, patient: true }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // the rest of the protocol is the client's own matter
    fn incoming(&mut self, line: &mut Line, packet: Packet) -> Result<(), Loss> {
        match packet {
            Packet::ConnAck(answer) => self.subscribe(line, &answer),
            // Online means that a stop will be heard: said only once the broker has taken the subscription.
            Packet::SubAck(taken) => {
                if let Some(code) =
                    taken.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                {
                    let topic = self.topic("cmd/+");
                    let why =
                        format!("it refuses the subscription to {topic} ({code:?}): see the broker's access rules");
                    return Err(why.into());
                }
                tracing::info!("connected to the broker {}", self.mqtt.origin());
                line.online = true;
                self.health.connected();
                self.publish(line, Kind::Availability, "online".to_owned());
                Ok(())
            }
            Packet::Publish(message) => {
                self.command(line, &message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The broker lets this box in: keeps to what it takes, and asks for commands.
    fn subscribe(&mut self, line: &mut Line, answer: &ConnAck) -> Result<(), Loss> {
        let limits = self.denied.at(self.clock.now()).within(Limits::new(answer));
        let retained = "the broker keeps no retained messages: state and availability go without, and whoever \
                        subscribes later sees the state when it is told again with the telemetry";
        self.health.remark("retained messages", (!limits.retain).then(|| retained.to_owned()));
        let acknowledged = "the broker does not allow QoS 1: nothing is acknowledged, and events, which must not be \
                            lost, wait until it does; allow QoS 1 at the broker";
        self.health.remark("QoS 1", (!limits.qos1).then(|| acknowledged.to_owned()));
        line.publisher.keep_to(limits);
        line.limits = Some(limits);
        let qos = if limits.qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        // Without this a broker takes the retain flag off for those who already listen: a retained command would be
        // obeyed when it is sent, and refused at each later connection.
        let filter = SubscribeFilter { preserve_retain: true, ..SubscribeFilter::new(self.topic("cmd/+"), qos) };
        let asked = line.publisher.client.try_subscribe_many([filter]);
        asked.map_err(|error| error.to_string().into())
    }

    pub(super) fn publish(&mut self, line: &mut Line, kind: Kind, payload: String) -> bool {
        let topic = self.topic(match kind {
            Kind::Availability => "availability",
            Kind::State => "state",
            Kind::Telemetry => "telemetry",
            Kind::Event => "event",
            Kind::Reply(_) => "reply",
        });
        match line.publisher.send(self.clock.now(), kind, topic, payload, None) {
            Ok(()) => true,
            Err(refusal) => {
                self.settled(line, Outcome { kind, result: Err(refusal) });
                false
            }
        }
    }

    /// Publishes `state` if it is another one than before: not too often, one at a time, and the last one always.
    fn send_state(&mut self, line: &mut Line) {
        let now = self.clock.now();
        if !line.online || !line.state_due || now < self.state_at || line.publisher.is_under_way(Kind::State) {
            return;
        }
        line.state_due = false;
        let state = match &*self.guard.seen.borrow() {
            Seen::NotYet => return,
            Seen::Says(status) => State::from(&**status),
            Seen::Away => State::without_guard(self.alone_since, &self.config.consent.policy_version),
        };
        if line.published.as_ref() == Some(&state) {
            return;
        }
        self.state_at = now.saturating_add(STATE_INTERVAL);
        let payload = json(&state);
        line.published = Some(state);
        self.publish(line, Kind::State, payload);
    }

    fn send_telemetry(&mut self, line: &mut Line) {
        if line.limits.is_some_and(|limits| !limits.retain) {
            line.published = None;
            line.state_due = true;
        }
        if line.publisher.is_under_way(Kind::Telemetry) {
            return;
        }
        let report = telemetry::gather(self.config, self.guard.seen.borrow().status());
        self.health.certificates(report.certificate_expires, clock::utc_now());
        self.publish(line, Kind::Telemetry, json(&report));
    }

    /// Sends the entry that is next. One that nothing would acknowledge is not sent.
    fn send_events(&mut self, line: &mut Line) {
        if !line.online || line.limits.is_none_or(|limits| !limits.qos1) {
            return;
        }
        if let Some((place, entry)) = self.events.next(self.clock.now()) {
            // Numbers begin anew in a new ledger: its name keeps the ids apart.
            let id = format!("{}-{:.16}-{}", self.id, place.ledger, entry.seq);
            let payload = json(&Published { id, entry });
            self.publish(line, Kind::Event, payload);
        }
    }

    /// A publish has its outcome.
    fn settled(&mut self, line: &mut Line, Outcome { kind, result }: Outcome) {
        let now = self.clock.now();
        let refusal = match result {
            Ok(()) => {
                if kind == Kind::Event {
                    self.accepted();
                }
                self.health.remark(kind.word(), None);
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
            Kind::Availability | Kind::Telemetry => "the box goes on without",
            Kind::Reply(_) => {
                "what they answer was done all the same, and a command that is repeated is answered again"
            }
        };
        self.health.remark(kind.word(), Some(format!("the broker refuses {}: {refusal}; {then}", kind.word())));
    }

    /// The broker has the event that was on its way.
    pub(super) fn accepted(&mut self) {
        if let Some(place) = self.events.accepted() {
            self.outbox.acknowledge(place);
        }
    }

    /// When there is something to do that nothing else wakes this loop for.
    fn due(&self, line: &Line) -> Monotonic {
        let far = self.clock.now().saturating_add(Duration::from_hours(1));
        let state = if line.online && line.state_due { self.state_at } else { far };
        let events = self.events.resume_at().filter(|_| line.online).unwrap_or(far);
        state.min(events).min(far)
    }

    fn check_overdue(&self, line: &Line) -> Result<(), Loss> {
        match line.publisher.overdue(self.clock.now()) {
            Some(kind) => Err(format!("it does not acknowledge {}: see the broker's log", kind.word()).into()),
            None => Ok(()),
        }
    }
}
