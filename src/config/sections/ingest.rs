//! Where the stream goes: `[ingest]`, and `[ingest.second]` with the same keys.

use core::time::Duration;

use crate::config::address::{self, Query, Raw};
use crate::config::choice::Choice;
use crate::config::reader::{Location, Reader};
use crate::config::{
    Destination, HostPattern, Ingest, IngestScheme, Latency, Outage, Protocol, Rtmp, SecretTemplate, Srt, ValueError,
    Whip,
};

/// Hosts below this name exist nowhere (RFC 6761, 6.4): an address there is one to be replaced.
pub(in crate::config) const PLACEHOLDER: &str = ".invalid";
/// The section of the second destination.
pub(in crate::config) const SECOND: &str = "ingest.second";

/// Both destinations, and what becomes of frames while one is away.
pub(super) fn ingest(reader: &mut Reader<'_>) -> Option<Ingest> {
    let secs = Duration::from_secs;
    let day = Duration::from_hours(24);
    let reconnect_window = reader.duration("ingest", "reconnect-window", secs(600), secs(1)..=day);
    let outage = Outage {
        buffer: reader.choice("ingest", "outage-buffer"),
        size_mib: reader.number("ingest", "outage-buffer-mib", 8..=4096).unwrap_or(32),
        catch_up: reader.duration("ingest", "catch-up", secs(10), Duration::ZERO..=day),
    };
    let metered_links = reader.choice("ingest", "metered-links");
    let metered_interfaces = metered_interfaces(reader);
    let first = destination(reader, "ingest");
    if reader.place("ingest", "url").is_none() {
        let help = format!("write url = {EXAMPLE}");
        reader.error(None, "[ingest] url is missing, and there is no default for it", help);
    }
    let second = destination(reader, SECOND);
    if let (None, Some(place)) = (reader.place(SECOND, "url"), reader.place("ingest", "second")) {
        reader.error(Some(place), "[ingest.second] has no url", format!("write url = {EXAMPLE}"));
    }
    Some(Ingest { first: first?, second, reconnect_window, outage, metered_links, metered_interfaces })
}

/// More than any box has; each is compared with what carries the stream.
const INTERFACES: usize = 16;

/// Names of network interfaces, as `ip link` shows them.
fn metered_interfaces(reader: &mut Reader<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, place) in reader.list("ingest", "metered-interfaces").unwrap_or_default() {
        let help = "write names as ip link shows them, at most 16: metered-interfaces = [\"eth1\"]";
        if names.len() == INTERFACES {
            reader.error(Some(place), format!("metered-interfaces has more than {INTERFACES} names"), help);
            break;
        }
        // The kernel's dev_valid_name: 1 to 15 bytes, no slash, colon or white space, not "." or "..".
        let is_valid = (1..=15).contains(&name.len())
            && !name.contains(|letter: char| letter == '/' || letter == ':' || letter.is_whitespace())
            && ![".", ".."].contains(&name.as_str());
        if is_valid {
            names.push(name);
        } else {
            reader.error(Some(place), format!("{name:?} cannot be the name of a network interface"), help);
        }
    }
    names
}

const EXAMPLE: &str =
    "\"rtmps://push.example.cn/live/${STREAM_KEY}\" or \"srt://push.example.cn:9000?streamid=${STREAM_KEY}\"";

/// What stands beside `url`.
struct Keys {
    stream_key: Option<SecretTemplate>,
    token: Option<SecretTemplate>,
    srt: Query,
}

impl Keys {
    fn read(reader: &mut Reader<'_>, section: &'static str) -> Self {
        let lengths = address::PACKET_SIZES;
        let min_latency = reader.place(section, "min-latency").is_some();
        let latency = reader.duration(section, "min-latency", address::DEFAULT_LATENCY, address::LATENCIES);
        let key_length = reader.number(section, "pbkeylen", 16..=32);
        Self {
            stream_key: secret(reader, section, "stream-key", |key| match key.literal() {
                Some(text) if text.is_empty() => {
                    Err(ValueError::new("stream-key is empty", "write the key, or leave it out"))
                }
                Some(_) | None => Ok(key),
            }),
            token: secret(reader, section, "token", Ok),
            srt: Query {
                passphrase: secret(reader, section, "passphrase", address::passphrase),
                stream_id: secret(reader, section, "streamid", address::stream_id),
                key_length: key_length.and_then(|bytes| {
                    let place = reader.place(section, "pbkeylen");
                    address::key_length(bytes)
                        .map_err(|ValueError { message, help }| reader.error(place, message, help))
                        .ok()
                }),
                latency: min_latency.then_some(latency),
                packet_size: reader.number(section, "packet-size", lengths),
            },
        }
    }
}

fn destination(reader: &mut Reader<'_>, section: &'static str) -> Option<Destination> {
    let found = reader.text(section, "url");
    let keys = Keys::read(reader, section);
    let ca_file = reader.text(section, "ca-file").map(|(text, _)| text.into());
    let (text, place) = found?;
    let raw = Raw::split(&text, EXAMPLE)
        .map_err(|ValueError { message, help }| reader.error(Some(place), format!("url {message}"), help));
    let raw = raw.ok()?;
    let Some((_, scheme)) = IngestScheme::ALL.iter().find(|(word, _)| *word == raw.scheme) else {
        let help = "choose rtmps://, rtmp://, srt://, or https:// for WHIP";
        reader.error(Some(place), format!("an ingest over {}:// is not supported", raw.scheme), help);
        return None;
    };
    if !scheme.is_whip() {
        only(reader, section, &["token"], "https:// (WHIP)");
    }
    if *scheme != IngestScheme::Srt {
        only(reader, section, &["passphrase", "pbkeylen", "streamid", "min-latency", "packet-size"], "srt://");
    }
    if *scheme != IngestScheme::Rtmps {
        only(reader, section, &["ca-file"], "rtmps://");
    }
    if !scheme.is_rtmp() {
        only(reader, section, &["stream-key"], "rtmps:// and rtmp://");
    }
    let port = raw.port.or(scheme.default_port());
    if port.is_none() {
        reader.error(Some(place), "an srt:// URL needs a port", "write one such as srt://push.example.cn:9000");
    }
    let written = keys.stream_key.is_some();
    let protocol = match scheme {
        IngestScheme::Rtmp => Rtmp::parse(&raw, false, keys.stream_key).map(Protocol::Rtmp),
        IngestScheme::Rtmps => Rtmp::parse(&raw, true, keys.stream_key).map(Protocol::Rtmp),
        IngestScheme::Http => Whip::parse(&raw, false, keys.token).map(Protocol::Whip),
        IngestScheme::Https => Whip::parse(&raw, true, keys.token).map(Protocol::Whip),
        IngestScheme::Srt => Query::parse(&raw).map(|query| Protocol::Srt(srt(reader, section, query, keys.srt))),
    };
    let protocol = protocol.map_err(|ValueError { message, help }| reader.error(Some(place), message, help)).ok()?;
    let to = Destination { host: raw.host, port: port?, ca_file, protocol };
    notes(reader, place, &to, written);
    Some(to)
}

/// The address and the keys beside it together.
fn srt(reader: &mut Reader<'_>, section: &'static str, url: Query, keys: Query) -> Srt {
    let usual = Srt::default();
    let twice = [
        ("passphrase", url.passphrase.is_some() && keys.passphrase.is_some()),
        ("pbkeylen", url.key_length.is_some() && keys.key_length.is_some()),
        ("streamid", url.stream_id.is_some() && keys.stream_id.is_some()),
        ("min-latency", url.latency.is_some() && keys.latency.is_some()),
        ("packet-size", url.packet_size.is_some() && keys.packet_size.is_some()),
    ];
    for (key, _) in twice.into_iter().filter(|(_, twice)| *twice) {
        let place = reader.place(section, key);
        reader.error(place, format!("{key} is in the URL too"), "leave one of them");
    }
    Srt {
        passphrase: keys.passphrase.or(url.passphrase),
        key_length: keys.key_length.or(url.key_length).unwrap_or(usual.key_length),
        stream_id: keys.stream_id.or(url.stream_id),
        latency: url.latency.map(Latency::Fixed).or(keys.latency.map(Latency::AtLeast)).unwrap_or(usual.latency),
        packet_size: keys.packet_size.or(url.packet_size).unwrap_or(usual.packet_size),
    }
}

/// What is allowed and worth knowing.
fn notes(reader: &mut Reader<'_>, place: Location, to: &Destination, stream_key: bool) {
    let open = match &to.protocol {
        Protocol::Rtmp(Rtmp { tls, .. }) | Protocol::Whip(Whip { tls, .. }) => !tls,
        Protocol::Srt(Srt { passphrase, .. }) => passphrase.is_none(),
    };
    if open && !to.host.is_loopback() {
        // A stream key too is a secret; but many platforms take RTMP in clear text only, so that it is said and
        // allowed.
        let proof = match &to.protocol {
            Protocol::Whip(Whip { tls: _, path_and_query, token }) => {
                token.is_some() || path_and_query.placeholders().next().is_some()
            }
            Protocol::Rtmp(_) | Protocol::Srt(_) => false,
        };
        if proof {
            reader.error(Some(place), "who publishes would cross the network unencrypted", "write https:// in url");
        }
        let (message, help) = if to.scheme().is_whip() {
            ("the offer will cross the network unencrypted", "use https://")
        } else {
            ("the stream will cross the network unencrypted", "use rtmps://, or srt:// with passphrase = \"${NAME}\"")
        };
        reader.warning(Some(place), message, help);
    }
    match &to.protocol {
        Protocol::Rtmp(rtmp) if !stream_key => {
            for ValueError { message, help } in rtmp.doubts() {
                reader.warning(Some(place), message, help);
            }
        }
        Protocol::Rtmp(_) | Protocol::Srt(_) | Protocol::Whip(_) => {}
    }
}

/// A value that is a secret, or has one in it; taken literally, and judged by `fits`.
fn secret(
    reader: &mut Reader<'_>,
    section: &'static str,
    key: &'static str,
    fits: impl FnOnce(SecretTemplate) -> Result<SecretTemplate, ValueError>,
) -> Option<SecretTemplate> {
    let (text, place) = reader.text(section, key)?;
    let template = super::template(reader, key, &text, place)?;
    fits(template).map_err(|ValueError { message, help }| reader.error(Some(place), message, help)).ok()
}

/// Keys that another protocol would not heed.
fn only(reader: &mut Reader<'_>, section: &'static str, keys: &[&'static str], scheme: &str) {
    for key in keys {
        if let Some(place) = reader.place(section, key) {
            reader.error(Some(place), format!("{key} is for {scheme} only"), "leave it out");
        }
    }
}

pub(super) fn allowed_hosts(reader: &mut Reader<'_>, ingest: Option<&Ingest>) -> Vec<HostPattern> {
    let destinations = || ingest.into_iter().flat_map(Ingest::destinations);
    let Some(listed) = reader.list("privacy", "allowed-ingest-hosts") else {
        // Without a list the hosts that the integrator wrote are allowed, and nothing else.
        return destinations().map(|destination| HostPattern::Exact(destination.host.clone())).collect();
    };
    let mut patterns = Vec::new();
    for (text, place) in listed {
        match HostPattern::parse(&text) {
            Ok(pattern) => patterns.push(pattern),
            Err(ValueError { message, help }) => reader.error(Some(place), message, help),
        }
    }
    for (section, destination) in ["ingest", SECOND].into_iter().zip(destinations()) {
        let host = destination.host.as_str();
        // An address that is to be replaced reaches nobody.
        let is_placeholder = host.ends_with(PLACEHOLDER);
        if !is_placeholder && !patterns.iter().any(|pattern| pattern.allows(&destination.host)) {
            let place = reader.place(section, "url");
            let help = "add the host to [privacy] allowed-ingest-hosts if the policy lets streams go there";
            reader.error(place, format!("the ingest host {host:?} is not one of allowed-ingest-hosts"), help);
        }
    }
    patterns
}
