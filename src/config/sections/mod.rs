//! Every section and key of the configuration, with its default and its range.

mod ingest;
mod mqtt;
mod recipients;
mod residency;
mod trust;
mod update;
mod video;

use core::time::Duration;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::policy::is_policy_version;
use crate::config::reader::{Location, Reader};
use crate::config::{
    AgeRecipient, Audio, Capture, Config, Consent, Device, HostPattern, NotARecipient, Panel, Privacy, SecretTemplate,
    Video, conflicts,
};
use crate::ipc::video_bounds::{BITRATE_KBPS, FPS, HEIGHT, WIDTH};

pub(super) use ingest::{PLACEHOLDER, SECOND};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
const fn days(n: u64) -> Duration {
    Duration::from_hours(24 * n)
}

/// Security and network logs are kept for at least six months, and six months can have 184 days: July to December, or
/// March to August.
const SIX_MONTHS: u64 = 184;

/// Reads all sections of the files of which the main one is at `path`. `None` where something without a default is
/// missing; the mistakes say what.
pub(in crate::config) fn read(reader: &mut Reader<'_>, path: &Path, hash: String) -> Option<Config> {
    let device = device(reader);
    let panel = panel(reader);
    let video = video(reader);
    let overlay = video::overlay(reader);
    let masks = video::masks(reader, &video);
    let audio = Audio {
        source: reader.choice("audio", "source"),
        device: reader.text("audio", "device").map_or_else(|| "default".to_owned(), |(text, _)| text),
        bitrate_kbps: reader.number("audio", "bitrate-kbps", 16..=320).unwrap_or(128),
        noise_suppression: reader.flag("audio", "noise-suppression", false),
        high_pass: reader.flag("audio", "high-pass", false),
    };
    // A minute: time to push a plug back in, and no camera that comes back when nobody thinks of it any more.
    let capture =
        Capture { device_lost_limit: reader.duration("capture", "device-lost-limit", secs(60), secs(1)..=secs(3600)) };
    let ingest = ingest::ingest(reader);
    let mqtt = mqtt::mqtt(reader);
    let consent = Consent {
        policy_version: policy_version(reader),
        max_session: reader.duration("consent", "max-session", secs(4 * 3600), secs(5)..=days(1)),
        request_timeout: reader.duration("consent", "request-timeout", secs(60), secs(1)..=secs(3600)),
        minors_mode: reader.flag("consent", "minors-mode", false),
    };
    let allowed_ingest_hosts = ingest::allowed_hosts(reader, ingest.as_ref());
    let privacy = privacy(reader, allowed_ingest_hosts);
    let residency = residency::residency(reader);
    let trust = trust::trust(reader);
    let update = update::update(reader);
    let third_parties = recipients::recipients(reader);
    conflicts::check_conflicts(reader, &panel, &video, &audio);
    if let Some(ingest) = &ingest {
        conflicts::check_retention(reader, ingest.outage, &privacy);
        conflicts::check_recipient(reader, ingest.outage, &privacy);
    }
    let mut ingest = ingest?;
    conflicts::check_minors_mode(reader, &consent, &mut ingest.outage, &privacy);
    Some(Config {
        device,
        panel,
        video,
        overlay,
        masks,
        audio,
        capture,
        ingest,
        mqtt,
        consent,
        privacy,
        residency,
        trust,
        update,
        third_parties,
        path: path.to_owned(),
        hash,
        files: Vec::new(),
        warnings: Vec::new(),
    })
}

fn privacy(reader: &mut Reader<'_>, allowed_ingest_hosts: Vec<HostPattern>) -> Privacy {
    Privacy {
        allowed_ingest_hosts,
        ledger_retention: reader.duration(
            "privacy",
            "ledger-retention",
            days(SIX_MONTHS),
            days(SIX_MONTHS)..=days(3660),
        ),
        footage_retention: reader.duration("privacy", "footage-retention", days(1), Duration::ZERO..=days(30)),
        footage_recipient: footage_recipient(reader),
    }
}

/// Whom undelivered footage is encrypted to.
fn footage_recipient(reader: &mut Reader<'_>) -> Option<AgeRecipient> {
    let (text, place) = reader.text("privacy", "footage-recipient")?;
    let help = "write the public key that age-keygen prints, age1...; the secret one stays with the operator";
    text.parse().map_err(|error: NotARecipient| reader.error(Some(place), error.to_string(), help)).ok()
}

/// A value with secrets in it, taken literally but for them.
fn template(reader: &mut Reader<'_>, key: &'static str, text: &str, place: Location) -> Option<SecretTemplate> {
    if let Some(bad) = text.chars().find(|letter| letter.is_control()) {
        let message = format!("{key} has the character U+{:04X} in it", u32::from(bad));
        reader.error(Some(place), message, "take it out");
        return None;
    }
    let report = |message| reader.error(Some(place), format!("{key}: {message}"), TEMPLATE);
    SecretTemplate::parse(text, key).map_err(report).ok()
}

const TEMPLATE: &str = "write ${NAME}, a secret that is looked up when it is used";

/// The day of a policy: everybody sees which of two is newer, and an older one is not taken for a new one.
fn policy_version(reader: &mut Reader<'_>) -> String {
    let Some((text, place)) = reader.text("consent", "policy-version") else { return "2022-07-11".to_owned() };
    if !is_policy_version(&text) {
        let help = "write the day of the policy, as \"2022-07-11\"";
        reader.error(Some(place), format!("policy-version = {text:?} is no date"), help);
    }
    text
}

fn device(reader: &mut Reader<'_>) -> Device {
    let id = match reader.text("device", "id") {
        None => derived_id(&std::fs::read("/etc/machine-id").unwrap_or_default()),
        Some((id, place)) => {
            if !is_device_id(&id) {
                let help =
                    "write 1 to 64 of a-z, 0-9 and \"-\", because it becomes part of MQTT topics, and not \"release\"";
                reader.error(Some(place), format!("id = {id:?} cannot be a box's name"), help);
            }
            Some(id)
        }
    };
    Device {
        id,
        data_dir: reader.path("device", "data-dir", "/var/lib/tallybox"),
        runtime_dir: reader.path("device", "runtime-dir", "/run/tallybox"),
    }
}

/// Whether a box can have this name. Beside the boxes' topics stands `release`, which is the fleet's.
pub fn is_device_id(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(plain) && name != "release"
}

/// A name that says nothing about the machine and stays the same on it: a keyed hash of its machine-id, as
/// machine-id(5) asks for. `None` for what is no machine-id: boxes cloned from one image would all get one name.
pub(crate) fn derived_id(machine: &[u8]) -> Option<String> {
    let text = machine.trim_ascii();
    if text.len() != 32 || !text.iter().all(u8::is_ascii_hexdigit) || text.iter().all(|digit| *digit == b'0') {
        return None;
    }
    let digest = Sha256::new().chain_update(b"tallybox device id\0").chain_update(machine).finalize();
    Some(format!("box-{}", crate::hex(&digest[..6])))
}

fn panel(reader: &mut Reader<'_>) -> Panel {
    // A gpiochip has at most 1024 lines in practice; a Pi's header ends at 27.
    let pins = 0..=1023;
    Panel {
        backend: reader.choice("panel", "backend"),
        button_pin: reader.number("panel", "button-pin", pins.clone()).unwrap_or(17),
        lamp_pin: reader.number("panel", "lamp-pin", pins.clone()).unwrap_or(27),
        lamp_sense_pin: reader.number("panel", "lamp-sense-pin", pins.clone()),
        mute_pin: reader.number("panel", "mute-pin", pins.clone()),
        case_pin: reader.number("panel", "case-pin", pins),
        active_low: reader.flag("panel", "active-low", true),
        debounce: reader.duration("panel", "debounce", ms(30), ms(1)..=ms(200)),
    }
}

fn video(reader: &mut Reader<'_>) -> Video {
    Video {
        source: reader.choice("video", "source"),
        device: reader.path("video", "device", "/dev/video0"),
        width: reader.number("video", "width", WIDTH).unwrap_or(1280),
        height: reader.number("video", "height", HEIGHT).unwrap_or(720),
        fps: reader.number("video", "fps", FPS).unwrap_or(30),
        encoder: reader.choice("video", "encoder"),
        bitrate_kbps: reader.number("video", "bitrate-kbps", BITRATE_KBPS).unwrap_or(2500),
        adaptive: reader.flag("video", "adaptive", true),
        min_bitrate_kbps: reader.number("video", "min-bitrate-kbps", 50..=20_000).unwrap_or(300),
        keyframe_interval: reader.duration("video", "keyframe-interval", secs(2), ms(500)..=secs(10)),
        rotation: video::rotation(reader),
        mirror: reader.flag("video", "mirror", false),
        crop: video::crop(reader),
    }
}
