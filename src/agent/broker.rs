//! How the broker is reached: address, TLS, credentials, last will.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, LastWill};
use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::{ConnectionError, MqttOptions, StateError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::dial::{ReceivedEnds, Route};
use super::explain::ConnectionContext;
use super::publisher::Limits;
use crate::config::{Login, Mqtt, SecretTemplate};
use crate::exit::Exit;
use crate::trust::SYSTEM_AUTHORITIES;
use monotonic::Monotonic;

/// Seconds after which a silent connection is probed: a pulled cable shows within a minute.
const KEEP_ALIVE: u16 = 20;
/// The longest packet in bytes that is taken: commands are under 1 KiB.
const MAX_PACKET: u32 = 64 * 1024;
/// Publishes that wait for their acknowledgement at once, in each direction.
const MAX_IN_FLIGHT: u16 = 32;
/// Name, addresses, TLS and CONNACK together; less would be too short for an address that swallows packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// What a broker turned out not to take is tried again after this long: it may have been changed.
const RETRY_FEATURE_AFTER: Duration = Duration::from_hours(1);

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
#[derive(Clone, Copy, Debug)]
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
    tls: bool,
    id: String,
    certificate_names: Vec<String>,
    heard: ReceivedEnds,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Broker {
    /// What is known of the connection when it ends.
    pub(super) fn context(&mut self, was_online: bool) -> ConnectionContext<'_> {
        (self.first, self.last) = (self.heard.first(), self.heard.last());
        ConnectionContext {
            tls: self.tls,
            id: &self.id,
            certificate_names: &self.certificate_names,
            first: &self.first,
            last: &self.last,
            was_online,
        }
    }
}

/// Everything but the connection itself.
pub(super) fn prepare(id: &str, mqtt: &Mqtt, accepts: Accepts) -> Result<(MqttOptions, Broker), Exit> {
    let mut options = MqttOptions::new(id, (mqtt.host.as_str(), mqtt.port));
    options.set_keep_alive(KEEP_ALIVE).set_clean_start(true).set_max_packet_size(Some(MAX_PACKET));
    options.set_receive_maximum(Some(MAX_IN_FLIGHT));
    // The client keeps a slot for each: 65,535, which is what it takes unasked, are 16 MB.
    options.set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT * 2);
    options.set_connect_timeout(CONNECT_TIMEOUT);
    let qos = if accepts.qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    options.set_last_will(LastWill::new(topic(mqtt, id, "availability"), "offline", qos, accepts.retain, None));
    if let Some(Login { user, password }) = &mqtt.login {
        let value = |template: &SecretTemplate| template.resolve().map_err(|error| Exit::config(error.to_string()));
        options.set_credentials(value(user)?.expose().to_owned(), value(password)?.expose().to_owned());
    }
    let (tls, certificate_names) = if mqtt.tls {
        let (tls, names) = tls(mqtt)?;
        (Some(tls), names)
    } else {
        (None, Vec::new())
    };
    let heard = ReceivedEnds::default();
    let broker = Broker {
        tls: mqtt.tls,
        id: id.to_owned(),
        certificate_names,
        heard: heard.clone(),
        first: Vec::new(),
        last: Vec::new(),
    };
    let route = Route { host: mqtt.host.as_str().to_owned(), port: mqtt.port, tls };
    options.set_socket_connector(move |_, _| route.clone().connect(heard.clone()));
    Ok((options, broker))
}

/// TLS as configured, and the names in this box's own certificate.
fn tls(mqtt: &Mqtt) -> Result<(TlsConnector, Vec<String>), Exit> {
    let authorities = match &mqtt.ca_file {
        Some(path) => certificates(path, "[mqtt] ca-file")?,
        None => certificates(Path::new(SYSTEM_AUTHORITIES), "the system's authorities (package ca-certificates)")?,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let unusable = |error: rustls::Error| {
        let why = if matches!(error, rustls::Error::InconsistentKeys(_)) {
            "they do not belong together; after a renewal restart the agent, which still has the former key".to_owned()
        } else {
            error.to_string()
        };
        Exit::config(format!("[mqtt] client-cert and client-key: {why}"))
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let rules = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Exit::software(format!("no TLS: {error}")))?
        .with_root_certificates(roots);
    let mut names = Vec::new();
    let rules = match (&mqtt.client_cert, &mqtt.client_key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "[mqtt] client-cert")?;
            names = chain.first().map(|own| names_in(own)).unwrap_or_default();
            let key = key.resolve().map_err(|error| Exit::config(error.to_string()))?;
            rules.with_client_auth_cert(chain, private_key(key.expose())?).map_err(unusable)?
        }
        (None, _) | (_, None) => rules.with_no_client_auth(),
    };
    Ok((TlsConnector::from(Arc::new(rules)), names))
}

/// A key in PEM form, or the path of a file with one.
fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, Exit> {
    if text.contains("-----BEGIN") {
        return PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| Exit::config(format!("[mqtt] client-key: {error}")));
    }
    PrivateKeyDer::from_pem_file(text).map_err(|error| Exit::config(format!("[mqtt] client-key {text}: {error}")))
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Exit> {
    let wrong = |why: String| Exit::config(format!("{what} {}: {why}", path.display()));
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let found: Vec<_> = found.filter_map(Result::ok).collect();
    if found.is_empty() { Err(wrong("no certificate in PEM form in it".to_owned())) } else { Ok(found) }
}

/// The names that a certificate is for: common name, and names of hosts.
pub(crate) fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = x509_cert::Certificate::from_der(certificate) else { return Vec::new() };
    let content = parsed.tbs_certificate();
    let mut names: Vec<String> = content.subject().common_name().ok().flatten().map(String::from).into_iter().collect();
    if let Ok(Some((_, SubjectAltName(more)))) = content.get_extension::<SubjectAltName>() {
        for name in more {
            if let GeneralName::DnsName(name) = name {
                names.push(name.to_string());
            }
        }
    }
    names.dedup();
    names
}
