//! How the broker is reached: address, TLS, credentials, last will.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, LastWill, LastWillProperties};
use rumqttc::{ConnectionError, MqttOptions, StateError};

use super::broker_session::EmptyHalf;
use super::dial::{ReceivedEnds, Route};
use super::explain::ConnectionContext;
use super::publisher::Limits;
use super::tls::TlsRules;
use crate::config::{Login, Mqtt, Secret, SecretTemplate};
use crate::connect::Destinations;
use crate::exit::Exit;
use monotonic::Monotonic;

/// Seconds after which a silent connection is probed: a pulled cable shows within a minute.
const KEEP_ALIVE: u16 = 20;
/// The longest packet in bytes that is taken: commands are under 1 KiB.
const MAX_PACKET: u32 = 64 * 1024;
/// Publishes that wait for their acknowledgement at once, in each direction.
const MAX_IN_FLIGHT: u16 = 32;
/// Places that the client library keeps for publishes of this side.
const MAX_OUTGOING: u16 = MAX_IN_FLIGHT * 2;
/// Name, addresses, TLS and CONNACK together; less would be too short for an address that swallows packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// What a broker turned out not to take is tried again after this long: it may have been changed.
pub(super) const RETRY_FEATURE_AFTER: Duration = Duration::from_hours(1);

/// Seconds that a broker waits before it says that a box is offline (docs/decisions has the arithmetic): a lost
/// connection, an agent that starts anew, and a takeover by the same box are over before.
const WILL_DELAY: u32 = 20;
/// Seconds that a broker keeps the session of a lost connection. Without one a will has no delay (MQTT 5, section
/// 3.1.3.2.2); what is sent to the box meanwhile waits for it.
const SESSION_EXPIRY: u32 = 30;

/// `<prefix>/<id>/<name>`
pub(super) fn topic(mqtt: &Mqtt, id: &str, name: &str) -> String {
    format!("{}/{id}/{name}", mqtt.topic_prefix)
}

/// What brokers refused that they had not said they would.
#[derive(Debug, Default)]
pub(super) struct RefusedFeatures {
    retain: Option<Monotonic>,
    qos1: Option<Monotonic>,
}

/// What is tried with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts {
    retain: bool,
    qos1: bool,
}

impl RefusedFeatures {
    /// What is tried at `now`.
    pub(super) fn at(&self, now: Monotonic) -> Accepts {
        let tried = |refused_features: Option<Monotonic>| {
            refused_features.is_none_or(|at| now.duration_since(at) >= RETRY_FEATURE_AFTER)
        };
        Accepts { retain: tried(self.retain), qos1: tried(self.qos1) }
    }

    /// Learns from the end of a connection.
    pub(super) fn learn(&mut self, now: Monotonic, error: &ConnectionError) {
        let (mut retain, mut qos1) = (false, false);
        if let ConnectionError::ConnectionRefused(code) = error {
            retain = *code == ConnectReturnCode::RetainNotSupported;
            qos1 = *code == ConnectReturnCode::QoSNotSupported;
        }
        if let ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) = error {
            retain = *reason_code == DisconnectReasonCode::RetainNotSupported;
            qos1 = *reason_code == DisconnectReasonCode::QoSNotSupported;
        }
        self.retain = if retain { Some(now) } else { self.retain };
        self.qos1 = if qos1 { Some(now) } else { self.qos1 };
    }
}

impl Accepts {
    /// What is left of `limits`.
    pub(super) fn within(self, mut limits: Limits) -> Limits {
        limits.retain &= self.retain;
        limits.qos1 &= self.qos1;
        limits
    }
}

/// A broker as one connection sees it.
pub(super) struct Broker {
    tls: Option<Arc<TlsRules>>,
    id: String,
    secrets: Vec<Secret>,
    heard: ReceivedEnds,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Broker {
    /// What is known of the connection when it ends.
    pub(super) fn context(&mut self, was_online: bool) -> ConnectionContext<'_> {
        (self.first, self.last) = (self.heard.first(), self.heard.last());
        ConnectionContext {
            tls: self.tls.is_some(),
            id: &self.id,
            certificate_names: self.tls.as_ref().map_or(&[], |rules| &rules.names),
            first: &self.first,
            last: &self.last,
            was_online,
            secrets: &self.secrets,
        }
    }
}

/// Everything but the connection itself. `tls`: by which rules it is encrypted, if it is.
pub(super) fn prepare(
    id: &str,
    mqtt: &Mqtt,
    accepts: Accepts,
    tls: Option<Arc<TlsRules>>,
    destinations: Destinations,
) -> Result<(MqttOptions, Broker), Exit> {
    let mut options = MqttOptions::new(id, (mqtt.host.as_str(), mqtt.port));
    options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(Some(MAX_PACKET));
    options.set_receive_maximum(Some(MAX_IN_FLIGHT));
    // The client keeps a slot for each: 65,535, which is what it takes unasked, are 16 MB.
    options.set_outgoing_inflight_upper_limit(MAX_OUTGOING);
    options.set_connect_timeout(CONNECT_TIMEOUT);
    options.set_clean_start(false).set_session_expiry_interval(Some(SESSION_EXPIRY));
    options.set_session_store(EmptyHalf { outgoing_inflight: MAX_OUTGOING, expiry: SESSION_EXPIRY });
    options.set_last_will(last_will(id, mqtt, accepts));
    let mut secrets = Vec::new();
    if let Some(Login { user, password }) = &mqtt.login {
        let value = |template: &SecretTemplate| template.resolve().map_err(|error| Exit::config(error.to_string()));
        let (name, password) = (value(user)?, value(password)?);
        options.set_credentials(name.expose().to_owned(), password.expose().to_owned());
        secrets.push(password);
        // A name that stands in the configuration is none.
        secrets.extend(user.placeholders().next().map(|_| name.clone()));
    }
    let heard = ReceivedEnds::default();
    let (tls_rules, id, heard_ends) = (tls.clone(), id.to_owned(), heard.clone());
    let broker = Broker { tls: tls_rules, id, secrets, heard: heard_ends, first: Vec::new(), last: Vec::new() };
    let route = Route { host: mqtt.host.as_str().to_owned(), port: mqtt.port, tls, destinations };
    options.set_socket_connector(move |_, _| route.clone().connect(heard.clone()));
    Ok((options, broker))
}

fn last_will(id: &str, mqtt: &Mqtt, accepts: Accepts) -> LastWill {
    let qos = if accepts.qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let delayed = LastWillProperties {
        delay_interval: Some(WILL_DELAY),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    LastWill::new(topic(mqtt, id, "availability"), "offline", qos, accepts.retain, Some(delayed))
}
