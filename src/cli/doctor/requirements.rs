//! What each role needs to do its work, and does not get: secrets from its unit, and files that its user may read.

use std::path::{Path, PathBuf};

use super::{CheckResult, fail, ok, warn};
use crate::cli::host::HostFiles;
use crate::cli::units::{Handed, Role, Runner, Unit, unread};
use crate::config::{AudioSource, Config, SecretTemplate, VideoSource, files_of};

/// A role, what is wrong, and what to do.
type Lack = (Role, String, String);

/// What is lacking, in the order in which roles meet it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Requirements {
    secrets: Vec<Lack>,
    files: Vec<Lack>,
    /// What could not be judged from here.
    unknown: Vec<String>,
    /// What there is.
    found: Vec<String>,
    readable: usize,
}

impl Requirements {
    /// Looks for it. `config` is as it stands in its files. Nothing is lacking where no units run the roles: rows about
    /// the caller tell of that.
    pub(in crate::cli) fn of(runner: &Runner, machine: &HostFiles, config: &Config) -> Self {
        let mut this = Self::default();
        let Runner::Units(units) = runner else { return this };
        let (capture, agent) = config.named_secrets();
        for unit in units {
            let names = match unit.role {
                Role::Guard => continue,
                Role::Agent => &agent,
                Role::Capture => &capture,
            };
            for name in names {
                this.secret(units, unit, machine, name);
            }
            for (wrong, advice) in unit.broken_credentials(machine) {
                if !this.secrets.iter().any(|(_, known, _)| *known == wrong) {
                    this.secrets.push((unit.role, wrong, advice));
                }
            }
        }
        let seen = runner.seen_by_roles(config, machine);
        for unit in units {
            this.readable_by(unit, machine, &seen);
        }
        this
    }

    fn secret(&mut self, units: &[Unit], unit: &Unit, machine: &HostFiles, name: &str) {
        let (role, service) = (unit.role, unit.role.unit());
        let section = if role == Role::Capture { "[ingest]" } else { "[mqtt]" };
        match unit.secret(machine, name) {
            Handed::Value { value, from } if value.is_empty() => {
                let advice = format!("write the secret into it, then {}", role.again());
                self.secrets.push((role, format!("{name} is empty: {from}"), advice));
            }
            Handed::Value { value: _, from } => self.found.push(format!("{} gets {name} ({from})", role.as_str())),
            Handed::Unknown(why) => self.unknown.push(format!("{name} of {}: {why}", role.as_str())),
            Handed::Broken { wrong, advice } => self.secrets.push((role, wrong, advice)),
            Handed::Absent => {
                let elsewhere = units
                    .iter()
                    .find(|other| other.role != role && !matches!(other.secret(machine, name), Handed::Absent));
                let why = if let Some(line) = unit.lost(name) {
                    let Assigned { place, key, section } = assigned(line);
                    format!("{place} names it, but {key} in {section} is nothing that systemd reads")
                } else if let Some(line) = unread(machine, units, name) {
                    format!("{}:{} names it, a file that systemd does not read for {service}", line.file, line.line)
                } else if let Some(other) = elsewhere {
                    format!("{} gets it instead", other.role.unit())
                } else {
                    format!("{service} does not hand it on")
                };
                let wrong = format!("{section} names the secret {name}, and {why}");
                let advice = format!(
                    "systemctl edit {service}, and write below [Service]: LoadCredential={name}:{}; then {}",
                    usual(name),
                    role.again()
                );
                self.secrets.push((role, wrong, advice));
            }
        }
    }

    fn readable_by(&mut self, unit: &Unit, machine: &HostFiles, config: &Config) {
        let role = unit.role;
        let Some(account) = unit.account(machine) else {
            let wrong = format!("the user of {} does not exist", role.unit());
            let advice = format!("systemd-sysusers tallybox.conf; then {}", role.again());
            self.files.push((role, wrong, advice));
            return;
        };
        let data = &config.device.data_dir;
        if role == Role::Guard && data.is_dir() && account.may_write(data) == Some(false) {
            let (name, shown) = (&account.name, data.display());
            let wrong = format!("{name} may not write [device] data-dir {shown}: nothing starts without its ledger");
            self.files.push((role, wrong, format!("chown -R {name}: {shown}; then {}", role.again())));
        }
        for (path, key) in files(role, config) {
            let shown = path.display();
            if let Some((why, advice)) = unit.hides(&path) {
                self.files.push((role, format!("{key} {shown}: {why}"), advice.to_owned()));
            } else if account.may_read(&path) {
                self.readable += 1;
            } else if path.exists() {
                let blocked = account.blocked_at(&path);
                let (place, why) = blocked.unwrap_or_else(|| (path.clone(), "the system does not let it".to_owned()));
                let wrong = format!("{} may not read {key} {shown}: {why}", account.name);
                let advice = if key == "client-key" {
                    format!(
                        "write client-key = \"${{MQTT_KEY}}\"; systemctl edit {}, and write below [Service]: \
                         LoadCredential=MQTT_KEY:{shown}; then {}",
                        role.unit(),
                        role.again()
                    )
                } else {
                    let (mode, place) = (if place.is_dir() { "750" } else { "640" }, place.display());
                    format!("chgrp tallybox {place} && chmod {mode} {place}; then {}", role.again())
                };
                self.files.push((role, wrong, advice));
            } else if rustix::process::geteuid().is_root() {
                self.files.push((
                    role,
                    format!("{key} {shown} is not there"),
                    format!("put it there, or correct {key}"),
                ));
            } else {
                self.unknown.push(format!("{shown}: this user does not see whether it is there"));
            }
        }
    }

    /// What keeps a role from its work first.
    pub(super) fn first(&self, role: Role) -> Option<(&str, &str)> {
        let mut all = self.secrets.iter().chain(&self.files);
        all.find(|(whose, _, _)| *whose == role).map(|(_, wrong, advice)| (wrong.as_str(), advice.as_str()))
    }

    /// All that is lacking, and what would be right.
    pub(in crate::cli) fn lacking(&self) -> impl Iterator<Item = (&str, &str)> {
        self.secrets.iter().chain(&self.files).map(|(_, wrong, advice)| (wrong.as_str(), advice.as_str()))
    }

    /// What could not be judged, and why.
    pub(in crate::cli) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(String::as_str)
    }

    pub(super) fn rows(&self) -> Vec<CheckResult> {
        let lack = |check: &'static str, all: &[Lack]| -> Vec<CheckResult> {
            all.iter().map(|(_, wrong, advice)| fail(check, wrong.as_str(), advice.as_str())).collect()
        };
        let mut rows = lack("secrets", &self.secrets);
        rows.extend(self.unknown.iter().map(|why| {
            warn("secrets", format!("not judged: {why}"), "call doctor as root, who sees what the roles are given")
        }));
        if rows.is_empty() {
            let found = if self.found.is_empty() { "none are named".to_owned() } else { self.found.join("; ") };
            rows.push(ok("secrets", found));
        }
        if self.files.is_empty() && self.unknown.is_empty() {
            rows.push(ok("files", format!("each role may read what it needs, {} in all", self.readable)));
        }
        rows.extend(lack("files", &self.files));
        rows
    }
}

/// Every file that a role took something from at its start.
pub(super) fn taken_at_start(unit: &Unit, machine: &HostFiles, config: &Config) -> Vec<PathBuf> {
    let own = files(unit.role, config).into_iter().map(|(path, _)| path);
    let units = unit.files.iter().map(|path| machine.path(path));
    own.chain(unit.credential_files()).chain(units).collect()
}

/// The files that a role reads, each with the key that names it.
fn files(role: Role, config: &Config) -> Vec<(PathBuf, &'static str)> {
    let mut all: Vec<(PathBuf, &'static str)> =
        files_of(&config.path).into_iter().map(|path| (path, "the configuration")).collect();
    let overrides = config.path.parent().unwrap_or(Path::new(".")).join("conf.d");
    all.extend(overrides.is_dir().then_some((overrides, "the configuration")));
    match role {
        Role::Guard => {}
        Role::Agent => {
            let mqtt = config.mqtt.as_ref();
            all.extend(mqtt.and_then(|mqtt| mqtt.ca_file.clone()).map(|path| (path, "ca-file")));
            all.extend(mqtt.and_then(|mqtt| mqtt.crl_file.clone()).map(|path| (path, "crl-file")));
            all.extend(mqtt.and_then(|mqtt| mqtt.client_cert.clone()).map(|path| (path, "client-cert")));
            let key = mqtt.and_then(|mqtt| mqtt.client_key.as_ref()).and_then(SecretTemplate::literal);
            let path = key.filter(|key| !key.contains("-----BEGIN"));
            all.extend(path.map(|path| (PathBuf::from(path), "client-key")));
        }
        Role::Capture => {
            all.extend(config.ingest.destinations().filter_map(|to| to.ca_file.clone()).map(|path| (path, "ca-file")));
            if config.video.source == VideoSource::File {
                all.push((config.video.device.clone(), "[video] device"));
            }
            if config.audio.source == AudioSource::File {
                all.push((PathBuf::from(&config.audio.device), "[audio] device"));
            }
        }
    }
    all
}

/// Where the documents put a secret.
fn usual(name: &str) -> String {
    match name {
        "MQTT_KEY" => "/etc/tallybox/client.key".to_owned(),
        other => Path::new("/etc/tallybox").join(other.to_lowercase().replace('_', "-")).display().to_string(),
    }
}

/// An assignment for people.
struct Assigned {
    place: String,
    key: String,
    section: String,
}

fn assigned(line: &crate::cli::units::Assignment) -> Assigned {
    let section = if line.section.is_empty() { "no section".to_owned() } else { format!("[{}]", line.section) };
    Assigned { place: format!("{}:{}", line.file, line.line), key: line.key.clone(), section }
}
