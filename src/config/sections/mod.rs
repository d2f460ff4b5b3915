//! Every section and key of the configuration, with its default and its range.

mod ingest;
mod video;

use core::time::Duration;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::policy::names_a_policy;
use crate::config::reader::Reader;
use crate::config::{Audio, Capture, Config, Consent, Device, Panel, Privacy, Video, conflicts};

pub(super) use ingest::SECOND;

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

/// Reads all sections. `None` where something without a default is missing; the mistakes say what.
pub(in crate::config) fn read(r: &mut Reader<'_>, path: &Path) -> Option<Config> {
    let device = device(r);
    let panel = panel(r);
    let video = video(r);
    let overlay = video::overlay(r);
    let masks = video::masks(r, &video);
    let audio = Audio {
        source: r.choice("audio", "source"),
        device: r.text("audio", "device").map_or_else(|| "default".to_owned(), |(text, _)| text),
        bitrate_kbps: r.number("audio", "bitrate-kbps", 16..=320).unwrap_or(128),
        noise_suppression: r.flag("audio", "noise-suppression", false),
        high_pass: r.flag("audio", "high-pass", false),
    };
    // A minute: time to push a plug back in, and no camera that comes back when nobody thinks of it any more.
    let capture = Capture { device_lost_limit: r.span("capture", "device-lost-limit", secs(60), secs(1)..=secs(3600)) };
    let ingest = ingest::ingest(r);
    let interval = r.span("mqtt", "telemetry-interval", secs(30), secs(1)..=days(1));
    let mqtt = conflicts::mqtt(r, interval);
    let consent = Consent {
        policy_version: policy_version(r),
        max_session: r.span("consent", "max-session", secs(4 * 3600), secs(5)..=days(1)),
        request_timeout: r.span("consent", "request-timeout", secs(60), secs(1)..=secs(3600)),
    };
    let allowed_ingest_hosts = ingest::allowed_hosts(r, ingest.as_ref());
    let privacy = Privacy {
        allowed_ingest_hosts,
        ledger_retention: r.span("privacy", "ledger-retention", days(SIX_MONTHS), days(SIX_MONTHS)..=days(3660)),
        footage_retention: r.span("privacy", "footage-retention", days(1), Duration::ZERO..=days(30)),
    };
    conflicts::contradictions(r, &panel, &video, &audio);
    if let Some(ingest) = &ingest {
        conflicts::footage(r, ingest.outage, &privacy);
    }
    Some(Config {
        device,
        panel,
        video,
        overlay,
        masks,
        audio,
        capture,
        ingest: ingest?,
        mqtt,
        consent,
        privacy,
        path: path.to_owned(),
        hash: String::new(),
        notes: Vec::new(),
    })
}

/// The day of a policy: everybody sees which of two is newer, and an older one is not taken for a new one.
fn policy_version(r: &mut Reader<'_>) -> String {
    let Some((text, place)) = r.text("consent", "policy-version") else { return "2022-07-11".to_owned() };
    if !names_a_policy(&text) {
        let advice = "write the day of the policy, as \"2022-07-11\"";
        r.wrong(Some(place), format!("policy-version = {text:?} is no date"), advice);
    }
    text
}

fn device(r: &mut Reader<'_>) -> Device {
    let id = match r.text("device", "id") {
        None => derived_id(&std::fs::read("/etc/machine-id").unwrap_or_default()),
        Some((id, place)) => {
            if !is_device_id(&id) {
                let advice = "write 1 to 64 of a-z, 0-9 and \"-\", because it becomes part of MQTT topics";
                r.wrong(Some(place), format!("id = {id:?} cannot be a box's name"), advice);
            }
            Some(id)
        }
    };
    Device {
        id,
        data_dir: r.path("device", "data-dir", "/var/lib/tallybox"),
        runtime_dir: r.path("device", "runtime-dir", "/run/tallybox"),
    }
}

/// Whether a box can have this name.
pub(crate) fn is_device_id(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
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

fn panel(r: &mut Reader<'_>) -> Panel {
    // A gpiochip has at most 1024 lines in practice; a Pi's header ends at 27.
    let pins = 0..=1023;
    Panel {
        backend: r.choice("panel", "backend"),
        button_pin: r.number("panel", "button-pin", pins.clone()).unwrap_or(17),
        lamp_pin: r.number("panel", "lamp-pin", pins.clone()).unwrap_or(27),
        lamp_sense_pin: r.number("panel", "lamp-sense-pin", pins.clone()),
        mute_pin: r.number("panel", "mute-pin", pins),
        active_low: r.flag("panel", "active-low", true),
        debounce: r.span("panel", "debounce", ms(30), ms(1)..=ms(200)),
    }
}

fn video(r: &mut Reader<'_>) -> Video {
    Video {
        source: r.choice("video", "source"),
        device: r.path("video", "device", "/dev/video0"),
        width: r.number("video", "width", 16..=3840).unwrap_or(1280),
        height: r.number("video", "height", 16..=2160).unwrap_or(720),
        fps: r.number("video", "fps", 1..=60).unwrap_or(30),
        encoder: r.choice("video", "encoder"),
        bitrate_kbps: r.number("video", "bitrate-kbps", 100..=20_000).unwrap_or(2500),
        adaptive: r.flag("video", "adaptive", true),
        min_bitrate_kbps: r.number("video", "min-bitrate-kbps", 50..=20_000).unwrap_or(300),
        keyframe_interval: r.span("video", "keyframe-interval", secs(2), ms(500)..=secs(10)),
        rotation: video::rotation(r),
        mirror: r.flag("video", "mirror", false),
        crop: video::crop(r),
    }
}
