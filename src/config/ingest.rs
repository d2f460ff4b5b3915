//! Where the stream goes: `[ingest]`, and `[ingest.second]` with the same keys.

use core::time::Duration;

use url::Url;

use super::check::{bare_host, is_loopback, parse_url, shown};
use super::reader::{Place, Reader};
use super::types::Choice;
use super::{Destination, HostPattern, Ingest, IngestScheme, Outage, Srt, Template};

/// The section of the second destination.
pub(super) const SECOND: &str = "ingest.second";

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

fn destination(r: &mut Reader<'_>, section: &'static str) -> Option<Destination> {
    let found = r.text(section, "url");
    let passphrase = secret(r, section, "passphrase");
    let streamid = secret(r, section, "streamid");
    let token = secret(r, section, "token");
    let key_length = r.number(section, "pbkeylen", 16..=32);
    let min_latency = r.span(section, "min-latency", Duration::from_millis(120), ms(20)..=ms(8000));
    let packet_size = r.number(section, "packet-size", 188..=1456);
    let (text, place) = found?;
    let url = parse_url(r, "url", &text, place, EXAMPLE)?;
    let Some((_, scheme)) = IngestScheme::ALL.iter().find(|(word, _)| *word == url.scheme()) else {
        let advice = "choose rtmps://, rtmp://, srt://, or https:// for WHIP";
        r.wrong(Some(place), format!("an ingest over {}:// is not supported", url.scheme()), advice);
        return None;
    };
    if !scheme.is_whip() {
        only(r, section, &["token"], "https:// (WHIP)");
    }
    if *scheme != IngestScheme::Srt {
        only(r, section, &["passphrase", "pbkeylen", "streamid", "min-latency", "packet-size"], "srt://");
    }
    let port = port(r, *scheme, &url, place)?;
    let host = bare_host(&url);
    let open = match scheme {
        IngestScheme::Rtmps | IngestScheme::Https => false,
        IngestScheme::Rtmp | IngestScheme::Http => true,
        IngestScheme::Srt => passphrase.is_none() && !url.query_pairs().any(|(key, _)| key == "passphrase"),
    };
    if open && !is_loopback(&host) {
        let (wrong, advice) = if scheme.is_whip() {
            ("the token will cross the network unencrypted", "use https://")
        } else {
            ("the stream will cross the network unencrypted", "use rtmps://, or srt:// with passphrase = \"${NAME}\"")
        };
        r.note(Some(place), wrong, advice);
    }
    let pbkeylen = key_length.unwrap_or(16);
    if !pbkeylen.is_multiple_of(8) {
        let place = r.place(section, "pbkeylen");
        r.wrong(place, format!("pbkeylen = {pbkeylen} is no length of an AES key"), "choose one of: 16, 24, 32");
    }
    let srt = Srt { passphrase, pbkeylen, streamid, min_latency, packet_size: packet_size.unwrap_or(1316) };
    Some(Destination { url: Template::new(text, shown(&url)), scheme: *scheme, host, port, srt, token })
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A value that is a secret, or has one in it.
fn secret(r: &mut Reader<'_>, section: &'static str, key: &'static str) -> Option<Template> {
    let (text, place) = r.text(section, key)?;
    if let Err(wrong) = Template::names(&text) {
        r.wrong(Some(place), format!("{key}: {wrong}"), "write ${NAME}, a secret that is looked up when it is used");
        return None;
    }
    Some(Template::new(text, key.to_owned()))
}

/// Keys that another protocol would not heed.
fn only(r: &mut Reader<'_>, section: &'static str, keys: &[&'static str], scheme: &str) {
    for key in keys {
        if let Some(place) = r.place(section, key) {
            r.wrong(Some(place), format!("{key} is for {scheme} only"), "leave it out");
        }
    }
}

fn port(r: &mut Reader<'_>, scheme: IngestScheme, url: &Url, place: Place) -> Option<u16> {
    let usual_port = match scheme {
        IngestScheme::Rtmps | IngestScheme::Https => Some(443),
        IngestScheme::Rtmp => Some(1935),
        IngestScheme::Http => Some(80),
        IngestScheme::Srt => None,
    };
    let port = url.port().or(usual_port);
    if port.is_none() {
        r.wrong(Some(place), "an srt:// URL needs a port", "write one such as srt://push.example.cn:9000");
    }
    match scheme {
        IngestScheme::Rtmp | IngestScheme::Rtmps => {
            let parts = url.path().split('/').filter(|part| !part.is_empty()).count();
            if parts < 2 {
                let advice = "write rtmps://HOST/APP/STREAM_KEY: server URL, a slash, stream key";
                r.wrong(Some(place), "an RTMP URL needs an application and a stream key", advice);
            }
        }
        IngestScheme::Srt | IngestScheme::Http | IngestScheme::Https => {}
    }
    port
}

pub(super) fn allowed_hosts(r: &mut Reader<'_>, ingest: Option<&Ingest>) -> Vec<HostPattern> {
    let destinations = || ingest.into_iter().flat_map(Ingest::destinations);
    let Some(listed) = r.list("privacy", "allowed-ingest-hosts") else {
        // Without a list the hosts that the integrator wrote are allowed, and nothing else.
        return destinations().filter_map(|destination| HostPattern::new(&destination.host)).collect();
    };
    let mut patterns = Vec::new();
    for (text, place) in listed {
        match HostPattern::new(&text) {
            Some(pattern) => patterns.push(pattern),
            None => {
                r.wrong(
                    Some(place),
                    format!("{text:?} is not a host"),
                    "write \"push.example.cn\" or \"*.example.cn\"",
                );
            }
        }
    }
    for (section, destination) in ["ingest", SECOND].into_iter().zip(destinations()) {
        let host = &destination.host;
        if !patterns.iter().any(|pattern| pattern.allows(host)) {
            let place = r.place(section, "url");
            let advice = "add the host to [privacy] allowed-ingest-hosts if the policy lets streams go there";
            r.wrong(place, format!("the ingest host {host:?} is not one of allowed-ingest-hosts"), advice);
        }
    }
    patterns
}
