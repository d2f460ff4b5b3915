//! What no single key can tell: URLs, hosts, and contradictions between keys.

use core::time::Duration;

use url::Url;

use super::reader::{Place, Reader};
use super::{
    Audio, AudioSource, Mqtt, Outage, OutageBuffer, Panel, PanelBackend, Privacy, Template, Video, VideoSource,
};

/// A URL with its secrets replaced by a letter, so that its parts can be judged without them.
pub(super) fn parse_url(r: &mut Reader<'_>, key: &str, text: &str, place: Place, example: &str) -> Option<Url> {
    if let Err(wrong) = Template::names(text) {
        r.wrong(Some(place), format!("{key}: {wrong}"), "write ${NAME}, a secret that is looked up when it is used");
        return None;
    }
    let blank = Template::fill(text, |_| Ok::<_, ()>("x".to_owned())).unwrap_or_default();
    let url = match Url::parse(&blank) {
        Ok(url) => url,
        Err(error) => {
            r.wrong(Some(place), format!("{key} is not a URL: {error}"), format!("write one such as {example}"));
            return None;
        }
    };
    let authority = text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let host_part = authority.rsplit('@').next().unwrap_or("");
    if host_part.contains("${") {
        r.wrong(
            Some(place),
            format!("{key} has a secret for a host"),
            "write the host out: it is checked before any secret is read",
        );
        return None;
    }
    if url.host_str().is_none_or(str::is_empty) {
        r.wrong(Some(place), format!("{key} has no host"), format!("write one such as {example}"));
        return None;
    }
    Some(url)
}

/// A URL without anything that could be a secret.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or(""))
}

pub(super) fn bare_host(url: &Url) -> String {
    url.host_str().unwrap_or("").trim_matches(['[', ']']).to_owned()
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn mqtt(r: &mut Reader<'_>, telemetry_interval: Duration) -> Option<Mqtt> {
    let ca_file = r.text("mqtt", "ca-file").map(|(text, _)| text.into());
    let client_cert = r.text("mqtt", "client-cert");
    let client_key = r.text("mqtt", "client-key");
    let topic_prefix = r.text("mqtt", "topic-prefix");
    let example = "\"mqtts://broker.example.cn:8883\"";
    let (text, place) = r.text("mqtt", "url")?;
    let url = parse_url(r, "url", &text, place, example)?;
    let tls = match url.scheme() {
        "mqtts" => true,
        "mqtt" => false,
        other => {
            r.wrong(Some(place), format!("a broker over {other}:// is not supported"), "choose mqtts:// or mqtt://");
            return None;
        }
    };
    let host = bare_host(&url);
    if !tls && !is_loopback(&host) {
        r.note(Some(place), "telemetry and commands will cross the network unencrypted", "use mqtts://");
    }
    if let Some((_, place)) = &client_cert
        && !tls
    {
        r.wrong(Some(*place), "client-cert needs TLS, and url begins with mqtt://", "write mqtts:// in url");
    }
    match (&client_cert, &client_key) {
        (Some((_, place)), None) => {
            r.wrong(
                Some(*place),
                "client-cert without client-key",
                "write client-key = \"${MQTT_KEY}\", or the key file's path",
            );
        }
        (None, Some((_, place))) => {
            r.wrong(Some(*place), "client-key without client-cert", "write client-cert = \"/etc/tallybox/client.pem\"");
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some((key, place)) = &client_key
        && let Err(wrong) = Template::names(key)
    {
        r.wrong(Some(*place), format!("client-key: {wrong}"), "write ${NAME}");
    }
    let topic_prefix = topic_prefix.map_or_else(
        || "tallybox/v1".to_owned(),
        |(text, place)| {
            if text.is_empty() || text.contains(['#', '+', '\0']) || text.starts_with(['/', '$']) || text.ends_with('/')
            {
                let advice = "write levels with \"/\" between them, such as \"tallybox/v1\"";
                r.wrong(Some(place), format!("topic-prefix = {text:?} cannot begin a topic"), advice);
            }
            text
        },
    );
    Some(Mqtt {
        port: url.port().unwrap_or(if tls { 8883 } else { 1883 }),
        url: Template::new(text, shown(&url)),
        tls,
        host,
        ca_file,
        client_cert: client_cert.map(|(text, _)| text.into()),
        client_key: client_key.map(|(text, _)| Template::new(text, "client-key".to_owned())),
        topic_prefix,
        telemetry_interval,
    })
}

/// Footage on disk has a longest life, which may be none.
pub(super) fn footage(r: &mut Reader<'_>, outage: Outage, privacy: &Privacy) {
    if outage.buffer == OutageBuffer::Disk && privacy.footage_retention.is_zero() {
        let place = r.place("ingest", "outage-buffer");
        let advice = "write outage-buffer = \"memory\", or a [privacy] footage-retention above 0";
        r.wrong(place, "outage-buffer = \"disk\", and footage-retention says that footage is never written", advice);
    }
}

pub(super) fn contradictions(r: &mut Reader<'_>, panel: &Panel, video: &Video, audio: &Audio) {
    let pins = [
        ("button-pin", Some(panel.button_pin)),
        ("lamp-pin", Some(panel.lamp_pin)),
        ("lamp-sense-pin", panel.lamp_sense_pin),
        ("mute-pin", panel.mute_pin),
    ];
    for (index, (key, pin)) in pins.iter().enumerate() {
        let taken = pins[..index].iter().find(|(_, other)| pin.is_some() && other == pin);
        if let (Some((other, _)), Some(pin)) = (taken, pin) {
            let place = r.place("panel", key).or_else(|| r.place("panel", other));
            r.wrong(place, format!("{key} and {other} are both pin {pin}"), "give each its own pin");
        }
    }
    if panel.backend == PanelBackend::Sim {
        let place = r.place("panel", "backend");
        r.note(place, "the panel is simulated: there is no physical button and no lamp", "use it for development only");
    }
    if video.min_bitrate_kbps > video.bitrate_kbps {
        let place = r.place("video", "min-bitrate-kbps").or_else(|| r.place("video", "bitrate-kbps"));
        let wrong = format!("min-bitrate-kbps {} is above bitrate-kbps {}", video.min_bitrate_kbps, video.bitrate_kbps);
        r.wrong(place, wrong, "lower the one or raise the other");
    }
    for (key, pixels) in [("width", video.width), ("height", video.height)] {
        if !pixels.is_multiple_of(2) {
            let place = r.place("video", key);
            r.wrong(
                place,
                format!("{key} = {pixels} is odd, and H.264 halves the colour planes"),
                format!("write {}", pixels + 1),
            );
        }
    }
    if video.source == VideoSource::File {
        media_file(r, "video", video.device.to_str().unwrap_or(""));
    }
    if audio.source == AudioSource::File {
        media_file(r, "audio", &audio.device);
    }
}

fn media_file(r: &mut Reader<'_>, section: &'static str, path: &str) {
    match r.place(section, "device") {
        None => {
            let place = r.place(section, "source");
            r.wrong(
                place,
                format!("[{section}] source = \"file\" without a file"),
                "write device = \"/path/to/footage.mp4\"",
            );
        }
        Some(place) if !std::path::Path::new(path).is_file() => {
            r.wrong(Some(place), format!("there is no file {path}"), "write the path of a media file");
        }
        Some(_) => {}
    }
}
