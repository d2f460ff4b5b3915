//! The broker: `[mqtt]`.

use std::path::PathBuf;

use crate::config::address::Raw;
use crate::config::reader::{Location, Reader};
use crate::config::{Login, Mqtt, SecretTemplate, ValueError};

use super::{TEMPLATE, days, secs};

/// Bytes of a topic's prefix; with the id and the longest word behind it a topic stays far below MQTT's 65,535.
const MAX_PREFIX_BYTES: usize = 256;
const EXAMPLE: &str = "\"mqtts://broker.example.cn:8883\"";

/// A text, and where it stands.
type Text = (String, Location);

pub(super) fn mqtt(reader: &mut Reader<'_>) -> Option<Mqtt> {
    let telemetry_interval = reader.duration("mqtt", "telemetry-interval", secs(30), secs(1)..=days(1));
    let spread = reader.duration("mqtt", "reconnect-spread", secs(0), secs(0)..=Mqtt::MAX_RECONNECT_SPREAD);
    let reconnect_spread = reader.place("mqtt", "reconnect-spread").map(|_| spread);
    let allow_plain = reader.flag("mqtt", "allow-plain", false);
    let ca_file = reader.text("mqtt", "ca-file").map(|(text, _)| text.into());
    let crl_file = reader.text("mqtt", "crl-file");
    let client_cert = reader.text("mqtt", "client-cert");
    let client_key = reader.text("mqtt", "client-key");
    let topic_prefix = reader.text("mqtt", "topic-prefix");
    let home_assistant = reader.flag("mqtt", "home-assistant", false);
    let home_assistant_prefix = reader.text("mqtt", "home-assistant-prefix");
    let (text, place) = reader.text("mqtt", "url")?;
    let (raw, tls) = address(reader, &text, place)?;
    let login = login(reader, &raw, place);
    if !tls && !raw.host.is_loopback() {
        check_plain_text(reader, login.is_some(), allow_plain, place);
    }
    if tls && login.is_none() && client_cert.is_none() {
        let message = "nothing tells the broker which box this is: no client certificate, and no user";
        reader.warning(Some(place), message, "write client-cert and client-key, or user and password");
    }
    if let Some((_, place)) = crl_file.as_ref().filter(|_| !tls) {
        reader.error(Some(*place), "crl-file needs TLS, and url begins with mqtt://", "write mqtts:// in url");
    }
    check_certificate(reader, tls, client_cert.as_ref(), client_key.as_ref());
    let mut prefix = |key, text: Option<Text>, default: &str| {
        text.map_or_else(|| default.to_owned(), |text| checked_prefix(reader, key, text))
    };
    let topic_prefix = prefix("topic-prefix", topic_prefix, "tallybox/v1");
    let home_assistant_prefix = prefix("home-assistant-prefix", home_assistant_prefix, "homeassistant");
    Some(Mqtt {
        port: raw.port.unwrap_or(if tls { 8883 } else { 1883 }),
        tls,
        host: raw.host,
        login,
        ca_file,
        crl_file: crl_file.map(|(text, _)| PathBuf::from(text)),
        allow_plain,
        reconnect_spread,
        client_cert: client_cert.map(|(text, _)| PathBuf::from(text)),
        client_key: client_key.and_then(|(text, place)| {
            let report = |message| reader.error(Some(place), format!("client-key: {message}"), TEMPLATE);
            SecretTemplate::parse(&text, "client-key").map_err(report).ok()
        }),
        topic_prefix,
        telemetry_interval,
        home_assistant: home_assistant.then_some(home_assistant_prefix),
    })
}

/// The parts of `url`, and whether TLS is spoken.
fn address<'t>(reader: &mut Reader<'_>, text: &'t str, place: Location) -> Option<(Raw<'t>, bool)> {
    let report = |ValueError { message, help }| reader.error(Some(place), format!("url {message}"), help);
    let raw = Raw::split(text, EXAMPLE).map_err(report).ok()?;
    let tls = match raw.scheme.as_str() {
        "mqtts" => true,
        "mqtt" => false,
        other => {
            let message = format!("a broker over {other}:// is not supported");
            reader.error(Some(place), message, "choose mqtts:// or mqtt://");
            return None;
        }
    };
    if !matches!(raw.rest, "" | "/") {
        let help = format!("write one such as {EXAMPLE}");
        reader.error(Some(place), "a broker's URL has nothing behind host and port", help);
    }
    Some((raw, tls))
}

/// A connection without TLS that leaves this machine: a mistake, unless it is asked for, and then still one with a
/// password.
fn check_plain_text(reader: &mut Reader<'_>, has_login: bool, allowed: bool, place: Location) {
    if has_login {
        let message = "user name and password would cross the network unencrypted";
        reader.error(Some(place), message, "write mqtts:// in url");
    } else if allowed {
        let message = "telemetry and commands will cross the network unencrypted, and anybody on it can send commands";
        reader.warning(Some(place), message, "write mqtts:// in url as soon as the broker has TLS");
    } else {
        let message = "telemetry and commands would cross the network unencrypted";
        let help = "write mqtts:// in url; on a network of your own, where nobody else can send the box commands, \
                    allow-plain = true allows it";
        reader.error(Some(place), message, help);
    }
}

/// The box's own certificate: with its key, and with TLS.
fn check_certificate(reader: &mut Reader<'_>, tls: bool, certificate: Option<&Text>, key: Option<&Text>) {
    if let Some((_, place)) = certificate
        && !tls
    {
        let message = "client-cert needs TLS, and url begins with mqtt://";
        reader.error(Some(*place), message, "write mqtts:// in url");
    }
    match (certificate, key) {
        (Some((_, place)), None) => {
            let help = "write client-key = \"${MQTT_KEY}\", or the key file's path";
            reader.error(Some(*place), "client-cert without client-key", help);
        }
        (None, Some((_, place))) => {
            let help = "write client-cert = \"/etc/tallybox/client.pem\"";
            reader.error(Some(*place), "client-key without client-cert", help);
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn checked_prefix(reader: &mut Reader<'_>, key: &str, (text, place): Text) -> String {
    if text.is_empty()
        || text.contains(['#', '+', '\0'])
        || text.starts_with(['/', '$'])
        || text.ends_with('/')
        || text.contains(char::is_control)
        || text.len() > MAX_PREFIX_BYTES
    {
        let help = "write levels with \"/\" between them, such as \"tallybox/v1\"";
        reader.error(Some(place), format!("{key} = {text:?} cannot begin a topic"), help);
    }
    text
}

/// Who the box is at the broker: `user` and `password`, or what stands before the host.
fn login(reader: &mut Reader<'_>, raw: &Raw<'_>, place: Location) -> Option<Login> {
    let mut key = |key: &'static str| {
        let (text, place) = reader.text("mqtt", key)?;
        super::template(reader, key, &text, place).map(|template| (template, place))
    };
    let (user, password) = (key("user"), key("password"));
    let own = match (user, password) {
        (Some((user, at)), _) if user.literal().is_some_and(|user| user.is_empty()) => {
            reader.error(Some(at), "user is empty", "write the name that the broker knows, or leave it out");
            return None;
        }
        (Some((user, at)), password) => {
            let empty = || SecretTemplate::parse("", "password").ok();
            password.map(|(password, _)| password).or_else(empty).map(|password| (Login { user, password }, at))
        }
        (None, Some((_, at))) => {
            reader.error(Some(at), "password without user", "write user = \"NAME\", the name that the broker knows");
            return None;
        }
        (None, None) => None,
    };
    let Some(user) = raw.user else { return own.map(|(login, _)| login) };
    if let Some((_, at)) = own {
        reader.error(Some(at), "user is in the URL too", "leave the one before the host out");
        return None;
    }
    let report = |ValueError { message, help }: ValueError| reader.error(Some(place), format!("url {message}"), help);
    Login::parse(user, raw.password).map_err(report).ok()
}
