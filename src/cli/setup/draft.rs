//! The file in `conf.d` that the choices make, and what the configuration's own parser says to it.

use std::path::Path;

use super::certificates;
use super::choices::{Choices, Material, Wrong};
use super::folders::{self, CONFIG, Folders};
use crate::config::Config;

/// What setup writes itself, by section. All else that stands in its file was written by hand and stays.
const OWN: [(&str, &[&str]); 8] = [
    ("device", &["id"]),
    ("panel", &["backend", "button-pin", "lamp-pin", "lamp-sense-pin", "mute-pin"]),
    ("video", &["source", "device"]),
    ("audio", &["source", "device"]),
    ("ingest", &["url", "stream-key", "streamid", "token", "passphrase", "ca-file"]),
    ("mqtt", &["url", "user", "password", "ca-file", "client-cert", "client-key"]),
    ("consent", &["policy-version"]),
    ("privacy", &["allowed-ingest-hosts"]),
];

const HEAD: &str = "# Written by `tallybox setup`, which keeps what else stands here. Call it again, or change this file by hand:\n\
                    # then `tallybox check-config /etc/tallybox/tallybox.toml`, and restart tallybox-guard and tallybox-agent.\n";

/// How secrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrets {
    /// As they are written to the disk: `${NAME}`.
    Named,
    /// As they are, for the parser alone: it knows what a passphrase or a stream key may be.
    Literal,
}

/// A file's text, and which answer each line comes from.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<(Option<&'static str>, String)>,
}

impl Lines {
    fn section(&mut self, name: &str) {
        self.lines.push((None, String::new()));
        self.lines.push((None, format!("[{name}]")));
    }

    fn value(&mut self, answer: &'static str, key: &str, value: impl Into<toml::Value>) {
        self.lines.push((Some(answer), format!("{key} = {}", value.into())));
    }

    /// The answer of a line that is counted from 1.
    fn answer(&self, line: usize) -> Option<&'static str> {
        self.lines.get(line.checked_sub(1)?)?.0
    }

    fn text(&self) -> String {
        self.lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect()
    }
}

/// The text of `conf.d/10-setup.toml`.
pub(super) fn text(choices: &Choices, folders: &Folders) -> String {
    lines(choices, folders, Secrets::Named).text()
}

fn lines(choices: &Choices, folders: &Folders, secrets: Secrets) -> Lines {
    let mut by_hand = by_hand(folders);
    let mut lines = Lines { lines: HEAD.lines().map(|line| (None, line.to_owned())).collect() };
    for (section, _) in OWN {
        let mut own = Lines::default();
        fill(&mut own, section, choices, folders, secrets);
        let kept = by_hand.remove(section).and_then(|value| value.as_table().cloned()).unwrap_or_default();
        if own.lines.is_empty() && kept.is_empty() {
            continue;
        }
        lines.section(section);
        lines.lines.extend(own.lines);
        lines.lines.extend(kept.iter().map(|(key, value)| (None, format!("{key} = {value}"))));
    }
    let (tables, others): (Vec<_>, Vec<_>) = by_hand.into_iter().partition(|(_, value)| value.is_table());
    for (name, value) in tables {
        lines.section(&name);
        let table = value.as_table().cloned().unwrap_or_default();
        lines.lines.extend(table.iter().map(|(key, value)| (None, format!("{key} = {value}"))));
    }
    // `[[privacy-mask]]`, which belongs to no section.
    let head = HEAD.lines().count();
    let others = others.into_iter().map(|(key, value)| (None, format!("{key} = {value}")));
    lines.lines.splice(head..head, others);
    lines
}

/// What somebody wrote into setup's file.
fn by_hand(folders: &Folders) -> toml::Table {
    let text = std::fs::read_to_string(folders.config()).unwrap_or_default();
    let mut table: toml::Table = text.parse().unwrap_or_default();
    for (section, keys) in OWN {
        if let Some(section) = table.get_mut(section).and_then(toml::Value::as_table_mut) {
            section.retain(|key, _| !keys.contains(&key));
        }
    }
    table
}

fn fill(own: &mut Lines, section: &str, choices: &Choices, folders: &Folders, secrets: Secrets) {
    match section {
        "device" => {
            if let Some(id) = &choices.device_id {
                own.value("device-id", "id", id.clone());
            }
        }
        "panel" => {
            own.value("panel", "backend", choices.panel.clone());
            for (key, pin) in &choices.pins {
                own.value(key, key, i64::from(*pin));
            }
        }
        "video" => device(own, "camera", &choices.camera, "v4l2", &["auto", "libcamera", "test"]),
        "audio" => device(own, "microphone", &choices.microphone, "alsa", &["auto", "none", "test"]),
        "ingest" => ingest(own, choices, folders, secrets),
        "mqtt" => mqtt(own, choices, folders, secrets),
        "consent" => {
            if let Some(version) = &choices.policy_version {
                own.value("policy-version", "policy-version", version.clone());
            }
        }
        "privacy" => {
            if let Some(hosts) = &choices.allowed_ingest_hosts {
                own.value("allowed-ingest-hosts", "allowed-ingest-hosts", hosts.clone());
            }
        }
        _ => {}
    }
}

/// The secret itself, or its name, which a unit knows it by.
fn secret(secrets: Secrets, name: &str, material: &Material) -> String {
    let text = material.text();
    if secrets == Secrets::Literal && !text.contains("${") { text } else { format!("${{{name}}}") }
}

fn ingest(own: &mut Lines, choices: &Choices, folders: &Folders, secrets: Secrets) {
    own.value("ingest-url", "url", choices.ingest_url.clone());
    let key = choices.stream_key.as_ref().filter(|_| !choices.key_is_in_url());
    let word = match choices.scheme() {
        "srt" => "streamid",
        "https" | "http" => "token",
        _ => "stream-key",
    };
    if let Some(key) = key {
        own.value("stream-key-file", word, secret(secrets, "STREAM_KEY", key));
    }
    if let Some(passphrase) = choices.srt_passphrase.as_ref().filter(|_| word == "streamid") {
        own.value("srt-passphrase-file", "passphrase", secret(secrets, "SRT_PASSPHRASE", passphrase));
    }
    if choices.ingest_uses_ca && choices.ca.is_some() && choices.scheme() == "rtmps" {
        own.value("ingest-uses-ca", "ca-file", folders.seen(&folders.etc.join(folders::CA)));
    }
}

fn mqtt(own: &mut Lines, choices: &Choices, folders: &Folders, secrets: Secrets) {
    let seen = |name: &str| folders.seen(&folders.etc.join(name));
    let Some(url) = &choices.broker_url else { return };
    own.value("broker-url", "url", url.clone());
    if let Some(user) = &choices.broker_user {
        own.value("broker-user", "user", user.clone());
    }
    if let Some(password) = &choices.broker_password {
        own.value("broker-password-file", "password", secret(secrets, "MQTT_PASSWORD", password));
    }
    if choices.ca.is_some() {
        own.value("ca-file", "ca-file", seen(folders::CA));
    }
    if choices.client_cert.is_some() {
        own.value("client-cert-file", "client-cert", seen(folders::CERT));
    }
    if choices.client_key.is_some() {
        own.value("client-key-file", "client-key", "${MQTT_KEY}");
    }
}

/// A camera or microphone: one of `words` is a source, all else the name of a device.
fn device(own: &mut Lines, answer: &'static str, name: &str, source: &str, words: &[&str]) {
    if words.contains(&name) {
        own.value(answer, "source", name);
    } else {
        own.value(answer, "source", source);
        own.value(answer, "device", name);
    }
}

/// The configuration that the choices make, together with all other files, or everything that is wrong with it. What no
/// answer has to do with has no key.
pub(super) fn judge(choices: &Choices, folders: &Folders) -> Result<Config, Vec<(Option<&'static str>, String)>> {
    let from = Path::new(CONFIG);
    let literal = lines(choices, folders, Secrets::Literal);
    let judged = Config::load_with(&folders.main, CONFIG, from, literal.text());
    let mut wrong: Vec<(Option<&'static str>, String)> = Vec::new();
    let config = judged.map_err(|error| {
        for mistake in error.diagnostics {
            let answer = mistake.at.filter(|_| mistake.file == from).and_then(|(line, _)| literal.answer(line));
            let said = if answer.is_some() {
                let advice = if mistake.help.is_empty() { String::new() } else { format!("; {}", mistake.help) };
                format!("{}{advice}", mistake.message)
            } else {
                mistake.to_string()
            };
            wrong.push((answer, said));
        }
    });
    let mut own = certificates::diagnostics(choices);
    own.extend(config.as_ref().ok().into_iter().flat_map(|config| contradictions(choices, folders, config)));
    wrong.extend(own.into_iter().map(|(key, why)| (Some(key), why)));
    match config {
        Ok(config) if wrong.is_empty() => Ok(config),
        Ok(_) | Err(()) => Err(wrong),
    }
}

fn contradictions(choices: &Choices, folders: &Folders, config: &Config) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if choices.broker_url.is_none() && config.mqtt.is_some() {
        let advice = "take [mqtt] url out of the file that has it";
        wrong.push(("broker-url", format!("the answer is \"none\", and another file names a broker; {advice}")));
    }
    let names = certificates::ids(choices);
    if let Some(id) = config.device.id.as_ref().filter(|id| !names.is_empty() && !names.contains(id)) {
        let names = names.join(", ");
        let advice = format!("write device-id = \"{names}\", or have a certificate made for {id}");
        let said =
            format!("the certificate is for {names:?}, and the box's id is {id:?}: a broker would refuse it; {advice}");
        wrong.push(("device-id", said));
    }
    let names_key =
        config.ingest.first.templates().any(|template| template.placeholders().any(|name| name == "STREAM_KEY"));
    if names_key && choices.stream_key.is_none() && !is_loaded(folders, "STREAM_KEY") {
        let said = "the address names the secret STREAM_KEY; write stream-key-file = \"PATH\", a file that has it";
        wrong.push(("stream-key-file", said.to_owned()));
    }
    wrong
}

/// Whether a drop-in by hand gives capture this secret already.
fn is_loaded(folders: &Folders, name: &str) -> bool {
    let dir = folders.drop_in_dir(folders::CAPTURE);
    let texts = std::fs::read_dir(dir).into_iter().flatten().flatten();
    texts.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).any(|text| text.contains(&format!("{name}:")))
}

/// Keys of setup's file that a later file has too, and which therefore do not count.
pub(super) fn overridden(choices: &Choices, folders: &Folders) -> Vec<String> {
    let ours: toml::Table = text(choices, folders).parse().unwrap_or_default();
    let mut found = Vec::new();
    for file in folders.overrides().into_iter().filter(|file| *file > folders.config()) {
        let theirs: toml::Table = std::fs::read_to_string(&file).unwrap_or_default().parse().unwrap_or_default();
        for (section, keys) in &ours {
            let (Some(keys), Some(others)) = (keys.as_table(), theirs.get(section).and_then(toml::Value::as_table))
            else {
                continue;
            };
            let both = keys.iter().filter(|(key, value)| others.get(*key).is_some_and(|other| other != *value));
            let shown = folders.seen(&file);
            found.extend(both.map(|(key, _)| format!("{shown} is read later and wins: its [{section}] {key} counts")));
        }
    }
    found
}
