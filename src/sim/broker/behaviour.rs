//! What a simulated broker does to those who connect. All of it is plain data, so that a schedule can say it.

use std::time::Duration;

use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, PubAckReason};

/// Reasons with which a broker refuses a connection.
pub const CONNECT_REFUSALS: [ConnectReturnCode; 21] = [
    ConnectReturnCode::UnspecifiedError,
    ConnectReturnCode::MalformedPacket,
    ConnectReturnCode::ProtocolError,
    ConnectReturnCode::ImplementationSpecificError,
    ConnectReturnCode::UnsupportedProtocolVersion,
    ConnectReturnCode::ClientIdentifierNotValid,
    ConnectReturnCode::BadUserNamePassword,
    ConnectReturnCode::NotAuthorized,
    ConnectReturnCode::ServerUnavailable,
    ConnectReturnCode::ServerBusy,
    ConnectReturnCode::Banned,
    ConnectReturnCode::BadAuthenticationMethod,
    ConnectReturnCode::TopicNameInvalid,
    ConnectReturnCode::PacketTooLarge,
    ConnectReturnCode::QuotaExceeded,
    ConnectReturnCode::PayloadFormatInvalid,
    ConnectReturnCode::RetainNotSupported,
    ConnectReturnCode::QoSNotSupported,
    ConnectReturnCode::UseAnotherServer,
    ConnectReturnCode::ServerMoved,
    ConnectReturnCode::ConnectionRateExceeded,
];

/// Reasons with which a broker ends one.
pub const ENDINGS: [DisconnectReasonCode; 20] = [
    DisconnectReasonCode::NormalDisconnection,
    DisconnectReasonCode::UnspecifiedError,
    DisconnectReasonCode::MalformedPacket,
    DisconnectReasonCode::ProtocolError,
    DisconnectReasonCode::ImplementationSpecificError,
    DisconnectReasonCode::NotAuthorized,
    DisconnectReasonCode::ServerBusy,
    DisconnectReasonCode::ServerShuttingDown,
    DisconnectReasonCode::KeepAliveTimeout,
    DisconnectReasonCode::SessionTakenOver,
    DisconnectReasonCode::TopicNameInvalid,
    DisconnectReasonCode::ReceiveMaximumExceeded,
    DisconnectReasonCode::PacketTooLarge,
    DisconnectReasonCode::MessageRateTooHigh,
    DisconnectReasonCode::QuotaExceeded,
    DisconnectReasonCode::AdministrativeAction,
    DisconnectReasonCode::RetainNotSupported,
    DisconnectReasonCode::QoSNotSupported,
    DisconnectReasonCode::ServerMoved,
    DisconnectReasonCode::MaximumConnectTime,
];

/// Reasons with which a broker refuses a publish.
pub const PUBLISH_REFUSALS: [PubAckReason; 7] = [
    PubAckReason::UnspecifiedError,
    PubAckReason::ImplementationSpecificError,
    PubAckReason::NotAuthorized,
    PubAckReason::TopicNameInvalid,
    PubAckReason::PacketIdentifierInUse,
    PubAckReason::QuotaExceeded,
    PubAckReason::PayloadFormatInvalid,
];

/// What becomes of an attempt to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// There is a connection.
    #[default]
    Open,
    /// Nobody listens.
    Refused,
    /// Nobody answers.
    Silent,
}

/// How CONNECT is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Welcome {
    /// The box is let in.
    #[default]
    Accept,
    /// It is not.
    Refuse(ConnectReturnCode),
    /// There is no answer.
    Silent,
    /// The connection ends.
    Close,
    /// What comes is no MQTT.
    Garbage,
    /// It is a web server.
    Http,
    /// It speaks MQTT 3.1.1.
    Old,
}

/// How publishes are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Once each.
    #[default]
    Once,
    /// So much later.
    Late(Duration),
    /// Twice each.
    Twice,
    /// Never.
    Never,
    /// With another number than the publish has.
    Wrong,
    /// What was published is refused.
    Refused(PubAckReason),
}

/// What the broker does from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a fault of its own
pub struct Behaviour {
    /// Attempts to connect.
    pub reach: Reach,
    /// Answers to CONNECT.
    pub welcome: Welcome,
    /// What its CONNACK says of the session, against the truth.
    pub session_present: Option<bool>,
    /// How many publishes it takes at once; `None`: it does not say.
    pub receive_maximum: Option<u16>,
    /// Its longest packet in bytes; `None`: it does not say.
    pub max_packet: Option<u32>,
    /// It takes `QoS` 0 only, and says so.
    pub without_qos1: bool,
    /// It keeps nothing, and says so.
    pub without_retain: bool,
    /// It does not answer SUBSCRIBE.
    pub is_deaf: bool,
    /// Bit n: it refuses the nth filter of a SUBSCRIBE.
    pub refused_filters: u8,
    /// Answers to publishes.
    pub acknowledgement: Acknowledgement,
    /// Everything takes this long, each way of a broker's own.
    pub latency: Duration,
    /// Deliveries are late by up to this, each by another time: they overtake each other.
    pub jitter: Duration,
    /// Each message is delivered twice.
    pub delivers_twice: bool,
    /// It sends more at once than the box said that it takes.
    pub floods: bool,
    /// It forgets sessions with their connections.
    pub forgets_sessions: bool,
    /// Nothing gets through either way, and nobody says so.
    pub is_stalled: bool,
    /// Connections are lost after so many bytes, counting both ways.
    pub cut_after: Option<usize>,
}

impl Behaviour {
    /// What a connection is told at its beginning.
    pub(super) fn limits(&self) -> (Option<u16>, Option<u32>, bool, bool) {
        (self.receive_maximum, self.max_packet, self.without_qos1, self.without_retain)
    }
}
