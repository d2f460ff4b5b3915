//! Answers that outlive the agent: a command that is repeated after a restart is not carried out once more.
//!
//! The file is replaced whole and not synced: what a power cut loses of it is of no use, for nothing that a command
//! could have changed outlives a power cut either.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::disk;
use crate::ipc::{ReplyCode, Verb};

/// In the agent's folder.
const FILE: &str = "answers";
/// Longest file that is read, in bytes: 256 answers with ids of 128 bytes have a third of it.
const MAX_BYTES: u64 = 256 * 1024;

/// One command that was answered. Without what `diagnose` found: that is looked at anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredReply {
    pub(crate) id: String,
    pub(crate) verb: Verb,
    pub(crate) ok: bool,
    pub(crate) error: Option<String>,
    /// Missing in files of older versions.
    #[serde(default)]
    pub(crate) code: Option<ReplyCode>,
}

/// Where they are kept.
#[derive(Debug)]
pub(super) struct ReplyStore {
    path: PathBuf,
    /// That it does not work was told.
    error_logged: bool,
}

impl ReplyStore {
    pub(super) fn new(agent_dir: &Path) -> Self {
        Self { path: agent_dir.join(FILE), error_logged: false }
    }

    /// What was kept, oldest first; nothing where it cannot be read: a command may then be carried out once more.
    pub(super) fn load(&self) -> Vec<StoredReply> {
        let read = || -> io::Result<Vec<StoredReply>> {
            if disk::metadata(&self.path)?.len > MAX_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            Ok(serde_json::from_slice(&disk::read(&self.path)?)?)
        };
        read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "{} cannot be read: answers of before are forgotten", self.path.display());
            }
            Vec::new()
        })
    }

    /// Keeps these instead.
    pub(super) fn store(&mut self, answered: &[StoredReply]) {
        let write = || -> io::Result<()> {
            if let Some(dir) = self.path.parent().filter(|dir| !disk::is_dir(dir)) {
                disk::create_dir(dir, 0o777)?;
            }
            atomic_file::replace(&self.path, &serde_json::to_vec(answered)?, BY_UMASK, Durability::Unsynced)
        };
        match write() {
            Ok(()) => self.error_logged = false,
            Err(error) if !self.error_logged => {
                self.error_logged = true;
                tracing::error!(%error, "{} cannot be written: answers do not outlive the agent", self.path.display());
            }
            Err(_) => {}
        }
    }

    /// The box was unbound.
    pub(super) fn forget(&self) {
        if let Err(error) = atomic_file::remove(&self.path) {
            tracing::error!(%error, "{} cannot be deleted", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::power::{Possible, Run, Scenario};

    #[test]
    fn a_power_cut_leaves_answers_of_before_or_none() {
        let dir = Path::new("/data/agent");
        let answers = |count: usize| -> Vec<StoredReply> {
            let reply = |number| StoredReply {
                id: format!("{number:0100}"),
                verb: Verb::Mute,
                ok: true,
                error: None,
                code: None,
            };
            (0..count).map(reply).collect()
        };
        let work = |run: &mut Run<Possible<Vec<StoredReply>>>| {
            let mut reply_store = ReplyStore::new(dir);
            for count in 1..12 {
                run.note(|known| known.attempt(answers(count)));
                reply_store.store(&answers(count));
            }
            run.note(|known| known.attempt(Vec::new()));
            reply_store.forget();
            run.note(Possible::settle);
        };
        let judge = |known: &Possible<_>| known.admit(&ReplyStore::new(dir).load());
        Scenario { name: "answers", capacity: None, prepare: &|| {}, work: &work, recover: &|_| {}, judge: &judge }
            .try_all(1);
    }

    #[test]
    fn answers_are_kept_and_damage_forgets_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut reply_store = ReplyStore::new(&dir.path().join("agent"));
        assert!(reply_store.load().is_empty());
        let answered = [
            StoredReply { id: "a".to_owned(), verb: Verb::RequestStart, ok: true, error: None, code: None },
            StoredReply {
                id: "b\n\"".to_owned(),
                verb: Verb::Unmute,
                ok: false,
                error: Some("no".to_owned()),
                code: Some(ReplyCode::Refused),
            },
        ];
        reply_store.store(&answered);
        assert_eq!(reply_store.load(), answered);
        for damage in ["", "[", "[{}]", "{\"id\":\"a\"}"] {
            std::fs::write(dir.path().join("agent/answers"), damage).unwrap();
            assert!(reply_store.load().is_empty(), "{damage:?}");
        }
        reply_store.store(&answered);
        reply_store.forget();
        assert!(reply_store.load().is_empty());
    }
}
