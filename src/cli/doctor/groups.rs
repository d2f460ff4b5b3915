//! May the roles' users open what they have to? systemd gives them groups by `SupplementaryGroups`; on a laptop it is
//! the calling user's groups that count.

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::cli::units::{Role, supplementary};
use crate::config::{AudioSource, Config, PanelBackend, VideoSource};

/// A role's user, the role, and the groups that it needs.
type Need = (&'static str, Role, Vec<&'static str>);

fn needs(config: &Config) -> [Need; 2] {
    let gpio = match config.panel.backend {
        PanelBackend::Auto | PanelBackend::Cdev | PanelBackend::Rppal => vec!["gpio"],
        PanelBackend::Sim => Vec::new(),
    };
    let mut media = match config.video.source {
        VideoSource::Auto | VideoSource::Libcamera | VideoSource::V4l2 => vec!["video"],
        VideoSource::File | VideoSource::Test => Vec::new(),
    };
    media.extend(match config.audio.source {
        AudioSource::Auto | AudioSource::Alsa => Some("audio"),
        AudioSource::File | AudioSource::Test | AudioSource::None => None,
    });
    [("tallybox-guard", Role::Guard, gpio), ("tallybox-capture", Role::Capture, media)]
}

/// One line of `/etc/group` (group(5)): name, password, number, members.
struct Group {
    name: String,
    number: u32,
    members: Vec<String>,
}

fn groups(machine: &HostFiles) -> Vec<Group> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?);
        Some(Group { name, number, members: fields.next()?.split(',').map(str::to_owned).collect() })
    };
    machine.read("/etc/group").unwrap_or_default().lines().filter_map(line).collect()
}

pub(super) fn row(machine: &HostFiles, config: &Config) -> CheckResult {
    let known = groups(machine);
    let users = machine.read("/etc/passwd").unwrap_or_default();
    let has_user = |user: &str| users.lines().any(|line| line.split(':').next() == Some(user));
    let needs = needs(config);
    if !needs.iter().any(|(user, _, _)| has_user(user)) {
        return caller(&known, &needs);
    }
    let mut missing = Vec::new();
    for (user, role, wanted) in &needs {
        let given = supplementary(machine, *role);
        for group in wanted {
            match known.iter().find(|known| known.name == *group) {
                None => missing.push(format!("there is no group {group}: groupadd --system {group}")),
                Some(known)
                    if given.iter().any(|given| given == group) || known.members.iter().any(|one| one == user) => {}
                Some(_) => missing.push(format!("{user} is not in {group}: usermod -aG {group} {user}")),
            }
        }
    }
    if missing.is_empty() {
        let all = needs.iter().filter(|(_, _, groups)| !groups.is_empty());
        let all: Vec<String> = all.map(|(user, _, groups)| format!("{user}: {}", groups.join(", "))).collect();
        ok("groups", if all.is_empty() { "no device is opened".to_owned() } else { all.join("; ") })
    } else {
        fail("groups", "a role may not open its devices", missing.join("; "))
    }
}

fn caller(known: &[Group], needs: &[Need]) -> CheckResult {
    if rustix::process::geteuid().is_root() {
        return ok("groups", "no users for the roles here; root may open all devices");
    }
    let own: Vec<u32> = rustix::process::getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
    let is_in = |name: &str| known.iter().any(|group| group.name == name && own.contains(&group.number));
    let wanted = needs.iter().flat_map(|(_, _, groups)| groups);
    let missing: Vec<&str> = wanted.copied().filter(|group| !is_in(group)).collect();
    if missing.is_empty() {
        return ok("groups", "this user may open what is needed");
    }
    let advice = format!("sudo usermod -aG {} $USER, and log in again", missing.join(","));
    warn("groups", format!("this user is not in {}", missing.join(", ")), advice)
}
