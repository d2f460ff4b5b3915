//! Does the box get updates? Whose signatures count, how it stands, and whether there is room.

use notes::Role;

use super::{CheckResult, ok, warn};
use crate::cli::update::sentence;
use crate::config::Config;
use crate::ipc::{Status, UpdateState};

/// What an update takes at most, in MiB: two packages, and the installed version without compression.
const NEEDED_MIB: u64 = 300;

pub(super) fn row(config: &Config, status: Option<&Status>) -> CheckResult {
    let keys = config.trust.keys.iter().filter(|key| key.may.contains(&Role::Release)).count();
    if keys == 0 {
        return ok("updates", "by hand only: no key under [[trust]] may sign releases");
    }
    let threshold = usize::from(config.trust.threshold(Role::Release));
    let channel = &config.update.channel;
    if keys < threshold {
        let advice = "add keys under [[trust]], or lower [trust-thresholds] release";
        return warn("updates", format!("{keys} of {threshold} keys that have to sign a release are trusted"), advice);
    }
    let disk = rustix::fs::statvfs("/var/lib").map(|disk| disk.f_bavail * disk.f_frsize / (1024 * 1024));
    if let Ok(free) = disk
        && free < NEEDED_MIB
    {
        return warn("updates", format!("{free} MiB free in /var/lib: too little for an update"), "make room");
    }
    let Some(status) = status else {
        return ok("updates", format!("channel {channel}, {keys} keys; how it stands is the guard's to say"));
    };
    let found = format!("channel {channel}: {}", sentence(&status.update));
    match status.update.state {
        UpdateState::Failed => warn("updates", found, "see tallybox ledger show, and journalctl -u tallybox-upgrade"),
        UpdateState::Offered if status.update.security => {
            warn("updates", found, "it mends a weakness: tallybox update install VERSION")
        }
        UpdateState::Off
        | UpdateState::Current
        | UpdateState::Offered
        | UpdateState::Waiting
        | UpdateState::Downloading
        | UpdateState::Ready
        | UpdateState::Installing => ok("updates", found),
    }
}
