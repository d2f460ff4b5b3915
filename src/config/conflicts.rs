//! What no single key can tell: contradictions between keys.

use super::reader::Reader;
use super::{Audio, AudioSource, Consent, Outage, OutageBuffer, Panel, PanelBackend, Privacy, Video, VideoSource};

/// Footage on disk has a longest life, which may be none.
pub(super) fn check_retention(reader: &mut Reader<'_>, outage: Outage, privacy: &Privacy) {
    if outage.buffer == OutageBuffer::Disk && privacy.footage_retention.is_zero() {
        let place = reader.place("ingest", "outage-buffer");
        let help = "write outage-buffer = \"memory\", or a [privacy] footage-retention above 0";
        reader.error(place, "outage-buffer = \"disk\", and footage-retention says that footage is never written", help);
    }
}

/// Minors' mode keeps no footage: what waits for the server waits in memory, whatever else is written.
pub(super) fn check_minors_mode(reader: &mut Reader<'_>, consent: &Consent, outage: &mut Outage, privacy: &Privacy) {
    if consent.minors_mode && privacy.footage_recipient.is_some() {
        let place = reader.place("privacy", "footage-recipient");
        let message = "footage-recipient does not count in minors-mode: no footage is kept, for nobody";
        reader.warning(place, message, "leave it out, as long as minors-mode is on");
    }
    if consent.minors_mode && outage.buffer == OutageBuffer::Disk {
        outage.buffer = OutageBuffer::Memory;
        let place = reader.place("ingest", "outage-buffer");
        let message =
            "outage-buffer = \"disk\" does not count in minors-mode: no footage is stored, it waits in memory";
        reader.warning(place, message, "write outage-buffer = \"memory\", or leave it out");
    }
}

/// Footage is kept of what waits on disk.
pub(super) fn check_recipient(reader: &mut Reader<'_>, outage: Outage, privacy: &Privacy) {
    if privacy.footage_recipient.is_some() && outage.buffer != OutageBuffer::Disk {
        let place = reader.place("privacy", "footage-recipient");
        let help = "write [ingest] outage-buffer = \"disk\", or leave footage-recipient out: then none is kept";
        reader.error(place, "footage-recipient, and outage-buffer says that no footage comes to the disk", help);
    }
}

pub(super) fn check_conflicts(reader: &mut Reader<'_>, panel: &Panel, video: &Video, audio: &Audio) {
    let pins = [
        ("button-pin", Some(panel.button_pin)),
        ("lamp-pin", Some(panel.lamp_pin)),
        ("lamp-sense-pin", panel.lamp_sense_pin),
        ("mute-pin", panel.mute_pin),
        ("case-pin", panel.case_pin),
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
