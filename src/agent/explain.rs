//! Why the broker cannot be used, in words that are the same at each attempt, with what to do about it. Pure.

use rumqttc::mqttbytes::v5::{ConnectReturnCode, Disconnect, DisconnectReasonCode, Packet};
use rumqttc::{ConnectionError, StateError};
use tokio_util::bytes::BytesMut;

use crate::config::{Secret, hide};
use crate::trust;

/// Longest text of a broker's own that is repeated, in characters.
const MAX_QUOTED: usize = 200;

/// The reason of a connection that ended without any.
pub(super) const CUT_WITHOUT_REASON: &str = "the connection was lost";

/// What is known when a connection ended.
pub(super) struct ConnectionContext<'a> {
    pub(super) tls: bool,
    /// The box's id, and the names in its certificate, if it has one.
    pub(super) id: &'a str,
    pub(super) certificate_names: &'a [String],
    /// What the server said first, and last.
    pub(super) first: &'a [u8],
    pub(super) last: &'a [u8],
    /// It had let this box in.
    pub(super) was_online: bool,
    /// What this box authenticates with: no text of the broker's is repeated with it.
    pub(super) secrets: &'a [Secret],
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionLoss {
    /// The same each time that the same is wrong.
    pub(super) reason: String,
    /// What the broker said itself, which may differ each time.
    pub(super) said: Option<String>,
    /// Whoever comes back at once would be thrown out again, or throw another out.
    pub(super) patient: bool,
    /// The broker did not let the box in.
    pub(super) refused: bool,
}

impl From<String> for ConnectionLoss {
    fn from(reason: String) -> Self {
        Self { reason, said: None, patient: false, refused: false }
    }
}

/// What a connection's error means.
pub(super) fn explain(error: &ConnectionError, known: &ConnectionContext<'_>) -> ConnectionLoss {
    if let Some(what) = no_broker(known) {
        return what.to_owned().into();
    }
    if let ConnectionError::ConnectionRefused(code) = error {
        return refused(*code, known);
    }
    if let ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) = error {
        return ended(*reason_code, known);
    }
    // The word of a broker counts, also where the client library did not understand it, or was not there any more.
    if let Some(packet) = last_disconnect(known.last) {
        return ended(packet.reason_code, known);
    }
    broken(&words(error), known).into()
}

/// The error's own words, and those of what it came from.
fn words(error: &ConnectionError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = deeper.source();
    }
    text
}

/// What the server is, if its first words show that it is no MQTT 5 broker, or not on this port.
fn no_broker(known: &ConnectionContext<'_>) -> Option<&'static str> {
    let first = known.first;
    match first {
        // A CONNACK of MQTT 5 has three bytes at least; this one is of 3.1.1.
        [0x20, 0x02, ..] => Some("it does not speak MQTT 5: use a broker of version 5, or switch it on there"),
        [0x20, ..] | [] => None,
        [0x14..=0x17, 0x03, ..] if !known.tls => Some("it speaks TLS on that port: write mqtts:// in [mqtt] url"),
        _ if first.starts_with(b"HTTP/") || first.starts_with(b"<") => Some(
            "it is a web server and no MQTT broker: see host and port in [mqtt] url; \
             on a network with a log-in page somebody has to log in first",
        ),
        _ if known.was_online => None,
        _ => Some("it is no MQTT broker: see host and port in [mqtt] url"),
    }
}

fn refused(code: ConnectReturnCode, known: &ConnectionContext<'_>) -> ConnectionLoss {
    use ConnectReturnCode as Code;
    let credentials = if known.certificate_names.is_empty() {
        "see [mqtt] user and password, or the client certificate"
    } else {
        "see the client certificate, and [mqtt] user and password"
    };
    let why = match code {
        Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => {
            "it does not speak MQTT 5: use a broker of version 5, or switch it on there".to_owned()
        }
        Code::ClientIdentifierNotValid | Code::BadClientId => {
            format!("it does not take the id {:?}: see [device] id, and the broker's rules for client ids", known.id)
        }
        Code::BadUserNamePassword => format!("user name or password are wrong: {credentials}"),
        Code::NotAuthorized => format!("it does not let this box in (not authorised): {credentials}"),
        Code::Banned => "it has banned this box: ask whoever keeps the broker".to_owned(),
        Code::BadAuthenticationMethod => format!("it wants another way to authenticate: {credentials}"),
        Code::ServerUnavailable | Code::ServiceUnavailable => "it is not available now; it is tried again".to_owned(),
        Code::ServerBusy => "it is busy; it is tried again".to_owned(),
        Code::QuotaExceeded => "quota exceeded: see the broker's limits; it is tried again".to_owned(),
        Code::ConnectionRateExceeded => "too many connections come at once; it is tried again".to_owned(),
        Code::UseAnotherServer | Code::ServerMoved => moved(code == Code::ServerMoved, known),
        Code::TopicNameInvalid => {
            "it does not take the topic of the last will: see [mqtt] topic-prefix, and its access rules".to_owned()
        }
        Code::RetainNotSupported => {
            "it keeps no retained messages: the next attempt is without a retained last will".to_owned()
        }
        Code::QoSNotSupported => "it does not allow QoS 1: the next attempt is with a last will of QoS 0".to_owned(),
        Code::PacketTooLarge => "CONNECT is longer than it takes: raise its limit".to_owned(),
        Code::PayloadFormatInvalid | Code::MalformedPacket | Code::ProtocolError => {
            format!("it does not understand CONNECT ({code:?}): see its version, and its log")
        }
        Code::UnspecifiedError | Code::ImplementationSpecificError | Code::Success => {
            format!("it refuses the connection ({code:?}): see its log")
        }
    };
    let unnamed = matches!(
        code,
        Code::ClientIdentifierNotValid
            | Code::BadClientId
            | Code::BadUserNamePassword
            | Code::NotAuthorized
            | Code::UnspecifiedError
            | Code::ImplementationSpecificError
    );
    let names = if unnamed { other_name(known) } else { String::new() };
    let said = connack(known.first).and_then(|packet| packet.properties?.reason_string);
    ConnectionLoss { reason: why + &names, said: said.map(|said| clean(&said, known)), patient: false, refused: true }
}

fn ended(code: DisconnectReasonCode, known: &ConnectionContext<'_>) -> ConnectionLoss {
    use DisconnectReasonCode as Code;
    let why = match code {
        Code::SessionTakenOver => {
            let why = format!(
                "another client uses the id {:?}, and the broker keeps the newer one: give each box its own [device] id; \
                 this one waits before it comes back, since they throw each other out",
                known.id
            );
            return ConnectionLoss { reason: why, said: None, patient: true, refused: false };
        }
        Code::UseAnotherServer | Code::ServerMoved => moved(code == Code::ServerMoved, known),
        Code::NotAuthorized => {
            format!("it ended the connection (not authorised): see its access rules{}", other_name(known))
        }
        Code::AdministrativeAction => "somebody ended the connection at the broker; it is tried again".to_owned(),
        Code::ServerShuttingDown => "it shuts down; it is tried again".to_owned(),
        Code::ServerBusy => "it is busy; it is tried again".to_owned(),
        Code::KeepAliveTimeout => "it has not heard of this box for too long: see the network".to_owned(),
        Code::QuotaExceeded | Code::MessageRateTooHigh | Code::ConnectionRateExceeded => {
            format!("a limit was exceeded ({code:?}): see the broker's limits for this box")
        }
        Code::PacketTooLarge => "a message was longer than it takes: raise its limit".to_owned(),
        Code::RetainNotSupported => "it keeps no retained messages: the next attempt goes without".to_owned(),
        Code::QoSNotSupported => "it does not allow QoS 1: the next attempt goes without".to_owned(),
        Code::TopicFilterInvalid | Code::TopicNameInvalid => {
            "it does not take a topic: see [mqtt] topic-prefix, and its access rules".to_owned()
        }
        Code::WildcardSubscriptionsNotSupported => {
            "it allows no subscription with a wildcard, and commands come on cmd/+: allow it at the broker".to_owned()
        }
        Code::MaximumConnectTime => "it ends connections after some time; it is tried again".to_owned(),
        Code::NormalDisconnection
        | Code::DisconnectWithWillMessage
        | Code::UnspecifiedError
        | Code::MalformedPacket
        | Code::ProtocolError
        | Code::ImplementationSpecificError
        | Code::ReceiveMaximumExceeded
        | Code::TopicAliasInvalid
        | Code::PayloadFormatInvalid
        | Code::SharedSubscriptionNotSupported
        | Code::SubscriptionIdentifiersNotSupported => format!("it ended the connection ({code:?}): see its log"),
    };
    let said = last_disconnect(known.last).and_then(|packet| packet.properties?.reason_string);
    ConnectionLoss { reason: why, said: said.map(|said| clean(&said, known)), patient: false, refused: false }
}

/// The other server that the broker named, if it did.
pub(super) fn server_reference(known: &ConnectionContext<'_>) -> Option<String> {
    let at_connect = connack(known.first).and_then(|packet| packet.properties?.server_reference);
    let later = || last_disconnect(known.last).and_then(|packet| packet.properties?.server_reference);
    at_connect.or_else(later).map(|to| clean(&to, known))
}

/// Where it says that it is now. That is told and not followed: commands come from where the configuration says.
fn moved(for_good: bool, known: &ConnectionContext<'_>) -> String {
    let to = server_reference(known).map_or_else(String::new, |to| format!(" to {to:?}"));
    let verb = if for_good { "the broker has moved" } else { "it sends this box for now" };
    format!("{verb}{to}: the box follows no such word; set [mqtt] url if it is right")
}

/// A certificate for another name than the box's id, which some brokers do not take.
fn other_name(known: &ConnectionContext<'_>) -> String {
    if known.certificate_names.is_empty() || known.certificate_names.iter().any(|name| name == known.id) {
        return String::new();
    }
    format!(
        "; the client certificate is for {:?} and this box's id is {:?}: a broker that takes the one for the other \
         refuses that; set [device] id to the certificate's name, or have one made for this id",
        known.certificate_names.join(", "),
        known.id
    )
}

/// Marks of an error below MQTT, in lower case, and what it means. The first row with a mark in the error counts.
const CAUSES: [(&[&str], &str); 5] = [
    (&["cannot be resolved"], "its name cannot be resolved: see the network's DNS, or [mqtt] url"),
    (&["connection refused"], "no broker listens on that port"),
    (&["network is unreachable"], "there is no way to its address: see the network"),
    (
        &["invalidcontenttype", "corrupt message", "wrongversion", "invalid peer certificate encoding"],
        "it does not speak TLS on that port: write mqtt:// in [mqtt] url, or the port for TLS, mostly 8883",
    ),
    (
        &["in the tls handshake"],
        "it ends the connection during the TLS handshake: see that the port is the one for TLS, mostly 8883",
    ),
];

/// A connection that ended without a word of MQTT.
fn broken(text: &str, known: &ConnectionContext<'_>) -> String {
    if let Some(advice) = trust::certificate_advice(text) {
        let name = if advice.contains("client certificate") { other_name(known) } else { String::new() };
        return format!("{advice}{name}");
    }
    let lower = text.to_lowercase();
    let has = |marks: &[&str]| trust::has_mark(&lower, marks);
    if let Some((_, advice)) = CAUSES.iter().find(|(marks, _)| has(marks)) {
        return (*advice).to_owned();
    }
    let silent = known.first.is_empty() && !known.was_online;
    if silent && has(&["connection timeout", "timed out", "no answer in time"]) {
        "it does not answer: see host and port in [mqtt] url, the network, and the broker".to_owned()
    } else if has(&["timed out", "last pingreq"]) {
        "the connection was cut: nothing is heard of it any more".to_owned()
    } else if known.first.is_empty() {
        let or = if known.tls { "be no broker" } else { "want TLS (mqtts://)" };
        format!(
            "it ends the connection without an answer: it may not speak MQTT 5, not let this box in, or {or}{}",
            other_name(known)
        )
    } else if known.was_online {
        CUT_WITHOUT_REASON.to_owned()
    } else {
        format!("it cannot be talked to: {}", clean(text, known))
    }
}

fn connack(first: &[u8]) -> Option<rumqttc::mqttbytes::v5::ConnAck> {
    let Ok(Packet::ConnAck(packet)) = Packet::read(&mut BytesMut::from(first), None) else { return None };
    Some(packet)
}

/// The DISCONNECT that a talk ended with. It begins where its length says that the rest is it.
fn last_disconnect(last: &[u8]) -> Option<Disconnect> {
    // Without a length of properties, as mosquitto sends it and MQTT 5 (section 3.14.2.2.1) allows: the client library
    // takes it for damaged.
    if let [.., 0xe0, 0x01, reason] = *last {
        let Ok(Packet::Disconnect(packet)) = Packet::read(&mut BytesMut::from(&[0xe0, 0x02, reason, 0x00][..]), None)
        else {
            return None;
        };
        return Some(packet);
    }
    (0..last.len()).rev().filter(|at| last[*at] == 0xe0).find_map(|at| {
        let mut rest = BytesMut::from(&last[at..]);
        let Ok(Packet::Disconnect(packet)) = Packet::read(&mut rest, None) else { return None };
        rest.is_empty().then_some(packet)
    })
}

fn clean(text: &str, known: &ConnectionContext<'_>) -> String {
    let text = known.secrets.iter().fold(text.to_owned(), |text, secret| hide(&text, secret.expose()));
    text.chars().filter(|c| !c.is_control()).take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests;
