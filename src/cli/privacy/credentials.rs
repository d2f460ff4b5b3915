//! The helper of an unbinding: deletes the box's credentials under `/etc/tallybox`, where only root may write. It does
//! what the guard asks for and nothing else, and never touches what lies elsewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::atomic_file;
use crate::cli::client::Client;
use crate::cli::host::HostFiles;
use crate::cli::units::{Handed, Role, Runner};
use crate::config::{Config, SecretTemplate, inline_secrets};
use crate::disk::{Dir, Kind};
use crate::erasure_files::{ErasureRequest, MAX_REQUEST_BYTES, REQUEST};
use crate::exit::Exit;
use crate::ipc::{CredentialLeft, CredentialsReport, MAX_CREDENTIALS_LEFT, Request};
use crate::overwrite::{self, Deleted};
use crate::runtime::block_on;
use crate::untrusted_file;

/// The only folder in which anything is deleted.
const HOME: &str = "/etc/tallybox";
/// What setup and editors of configuration leave beside a file: the former content, and one that was being written.
const BESIDE: [&str; 3] = ["", ".bak", ".new"];

/// What is to be deleted, and what is not this helper's to delete.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    files: BTreeSet<PathBuf>,
    left: Vec<CredentialLeft>,
}

/// Carries out what the guard asked for.
pub(super) fn run(config: &Config) -> Result<(), Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Exit::permission("call it as root: it deletes files that only root may"));
    }
    let path = config.device.data_dir.join(REQUEST);
    let bytes = untrusted_file::read(&path, MAX_REQUEST_BYTES).ok();
    let request = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| ErasureRequest::parse(&text));
    let Some(request) = request else {
        // None, or nothing that makes sense: it would be looked at again and again.
        return remove(&path);
    };
    let machine = HostFiles::new(Path::new("/"));
    let report = erase(config, &machine, &request);
    println!("{} files deleted", report.removed);
    for CredentialLeft { what, why } in &report.left {
        println!("{what} stays: {why}");
    }
    // Refused where the guard does not wait any more; then it has withdrawn the request.
    let told = block_on(async { Client::connect(config).await?.call(Request::CredentialsErased(report)).await });
    told.map(drop)?;
    remove(&path)
}

fn remove(path: &Path) -> Result<(), Exit> {
    atomic_file::remove(path).map_err(|error| Exit::io(format!("{}: {error}", path.display())))
}

fn left(what: impl Into<String>, why: impl Into<String>) -> CredentialLeft {
    CredentialLeft { what: what.into(), why: why.into() }
}

/// Deletes, and says what became of it.
fn erase(config: &Config, machine: &HostFiles, request: &ErasureRequest) -> CredentialsReport {
    let attempt = request.attempt.clone();
    if config.hash != request.configuration {
        let why = "another configuration came since: they may be the next shop's";
        return CredentialsReport { attempt, removed: 0, left: vec![left(format!("credentials in {HOME}"), why)] };
    }
    let Plan { files, mut left } = plan(config, machine);
    let (mut removed, home) = (0, machine.path(HOME));
    for path in files {
        match delete(&home, &path) {
            Ok(Deleted::Nothing) => {}
            Ok(Deleted::Overwritten | Deleted::Unlinked) => removed += 1,
            Err(error) => left.push(self::left(format!("{HOME}/{}", path.display()), error.to_string())),
        }
    }
    left.truncate(MAX_CREDENTIALS_LEFT);
    CredentialsReport { attempt, removed, left }
}

/// What the roles get as secrets: from their units and from the configuration. Paths in the plan are below [`HOME`].
fn plan(config: &Config, machine: &HostFiles) -> Plan {
    let mut plan = Plan::default();
    if let Runner::Units(units) = Runner::of(machine, &config.path) {
        for unit in units.iter().filter(|unit| [Role::Agent, Role::Capture].contains(&unit.role)) {
            plan.add_all(unit.credential_files());
            let (agent, capture) = config.named_secrets();
            for name in if unit.role == Role::Agent { agent } else { capture } {
                if unit.writes_out(&name) {
                    let what = format!("{name} in {}", unit.role.unit());
                    plan.left.push(left(what, "it stands in the unit: systemctl edit"));
                } else if let Handed::Value { from, value: _ } = unit.secret(machine, &name)
                    && from.contains("/credstore")
                {
                    plan.left.push(left(from, format!("it is not below {HOME}")));
                }
            }
        }
    } else {
        plan.left.push(left("credentials of the units", "the units run with another configuration, or are not there"));
    }
    if let Some(mqtt) = &config.mqtt {
        let key = mqtt.client_key.as_ref().and_then(SecretTemplate::literal);
        let key = key.filter(|key| !key.contains("-----BEGIN")).map(PathBuf::from);
        plan.add_all(mqtt.client_cert.iter().cloned().chain(key));
    }
    for place in inline_secrets(&config.path) {
        plan.left.push(left(place, "it stands in the configuration: edit the file"));
    }
    plan
}

impl Plan {
    fn add_all(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            // Compared by its letters: a link on the way is found when the file is opened.
            let below = path.strip_prefix(HOME).ok().filter(|below| {
                below.components().all(|part| matches!(part, Component::Normal(_))) && below.file_name().is_some()
            });
            match below {
                Some(below) => self.files.extend(BESIDE.map(|suffix| atomic_file::beside(below, suffix))),
                None => self.left.push(left(path.display().to_string(), format!("it is not below {HOME}"))),
            }
        }
    }
}

/// Deletes a file below `home`; no link on the way is followed.
fn delete(home: &Path, below: &Path) -> std::io::Result<Deleted> {
    let mut dir = Dir::open(home)?;
    let (Some(folders), Some(name)) = (below.parent(), below.file_name()) else { return Ok(Deleted::Nothing) };
    for folder in folders {
        dir = match dir.open_dir(folder) {
            Err(Errno::NOENT) => return Ok(Deleted::Nothing),
            opened => opened?,
        };
    }
    // A link's target is somebody else's; that it is one has to be told.
    let is_link = dir.metadata(name).is_ok_and(|found| found.kind == Kind::Link);
    let deleted = overwrite::delete(&dir, name)?;
    dir.sync()?;
    if is_link {
        return Err(std::io::Error::other("it was a link: the link is gone, what it led to stays"));
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests;
