//! Footage that capture kept for the operator, encrypted: what there is of it, and what has to go. Capture only writes;
//! only the guard deletes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::erasure::FOOTAGE;
use crate::clock::ClockReading;
use crate::config::Config;
use crate::disk::{self, Dir};
use crate::ipc::{FootageEnd, FootageStatus};
use crate::ledger::{FootageAge, FootageMarks};

/// Names that are looked at: a session has some ten files.
const MOST: usize = 2_000;
/// Kept free for the ledger, in bytes: footage goes before the box is short of room.
const MIN_FREE: u64 = 256 * 1024 * 1024;

/// The files of one session, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionFootage {
    pub(super) names: Vec<OsString>,
    pub(super) bytes: u64,
}

/// What is in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredFootage {
    pub(super) sessions: BTreeMap<u64, SessionFootage>,
    /// What has no name of a session's footage.
    foreign: Vec<OsString>,
}

/// Footage that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) session: u64,
    pub(super) names: Vec<OsString>,
    pub(super) why: FootageEnd,
}

/// `<session>-<n>.age`
pub(super) fn parse(name: &str) -> Option<(u64, u64)> {
    let (session, number) = name.strip_suffix(".age")?.split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(session) || !is_number(number) {
        return None;
    }
    Some((session.parse().ok()?, number.parse().ok()?))
}

impl StoredFootage {
    /// Looks into the folder, which may be missing.
    pub(super) fn find(data_dir: &Path) -> io::Result<Self> {
        let mut stored = Self::default();
        let dir = match Dir::open(data_dir)?.open_dir(FOOTAGE.as_ref()) {
            Err(Errno::NOENT) => return Ok(stored),
            opened => opened?,
        };
        let mut found = Vec::new();
        for name in dir.names()?.take(MOST) {
            let name = name?;
            let Ok(data) = dir.metadata(&name) else { continue };
            let known = name.to_str().and_then(parse);
            match known.filter(|_| data.is_file()) {
                Some(place) => found.push((place, name, data.len)),
                None => stored.foreign.push(name),
            }
        }
        found.sort();
        for ((session, _), name, bytes) in found {
            let of = stored.sessions.entry(session).or_default();
            of.names.push(name);
            of.bytes += bytes;
        }
        Ok(stored)
    }

    fn bytes(&self) -> u64 {
        self.sessions.values().map(|session| session.bytes).sum()
    }

    /// For the status; `None`: there is none.
    pub(super) fn status(&self) -> Option<FootageStatus> {
        let files = self.sessions.values().map(|session| session.names.len() as u64).sum();
        (files > 0).then(|| FootageStatus { files, bytes: self.bytes() })
    }

    /// What has to go now, oldest first; that of `current`, the session that is on, is not judged yet.
    pub(super) fn overdue(
        &self,
        marks: &FootageMarks,
        current: Option<u64>,
        config: &Config,
        free: u64,
        now: &ClockReading,
    ) -> Vec<Overdue> {
        let retention = if may_keep(config) { config.privacy.footage_retention } else { Duration::ZERO };
        let most = u64::from(config.ingest.outage.size_mib) * 1024 * 1024;
        let mut overdue = Vec::new();
        if !self.foreign.is_empty() {
            overdue.push(Overdue { session: 0, names: self.foreign.clone(), why: FootageEnd::Doubt });
        }
        // A power cut can take a name before it is on the disk; the ledger must not go on saying that it is there.
        let gone = marks.sessions().filter(|session| Some(*session) != current && !self.sessions.contains_key(session));
        overdue.extend(gone.map(|session| Overdue { session, names: Vec::new(), why: FootageEnd::Doubt }));
        let (mut left, mut free) = (self.bytes(), free);
        for (session, SessionFootage { names, bytes }) in &self.sessions {
            if Some(*session) == current {
                continue;
            }
            let why = match marks.age(*session, now, retention) {
                FootageAge::Over if may_keep(config) => FootageEnd::Retention,
                FootageAge::Over | FootageAge::Unknown => FootageEnd::Doubt,
                FootageAge::Fresh if !marks.is_whole(*session, *bytes) => FootageEnd::Doubt,
                FootageAge::Fresh if left > most || free < MIN_FREE => FootageEnd::Space,
                FootageAge::Fresh => continue,
            };
            (left, free) = (left.saturating_sub(*bytes), free.saturating_add(*bytes));
            overdue.push(Overdue { session: *session, names: names.clone(), why });
        }
        overdue
    }
}

/// Whether footage may be kept at all.
pub(super) fn may_keep(config: &Config) -> bool {
    config.keeps_footage()
}

/// Bytes that the disk of `data_dir` has free; in doubt there are none.
pub(super) fn free_bytes(data_dir: &Path) -> u64 {
    disk::free_bytes(data_dir).unwrap_or(0)
}

#[cfg(test)]
mod tests;
