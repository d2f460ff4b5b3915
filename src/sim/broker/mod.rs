//! A broker of a simulation: a server of MQTT 5 in memory, written for hostility. It knows one client, the box; what
//! others publish comes through [`Broker::publish`], and what they would hear stands in its history. Its packets are
//! read and written by the client library's own codec.

mod actions;
mod behaviour;
mod connection;
mod handshake;
mod history;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{DisconnectReasonCode, LastWill, Publish, PublishProperties, SubscribeFilter};
use tokio::io::duplex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connect::simulated::Dial;
use crate::sync::LockExt;

pub use actions::BrokerAction;
pub use behaviour::{Acknowledgement, Behaviour, CONNECT_REFUSALS, ENDINGS, PUBLISH_REFUSALS, Reach, Welcome};
pub use history::{Arrival, Happening, History};

/// Bytes that are on their way in each direction: what a kernel would hold.
const BUFFER: usize = 16 * 1024;
/// Messages that are kept for a box that is away.
const MAX_WAITING: usize = 1000;

/// How a connection is ended by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Without a word.
    Cut,
    /// With DISCONNECT and its reason.
    Told(DisconnectReasonCode),
}

/// What a connection is told to do.
#[derive(Debug)]
enum Order {
    Deliver(Message),
    End(Ending),
    Raw(Vec<u8>),
    /// The behaviour changed.
    Look,
}

/// A message to the box.
#[derive(Clone, Debug)]
struct Message {
    number: u64,
    publish: Publish,
}

/// What outlives a connection.
#[derive(Debug, Default)]
struct Session {
    filters: Vec<SubscribeFilter>,
    waiting: VecDeque<Message>,
    /// When it ends; `None`: there is a connection.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Core {
    behaviour: Behaviour,
    random: fastrand::Rng,
    retained: BTreeMap<String, Publish>,
    session: Option<Session>,
    /// The connection that is open, by its number.
    connection: Option<(u32, mpsc::UnboundedSender<Order>)>,
    /// What is published when the box does not come back by then.
    will: Option<(Instant, LastWill)>,
    history: History,
    connections: u32,
    /// The newest connection that has the answer to its subscription.
    subscribed: u32,
    messages: u64,
}

/// The broker, from outside.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Mutex<Core>>);

impl Broker {
    /// A good one. What is random about it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Core {
            behaviour: Behaviour::default(),
            random: fastrand::Rng::with_seed(seed),
            retained: BTreeMap::new(),
            session: None,
            connection: None,
            will: None,
            history: Vec::new(),
            connections: 0,
            subscribed: 0,
            messages: 0,
        })))
    }

    /// Takes connections until the network is gone.
    pub(crate) async fn serve(self, mut dials: mpsc::UnboundedReceiver<Dial>) {
        let mut connections = JoinSet::new();
        // Those whom nobody answers.
        let mut unanswered = Vec::new();
        loop {
            let will = self.0.lock_unpoisoned().will.as_ref().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = sleep_until(will.unwrap_or_else(Instant::now)), if will.is_some() => self.tell_will(),
                Some(_) = connections.join_next() => {}
                dial = dials.recv() => match dial {
                    None => return,
                    Some(dial) => {
                        unanswered.retain(|dial: &Dial| !dial.answer.is_closed());
                        self.answer(dial, &mut connections, &mut unanswered);
                    }
                },
            }
        }
    }

    fn answer(&self, dial: Dial, connections: &mut JoinSet<()>, unanswered: &mut Vec<Dial>) {
        let mut core = self.0.lock_unpoisoned();
        core.note(Happening::Dialled);
        match core.behaviour.reach {
            Reach::Silent => unanswered.push(dial),
            Reach::Refused => drop(dial.answer.send(Err(std::io::ErrorKind::ConnectionRefused.into()))),
            Reach::Open => {
                core.connections += 1;
                let number = core.connections;
                drop(core);
                let (near, far) = duplex(BUFFER);
                if dial.answer.send(Ok(near)).is_ok() {
                    connections.spawn(connection::serve(self.clone(), number, far));
                }
            }
        }
    }

    fn tell_will(&self) {
        let mut core = self.0.lock_unpoisoned();
        if let Some((_, will)) = core.will.take() {
            core.publish_will(&will);
        }
    }

    /// Changes what it does, for connections that are open too.
    pub fn change(&self, how: impl FnOnce(&mut Behaviour)) {
        let mut core = self.0.lock_unpoisoned();
        how(&mut core.behaviour);
        core.order(Order::Look);
    }

    /// Ends the connection, if there is one.
    pub fn end(&self, ending: Ending) {
        self.0.lock_unpoisoned().order(Order::End(ending));
    }

    /// Sends the box bytes that may be no MQTT.
    pub fn send_raw(&self, bytes: Vec<u8>) {
        self.0.lock_unpoisoned().order(Order::Raw(bytes));
    }

    /// It is started anew: connections and sessions are gone, what is retained is not.
    pub fn restart(&self) {
        let mut core = self.0.lock_unpoisoned();
        core.order(Order::End(Ending::Cut));
        core.session = None;
    }

    /// Somebody publishes; returns the message's number. `respond`: where an answer is wanted, and what it refers to.
    pub fn publish(&self, topic: &str, payload: &[u8], retain: bool, respond: Option<(&str, &[u8])>) -> u64 {
        let mut core = self.0.lock_unpoisoned();
        core.messages += 1;
        let number = core.messages;
        let properties = respond.map(|(topic, correlation)| PublishProperties {
            response_topic: Some(topic.to_owned()),
            correlation_data: Some(correlation.to_vec().into()),
            ..PublishProperties::default()
        });
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload.to_vec(), properties);
        publish.retain = retain;
        core.keep(&publish);
        core.forward(Message { number, publish });
        number
    }

    /// What is retained.
    pub fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        self.0.lock_unpoisoned().retained.get(topic).map(|publish| publish.payload.to_vec())
    }

    /// What happened since the broker has been there, from the place `from` on.
    pub fn history(&self, from: usize) -> History {
        self.0.lock_unpoisoned().history.get(from..).unwrap_or_default().to_vec()
    }

    /// Whether the box is connected, and hears commands.
    pub fn is_online(&self) -> bool {
        let core = self.0.lock_unpoisoned();
        core.connection.as_ref().is_some_and(|(number, _)| *number == core.subscribed)
    }
}

impl Core {
    fn note(&mut self, what: Happening) -> usize {
        if let Happening::Subscribed(number) = what {
            self.subscribed = number;
        }
        self.history.push((Instant::now(), what));
        self.history.len() - 1
    }

    fn order(&self, order: Order) {
        if let Some((_, orders)) = &self.connection {
            // A connection that has ended hears nothing more.
            let _ = orders.send(order);
        }
    }

    fn keep(&mut self, publish: &Publish) {
        if !publish.retain || self.behaviour.without_retain {
            return;
        }
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        if publish.payload.is_empty() {
            self.retained.remove(&topic);
        } else {
            self.retained.insert(topic, publish.clone());
        }
    }

    /// Hands a message on, if the box has subscribed to it.
    fn forward(&mut self, mut message: Message) {
        let now = Instant::now();
        let Some(session) = self.session.as_mut().filter(|session| session.until.is_none_or(|until| now < until))
        else {
            return;
        };
        let topic = String::from_utf8_lossy(&message.publish.topic).into_owned();
        let Some(filter) = session.filters.iter().find(|filter| matches(&filter.path, &topic)) else { return };
        message.publish.retain &= filter.preserve_retain;
        message.publish.qos = filter.qos;
        if session.until.is_none() {
            self.order(Order::Deliver(message));
        } else if session.waiting.len() < MAX_WAITING {
            session.waiting.push_back(message);
        }
    }

    fn publish_will(&mut self, will: &LastWill) {
        let topic = String::from_utf8_lossy(&will.topic).into_owned();
        let mut publish = Publish::new(topic, will.qos, will.message.clone(), None);
        publish.retain = will.retain;
        self.keep(&publish);
        self.note(Happening::Will);
    }

    /// A connection ended. `meant`: the box said so.
    fn ended(&mut self, number: u32, meant: bool, will: Option<LastWill>, expiry: Duration) {
        self.note(Happening::Ended(number, meant));
        if self.connection.as_ref().is_none_or(|(open, _)| *open != number) {
            // Another one has taken its place, and the session with it.
            return;
        }
        self.connection = None;
        let forgets = self.behaviour.forgets_sessions || expiry.is_zero();
        let now = Instant::now();
        self.session =
            self.session.take().filter(|_| !forgets).map(|session| Session { until: Some(now + expiry), ..session });
        let Some(will) = will.filter(|_| !meant) else { return };
        let delay = will.properties.as_ref().and_then(|more| more.delay_interval).unwrap_or_default();
        let delay = Duration::from_secs(delay.into()).min(if forgets { Duration::ZERO } else { expiry });
        self.will = Some((now + delay, will));
    }
}

/// Whether a filter takes a topic (MQTT 5, section 4.7).
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            (Some(_) | None, _) => return false,
        }
    }
}
