//! How the broker is reached: address, TLS, credentials, last will.

use std::path::Path;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::LastWill;
use rumqttc::{MqttOptions, TlsConfiguration, Transport};

use crate::config::{Config, Login, Mqtt, Template};
use crate::exit::Exit;
use crate::trust::{self, SYSTEM_AUTHORITIES};

/// Seconds after which a silent connection is probed: a pulled cable shows within a minute.
const KEEP_ALIVE: u16 = 20;
/// The longest packet in bytes that is taken: commands are under 1 KiB.
const PACKET: u32 = 64 * 1024;
/// Publishes that wait for their acknowledgement at once.
pub(super) const IN_FLIGHT: u16 = 16;

/// `<prefix>/<id>/<name>`
pub(super) fn topic(mqtt: &Mqtt, id: &str, name: &str) -> String {
    format!("{}/{id}/{name}", mqtt.topic_prefix)
}

/// Everything but the connection itself.
pub(super) fn options(config: &Config, mqtt: &Mqtt) -> Result<MqttOptions, Exit> {
    let id = &config.device.id;
    let mut options = MqttOptions::new(id.clone(), (mqtt.host.as_str(), mqtt.port));
    options.set_keep_alive(KEEP_ALIVE).set_clean_start(true).set_max_packet_size(Some(PACKET));
    options.set_receive_maximum(Some(IN_FLIGHT));
    // The client keeps a slot for each: 65,535, which is what it takes unasked, are 16 MB.
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT * 2);
    let will = LastWill::new(topic(mqtt, id, "availability"), "offline", QoS::AtLeastOnce, true, None);
    options.set_last_will(will);
    if let Some(Login { user, password }) = &mqtt.login {
        let value = |template: &Template| template.resolve().map_err(|error| Exit::config(error.to_string()));
        options.set_credentials(value(user)?.expose().to_owned(), value(password)?.expose().to_owned());
    }
    if mqtt.tls {
        options.set_transport(Transport::tls_with_config(tls(mqtt)?));
    }
    Ok(options)
}

fn tls(mqtt: &Mqtt) -> Result<TlsConfiguration, Exit> {
    let ca = match &mqtt.ca_file {
        Some(path) => pem(path, "[mqtt] ca-file", "CERTIFICATE")?,
        None => {
            pem(Path::new(SYSTEM_AUTHORITIES), "the system's authorities (package ca-certificates)", "CERTIFICATE")?
        }
    };
    let client_auth = match (&mqtt.client_cert, &mqtt.client_key) {
        (Some(cert), Some(key)) => {
            let cert = pem(cert, "[mqtt] client-cert", "CERTIFICATE")?;
            let key = key.resolve().map_err(|error| Exit::config(error.to_string()))?;
            let text = key.expose();
            let key = if text.contains("-----BEGIN") {
                text.as_bytes().to_vec()
            } else {
                pem(Path::new(text), "[mqtt] client-key", "PRIVATE KEY")?
            };
            Some((cert, key))
        }
        (None, _) | (_, None) => None,
    };
    Ok(TlsConfiguration::Simple { ca, alpn: None, client_auth })
}

fn pem(path: &Path, what: &str, kind: &str) -> Result<Vec<u8>, Exit> {
    let text = std::fs::read(path).map_err(|error| Exit::config(format!("{what} {}: {error}", path.display())))?;
    if !String::from_utf8_lossy(&text).contains(kind) {
        return Err(Exit::config(format!("{what} {}: no {kind} in PEM form in it", path.display())));
    }
    Ok(text)
}

/// What a connection's error means.
pub(super) fn explain(error: &rumqttc::ConnectionError) -> String {
    let text = error.to_string();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let advice = if let Some(advice) = trust::advice(&text) {
        advice
    } else if has(&["failed to lookup", "Name or service", "name resolution"]) {
        "its name cannot be resolved: see the network's DNS, or [mqtt] url"
    } else if has(&["refused (os", "Connection refused (os"]) {
        "no broker listens on that port"
    } else if has(&["NotAuthorized", "BadUserNamePassword"]) {
        "it does not let this box in: see user name, password or client certificate"
    } else {
        return text;
    };
    format!("{advice} ({text})")
}
