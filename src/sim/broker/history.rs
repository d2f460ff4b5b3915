//! What happened at a simulated broker, for checks and for comparing two runs.

use rumqttc::mqttbytes::QoS;
use tokio::time::Instant;
use tokio_util::bytes::Bytes;

/// What the box published, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The connection that it came by: they count from 1.
    pub connection: u32,
    /// Its topic.
    pub topic: String,
    /// Whether the broker is to acknowledge it.
    pub qos: QoS,
    /// Whether it is kept.
    pub retain: bool,
    /// Its bytes.
    pub payload: Bytes,
    /// What an answer refers to.
    pub correlation: Option<Bytes>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The box tried to connect.
    Dialled,
    /// It was let in.
    Connected(u32),
    /// It has the answer to its subscription.
    Subscribed(u32),
    /// It published something.
    Published(Arrival),
    /// It was told that the publish at this place of the history was taken.
    Acknowledged(usize),
    /// All of a message was written to it, by its number: [`super::Broker::publish`] gave it.
    Delivered {
        /// The connection.
        connection: u32,
        /// The message.
        number: u64,
    },
    /// It acknowledged a message.
    Heard {
        /// The connection.
        connection: u32,
        /// The message.
        number: u64,
    },
    /// The connection ended. `true`: the box said that it was meant.
    Ended(u32, bool),
    /// Its last will was published.
    Will,
    /// The box broke a rule of MQTT, or one that the broker had told it.
    Violation(String),
}

/// Everything that happened, with its time.
pub type History = Vec<(Instant, Happening)>;
