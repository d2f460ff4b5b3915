//! Secrets stay with the server that they were configured for, and trust with whoever may write under `/etc`. What a
//! stick brought or the platform sent may name the box's secrets only where the box's own files name them, and cannot
//! lead a connection that carries them to another server.

use std::path::Path;

use super::document::{Author, SourceFile};
use super::{Config, Destination, Diagnostic, Ingest, Login, Mqtt, Protocol, Rtmp, SecretTemplate, Srt, Whip};

/// Keys beside an address that hold a secret, in any section. They stay when another file changes the address.
const BESIDE: [&str; 6] = ["stream-key", "passphrase", "streamid", "token", "password", "client-key"];

/// A connection that the box makes by itself, and the values with secrets in them that it shows there.
struct Connection<'c> {
    section: &'static str,
    /// Scheme, host, port.
    server: String,
    /// Whom TLS trusts; `None`: the system's authorities.
    ca_file: Option<&'c Path>,
    values: Vec<(&'static str, &'c SecretTemplate)>,
}

impl<'c> Connection<'c> {
    fn ingest(section: &'static str, to: &'c Destination) -> Self {
        let Destination { host, port, ca_file, protocol } = to;
        let values = match protocol {
            Protocol::Rtmp(Rtmp { tls: _, application, stream, login }) => present([
                ("application", Some(application)),
                ("stream-key", Some(stream)),
                ("user", login.as_ref().map(|Login { user, password: _ }| user)),
                ("password", login.as_ref().map(|Login { user: _, password }| password)),
            ]),
            Protocol::Srt(Srt { passphrase, key_length: _, stream_id, latency: _, packet_size: _ }) => {
                present([("passphrase", passphrase.as_ref()), ("streamid", stream_id.as_ref())])
            }
            Protocol::Whip(Whip { tls: _, path_and_query, token }) => {
                present([("path", Some(path_and_query)), ("token", token.as_ref())])
            }
        };
        let server = format!("{}://{}:{port}", to.scheme().as_str(), host.in_url());
        Self { section, server, ca_file: ca_file.as_deref(), values }
    }

    fn broker(broker: &'c Mqtt) -> Self {
        let Mqtt {
            tls,
            host,
            port,
            login,
            ca_file,
            crl_file: _,
            allow_plain: _,
            reconnect_spread: _,
            client_cert: _,
            client_key,
            topic_prefix: _,
            telemetry_interval: _,
            home_assistant: _,
        } = broker;
        let values = present([
            ("user", login.as_ref().map(|Login { user, password: _ }| user)),
            ("password", login.as_ref().map(|Login { user: _, password }| password)),
            ("client-key", client_key.as_ref()),
        ]);
        let server = format!("{}://{}:{port}", if *tls { "mqtts" } else { "mqtt" }, host.in_url());
        Self { section: "mqtt", server, ca_file: ca_file.as_deref(), values }
    }

    fn all(config: &'c Config) -> Vec<Self> {
        let Ingest { first, second, reconnect_window: _, outage: _, metered_links: _, metered_interfaces: _ } =
            &config.ingest;
        let second = second.as_ref().map(|second| Self::ingest(super::sections::SECOND, second));
        let broker = config.mqtt.as_ref().map(Self::broker);
        std::iter::once(Self::ingest("ingest", first)).chain(second).chain(broker).collect()
    }

    fn goes_where(&self, other: &Self) -> bool {
        (self.section, &self.server, self.ca_file) == (other.section, &other.server, other.ca_file)
    }

    /// Whether `secret` is a part of the value that is called `key`.
    fn names(&self, key: &str, secret: &str) -> bool {
        self.values.iter().any(|(known, value)| *known == key && value.placeholders().any(|name| name == secret))
    }
}

fn present<'c, const N: usize>(
    all: [(&'static str, Option<&'c SecretTemplate>); N],
) -> Vec<(&'static str, &'c SecretTemplate)> {
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// What is wrong with `all`, made of the box's `own` files and of `foreign` texts. `own_config` is made of the former
/// alone.
pub(super) fn diagnostics(
    own: &[SourceFile],
    own_config: &Config,
    foreign: &[SourceFile],
    all: &Config,
) -> Vec<Diagnostic> {
    let own_connections = Connection::all(own_config);
    let has = |section: &str, key: &str| foreign.iter().any(|text| text.find(section, key).is_some());
    let mut diagnostics: Vec<_> = foreign.iter().flat_map(trust_diagnostics).collect();
    for connection in Connection::all(all) {
        let same = own_connections.iter().find(|known| connection.goes_where(known));
        let Connection { section, server, ca_file: _, values } = &connection;
        for (key, value) in values {
            if let Some(secret) = value.placeholders().find(|name| !same.is_some_and(|known| known.names(key, name))) {
                let help = "write the value itself instead of ${...}, or write the address into tallybox.toml, as root";
                diagnostics.extend(refusal(foreign, section, key, &format!("the secret {secret} to {server}"), help));
            }
        }
        if same.is_some() {
            continue;
        }
        // A value that the box's own files have written out goes along with whatever address somebody else wrote.
        let literal = |key: &str| values.iter().any(|(known, value)| *known == key && value.literal().is_some());
        for key in BESIDE {
            let kept = !has(section, key) && own.iter().any(|text| text.find(section, key).is_some());
            if kept && literal(key) {
                let help =
                    "write that server's own beside the address, or write the address into tallybox.toml, as root";
                diagnostics.extend(refusal(foreign, section, key, &format!("the box's {key} to {server}"), help));
            }
        }
    }
    diagnostics
}

/// A stick says nothing about whose signatures count, in whatever words: it would be a key to every signed command.
fn trust_diagnostics(stick: &SourceFile) -> Vec<Diagnostic> {
    let of = |section: &str| {
        let at = stick.section(section)?;
        let message = format!("[{section}] cannot come from a stick: it says whose commands this box obeys");
        let help = "write it into a file under /etc/tallybox, as root".to_owned();
        Some(Diagnostic { file: stick.path.clone(), at: Some(at), message, help })
    };
    ["trust", "trust-thresholds"].into_iter().filter_map(of).collect()
}

/// Where one of `foreign` leads a secret astray: at `key`, else at the address.
fn refusal(foreign: &[SourceFile], section: &str, key: &'static str, what: &str, help: &str) -> Option<Diagnostic> {
    let find = |key: &'static str| foreign.iter().rev().find_map(|text| Some((text, key, text.find(section, key)?)));
    let found = find(key).or_else(|| find("url")).map(|(text, key, at)| (text, key, Some(at)));
    let (text, key, at) = found.or_else(|| Some((foreign.first()?, "url", None)))?;
    let who = match text.author {
        Author::Platform => "the platform",
        Author::Stick | Author::Integrator => "a stick",
    };
    let message = format!("[{section}] {key}: {who} cannot send {what}");
    Some(Diagnostic { file: text.path.clone(), at, message, help: help.to_owned() })
}

#[cfg(test)]
mod tests;
