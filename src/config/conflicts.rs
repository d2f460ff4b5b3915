//! What no single key can tell: the broker, and contradictions between keys.

use core::time::Duration;

use super::address::Raw;
use super::reader::{Location, Reader};
use super::{
    Audio, AudioSource, Login, Mqtt, Outage, OutageBuffer, Panel, PanelBackend, Privacy, SecretTemplate, ValueError,
    Video, VideoSource,
};

/// A value with secrets in it, taken literally but for them.
pub(super) fn template(
    reader: &mut Reader<'_>,
    key: &'static str,
    text: &str,
    place: Location,
) -> Option<SecretTemplate> {
    if let Some(bad) = text.chars().find(|letter| letter.is_control()) {
        let message = format!("{key} has the character U+{:04X} in it", u32::from(bad));
        reader.error(Some(place), message, "take it out");
        return None;
    }
    let report = |message| reader.error(Some(place), format!("{key}: {message}"), TEMPLATE);
    SecretTemplate::parse(text, key).map_err(report).ok()
}

const TEMPLATE: &str = "write ${NAME}, a secret that is looked up when it is used";

/// Bytes of a topic's prefix; with the id and the longest word behind it a topic stays far below MQTT's 65,535.
const LONGEST_PREFIX: usize = 256;

pub(super) fn mqtt(reader: &mut Reader<'_>, telemetry_interval: Duration) -> Option<Mqtt> {
    let ca_file = reader.text("mqtt", "ca-file").map(|(text, _)| text.into());
    let client_cert = reader.text("mqtt", "client-cert");
    let client_key = reader.text("mqtt", "client-key");
    let topic_prefix = reader.text("mqtt", "topic-prefix");
    let example = "\"mqtts://broker.example.cn:8883\"";
    let (text, place) = reader.text("mqtt", "url")?;
    let raw = Raw::split(&text, example);
    let raw =
        raw.map_err(|ValueError { message, help }| reader.error(Some(place), format!("url {message}"), help)).ok()?;
    let tls = match raw.scheme.as_str() {
        "mqtts" => true,
        "mqtt" => false,
        other => {
            reader.error(
                Some(place),
                format!("a broker over {other}:// is not supported"),
                "choose mqtts:// or mqtt://",
            );
            return None;
        }
    };
    if !matches!(raw.rest, "" | "/") {
        reader.error(
            Some(place),
            "a broker's URL has nothing behind host and port",
            format!("write one such as {example}"),
        );
    }
    let login = login(reader, &raw, place);
    if !tls && !raw.host.is_loopback() {
        if login.is_none() {
            reader.warning(Some(place), "telemetry and commands will cross the network unencrypted", "use mqtts://");
        } else {
            reader.error(
                Some(place),
                "user name and password would cross the network unencrypted",
                "write mqtts:// in url",
            );
        }
    }
    if let Some((_, place)) = &client_cert
        && !tls
    {
        reader.error(Some(*place), "client-cert needs TLS, and url begins with mqtt://", "write mqtts:// in url");
    }
    match (&client_cert, &client_key) {
        (Some((_, place)), None) => {
            reader.error(
                Some(*place),
                "client-cert without client-key",
                "write client-key = \"${MQTT_KEY}\", or the key file's path",
            );
        }
        (None, Some((_, place))) => {
            reader.error(
                Some(*place),
                "client-key without client-cert",
                "write client-cert = \"/etc/tallybox/client.pem\"",
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let topic_prefix = topic_prefix.map_or_else(
        || "tallybox/v1".to_owned(),
        |(text, place)| {
            if text.is_empty()
                || text.contains(['#', '+', '\0'])
                || text.starts_with(['/', '$'])
                || text.ends_with('/')
                || text.contains(char::is_control)
                || text.len() > LONGEST_PREFIX
            {
                let help = "write levels with \"/\" between them, such as \"tallybox/v1\"";
                reader.error(Some(place), format!("topic-prefix = {text:?} cannot begin a topic"), help);
            }
            text
        },
    );
    Some(Mqtt {
        port: raw.port.unwrap_or(if tls { 8883 } else { 1883 }),
        tls,
        host: raw.host,
        login,
        ca_file,
        client_cert: client_cert.map(|(text, _)| text.into()),
        client_key: client_key.and_then(|(text, place)| {
            let report = |message| reader.error(Some(place), format!("client-key: {message}"), TEMPLATE);
            SecretTemplate::parse(&text, "client-key").map_err(report).ok()
        }),
        topic_prefix,
        telemetry_interval,
    })
}

/// Who the box is at the broker: `user` and `password`, or what stands before the host.
fn login(reader: &mut Reader<'_>, raw: &Raw<'_>, place: Location) -> Option<Login> {
    let mut key = |key: &'static str| {
        let (text, place) = reader.text("mqtt", key)?;
        template(reader, key, &text, place).map(|template| (template, place))
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

/// Footage on disk has a longest life, which may be none.
pub(super) fn check_retention(reader: &mut Reader<'_>, outage: Outage, privacy: &Privacy) {
    if outage.buffer == OutageBuffer::Disk && privacy.footage_retention.is_zero() {
        let place = reader.place("ingest", "outage-buffer");
        let help = "write outage-buffer = \"memory\", or a [privacy] footage-retention above 0";
        reader.error(place, "outage-buffer = \"disk\", and footage-retention says that footage is never written", help);
    }
}

pub(super) fn check_conflicts(reader: &mut Reader<'_>, panel: &Panel, video: &Video, audio: &Audio) {
    let pins = [
        ("button-pin", Some(panel.button_pin)),
        ("lamp-pin", Some(panel.lamp_pin)),
        ("lamp-sense-pin", panel.lamp_sense_pin),
        ("mute-pin", panel.mute_pin),
    ];
    for (index, (key, pin)) in pins.iter().enumerate() {
        let taken = pins[..index].iter().find(|(_, other)| pin.is_some() && other == pin);
        if let (Some((other, _)), Some(pin)) = (taken, pin) {
            let place = reader.place("panel", key).or_else(|| reader.place("panel", other));
            reader.error(place, format!("{key} and {other} are both pin {pin}"), "give each its own pin");
        }
    }
    if panel.backend == PanelBackend::Sim {
        let place = reader.place("panel", "backend");
        reader.warning(
            place,
            "the panel is simulated: there is no physical button and no lamp",
            "use it for development only",
        );
    }
    if video.min_bitrate_kbps > video.bitrate_kbps {
        let place = reader.place("video", "min-bitrate-kbps").or_else(|| reader.place("video", "bitrate-kbps"));
        let message =
            format!("min-bitrate-kbps {} is above bitrate-kbps {}", video.min_bitrate_kbps, video.bitrate_kbps);
        reader.error(place, message, "lower the one or raise the other");
    }
    for (key, pixels) in [("width", video.width), ("height", video.height)] {
        if !pixels.is_multiple_of(2) {
            let place = reader.place("video", key);
            reader.error(
                place,
                format!("{key} = {pixels} is odd, and H.264 halves the colour planes"),
                format!("write {}", pixels + 1),
            );
        }
    }
    if video.source == VideoSource::File {
        media_file(reader, "video", video.device.to_str().unwrap_or(""));
    }
    match audio.source {
        AudioSource::File => media_file(reader, "audio", &audio.device),
        AudioSource::Auto | AudioSource::Alsa => microphone(reader, &audio.device),
        AudioSource::Test | AudioSource::None => {}
    }
}

/// ALSA takes more than names: a piece of configuration in the name's place, and plugins that write what they hear into
/// a file or hand it to a program (alsa-lib, `pcm_file.c`).
fn microphone(reader: &mut Reader<'_>, name: &str) {
    const WRITERS: [&str; 3] = ["file", "rawfile", "tee"];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | ',' | '=' | '-' | '_' | '.');
    let writes = WRITERS.contains(&name.split([':', ',']).next().unwrap_or_default());
    if name.is_empty() || writes || !name.chars().all(plain) {
        let place = reader.place("audio", "device");
        let help = "write a device's name alone, such as \"default\" or \"plughw:CARD=C920\"; arecord -L lists them";
        reader.error(place, format!("[audio] device = {name:?} is more than the name of an ALSA device"), help);
    }
}

fn media_file(reader: &mut Reader<'_>, section: &'static str, path: &str) {
    match reader.place(section, "device") {
        None => {
            let place = reader.place(section, "source");
            reader.error(
                place,
                format!("[{section}] source = \"file\" without a file"),
                "write device = \"/path/to/footage.mp4\"",
            );
        }
        Some(place) if !std::path::Path::new(path).is_file() => {
            reader.error(Some(place), format!("there is no file {path}"), "write the path of a media file");
        }
        Some(_) => {}
    }
}
