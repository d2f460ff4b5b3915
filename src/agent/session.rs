//! One connection to the broker, from its beginning to its end: every one starts clean, and what the broker has not
//! acknowledged is sent again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use jiff::Timestamp;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, PublishNotice, PublishOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::broker::{IN_FLIGHT, explain, topic};
use super::commands::{Command, Judge, Refusal};
use super::guard_link::{GuardLink, Seen};
use super::health::Health;
use super::messages::{Diagnosis, Published, Reply, json};
use super::outbox::Outbox;
use super::state::State;
use super::telemetry;
use crate::clock::{self, Clock};
use crate::config::{Config, Mqtt};
use crate::ipc::{Answer, Cursor, Entry, Request, SOFTWARE, Verb};

/// Publishes that wait for the socket: events, and room for state, telemetry and answers.
const WAITING: usize = 64;
/// With more than this waiting no refusal is answered: there is room left for the answers that matter.
const BUSY: usize = WAITING / 4;
/// Commands that are carried out at once; a stop takes half a second, the others none.
const COMMANDS: usize = 16;
/// What a clean end waits for the broker's acknowledgement.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a connection ended.
pub(super) enum End {
    /// As it should: the agent is to end.
    Stopped,
    /// The broker is out of reach.
    Lost(String),
}

/// Where an answer goes.
#[derive(Clone, Debug)]
struct Address {
    topic: String,
    correlation: Option<PublishProperties>,
}

/// Where an answer goes, and what it is; `None`: too much waits already.
type Answered = Option<(Address, Reply)>;

/// A publish on its way to its acknowledgement.
type Settling = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The agent, across connections.
pub(super) struct Agent<'a> {
    config: &'a Config,
    mqtt: &'a Mqtt,
    clock: Clock,
    guard: GuardLink,
    outbox: Outbox,
    judge: Judge,
    pub(super) health: Health,
    /// Entries that the broker has not acknowledged, in order.
    pending: VecDeque<(Cursor, Entry)>,
    /// When the guard went out of reach.
    alone_since: Timestamp,
}

/// One connection's client, with what is known of it.
struct Line {
    client: AsyncClient,
    connected: bool,
    /// How many of `pending` are on their way.
    sent: usize,
    /// How many publishes wait for the socket.
    waiting: usize,
    notices: FuturesOrdered<Settling>,
    published: Option<State>,
}

impl<'a> Agent<'a> {
    pub(super) fn new(
        config: &'a Config,
        mqtt: &'a Mqtt,
        clock: Clock,
        guard: GuardLink,
        outbox: Outbox,
        judge: Judge,
    ) -> Self {
        let health = Health::new(mqtt);
        Self { config, mqtt, clock, guard, outbox, judge, health, pending: VecDeque::new(), alone_since: clock::utc() }
    }

    fn topic(&self, name: &str) -> String {
        topic(self.mqtt, &self.config.device.id, name)
    }

    /// Keeps one connection, until it is lost or `stop` comes.
    pub(super) async fn connection(
        &mut self,
        options: MqttOptions,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> End {
        let (client, eventloop) = AsyncClient::builder(options).capacity(WAITING).build();
        let (heard, mut hear) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(eventloop, heard));
        let mut commands: JoinSet<Answered> = JoinSet::new();
        let mut line =
            Line { client, connected: false, sent: 0, waiting: 0, notices: FuturesOrdered::new(), published: None };
        let mut telemetry = interval(self.mqtt.telemetry_interval);
        telemetry.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let lost = loop {
            let room = line.connected && self.pending.len() < usize::from(IN_FLIGHT);
            let done = tokio::select! {
                biased;
                () = stop.as_mut() => {
                    self.farewell(&line, &mut hear).await;
                    return End::Stopped;
                }
                // Before what is heard: a broker that never stops talking must not look like a loop that hangs.
                () = self.health.beat() => Ok(()),
                event = hear.recv() => match event {
                    None => Err("the connection ended".to_owned()),
                    Some(Err(error)) => Err(explain(&error)),
                    Some(Ok(Event::Incoming(packet))) => self.incoming(&mut line, &mut commands, packet),
                    Some(Ok(Event::Outgoing(Outgoing::Publish(_)))) => {
                        line.waiting = line.waiting.saturating_sub(1);
                        Ok(())
                    }
                    Some(Ok(Event::Outgoing(_) | Event::Auth(_))) => Ok(()),
                },
                Some(acknowledged) = line.notices.next() => acknowledged.map(|()| self.acknowledged(&mut line)),
                Some(entry) = self.guard.entries.recv(), if room => {
                    self.pending.push_back(entry);
                    self.send_events(&mut line)
                }
                Ok(()) = self.guard.seen.changed() => {
                    if matches!(*self.guard.seen.borrow(), Seen::Away) {
                        self.alone_since = clock::utc();
                    }
                    self.send_state(&mut line)
                }
                Some(Ok(answered)) = commands.join_next() =>
                    answered.map_or(Ok(()), |(address, reply)| line.answer(address, &reply)),
                _ = telemetry.tick(), if line.connected => self.send_telemetry(&mut line),
            };
            if let Err(reason) = done {
                break reason;
            }
        };
        End::Lost(lost)
    }

    #[allow(clippy::wildcard_enum_match_arm)] // the rest of the protocol is the client's own matter
    fn incoming(&mut self, line: &mut Line, commands: &mut JoinSet<Answered>, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::ConnAck(_) => {
                let subscribed = line.client.try_subscribe(self.topic("cmd/+"), QoS::AtLeastOnce);
                subscribed.map_err(|error| error.to_string())
            }
            // Online means that a stop will be heard: said only once the broker has taken the subscription.
            Packet::SubAck(taken) => {
                if let Some(code) =
                    taken.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                {
                    let topic = self.topic("cmd/+");
                    return Err(format!(
                        "it refuses the subscription to {topic} ({code:?}): see the broker's access rules"
                    ));
                }
                tracing::info!("connected to the broker {}", self.mqtt.origin());
                line.connected = true;
                self.health.connected();
                line.publish(self.topic("availability"), "online", PublishOptions::at_least_once().retained())?;
                self.send_state(line)?;
                self.send_events(line)
            }
            Packet::Publish(message) => self.command(line, commands, &message),
            _ => Ok(()),
        }
    }

    fn send_state(&self, line: &mut Line) -> Result<(), String> {
        if !line.connected {
            return Ok(());
        }
        let state = match &*self.guard.seen.borrow() {
            Seen::NotYet => return Ok(()),
            Seen::Says(status) => State::from(&**status),
            Seen::Away => State::without_guard(self.alone_since, &self.config.consent.policy_version),
        };
        if line.published.as_ref() == Some(&state) {
            return Ok(());
        }
        line.publish(self.topic("state"), &json(&state), PublishOptions::at_least_once().retained())?;
        line.published = Some(state);
        Ok(())
    }

    fn send_telemetry(&self, line: &mut Line) -> Result<(), String> {
        let report = telemetry::gather(&self.config.device.data_dir, self.guard.seen.borrow().status());
        line.publish(self.topic("telemetry"), &json(&report), PublishOptions::at_most_once())
    }

    /// Sends what is pending and not yet on its way.
    fn send_events(&self, line: &mut Line) -> Result<(), String> {
        for (place, entry) in self.pending.iter().skip(line.sent) {
            // Numbers begin anew in a new ledger: its name keeps the ids apart.
            let id = format!("{}-{:.16}-{}", self.config.device.id, place.ledger, entry.seq);
            let payload = json(&Published { id, entry });
            let notice = line
                .client
                .try_publish_tracked(self.topic("event"), payload, PublishOptions::at_least_once())
                .map_err(|error| error.to_string())?;
            line.waiting += 1;
            line.notices.push_back(Box::pin(settled(notice)));
        }
        line.sent = self.pending.len();
        Ok(())
    }

    /// The broker has the first of the pending entries.
    fn acknowledged(&mut self, line: &mut Line) {
        if let Some((place, _)) = self.pending.pop_front() {
            line.sent = line.sent.saturating_sub(1);
            self.outbox.acknowledge(place);
        }
    }

    fn command(&mut self, line: &mut Line, commands: &mut JoinSet<Answered>, message: &Publish) -> Result<(), String> {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        // Longer words than any verb are cut: they go into the ledger, and into an answer.
        let word: String = topic.strip_prefix(&self.topic("cmd/")).unwrap_or(&topic).chars().take(64).collect();
        let now = clock::utc();
        let now = clock::is_set(now).then_some(now);
        let address = self.address(message);
        let mut judged = self.judge.judge(now, &word, message.retain, &message.payload);
        if let Ok(Command { id, .. }) = &judged
            && (commands.len() >= COMMANDS || line.waiting >= WAITING / 2)
        {
            judged = Err(Refusal { id: Some(id.clone()), why: "too many commands at once".to_owned() });
        }
        let calls = self.guard.calls.clone();
        match judged {
            Err(Refusal { id, why }) => {
                tracing::warn!("command refused: {word:?}: {why}");
                let reply = Reply { id, verb: word.clone(), ok: false, error: Some(why.clone()), diagnosis: None };
                let noted = Request::Refused { verb: word, why };
                // However much nonsense comes, there is room left for a stop and its answer.
                let answers = line.waiting <= BUSY;
                if commands.len() < COMMANDS / 2 {
                    commands.spawn(async move {
                        calls.call(noted).await;
                        answers.then_some((address, reply))
                    });
                } else if answers {
                    line.answer(address, &reply)?;
                }
                Ok(())
            }
            Ok(Command { id, verb }) => {
                tracing::info!("command: {word:?}");
                let request = match verb {
                    Verb::RequestStart => Request::RequestStart {},
                    Verb::Stop => Request::Stop {},
                    Verb::Mute => Request::Mute {},
                    Verb::Unmute => Request::Unmute {},
                    Verb::Identify => Request::Identify {},
                    Verb::Diagnose => {
                        let diagnosis = Some(self.diagnose());
                        let reply = Reply { id: Some(id), verb: word, ok: true, error: None, diagnosis };
                        return line.answer(address, &reply);
                    }
                };
                commands.spawn(async move {
                    let (ok, error) = match calls.call(request).await {
                        Answer::Done | Answer::Probed(_) => (true, None),
                        Answer::Refused(why) => (false, Some(why)),
                    };
                    Some((address, Reply { id: Some(id), verb: word, ok, error, diagnosis: None }))
                });
                Ok(())
            }
        }
    }

    /// The response topic, if it can be published to and is outside of what boxes say and are told; else `reply`.
    fn address(&self, message: &Publish) -> Address {
        let properties = message.properties.as_ref();
        let wanted = properties.and_then(|properties| properties.response_topic.clone());
        let boxes = format!("{}/", self.mqtt.topic_prefix);
        let sane =
            |topic: &String| !topic.is_empty() && !topic.contains(['#', '+', '\0']) && !topic.starts_with(&boxes);
        let correlation = properties.and_then(|properties| properties.correlation_data.clone());
        Address {
            topic: wanted.filter(sane).unwrap_or_else(|| self.topic("reply")),
            correlation: correlation
                .map(|data| PublishProperties { correlation_data: Some(data), ..PublishProperties::default() }),
        }
    }

    fn diagnose(&self) -> Diagnosis {
        let seen = self.guard.seen.borrow();
        let status = seen.status();
        Diagnosis {
            software: SOFTWARE,
            tls: self.mqtt.tls,
            unacknowledged_events: self.pending.len(),
            acknowledged_event: self.outbox.acknowledged().map_or(0, |place| place.seq),
            status: status.map(State::from),
            faults: status.map(|status| status.faults.clone()).unwrap_or_default(),
            telemetry: telemetry::gather(&self.config.device.data_dir, status),
        }
    }

    /// Says that this end was meant, and waits until the broker has heard it.
    async fn farewell(&self, line: &Line, hear: &mut mpsc::Receiver<Result<Event, ConnectionError>>) {
        if !line.connected {
            return;
        }
        let begun = self.clock.now();
        let options = PublishOptions::at_least_once().retained();
        let Ok(notice) = line.client.try_publish_tracked(self.topic("availability"), "stopped", options) else {
            return;
        };
        let mut heard = std::pin::pin!(timeout(FAREWELL, notice.wait_async()));
        loop {
            tokio::select! {
                _ = &mut heard => break,
                event = hear.recv() => if event.is_none_or(|event| event.is_err()) { return },
            }
        }
        let _ = line.client.try_disconnect();
        let left = FAREWELL.saturating_sub(self.clock.now().since(begun));
        // Drains until the connection is closed.
        let _ = timeout(left, async { while matches!(hear.recv().await, Some(Ok(_))) {} }).await;
    }
}

/// Polls the connection and nothing else: a poll that is dropped half way would lose what it was doing.
async fn listen(mut eventloop: EventLoop, heard: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = eventloop.poll().await;
        let last = event.is_err();
        if heard.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn settled(notice: PublishNotice) -> Result<(), String> {
    notice.wait_async().await.map(|_| ()).map_err(|error| format!("an event was not taken: {error}"))
}

impl Line {
    /// An error where more waits than may: the connection is given up, and begins anew.
    fn publish(&mut self, topic: String, payload: &str, options: PublishOptions) -> Result<(), String> {
        self.client.try_publish(topic, payload.to_owned(), options).map_err(|error| error.to_string())?;
        self.waiting += 1;
        Ok(())
    }

    fn answer(&mut self, address: Address, reply: &Reply) -> Result<(), String> {
        let mut options = PublishOptions::at_least_once();
        if let Some(properties) = address.correlation {
            options = options.properties(properties);
        }
        self.publish(address.topic, &json(reply), options)
    }
}
