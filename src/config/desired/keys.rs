//! Every key of the configuration that the platform may want otherwise: the table that the judgement, the documents and
//! the schemas are made from. What is not in it stays with the integrator: panel, trust, consent, privacy, the box's
//! folders and id, and the broker.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use serde_json::{Value, json};

use crate::config::address::Latency;
use crate::config::reader::format_duration;
use crate::config::{Config, Destination, Mask, Protocol, Srt};
use crate::ipc::video_bounds::{BITRATE_KBPS, FPS, HEIGHT, WIDTH};

/// The section whose tables add up.
pub(super) const MASKS: &str = "privacy-mask";

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DesiredKey {
    /// Section and key, as in `video.bitrate-kbps`.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: ValueKind,
    /// What it is, for the documents.
    pub(crate) meaning: &'static str,
    value: fn(&Config) -> Value,
}

/// What a key takes. Lengths of time are texts: `"30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// True or false.
    Flag,
    /// A whole number from the one to the other.
    Number(u32, u32),
    /// A length of time from the one to the other.
    Span(&'static str, &'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text.
    Text,
    /// A text that is never told again: a server's address with its key, or a key.
    Secret,
    /// `{"left", "right", "top", "bottom"}`, in percent.
    Crop,
    /// `[{"x", "y", "width", "height"}, …]`, in pixels.
    Masks,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("`true` or `false`"),
            Self::Number(low, high) => write!(f, "{low} to {high}"),
            Self::Span(low, high) => write!(f, "`\"{low}\"` to `\"{high}\"`"),
            Self::Word(words) => write!(f, "`\"{}\"`", words.join("\"`, `\"")),
            Self::Text => f.write_str("text"),
            Self::Secret => f.write_str("text, never reported"),
            Self::Crop => f.write_str("`{\"left\", \"right\", \"top\", \"bottom\"}`, percent"),
            Self::Masks => f.write_str("`[{\"x\", \"y\", \"width\", \"height\"}]`, pixels"),
        }
    }
}

impl ValueKind {
    /// The names of its parts, where it has some.
    pub(crate) const fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Crop => &["left", "right", "top", "bottom"],
            Self::Masks => &["x", "y", "width", "height"],
            Self::Flag | Self::Number(..) | Self::Span(..) | Self::Word(_) | Self::Text | Self::Secret => &[],
        }
    }
}

impl DesiredKey {
    /// Its section, and its name there; `None`: it is a section of its own.
    pub(super) fn place(&self) -> Option<(&'static str, &'static str)> {
        self.name.rsplit_once('.')
    }

    /// Its value in `config`; null where it has none or must not be told.
    pub(crate) fn value_in(&self, config: &Config) -> Value {
        (self.value)(config)
    }
}

const fn key(name: &'static str, kind: ValueKind, meaning: &'static str, value: fn(&Config) -> Value) -> DesiredKey {
    DesiredKey { name, kind, meaning, value }
}

#[allow(clippy::needless_pass_by_value)] // what it is given are constants
const fn within(range: RangeInclusive<u32>) -> ValueKind {
    Number(*range.start(), *range.end())
}

fn span(span: Duration) -> Value {
    format_duration(span).into()
}

fn srt(to: Option<&Destination>, value: fn(&Srt) -> Value) -> Value {
    match to.map(|to| &to.protocol) {
        Some(Protocol::Srt(srt)) => value(srt),
        Some(Protocol::Rtmp(_) | Protocol::Whip(_)) | None => Value::Null,
    }
}

fn latency(srt: &Srt) -> Value {
    let (Latency::AtLeast(latency) | Latency::Fixed(latency)) = srt.latency;
    span(latency)
}

fn mask(mask: &Mask) -> Value {
    json!({ "x": mask.x, "y": mask.y, "width": mask.width, "height": mask.height })
}

fn crop(config: &Config) -> Value {
    let crop = config.video.crop;
    json!({ "left": crop.left, "right": crop.right, "top": crop.top, "bottom": crop.bottom })
}

const VIDEO_SOURCES: &[&str] = &["auto", "libcamera", "v4l2", "file", "test"];
const ENCODERS: &[&str] = &["auto", "v4l2h264enc", "x264enc", "openh264enc"];
const AUDIO_SOURCES: &[&str] = &["auto", "alsa", "file", "test", "none"];
const BUFFERS: &[&str] = &["memory", "disk"];
const METERED_LINKS: &[&str] = &["use", "refuse"];

use ValueKind::{Crop, Flag, Masks, Number, Secret, Span, Text, Word};

/// All of them.
#[rustfmt::skip]
pub(crate) const DESIRED_KEYS: &[DesiredKey] = &[
    key("video.source", Word(VIDEO_SOURCES), "where the picture comes from", |c| c.video.source.as_str().into()),
    key("video.device", Text, "camera node, `auto`, or media file", |c| c.video.device.to_string_lossy().into()),
    key("video.width", within(WIDTH), "pixels, even", |c| c.video.width.into()),
    key("video.height", within(HEIGHT), "pixels, even", |c| c.video.height.into()),
    key("video.fps", within(FPS), "frames a second", |c| c.video.fps.into()),
    key("video.encoder", Word(ENCODERS), "which element encodes", |c| c.video.encoder.as_str().into()),
    key("video.bitrate-kbps", within(BITRATE_KBPS), "target, kbit/s", |c| c.video.bitrate_kbps.into()),
    key("video.adaptive", Flag, "whether the stream follows the network", |c| c.video.adaptive.into()),
    key("video.min-bitrate-kbps", Number(50, 20_000), "floor, kbit/s", |c| c.video.min_bitrate_kbps.into()),
    key("video.keyframe-interval", Span("500ms", "10s"), "between keyframes", |c| span(c.video.keyframe_interval)),
    key("video.rotation", Number(0, 270), "degrees clockwise, in quarter turns", |c| c.video.rotation.into()),
    key("video.mirror", Flag, "whether left and right change places", |c| c.video.mirror.into()),
    key("video.crop", Crop, "what is cut off at the edges", crop),
    key("overlay.text", Text, "the shop's name on the picture", |c| c.overlay.text.clone().into()),
    key("overlay.clock", Flag, "whether the time is on the picture", |c| c.overlay.clock.into()),
    key(MASKS, Masks, "masks in addition to those of the files", |c| c.masks.iter().map(mask).collect()),
    key("audio.source", Word(AUDIO_SOURCES), "where sound comes from", |c| c.audio.source.as_str().into()),
    key("audio.device", Text, "ALSA device, or media file", |c| c.audio.device.clone().into()),
    key("audio.bitrate-kbps", Number(16, 320), "kbit/s", |c| c.audio.bitrate_kbps.into()),
    key("audio.noise-suppression", Flag, "whether steady noise is reduced", |c| c.audio.noise_suppression.into()),
    key("audio.high-pass", Flag, "whether hum is removed", |c| c.audio.high_pass.into()),
    key("ingest.url", Secret, "where the stream goes", |c| c.ingest.first.origin().into()),
    key("ingest.stream-key", Secret, "RTMP: the key", |_| Value::Null),
    key("ingest.token", Secret, "WHIP: who publishes", |_| Value::Null),
    key("ingest.passphrase", Secret, "SRT: encrypts the stream", |_| Value::Null),
    key("ingest.pbkeylen", Number(16, 32), "SRT: bytes of key: 16, 24 or 32",
        |c| srt(Some(&c.ingest.first), |srt| srt.key_length.into())),
    key("ingest.streamid", Secret, "SRT: the stream's name at the server", |_| Value::Null),
    key("ingest.min-latency", Span("20ms", "8s"), "SRT: least latency", |c| srt(Some(&c.ingest.first), latency)),
    key("ingest.packet-size", Number(188, 1456), "SRT: bytes of media in a packet",
        |c| srt(Some(&c.ingest.first), |srt| srt.packet_size.into())),
    key("ingest.reconnect-window", Span("1s", "1d"), "without the server for longer, the session ends",
        |c| span(c.ingest.reconnect_window)),
    key("ingest.outage-buffer", Word(BUFFERS), "where frames wait meanwhile", |c| c.ingest.outage.buffer.as_str().into()),
    key("ingest.outage-buffer-mib", Number(8, 4096), "at most so much of them", |c| c.ingest.outage.size_mib.into()),
    key("ingest.catch-up", Span("0ms", "1d"), "longest outage that is made good", |c| span(c.ingest.outage.catch_up)),
    key("ingest.metered-links", Word(METERED_LINKS), "whether the stream may go over metered links",
        |c| c.ingest.metered_links.as_str().into()),
    key("ingest.second.url", Secret, "where the stream goes as well",
        |c| c.ingest.second.as_ref().map(Destination::origin).into()),
    key("ingest.second.stream-key", Secret, "as for the first", |_| Value::Null),
    key("ingest.second.token", Secret, "as for the first", |_| Value::Null),
    key("ingest.second.passphrase", Secret, "as for the first", |_| Value::Null),
    key("ingest.second.pbkeylen", Number(16, 32), "as for the first",
        |c| srt(c.ingest.second.as_ref(), |srt| srt.key_length.into())),
    key("ingest.second.streamid", Secret, "as for the first", |_| Value::Null),
    key("ingest.second.min-latency", Span("20ms", "8s"), "as for the first",
        |c| srt(c.ingest.second.as_ref(), latency)),
    key("ingest.second.packet-size", Number(188, 1456), "as for the first",
        |c| srt(c.ingest.second.as_ref(), |srt| srt.packet_size.into())),
    key("mqtt.telemetry-interval", Span("1s", "1d"), "how often telemetry is sent",
        |c| c.mqtt.as_ref().map(|mqtt| span(mqtt.telemetry_interval)).into()),
];
