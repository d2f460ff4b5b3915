//! What the page can do to the box from outside: cut the lamp's wire, kill the guard, bring a new policy.

use std::path::Path;
use std::sync::Arc;

use jiff::{Span, civil::Date};
use rustix::process::Signal;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use super::process;
use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::config::Config;
use crate::ipc::SIM_LAMP;

/// What is done once, unlike a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// The guard is killed, without a warning; its supervisor starts another one.
    KillGuard,
    /// A policy one day newer than the one in force comes into the configuration, and the guard starts anew with it.
    NewPolicy,
}

/// Carries out what the page asks for, until `ending`.
pub(super) async fn run(config: Config, hub: Arc<Hub>, mut faults: mpsc::Receiver<Fault>, ending: CancellationToken) {
    let mut switches = hub.switches();
    let lamp = config.device.runtime_dir.join(SIM_LAMP);
    let mut policy = config.consent.policy_version.clone();
    let mut whole = true;
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            Some(fault) = faults.recv() => match fault {
                Fault::KillGuard => process::signal("guard", &config.path, Signal::KILL),
                Fault::NewPolicy => {
                    policy = day_after(&policy);
                    match bring(&config.path, &policy) {
                        Ok(()) => process::signal("guard", &config.path, Signal::TERM),
                        Err(error) => tracing::error!(%error, "the new policy cannot be written"),
                    }
                }
            },
            _ = switches.changed() => {
                let wanted = switches.borrow_and_update().lamp;
                if wanted != whole {
                    whole = wanted;
                    if let Err(error) = if whole { mend(&lamp) } else { cut(&lamp) } {
                        tracing::error!(%error, "the lamp's wire");
                    }
                }
            }
        }
    }
}

/// The day after a date; a version that is no date is followed by the first one that is.
fn day_after(version: &str) -> String {
    let next = version.parse::<Date>().ok().and_then(|date| date.checked_add(Span::new().days(1)).ok());
    next.unwrap_or(Date::constant(2026, 1, 1)).to_string()
}

/// Written beside and renamed: a guard that starts meanwhile reads all of it or nothing.
fn bring(config: &Path, policy: &str) -> std::io::Result<()> {
    let dir = config.with_file_name("conf.d");
    std::fs::create_dir_all(&dir)?;
    let text = format!("[consent]\npolicy-version = \"{policy}\"\n");
    atomic_file::replace(&dir.join("50-policy.toml"), text.as_bytes(), BY_UMASK, Durability::Unsynced)
}

/// A directory in its place is a lamp that the guard cannot drive. Where the guard drives it in between, once more.
fn cut(lamp: &Path) -> std::io::Result<()> {
    loop {
        std::fs::rename(lamp, lamp.with_extension("cut"))?;
        match std::fs::create_dir(lamp) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
}

/// It shows again what it did, unless the guard has driven it meanwhile.
fn mend(lamp: &Path) -> std::io::Result<()> {
    std::fs::remove_dir(lamp)?;
    let kept = lamp.with_extension("cut");
    match std::fs::hard_link(&kept, lamp) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::remove_file(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_is_newer_than_the_one_before() {
        assert_eq!(day_after("2022-07-31"), "2022-08-01");
        assert_eq!(day_after("first"), "2026-01-01");
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("tallybox.toml");
        bring(&config, "2026-01-01").unwrap();
        bring(&config, "2026-01-02").unwrap();
        let files: Vec<_> =
            std::fs::read_dir(dir.path().join("conf.d")).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files, [dir.path().join("conf.d/50-policy.toml")]);
        assert!(std::fs::read_to_string(&files[0]).unwrap().contains("2026-01-02"));
    }

    #[test]
    fn a_lamp_whose_wire_is_cut_cannot_be_driven_and_shows_the_same_when_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let lamp = dir.path().join(SIM_LAMP);
        let drive = |word: &str| atomic_file::replace(&lamp, word.as_bytes(), BY_UMASK, Durability::Unsynced);
        drive("solid").unwrap();
        cut(&lamp).unwrap();
        assert!(drive("dark").is_err() && std::fs::read_to_string(&lamp).is_err());
        mend(&lamp).unwrap();
        assert_eq!(std::fs::read_to_string(&lamp).unwrap(), "solid");
        cut(&lamp).unwrap();
        std::fs::remove_dir(&lamp).unwrap();
        drive("sos").unwrap();
        assert!(mend(&lamp).is_err(), "there is no directory any more");
        assert_eq!(std::fs::read_to_string(&lamp).unwrap(), "sos");
    }
}
