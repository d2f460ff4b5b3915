//! The units that run the roles: who they are to the kernel, which secrets they get, what they see of the file system.
//! All of it from their files, so that it can be told of a role that does not run; how they do now is systemd's to say.

mod account;
mod credentials;
mod files;
mod sandbox;
mod state;

use std::path::{Path, PathBuf};

pub(super) use account::Account;
pub(super) use credentials::Handed;
pub(super) use files::Assignment;
pub(super) use sandbox::misplaced;
pub(super) use state::{State, ask};

use super::host::HostFiles;
use crate::config::{Config, DEFAULT_PATH};

/// The unit whose instance a press starts.
const CAPTURE: &str = "tallybox-capture@.service";

/// A role that systemd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Button, lamp, consent.
    Guard,
    /// MQTT.
    Agent,
    /// Camera, microphone, ingest.
    Capture,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Guard, Self::Agent, Self::Capture];

    /// Its word on the command line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Agent => "agent",
            Self::Capture => "capture",
        }
    }

    /// Its unit.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Guard => "tallybox-guard.service",
            Self::Agent => "tallybox-agent.service",
            Self::Capture => CAPTURE,
        }
    }

    /// What makes it take what was changed.
    pub(super) const fn again(self) -> &'static str {
        match self {
            Self::Guard => "systemctl daemon-reload && systemctl restart tallybox-guard",
            Self::Agent => "systemctl daemon-reload && systemctl restart tallybox-agent",
            // Each session is a process of its own.
            Self::Capture => "systemctl daemon-reload",
        }
    }

    /// The unit's file as this version brings it.
    const fn shipped(self) -> &'static str {
        match self {
            Self::Guard => include_str!("../../../systemd/tallybox-guard.service"),
            Self::Agent => include_str!("../../../systemd/tallybox-agent.service"),
            Self::Capture => include_str!("../../../systemd/tallybox-capture@.service"),
        }
    }
}

/// One role's unit.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) role: Role,
    lines: Vec<Assignment>,
    /// The unit's file and its drop-ins.
    pub(super) files: Vec<String>,
}

impl Unit {
    /// As it is on `machine`; `None`: it is not there.
    fn find(machine: &HostFiles, role: Role) -> Option<Self> {
        let (lines, files) = files::read(machine, role.unit())?;
        Some(Self { role, lines, files })
    }

    /// As this version brings it.
    fn shipped(role: Role) -> Self {
        Self { role, lines: files::parse(role.unit(), role.shipped()), files: Vec::new() }
    }

    /// All lines of its section `[Service]`, the only one that matters here.
    fn service(&self) -> impl Iterator<Item = &Assignment> {
        self.lines.iter().filter(|line| line.section == "Service")
    }

    /// The values of a key that may stand several times; an empty one takes back those before it.
    fn all(&self, key: &str) -> Vec<&Assignment> {
        let mut all = Vec::new();
        for line in self.service().filter(|line| line.key == key) {
            if line.value.is_empty() {
                all.clear();
            } else {
                all.push(line);
            }
        }
        all
    }

    /// The words of a key that is a list.
    fn words(&self, key: &str) -> Vec<String> {
        self.all(key).into_iter().flat_map(|line| files::words(&line.value)).collect()
    }

    /// The last value of a key.
    fn last(&self, key: &str) -> Option<&str> {
        self.service().filter(|line| line.key == key).last().map(|line| line.value.as_str())
    }

    /// Whether a switch is on.
    fn is_on(&self, key: &str) -> bool {
        self.last(key)
            .is_some_and(|value| ["1", "yes", "y", "true", "t", "on"].contains(&value.to_lowercase().as_str()))
    }

    /// The configuration that it runs with.
    fn config(&self) -> PathBuf {
        let words = self.words("ExecStart");
        let named = words.iter().enumerate().find_map(|(index, word)| match word.strip_prefix("--config=") {
            Some(path) => Some(path.to_owned()),
            None if word == "--config" => words.get(index + 1).cloned(),
            None => None,
        });
        named.map_or_else(|| PathBuf::from(DEFAULT_PATH), PathBuf::from)
    }

    /// The user that it runs as; `None`: there is no such user.
    pub(super) fn account(&self, machine: &HostFiles) -> Option<Account> {
        let user = self.last("User").filter(|user| !user.is_empty()).unwrap_or("root");
        Account::find(machine, user, &self.words("SupplementaryGroups"))
    }

    /// Whether the secret `name` stands in the unit itself.
    pub(super) fn writes_out(&self, name: &str) -> bool {
        let sets = |key: &str, ends: [char; 2]| {
            let lines = self.all(key).into_iter().flat_map(|line| files::words(&line.value));
            lines.into_iter().any(|word| word.split(ends).next() == Some(name))
        };
        sets("SetCredential", [':', ':'])
            || sets("SetCredentialEncrypted", [':', ':'])
            || sets("Environment", ['=', '='])
    }

    /// Lines outside of what systemd reads that name `text` all the same: a typing error, or the wrong section.
    pub(super) fn lost(&self, text: &str) -> Option<&Assignment> {
        let known =
            ["LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted", "Environment"];
        let counts = |line: &Assignment| line.section == "Service" && known.contains(&line.key.as_str());
        self.lines.iter().find(|line| !counts(line) && line.value.split(['=', ':', '"', ' ']).any(|part| part == text))
    }
}

/// A line that names `text` in a file near the drop-ins of `units` which is none of theirs: in a folder of another
/// name, such as one without the `@`, or with another ending than `.conf`.
pub(super) fn unread(machine: &HostFiles, units: &[Unit], text: &str) -> Option<Assignment> {
    let lines = files::strays(machine, |file| units.iter().any(|unit| unit.files.iter().any(|known| known == file)));
    lines.into_iter().find(|line| line.value.split(['=', ':', '"', ' ']).any(|part| part == text))
}

/// Groups that the unit of `role` adds to those of its user (systemd.exec(5)); none where there is no such unit.
pub(super) fn supplementary(machine: &HostFiles, role: Role) -> Vec<String> {
    Unit::find(machine, role).map(|unit| unit.words("SupplementaryGroups")).unwrap_or_default()
}

/// Who runs the roles that a configuration is for.
#[derive(Clone, Debug)]
pub(super) enum Runner {
    /// These units.
    Units(Vec<Unit>),
    /// Not systemd's units, for this reason: whoever calls counts.
    Caller(&'static str),
}

impl Runner {
    /// Who runs the roles with the configuration at `config` on `machine`.
    pub(super) fn of(machine: &HostFiles, config: &Path) -> Self {
        if !machine.has("/run/systemd/system") {
            return Self::Caller("systemd does not run here");
        }
        let units: Vec<Unit> = Role::ALL.into_iter().filter_map(|role| Unit::find(machine, role)).collect();
        if units.len() < Role::ALL.len() {
            return Self::Caller("the units of tallybox are not installed here");
        }
        let same = |one: &Path, other: &Path| match (one.canonicalize(), other.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            (Ok(_) | Err(_), _) => one == other,
        };
        if !units.iter().all(|unit| same(&unit.config(), config)) {
            return Self::Caller("the units run with another configuration");
        }
        Self::Units(units)
    }

    /// The unit of a role, where units run the roles.
    pub(super) fn unit(&self, role: Role) -> Option<&Unit> {
        match self {
            Self::Units(units) => units.iter().find(|unit| unit.role == role),
            Self::Caller(_) => None,
        }
    }

    /// `config` as the roles meet it: with the secrets that their units hand them.
    pub(super) fn seen_by_roles(&self, config: &Config, machine: &HostFiles) -> Config {
        let (Some(capture), Some(agent)) = (self.unit(Role::Capture), self.unit(Role::Agent)) else {
            return config.clone();
        };
        let value = |unit: &Unit, name: &str| match unit.secret(machine, name) {
            Handed::Value { value, from: _ } => Some(value),
            Handed::Unknown(_) | Handed::Broken { .. } | Handed::Absent => None,
        };
        config.clone().with_secrets_of(&|name| value(capture, name), &|name| value(agent, name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Assignment, Role, Unit, files};

    pub(super) fn unit(role: Role, more: &str) -> Unit {
        let mut unit = Unit::shipped(role);
        unit.lines.extend(files::parse("/etc/systemd/system/x.d/override.conf", more));
        unit
    }

    #[test]
    fn a_unit_names_its_configuration() {
        assert_eq!(Unit::shipped(Role::Guard).config(), std::path::Path::new("/etc/tallybox/tallybox.toml"));
        for exec in ["/usr/bin/tallybox agent --config /srv/a.toml", "/usr/bin/tallybox agent --config=/srv/a.toml"] {
            let unit = unit(Role::Agent, &format!("[Service]\nExecStart=\nExecStart={exec}\n"));
            assert_eq!(unit.config(), std::path::Path::new("/srv/a.toml"));
        }
    }

    #[test]
    fn what_systemd_does_not_read_is_found() {
        for (text, line) in [
            ("[Service]\nLoadCredentials=KEY:/etc/tallybox/key\n", Some(2)),
            ("[Unit]\nLoadCredential=KEY:/etc/tallybox/key\n", Some(2)),
            ("LoadCredential=KEY:/etc/tallybox/key\n", Some(1)),
            ("[Service]\nLoadCredential=KEYS:/etc/tallybox/key\n", None),
            ("[Service]\nLoadCredential=KEY:/etc/tallybox/key\n", None),
        ] {
            let unit = unit(Role::Agent, text);
            let found: Option<&Assignment> = unit.lost("KEY");
            assert_eq!(found.map(|found| found.line), line, "{text}");
        }
    }
}
