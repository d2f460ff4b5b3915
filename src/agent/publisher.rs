//! Publishes on one connection: within what the broker takes, and counted until each has its outcome.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnAck, PubAckReason, Publish, PublishProperties};
use rumqttc::{AsyncClient, PublishNoticeError, PublishOptions, PublishResult};

use monotonic::Monotonic;

/// Requests that the client takes at once. What may be under way together is less: 1 state, report, checkpoint,
/// telemetry, event, [`REPLIES`] answers, availability and a subscription.
pub(super) const CAPACITY: usize = 64;
/// Answers that may be under way at once.
const REPLIES: usize = 32;
/// Answers to refused and repeated commands are not given with more than this under way, so that there is room for
/// answers to commands that were carried out; those are not with more than [`REPLIES`], less the room for stops.
const IDLE_REPLIES: usize = 16;
/// See [`IDLE_REPLIES`].
const ROUTINE_REPLIES: usize = 24;
/// A broker that has not acknowledged a publish after this does not acknowledge: the connection is no good.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_mins(1);

/// What one connection has published of the ledger's checkpoint.
#[derive(Debug, Default)]
pub(super) struct PublishedCheckpoint {
    /// The one that was last published, and not refused.
    pub(super) note: Option<String>,
    /// Nothing is published before this.
    pub(super) at: Monotonic,
}

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Availability,
    State,
    Reported,
    Checkpoint,
    Telemetry,
    Event,
    HomeAssistant,
    Reply(Urgency),
}

impl Kind {
    /// The word for it in messages.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::State => "state",
            Self::Reported => "config/reported",
            Self::Checkpoint => "checkpoint",
            Self::Telemetry => "telemetry",
            Self::Event => "events",
            Self::HomeAssistant => "the message for Home Assistant",
            Self::Reply(_) => "answers",
        }
    }

    /// The last level of its topic, below prefix and id of the box; for Home Assistant below its own prefix.
    pub(crate) const fn topic(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::State => "state",
            Self::Reported => "config/reported",
            Self::Checkpoint => "checkpoint",
            Self::Telemetry => "telemetry",
            Self::Event => "event",
            Self::HomeAssistant => "config",
            Self::Reply(_) => "reply",
        }
    }

    pub(crate) const fn is_retained(self) -> bool {
        matches!(self, Self::Availability | Self::State | Self::Reported | Self::Checkpoint | Self::HomeAssistant)
    }
}

/// How much an answer matters when many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Nothing was done.
    Idle,
    /// Something was done.
    Routine,
    /// A session was stopped.
    Stop,
}

/// What this broker takes. The client library keeps to its Receive Maximum by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// It keeps messages for those who come later.
    pub(super) retain: bool,
    /// It acknowledges publishes.
    pub(super) qos1: bool,
    /// Longest packet in bytes.
    max_packet: usize,
}

impl Limits {
    /// From its answer to CONNECT (MQTT 5, section 3.2.2.3).
    pub(super) fn new(answer: &ConnAck) -> Self {
        let said = answer.properties.as_ref();
        Self {
            retain: said.and_then(|said| said.retain_available) != Some(0),
            qos1: said.and_then(|said| said.max_qos) != Some(0),
            max_packet: said
                .and_then(|said| said.max_packet_size)
                .map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        }
    }
}

/// Why a publish was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The broker's word, with what may help.
    Broker(String),
    /// It is longer than the broker's longest packet.
    TooLong { bytes: usize, limit: usize },
    /// As much is under way as may be.
    Full,
    /// The connection ended first.
    Lost,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broker(why) => f.write_str(why),
            Self::TooLong { bytes, limit } => {
                write!(f, "{bytes} bytes, and the broker's longest packet has {limit}: raise its limit")
            }
            Self::Full => f.write_str("too much waits for the broker's acknowledgement"),
            Self::Lost => f.write_str("the connection ended"),
        }
    }
}

/// A publish whose outcome is known.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    pub(super) result: Result<(), Refusal>,
}

type PendingAck = Pin<Box<dyn Future<Output = (u64, Result<(), Refusal>)> + Send>>;

/// Publishes over one connection's client.
pub(super) struct Publisher {
    pub(super) client: AsyncClient,
    limits: Limits,
    pending_acks: FuturesUnordered<PendingAck>,
    /// What is under way, since when.
    under_way: BTreeMap<u64, (Kind, Monotonic)>,
    number: u64,
}

impl Publisher {
    pub(super) fn new(client: AsyncClient) -> Self {
        let limits = Limits { retain: true, qos1: true, max_packet: usize::MAX };
        Self { client, limits, pending_acks: FuturesUnordered::new(), under_way: BTreeMap::new(), number: 0 }
    }

    /// Keeps to what the broker said that it takes.
    pub(super) fn keep_to(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether something of this kind is under way.
    pub(super) fn is_under_way(&self, kind: Kind) -> bool {
        self.under_way.values().any(|(known, _)| *known == kind)
    }

    /// Whether an answer that matters this much would be sent.
    pub(super) fn has_room_for(&self, urgency: Urgency) -> bool {
        let answers = self.under_way.values().filter(|(kind, _)| matches!(kind, Kind::Reply(_))).count();
        answers
            < match urgency {
                Urgency::Idle => IDLE_REPLIES,
                Urgency::Routine => ROUTINE_REPLIES,
                Urgency::Stop => REPLIES,
            }
    }

    /// Publishes; the outcome comes from [`Publisher::outcome`].
    pub(super) fn send(
        &mut self,
        now: Monotonic,
        kind: Kind,
        topic: String,
        payload: String,
        properties: Option<PublishProperties>,
    ) -> Result<(), Refusal> {
        if let Kind::Reply(urgency) = kind
            && !self.has_room_for(urgency)
        {
            return Err(Refusal::Full);
        }
        let acknowledged = self.limits.qos1 && kind != Kind::Telemetry;
        let qos = if acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        // Two bytes more for the packet identifier, which it does not have yet.
        let packet = Publish::new(topic.clone(), qos, payload.clone(), properties.clone());
        let bytes = packet.size() + 2;
        if bytes > self.limits.max_packet {
            return Err(Refusal::TooLong { bytes, limit: self.limits.max_packet });
        }
        let mut options = PublishOptions::new(qos).retain(self.limits.retain && kind.is_retained());
        if let Some(properties) = properties {
            options = options.properties(properties);
        }
        let notice = self.client.try_publish_tracked(topic, payload, options).map_err(|_| Refusal::Full)?;
        self.number += 1;
        let number = self.number;
        self.under_way.insert(number, (kind, now));
        self.pending_acks.push(Box::pin(async move { (number, outcome(notice.wait_async().await)) }));
        Ok(())
    }

    /// The next outcome; pending while nothing is under way. Cancel-safe.
    pub(super) async fn outcome(&mut self) -> Outcome {
        loop {
            match self.pending_acks.next().await {
                Some((number, result)) => {
                    if let Some((kind, _)) = self.under_way.remove(&number) {
                        return Outcome { kind, result };
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    /// What the broker should have acknowledged long ago.
    pub(super) fn overdue(&self, now: Monotonic) -> Option<Kind> {
        let late = |(_, sent): &&(Kind, Monotonic)| now.duration_since(*sent) > ACKNOWLEDGED_WITHIN;
        self.under_way.values().find(late).map(|(kind, _)| *kind)
    }
}

fn outcome(on_publish_outcome: Result<PublishResult, PublishNoticeError>) -> Result<(), Refusal> {
    match on_publish_outcome {
        Ok(PublishResult::Qos1(acknowledgement)) => accepted(acknowledgement.reason),
        Ok(PublishResult::Qos0Flushed | PublishResult::Qos2Completed(_) | PublishResult::Qos2PubRecRejected(_)) => {
            Ok(())
        }
        Err(_) => Err(Refusal::Lost),
    }
}

/// Reasons of 0x80 and above are refusals (MQTT 5, section 3.4.2.1).
fn accepted(reason: PubAckReason) -> Result<(), Refusal> {
    let why = match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => return Ok(()),
        PubAckReason::NotAuthorized => "not authorised: see the broker's access rules",
        PubAckReason::QuotaExceeded => "quota exceeded: see the broker's limits for this box",
        PubAckReason::TopicNameInvalid => "the broker does not take this topic: see [mqtt] topic-prefix",
        PubAckReason::PayloadFormatInvalid => "the broker does not take this payload: see its rules for payloads",
        PubAckReason::PacketIdentifierInUse => "packet identifier in use: the broker mixes up its connections",
        PubAckReason::ImplementationSpecificError => "not accepted for a reason of the broker's own: see its log",
        PubAckReason::UnspecifiedError => "not accepted, without a reason: see the broker's log",
    };
    Err(Refusal::Broker(why.to_owned()))
}
