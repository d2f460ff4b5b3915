//! Where the stream goes: `[ingest]`, and `[ingest.second]` with the same keys.

use core::time::Duration;

use crate::config::address::{self, Query, Raw};
use crate::config::reader::{Place, Reader};
use crate::config::types::Choice;
use crate::config::{
    Destination, HostPattern, Ingest, IngestScheme, Latency, Outage, Protocol, Rtmp, Srt, Template, Whip, Wrong,
};

/// The section of the second destination.
pub(in crate::config) const SECOND: &str = "ingest.second";

/// Both destinations, and what becomes of frames while one is away.
pub(super) fn ingest(r: &mut Reader<'_>) -> Option<Ingest> {
    let secs = Duration::from_secs;
    let day = Duration::from_hours(24);
    let reconnect_window = r.span("ingest", "reconnect-window", secs(600), secs(1)..=day);
    let outage = Outage {
        buffer: r.choice("ingest", "outage-buffer"),
        size_mib: r.number("ingest", "outage-buffer-mib", 8..=4096).unwrap_or(32),
        catch_up: r.span("ingest", "catch-up", secs(10), Duration::ZERO..=day),
    };
    let first = destination(r, "ingest");
    if r.place("ingest", "url").is_none() {
        let advice = format!("write url = {EXAMPLE}");
        r.wrong(None, "[ingest] url is missing, and there is no default for it", advice);
    }
    let second = destination(r, SECOND);
    if let (None, Some(place)) = (r.place(SECOND, "url"), r.place("ingest", "second")) {
        r.wrong(Some(place), "[ingest.second] has no url", format!("write url = {EXAMPLE}"));
    }
    Some(Ingest { first: first?, second, reconnect_window, outage })
}

const EXAMPLE: &str =
    "\"rtmps://push.example.cn/live/${STREAM_KEY}\" or \"srt://push.example.cn:9000?streamid=${STREAM_KEY}\"";

/// What stands beside `url`.
struct Keys {
    stream_key: Option<Template>,
    token: Option<Template>,
    srt: Query,
}

impl Keys {
    fn read(r: &mut Reader<'_>, section: &'static str) -> Self {
        let lengths = address::PACKET_SIZES;
        let min_latency = r.place(section, "min-latency").is_some();
        let latency = r.span(section, "min-latency", address::DEFAULT_LATENCY, address::LATENCIES);
        let key_length = r.number(section, "pbkeylen", 16..=32);
        Self {
            stream_key: secret(r, section, "stream-key", |key| match key.literal() {
                Some(text) if text.is_empty() => {
                    Err(Wrong::new("stream-key is empty", "write the key, or leave it out"))
                }
                Some(_) | None => Ok(key),
            }),
            token: secret(r, section, "token", Ok),
            srt: Query {
                passphrase: secret(r, section, "passphrase", address::passphrase),
                stream_id: secret(r, section, "streamid", address::stream_id),
                key_length: key_length.and_then(|bytes| {
                    let place = r.place(section, "pbkeylen");
                    address::key_length(bytes).map_err(|Wrong { wrong, advice }| r.wrong(place, wrong, advice)).ok()
                }),
                latency: min_latency.then_some(latency),
                packet_size: r.number(section, "packet-size", lengths),
            },
        }
    }
}

fn destination(r: &mut Reader<'_>, section: &'static str) -> Option<Destination> {
    let found = r.text(section, "url");
    let keys = Keys::read(r, section);
    let ca_file = r.text(section, "ca-file").map(|(text, _)| text.into());
    let (text, place) = found?;
    let raw = Raw::split(&text, EXAMPLE)
        .map_err(|Wrong { wrong, advice }| r.wrong(Some(place), format!("url {wrong}"), advice));
    let raw = raw.ok()?;
    let Some((_, scheme)) = IngestScheme::ALL.iter().find(|(word, _)| *word == raw.scheme) else {
        let advice = "choose rtmps://, rtmp://, srt://, or https:// for WHIP";
        r.wrong(Some(place), format!("an ingest over {}:// is not supported", raw.scheme), advice);
        return None;
    };
    if !scheme.is_whip() {
        only(r, section, &["token"], "https:// (WHIP)");
    }
    if *scheme != IngestScheme::Srt {
        only(r, section, &["passphrase", "pbkeylen", "streamid", "min-latency", "packet-size"], "srt://");
    }
    if *scheme != IngestScheme::Rtmps {
        only(r, section, &["ca-file"], "rtmps://");
    }
    if !scheme.is_rtmp() {
        only(r, section, &["stream-key"], "rtmps:// and rtmp://");
    }
    let port = raw.port.or(scheme.default_port());
    if port.is_none() {
        r.wrong(Some(place), "an srt:// URL needs a port", "write one such as srt://push.example.cn:9000");
    }
    let written = keys.stream_key.is_some();
    let protocol = match scheme {
        IngestScheme::Rtmp => Rtmp::parse(&raw, false, keys.stream_key).map(Protocol::Rtmp),
        IngestScheme::Rtmps => Rtmp::parse(&raw, true, keys.stream_key).map(Protocol::Rtmp),
        IngestScheme::Http => Whip::parse(&raw, false, keys.token).map(Protocol::Whip),
        IngestScheme::Https => Whip::parse(&raw, true, keys.token).map(Protocol::Whip),
        IngestScheme::Srt => Query::parse(&raw).map(|query| Protocol::Srt(srt(r, section, query, keys.srt))),
    };
    let protocol = protocol.map_err(|Wrong { wrong, advice }| r.wrong(Some(place), wrong, advice)).ok()?;
    let to = Destination { host: raw.host, port: port?, ca_file, protocol };
    notes(r, place, &to, written);
    Some(to)
}

/// The address and the keys beside it together.
fn srt(r: &mut Reader<'_>, section: &'static str, url: Query, keys: Query) -> Srt {
    let usual = Srt::default();
    let twice = [
        ("passphrase", url.passphrase.is_some() && keys.passphrase.is_some()),
        ("pbkeylen", url.key_length.is_some() && keys.key_length.is_some()),
        ("streamid", url.stream_id.is_some() && keys.stream_id.is_some()),
        ("min-latency", url.latency.is_some() && keys.latency.is_some()),
        ("packet-size", url.packet_size.is_some() && keys.packet_size.is_some()),
    ];
    for (key, _) in twice.into_iter().filter(|(_, twice)| *twice) {
        let place = r.place(section, key);
        r.wrong(place, format!("{key} is in the URL too"), "leave one of them");
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
fn notes(r: &mut Reader<'_>, place: Place, to: &Destination, stream_key: bool) {
    let open = match &to.protocol {
        Protocol::Rtmp(Rtmp { tls, .. }) | Protocol::Whip(Whip { tls, .. }) => !tls,
        Protocol::Srt(Srt { passphrase, .. }) => passphrase.is_none(),
    };
    if open && !to.host.is_loopback() {
        // A stream key too is a secret; but many platforms take RTMP in clear text only, so that it is said and
        // allowed.
        let proof = match &to.protocol {
            Protocol::Whip(Whip { tls: _, path_and_query, token }) => {
                token.is_some() || path_and_query.names().next().is_some()
            }
            Protocol::Rtmp(_) | Protocol::Srt(_) => false,
        };
        if proof {
            r.wrong(Some(place), "who publishes would cross the network unencrypted", "write https:// in url");
        }
        let (wrong, advice) = if to.scheme().is_whip() {
            ("the offer will cross the network unencrypted", "use https://")
        } else {
            ("the stream will cross the network unencrypted", "use rtmps://, or srt:// with passphrase = \"${NAME}\"")
        };
        r.note(Some(place), wrong, advice);
    }
    match &to.protocol {
        Protocol::Rtmp(rtmp) if !stream_key => {
            for Wrong { wrong, advice } in rtmp.doubts() {
                r.note(Some(place), wrong, advice);
            }
        }
        Protocol::Rtmp(_) | Protocol::Srt(_) | Protocol::Whip(_) => {}
    }
}

/// A value that is a secret, or has one in it; taken literally, and judged by `fits`.
fn secret(
    r: &mut Reader<'_>,
    section: &'static str,
    key: &'static str,
    fits: impl FnOnce(Template) -> Result<Template, Wrong>,
) -> Option<Template> {
    let (text, place) = r.text(section, key)?;
    let template = crate::config::conflicts::template(r, key, &text, place)?;
    fits(template).map_err(|Wrong { wrong, advice }| r.wrong(Some(place), wrong, advice)).ok()
}

/// Keys that another protocol would not heed.
fn only(r: &mut Reader<'_>, section: &'static str, keys: &[&'static str], scheme: &str) {
    for key in keys {
        if let Some(place) = r.place(section, key) {
            r.wrong(Some(place), format!("{key} is for {scheme} only"), "leave it out");
        }
    }
}

pub(super) fn allowed_hosts(r: &mut Reader<'_>, ingest: Option<&Ingest>) -> Vec<HostPattern> {
    let destinations = || ingest.into_iter().flat_map(Ingest::destinations);
    let Some(listed) = r.list("privacy", "allowed-ingest-hosts") else {
        // Without a list the hosts that the integrator wrote are allowed, and nothing else.
        return destinations().map(|destination| HostPattern::Exact(destination.host.clone())).collect();
    };
    let mut patterns = Vec::new();
    for (text, place) in listed {
        match HostPattern::parse(&text) {
            Ok(pattern) => patterns.push(pattern),
            Err(Wrong { wrong, advice }) => r.wrong(Some(place), wrong, advice),
        }
    }
    for (section, destination) in ["ingest", SECOND].into_iter().zip(destinations()) {
        let host = destination.host.as_str();
        if !patterns.iter().any(|pattern| pattern.allows(&destination.host)) {
            let place = r.place(section, "url");
            let advice = "add the host to [privacy] allowed-ingest-hosts if the policy lets streams go there";
            r.wrong(place, format!("the ingest host {host:?} is not one of allowed-ingest-hosts"), advice);
        }
    }
    patterns
}
