//! SRT's part of an address: the keys of its query, and the same as keys of `[ingest]`. The box calls, and never
//! listens.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::{Raw, ValueError, decoded, unsendable};
use crate::config::{Secret, SecretTemplate, did_you_mean};

/// What an SRT server is told.
#[derive(Clone, Debug)]
pub struct Srt {
    /// Encrypts the stream, 10 to 79 bytes.
    pub passphrase: Option<SecretTemplate>,
    /// Length of the AES key in bytes: 16, 24 or 32.
    pub key_length: u32,
    /// What the server tells streams apart by, at most 512 bytes.
    pub stream_id: Option<SecretTemplate>,
    /// The time that is left for what was lost to be sent again.
    pub latency: Latency,
    /// Bytes of media in a packet, at most.
    pub packet_size: u32,
}

/// How long the receiver waits for what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// As the way to the server needs it, and at least this.
    AtLeast(Duration),
    /// This: whoever writes it into the address means it.
    Fixed(Duration),
}

/// [`Srt::latency`], from 20 ms, below which no round trip fits, to 8 s, when viewers are gone.
pub(in crate::config) const LATENCIES: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(8);
/// libsrt's own default.
pub(in crate::config) const DEFAULT_LATENCY: Duration = Duration::from_millis(120);
/// [`Srt::packet_size`]: one packet of MPEG-TS, to what fits into 1500 bytes with the headers of IP, UDP and SRT.
pub(in crate::config) const PACKET_SIZES: RangeInclusive<u32> = 188..=1456;
/// Seven packets of MPEG-TS, as everybody sends.
const USUAL_PACKET: u32 = 1316;
/// Bytes of a passphrase (libsrt's API, `SRTO_PASSPHRASE`).
const PASSPHRASE: RangeInclusive<usize> = 10..=79;
/// Bytes of a stream id (libsrt's API, `SRTO_STREAMID`).
const STREAM_ID: usize = 512;

/// Keys of the query that are understood.
const KNOWN: [&str; 7] = ["streamid", "passphrase", "pbkeylen", "latency", "pkt_size", "mode", "transtype"];
/// Keys that would make a server of the box, or send from elsewhere than the way out.
const NEVER: [&str; 6] = ["localaddress", "localport", "adapter", "bind", "port", "rendezvous"];

impl Default for Srt {
    fn default() -> Self {
        let latency = Latency::AtLeast(DEFAULT_LATENCY);
        Self { passphrase: None, key_length: 16, stream_id: None, latency, packet_size: USUAL_PACKET }
    }
}

/// What the address itself says; `None` where it does not.
#[derive(Debug, Default)]
pub(in crate::config) struct Query {
    pub(in crate::config) passphrase: Option<SecretTemplate>,
    pub(in crate::config) key_length: Option<u32>,
    pub(in crate::config) stream_id: Option<SecretTemplate>,
    pub(in crate::config) latency: Option<Duration>,
    pub(in crate::config) packet_size: Option<u32>,
}

impl Query {
    /// Reads what stands behind the host. A `#` in it is a letter as any: each server's documentation writes
    /// `?streamid=#!::r=live/x,m=publish`.
    pub(in crate::config) fn parse(raw: &Raw<'_>) -> Result<Self, ValueError> {
        if raw.user.is_some() {
            let help = "say who publishes in streamid, and the secret in passphrase";
            return Err(ValueError::new("an srt:// URL has no user before the host", help));
        }
        let rest = raw.rest.strip_prefix('/').unwrap_or(raw.rest);
        let Some(query) = rest.strip_prefix('?').or_else(|| rest.is_empty().then_some("")) else {
            return Err(ValueError::new("an srt:// URL has no path", "write srt://HOST:PORT?streamid=NAME"));
        };
        let (mut all, mut seen) = (Self::default(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decoded(key)?.to_ascii_lowercase();
            if seen.contains(&key) {
                return Err(ValueError::new(format!("the URL has {key} more than once"), "leave one of them"));
            }
            all.take(&key, value)?;
            seen.push(key);
        }
        Ok(all)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), ValueError> {
        match key {
            "streamid" | "srt_streamid" => self.stream_id = Some(stream_id(text(value, "streamid")?)?),
            "passphrase" => self.passphrase = Some(passphrase(text(value, "passphrase")?)?),
            "pbkeylen" => self.key_length = Some(key_length(number("pbkeylen", value, "bytes", 16..=32)?)?),
            "latency" => {
                let (low, high) = (millis(*LATENCIES.start()), millis(*LATENCIES.end()));
                let found = number("latency", value, "milliseconds (FFmpeg counts microseconds)", low..=high)?;
                self.latency = Some(Duration::from_millis(found.into()));
            }
            "pkt_size" => self.packet_size = Some(number("pkt_size", value, "bytes", PACKET_SIZES)?),
            "mode" if value.eq_ignore_ascii_case("caller") => {}
            "mode" => {
                let message = format!("mode={value} would not call the server, and this box only calls");
                return Err(ValueError::new(message, "leave mode out, and let the server listen"));
            }
            "transtype" if value.eq_ignore_ascii_case("live") => {}
            "transtype" => {
                return Err(ValueError::new(
                    format!("transtype={value} is no way to send a live stream"),
                    "leave it out",
                ));
            }
            key if NEVER.contains(&key) => {
                let message = format!("{key} is refused: this box only calls, from where the way to the server begins");
                return Err(ValueError::new(message, "leave it out"));
            }
            other => {
                let near = did_you_mean(other, KNOWN.into_iter());
                let help = format!("{near}an srt:// URL takes: {}", KNOWN.join(", "));
                return Err(ValueError::new(format!("the URL's key {other:?} is not known"), help));
            }
        }
        Ok(())
    }
}

const fn millis(span: Duration) -> u32 {
    // The range ends at 8,000.
    #[allow(clippy::cast_possible_truncation)]
    let millis = span.as_millis() as u32;
    millis
}

/// A value of the query: decoded once, and a secret in it taken literally.
fn text(value: &str, shown: &'static str) -> Result<SecretTemplate, ValueError> {
    let template = SecretTemplate::parse(value, shown).map_err(|message| ValueError::new(message, "write ${NAME}"))?;
    template
        .try_map(decoded)
        .map_err(|ValueError { message, help }| ValueError::new(format!("{shown} {message}"), help))
}

fn number(key: &str, value: &str, unit: &str, range: RangeInclusive<u32>) -> Result<u32, ValueError> {
    let (low, high) = (range.start(), range.end());
    let right = format!("write a whole number of {unit} from {low} to {high}");
    if value.is_empty() || !value.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(ValueError::new(format!("{key}={value:?} in the URL is no whole number"), right));
    }
    let found = value.parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| ValueError::new(format!("{key}={value} in the URL is out of range"), right))
}

/// A length that AES has.
pub(in crate::config) fn key_length(bytes: u32) -> Result<u32, ValueError> {
    if matches!(bytes, 16 | 24 | 32) {
        return Ok(bytes);
    }
    let message = format!("pbkeylen = {bytes} is no length of an AES key in bytes");
    Err(ValueError::new(message, "choose one of: 16, 24, 32"))
}

/// Judges a passphrase that is written out; one with a secret in it is judged when that is known.
pub(in crate::config) fn passphrase(template: SecretTemplate) -> Result<SecretTemplate, ValueError> {
    template.literal().map_or(Ok(()), |text| passphrase_fits(&text)).map(|()| template)
}

fn passphrase_fits(text: &str) -> Result<(), ValueError> {
    if PASSPHRASE.contains(&text.len()) {
        return Ok(());
    }
    let message = format!("the passphrase has {} bytes, and SRT takes 10 to 79", text.len());
    Err(ValueError::new(message, "make one of 10 to 79 letters and digits, here and on the server"))
}

/// Judges a stream id that is written out.
pub(in crate::config) fn stream_id(template: SecretTemplate) -> Result<SecretTemplate, ValueError> {
    template.literal().map_or(Ok(()), |text| stream_id_fits(&text)).map(|()| template)
}

fn stream_id_fits(text: &str) -> Result<(), ValueError> {
    if text.len() <= STREAM_ID {
        return Ok(());
    }
    let message = format!("streamid has {} bytes, and SRT takes {STREAM_ID} at most", text.len());
    Err(ValueError::new(message, "write a shorter one"))
}

impl Srt {
    /// Judges what was looked up.
    ///
    /// # Errors
    /// Where SRT would not take it.
    pub fn judge(passphrase: Option<&Secret>, stream_id: Option<&Secret>) -> Result<(), ValueError> {
        passphrase.map_or(Ok(()), |secret| passphrase_fits(secret.expose()))?;
        stream_id.map_or(Ok(()), |secret| stream_id_fits(secret.expose()))
    }

    pub(super) fn unusable_secrets(&self) -> Vec<ValueError> {
        let found = |template: &Option<SecretTemplate>| template.as_ref().and_then(|template| template.resolve().ok());
        let lengths = [
            Self::judge(found(&self.passphrase).as_ref(), None).err(),
            Self::judge(None, found(&self.stream_id).as_ref()).err(),
        ];
        let letters =
            [unsendable("passphrase", self.passphrase.as_ref()), unsendable("streamid", self.stream_id.as_ref())];
        lengths.into_iter().chain(letters).flatten().collect()
    }
}
