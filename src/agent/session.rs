//! One connection to the broker, from its beginning to its end: every one starts clean, and what the broker has not
//! acknowledged is sent again.

use std::pin::Pin;
use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::backoff::STABLE_AFTER;
use super::broker::{self, Broker};
use super::context::{Agent, BrokerConnection};
use super::disconnect;
use super::explain::{self, CUT_WITHOUT_REASON, ConnectionLoss, explain};
use super::guard_client::GuardState;
use super::messages::{Published, json};
use super::publisher::{CAPACITY, Kind};
use super::telemetry;
use super::twin_relay;
use crate::clock;
use crate::exit::Exit;
use crate::ipc::NetworkReport;

/// The topic of the platform's signed policy, behind the box's name.
pub(super) const POLICY: &str = "policy";
/// The least time between two publishes of `state`: twice a second at most, whatever the reason.
const STATE_INTERVAL: Duration = Duration::from_millis(500);
/// Connections in a row that end soon and without a word before another client is suspected.
const MAX_CUT_SHORT: u32 = 3;
/// A client that another one throws out comes back within four minutes: a connection that held for longer has its id
/// for itself.
const ID_UNCONTESTED_AFTER: Duration = Duration::from_mins(5);
/// A broker that has not let a box hear commands after this, from the beginning of the attempt, does not.
const SUBSCRIBED_WITHIN: Duration = Duration::from_mins(1);
/// Why a broker's word that another server is to be used is not followed.
const ELSEWHERE: &str = "the broker sends this box to another server: it connects to the one in [mqtt] url only";
/// What is remarked about a client that is thrown out.
const SHARED_ID: &str = "the id";

/// How a connection ended.
pub(super) enum ConnectionEnd {
    /// The box was unbound: it has no business with this broker any more.
    Unbound,
    /// As it should: the agent is to end.
    Stopped,
    /// The box ended it, to show its renewed certificates in the next one. The broker is told nothing: a session that
    /// is resumed within the will's delay was never offline.
    Renewed,
    /// The broker is out of reach, or cannot be used.
    Lost {
        loss: ConnectionLoss,
        /// Commands were heard for long.
        was_stable: bool,
    },
}

impl Agent<'_> {
    /// Keeps one connection, until it is lost or `stop` comes.
    pub(super) async fn connection(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> ConnectionEnd {
        let (client, mut broker) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(error) => return ConnectionEnd::Lost { loss: error.to_string().into(), was_stable: false },
        };
        let (client, eventloop) = AsyncClient::builder(client).capacity(CAPACITY).build();
        let (sender, mut events) = mpsc::channel(CAPACITY);
        let mut tasks = JoinSet::new();
        tasks.spawn(disconnect::listen(eventloop, sender));
        let (mut line, begun) = (BrokerConnection::new(client), self.clock.now());
        let lost = loop {
            self.send_due(&mut line);
            if self.is_finished() {
                self.disconnect_cleanly(&mut line, &mut events).await;
                return ConnectionEnd::Unbound;
            }
            let due = self.due(&line);
            let done = tokio::select! {
                biased;
                () = stop.as_mut() => {
                    self.disconnect_cleanly(&mut line, &mut events).await;
                    return ConnectionEnd::Stopped;
                }
                // Before what is heard: a broker that never stops talking must not look like a loop that hangs.
                () = self.notifier.feed_watchdog() => self.check(&mut line, begun),
                Some(done) = self.requests.next() => { self.done(done); Ok(()) }
                outcome = line.publisher.outcome() => { self.on_publish_outcome(&mut line, outcome); Ok(()) }
                event = events.recv() => match event {
                    None => Err("the connection ended".to_owned().into()),
                    Some(Err(error)) => Err(self.explain_loss(&error, &mut broker, line.online)),
                    Some(Ok(Event::Incoming(packet))) => self.incoming(&mut line, packet),
                    Some(Ok(Event::Outgoing(_) | Event::Auth(_))) => Ok(()),
                },
                Some(entry) = self.guard.entries.recv(), if line.online && self.events.has_room() => {
                    self.tell_update_end(&entry.1.fact);
                    self.events.push(entry);
                    Ok(())
                }
                Ok(()) = self.guard.state.changed() => {
                    self.note_guard_loss();
                    line.state_due = true;
                    Ok(())
                }
                event = twin_relay::next_event(&mut self.guard.reported, &mut self.twin) => {
                    self.on_twin_event(&mut line, event);
                    Ok(())
                }
                () = tokio::time::sleep_until(self.clock.to_instant(due)) => Ok(()),
            };
            if let Err(reason) = done {
                break reason;
            }
        };
        while let Ok(Ok(event)) = events.try_recv() {
            self.hear_out(&mut line, event);
        }
        self.ended(&line, lost, begun)
    }

    fn explain_loss(&mut self, error: &ConnectionError, broker: &mut Broker, was_online: bool) -> ConnectionLoss {
        self.refused_features.learn(self.clock.now(), error);
        let known = broker.context(was_online);
        if let Some(elsewhere) = explain::server_reference(&known) {
            self.destinations.refusals().note(&elsewhere, ELSEWHERE);
        }
        explain(error, &known)
    }

    fn ended(&mut self, line: &BrokerConnection, lost: ConnectionLoss, begun: Monotonic) -> ConnectionEnd {
        if line.renewed {
            self.events.connection_ended();
            return ConnectionEnd::Renewed;
        }
        let reason = lost.reason.clone();
        let refused = NetworkReport::BrokerRefused { reason: reason.clone() };
        self.report_broker(if lost.refused { refused } else { NetworkReport::BrokerLost { reason } });
        let held = line.online_at.map(|at| self.clock.now().duration_since(at));
        let was_stable = held.is_some_and(|held| held >= STABLE_AFTER);
        ConnectionEnd::Lost { loss: self.connection_lost(lost, begun, line.online), was_stable }
    }

    /// What comes after an unbinding is for the next platform, which is told nothing of the former one's broker.
    pub(super) fn report_broker(&self, report: NetworkReport) {
        if !self.is_unbound() {
            self.network.report(report);
        }
    }

    /// Everything for the next connection but the connection itself, by the files as they are now.
    pub(super) fn prepare(&mut self) -> Result<(MqttOptions, Broker), Exit> {
        let accepts = self.refused_features.at(self.clock.now());
        let mut rules = None;
        if self.mqtt.tls {
            let (made, unusable) = self.tls.rules(self.mqtt)?;
            self.note_unusable_renewal(unusable);
            rules = Some(made);
        }
        self.note_warnings();
        broker::prepare(&self.id, self.mqtt, accepts, rules, self.destinations.clone())
    }

    /// Sends what may be sent now.
    fn send_due(&mut self, line: &mut BrokerConnection) {
        self.send_state(line);
        self.send_events(line);
        self.send_to_home_assistant(line);
        self.send_telemetry(line);
        self.serve_twin(line);
        self.send_checkpoint(line);
        if line.online {
            self.send_answers(line);
            self.send_progress(line);
        }
    }

    /// Whether the box was unbound, and platform and whoever asked for that have the receipt, or will not get it.
    fn is_finished(&mut self) -> bool {
        let now = self.clock.now();
        self.parting.note(now, self.guard.state.borrow().status());
        let is_told = self.requests.commands == 0 && self.waiting_answers.is_empty() && !self.has_receipt_due();
        self.parting.has_begun() && (is_told || self.parting.is_over(now))
    }

    /// At each beat of the watchdog.
    fn check(&mut self, line: &mut BrokerConnection, begun: Monotonic) -> Result<(), ConnectionLoss> {
        if let Some(why) = self.why_anew(line) {
            tracing::info!("{why}");
            line.renewed = true;
            return Err(why.to_owned().into());
        }
        if line.online && self.clock.now().duration_since(begun) >= ID_UNCONTESTED_AFTER {
            self.notifier.remark(SHARED_ID, None);
        }
        self.check_overdue(line, begun)
    }

    fn note_guard_loss(&mut self) {
        if matches!(*self.guard.state.borrow(), GuardState::Unreachable) {
            self.guard_lost_at = clock::utc_now();
        }
    }

    /// What the end of a connection says about the broker.
    fn connection_lost(&mut self, lost: ConnectionLoss, begun: Monotonic, was_online: bool) -> ConnectionLoss {
        if self.events.connection_lost(self.clock.now()) {
            let why = "the broker ends the connection, or does not acknowledge, when it is sent events: \
                       see its log and its access rules; they wait, and are tried again";
            self.notifier.remark(Kind::Event.as_str(), Some(why.to_owned()));
        }
        let lost = self.cut_short(lost, begun, was_online);
        if lost.patient {
            // Until a connection has held: the two take turns, and each is connected for half of the time.
            self.notifier.remark(SHARED_ID, Some(lost.reason.clone()));
        }
        lost
    }

    /// Some brokers throw the older of two clients with one id out without a word. One that this happens to again and
    /// again waits as one that is told does.
    fn cut_short(&mut self, lost: ConnectionLoss, begun: Monotonic, was_online: bool) -> ConnectionLoss {
        let soon =
            was_online && lost.reason == CUT_WITHOUT_REASON && self.clock.now().duration_since(begun) < STABLE_AFTER;
        self.cut_short = if soon { self.cut_short + 1 } else { 0 };
        if self.cut_short < MAX_CUT_SHORT {
            return lost;
        }
        let reason = format!(
            "the connection is lost soon after each beginning: another client may use the id {:?}, or an access rule of the \
             broker's ends it; see the broker's log",
            self.id
        );
        ConnectionLoss { reason, said: None, patient: true, refused: false }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // the rest of the protocol is the client's own matter
    pub(super) fn incoming(&mut self, line: &mut BrokerConnection, packet: Packet) -> Result<(), ConnectionLoss> {
        match packet {
            Packet::ConnAck(answer) => self.subscribe(line, &answer),
            Packet::SubAck(answer) if line.online => {
                self.home_assistant_subscribed(&answer);
                Ok(())
            }
            Packet::SubAck(taken) => self.subscribed(line, &taken),
            Packet::Publish(message) if self.is_from_home_assistant(&message) => Ok(()),
            Packet::Publish(message) if self.take_desired(&message) => Ok(()),
            Packet::Publish(message) => {
                if message.topic == self.topic(POLICY).as_bytes() {
                    self.policy(&message);
                } else if !self.releases.take(&message) {
                    self.command(line, &message);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Publishes `state` if it is another one than before: not too often, one at a time, and the last one always.
    fn send_state(&mut self, line: &mut BrokerConnection) {
        let now = self.clock.now();
        if !line.online || !line.state_due || now < self.state_at || line.publisher.is_under_way(Kind::State) {
            return;
        }
        line.state_due = false;
        let Some(state) = self.state() else { return };
        if line.published.as_ref().is_some_and(|published| published.is_still(&state)) {
            return;
        }
        self.state_at = now.saturating_add(STATE_INTERVAL);
        let payload = json(&state);
        line.published = Some(state);
        self.publish(line, Kind::State, payload);
    }

    fn send_telemetry(&mut self, line: &mut BrokerConnection) {
        let now = self.clock.now();
        if !line.online || self.is_unbound() || now < line.telemetry_at {
            return;
        }
        line.telemetry_at = telemetry::next_at(now, self.telemetry_interval());
        if line.limits.is_some_and(|limits| !limits.retain) {
            line.published = None;
            line.state_due = true;
        }
        if line.publisher.is_under_way(Kind::Telemetry) {
            return;
        }
        let report = telemetry::gather(self.config, self.guard.present_status().as_ref());
        self.notifier.certificates(report.certificate_expires, clock::utc_now());
        self.publish(line, Kind::Telemetry, json(&report));
    }

    /// Sends the entry that is next. One that nothing would acknowledge is not sent.
    fn send_events(&mut self, line: &mut BrokerConnection) {
        if !self.may_send_events(line) {
            return;
        }
        if let Some((place, entry)) = self.events.next(self.clock.now()) {
            // Numbers begin anew in a new ledger: its name keeps the ids apart.
            let id = format!("{}-{:.16}-{}", self.id, place.ledger, entry.seq);
            let payload = json(&Published { id, entry });
            self.publish(line, Kind::Event, payload);
        }
    }

    /// Whether an entry would be acknowledged, and is this platform's to know.
    fn may_send_events(&self, line: &BrokerConnection) -> bool {
        // The last one is that of an unbinding: what comes after it is for the next platform.
        let is_theirs = !self.is_unbound() || self.has_receipt_due();
        line.online && is_theirs && line.limits.is_some_and(|limits| limits.qos1)
    }

    /// When there is something to do that nothing else wakes this loop for.
    fn due(&self, line: &BrokerConnection) -> Monotonic {
        let far = self.clock.now().saturating_add(Duration::from_hours(1));
        // One that is under way wakes the loop itself; a time that has passed would make it turn without a pause.
        let may_tell = line.online && line.state_due && !line.publisher.is_under_way(Kind::State);
        let state = if may_tell { self.state_at } else { far };
        let telemetry = if line.online && !self.is_unbound() { line.telemetry_at } else { far };
        let events = self.events.resume_at().filter(|_| self.may_send_events(line)).unwrap_or(far);
        let home_assistant = self.home_assistant_due().filter(|_| line.online).unwrap_or(far);
        let twin = self.twin_due(line).unwrap_or(far);
        let parting = self.parting.until().unwrap_or(far);
        state.min(telemetry).min(events).min(home_assistant).min(twin).min(parting)
    }

    fn check_overdue(&self, line: &BrokerConnection, begun: Monotonic) -> Result<(), ConnectionLoss> {
        let is_late = self.clock.now().duration_since(begun) > SUBSCRIBED_WITHIN;
        match line.publisher.overdue(self.clock.now()) {
            _ if is_late && !line.online => {
                Err("it does not answer the subscription: see the broker's log".to_owned().into())
            }
            Some(kind) => Err(format!("it does not acknowledge {}: see the broker's log", kind.as_str()).into()),
            None => Ok(()),
        }
    }
}
