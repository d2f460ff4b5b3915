//! The connection to the broker: made again when it is lost, with its subscriptions.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, Packet, Publish, SubscribeFilter, SubscribeReasonCode};
use rumqttc::{
    AckMode, AsyncClient, BrokerSessionResumePolicy, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Transport,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tallybox::clock::Clock;
use tallybox::exit::Exit;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::options::{self, BrokerUrl};

/// Debian's bundle of authorities, where no file is named.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Messages that wait to be looked at: then the broker is not listened to, and holds them.
const MAX_WAITING: usize = 1024;
/// Publishes that wait to be sent. More than a command has under way at once, so that sending never waits for
/// listening.
const MAX_REQUESTS: usize = 4096;
/// Publishes under way, each way.
const MAX_IN_FLIGHT: u16 = 1024;
/// Longest packet in bytes: boxes' messages are under 64 KiB.
const MAX_PACKET: u32 = 256 * 1024;
/// Seconds after which a silent connection is probed.
const KEEP_ALIVE: u16 = 20;
/// First and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a connection and its subscriptions may take at the start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the broker is, and who the operator is there.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BrokerArgs {
    /// The broker: mqtt:// or mqtts://.
    #[arg(long, value_name = "URL", default_value = options::BROKER, value_parser = BrokerUrl::parse, env = "TALLYBOX_FLEET_BROKER")]
    pub(crate) broker: BrokerUrl,
    /// Authorities that the broker's certificate is checked against; the system's without it.
    #[arg(long, value_name = "FILE", env = "TALLYBOX_FLEET_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Client certificate.
    #[arg(long, value_name = "FILE", requires = "client_key", env = "TALLYBOX_FLEET_CERT")]
    cert: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, value_name = "FILE", requires = "cert", env = "TALLYBOX_FLEET_CERT_KEY")]
    client_key: Option<PathBuf>,
    /// User name; `TALLYBOX_FLEET_PASSWORD` in the environment has its password.
    #[arg(long, value_name = "NAME", env = "TALLYBOX_FLEET_USER")]
    user: Option<String>,
    /// First part of all topics, as in the boxes' configuration.
    #[arg(long, value_name = "TOPIC", default_value = options::PREFIX)]
    pub(crate) prefix: String,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    /// There is a connection, and the broker has taken the subscriptions.
    Connected,
    /// The connection is lost, for this reason, and made again.
    Lost(String),
    /// A message.
    Message(Publish),
}

/// How long the broker keeps this client's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// Not at all.
    Clean,
    /// For so many seconds after a connection ends, by the client's name: nothing is missed meanwhile. Messages are
    /// acknowledged by [`Connection::acknowledge`].
    Kept { name: String, seconds: u32 },
}

/// A connection that lasts, until it is dropped.
pub(crate) struct Connection {
    pub(crate) client: AsyncClient,
    /// What came before the subscriptions were taken.
    early: VecDeque<Heard>,
    heard: mpsc::Receiver<Heard>,
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Connects and subscribes. Fails where that does not work now; what fails later is tried again.
    pub(crate) async fn open(
        args: &BrokerArgs,
        filters: Vec<(String, QoS)>,
        session: &SessionKind,
    ) -> Result<Self, Exit> {
        let options = mqtt_options(args, session)?;
        let (client, eventloop) = AsyncClient::builder(options).capacity(MAX_REQUESTS).build();
        let (sender, mut heard) = mpsc::channel(MAX_WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(eventloop, client.clone(), filters, sender));
        // What a session that is kept has waiting comes before the broker's word on the subscriptions. It is no more
        // than may be under way unacknowledged.
        let mut early = VecDeque::new();
        let begun = async {
            loop {
                match heard.recv().await {
                    Some(Heard::Connected) => return Ok(()),
                    Some(Heard::Lost(why)) => return Err(why),
                    Some(message @ Heard::Message(_)) => early.push_back(message),
                    None => return Err("nobody listens".to_owned()),
                }
            }
        };
        let late = || Err("it does not answer in time".to_owned());
        let begun = tokio::time::timeout(START_TIMEOUT, begun).await.unwrap_or_else(|_| late());
        begun.map_err(|why| Exit::unavailable(format!("the broker {}: {why}", args.broker)))?;
        Ok(Self { client, early, heard, _tasks: tasks })
    }

    /// What comes next. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Heard {
        if let Some(early) = self.early.pop_front() {
            return early;
        }
        // The task that listens ends with this value only.
        self.heard.recv().await.unwrap_or_else(|| Heard::Lost("nobody listens".to_owned()))
    }

    /// Tells the broker that a message was dealt with, in a session that is kept.
    pub(crate) async fn acknowledge(&self, message: &Publish) {
        // A connection that was lost meanwhile brings it again.
        let _ = self.client.ack(message).await;
    }

    /// Says goodbye; what was published is sent first.
    pub(crate) async fn close(mut self) {
        if self.client.disconnect_with_timeout(Duration::from_secs(5)).await.is_ok() {
            while let Ok(Heard::Connected | Heard::Message(_)) =
                tokio::time::timeout(Duration::from_secs(5), self.recv()).await
            {}
        }
    }
}

/// What the broker has kept for later subscribers, which it hands out first. Nothing in MQTT says where that ends: it
/// does where no retained message came for a while. What boxes publish meanwhile comes along, and does not count.
pub(crate) struct Snapshot {
    clock: Clock,
    wait: Duration,
    until: Monotonic,
}

impl Snapshot {
    pub(crate) fn new(wait: Duration) -> Self {
        let clock = Clock::start();
        Self { clock, wait, until: clock.now().saturating_add(wait) }
    }

    /// The next message; `None`: it has ended.
    pub(crate) async fn next(&mut self, connection: &mut Connection) -> Result<Option<Publish>, Exit> {
        loop {
            let until = self.clock.to_instant(self.until);
            match tokio::time::timeout_at(until, connection.recv()).await {
                Err(_) => return Ok(None),
                Ok(Heard::Connected) => {}
                Ok(Heard::Lost(why)) => return Err(Exit::unavailable(format!("the connection is lost: {why}"))),
                Ok(Heard::Message(message)) => {
                    if message.retain {
                        self.until = self.clock.now().saturating_add(self.wait);
                    }
                    return Ok(Some(message));
                }
            }
        }
    }
}

/// Polls the connection and nothing else.
async fn listen(
    mut eventloop: EventLoop,
    client: AsyncClient,
    filters: Vec<(String, QoS)>,
    heard: mpsc::Sender<Heard>,
) {
    let mut pause = PAUSES.0;
    loop {
        let tell = match eventloop.poll().await {
            // A session that was kept has its subscriptions.
            Ok(Event::Incoming(Packet::ConnAck(answer))) if answer.session_present => {
                pause = PAUSES.0;
                Some(Heard::Connected)
            }
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let filters = filters.iter().map(|(topic, qos)| SubscribeFilter::new(topic.clone(), *qos));
                match client.try_subscribe_many(filters.collect::<Vec<_>>()) {
                    Ok(()) => None,
                    Err(error) => Some(Heard::Lost(error.to_string())),
                }
            }
            Ok(Event::Incoming(Packet::SubAck(taken))) => {
                pause = PAUSES.0;
                let refused = taken.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
                Some(refused.map_or(Heard::Connected, |code| {
                    Heard::Lost(format!("it refuses the subscriptions ({code:?}): see its access rules for this user"))
                }))
            }
            Ok(Event::Incoming(Packet::Publish(message))) => Some(Heard::Message(message)),
            // The client library would connect again.
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => None,
            Err(error) => Some(Heard::Lost(explain(&error))),
        };
        let Some(tell) = tell else { continue };
        let lost = matches!(tell, Heard::Lost(_));
        if heard.send(tell).await.is_err() {
            return;
        }
        if lost {
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// Why there is no connection, and what helps where that is known.
fn explain(error: &ConnectionError) -> String {
    let denied = matches!(
        error,
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword)
    );
    let help = if denied {
        "; see --user, the password in TALLYBOX_FLEET_PASSWORD, --cert and --client-key"
    } else if error.to_string().to_lowercase().contains("certificate") {
        "; see --ca-file, and the name in --broker"
    } else {
        ""
    };
    format!("{error}{help}")
}

fn mqtt_options(args: &BrokerArgs, session: &SessionKind) -> Result<MqttOptions, Exit> {
    let name = match session {
        SessionKind::Clean => format!("tallybox-fleet-{:016x}", fastrand::u64(..)),
        SessionKind::Kept { name, .. } => name.clone(),
    };
    let mut mqtt = MqttOptions::new(name, (args.broker.host.as_str(), args.broker.port));
    mqtt.set_keep_alive(KEEP_ALIVE).set_max_packet_size(Some(MAX_PACKET));
    mqtt.set_receive_maximum(Some(MAX_IN_FLIGHT)).set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT);
    match session {
        SessionKind::Clean => mqtt.set_clean_start(true),
        SessionKind::Kept { seconds, .. } => {
            mqtt.set_clean_start(false)
                .set_session_expiry_interval(Some(*seconds))
                .set_ack_mode(AckMode::Manual)
                // This program publishes nothing in such a session, so it has no state of its own to bring along.
                .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly)
        }
    };
    if let Some(user) = &args.user {
        let password = std::env::var(options::PASSWORD).unwrap_or_default();
        mqtt.set_credentials(user.clone(), password);
    }
    if args.broker.tls {
        mqtt.set_transport(Transport::tls_with_config(tls(args)?.into()));
    } else if args.cert.is_some() {
        return Err(Exit::usage("--cert needs TLS: write mqtts:// in --broker"));
    }
    Ok(mqtt)
}

fn tls(args: &BrokerArgs) -> Result<ClientConfig, Exit> {
    let authorities = args.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(authorities)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let rules = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Exit::software(format!("no TLS: {error}")))?
        .with_root_certificates(roots);
    let (Some(cert), Some(key)) = (&args.cert, &args.client_key) else { return Ok(rules.with_no_client_auth()) };
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| Exit::no_input(format!("--client-key {}: {error}", key.display())))?;
    let unusable = |error| Exit::config(format!("--cert {} and --client-key: {error}", cert.display()));
    rules.with_client_auth_cert(certificates(cert)?, private).map_err(unusable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Exit> {
    let wrong = |why: String| Exit::no_input(format!("{}: {why}", path.display()));
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let found: Vec<_> = found.filter_map(Result::ok).collect();
    if found.is_empty() { Err(wrong("no certificate in PEM form in it".to_owned())) } else { Ok(found) }
}
