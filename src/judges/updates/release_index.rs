//! Which release is in force: the newest that enough trusted keys signed. It survives restarts, and is verified again
//! at each.

use std::time::Duration;

use notes::{Role, Trust};
use rollout::{Accepted, Release, Replacement, Sha256Hex};

use super::file_writer::FileWriter;
use crate::config::Config;
use crate::ipc::{Fact, Response};
use crate::judges::ReplySender;
use crate::token_bucket::TokenBucket;
use crate::update_files;
use monotonic::Monotonic;

/// Notes that are verified at once, and then one each [`REFILL_INTERVAL`]: an agent that was taken over gets no
/// further.
const BURST: u32 = 5;
/// See [`BURST`].
const REFILL_INTERVAL: Duration = Duration::from_secs(10);
/// The release in force.
#[derive(Debug)]
pub(super) struct Current {
    note: String,
    pub(super) release: Release,
    accepted: Accepted,
    pub(super) digest: Sha256Hex,
}

/// A release that comes into force when it is on disk.
#[derive(Debug)]
struct Incoming {
    current: Current,
    keys: Vec<String>,
    reply: ReplySender,
}

/// A release came into force.
pub(super) struct Taken {
    /// What to write down; `None`: it is the same as before.
    pub(super) fact: Option<Fact>,
    /// It delivers the same packages as the one before.
    pub(super) is_same: bool,
}

/// The release in force, and the one that comes.
#[derive(Debug)]
pub(super) struct ReleaseIndex {
    trust: Trust,
    channel: String,
    writer: FileWriter,
    current: Option<Current>,
    /// The highest serial of the channel that the ledger has; 0: none.
    floor: u64,
    /// The keys that signed the stored one, until the ledger was read.
    keys: Vec<String>,
    incoming: Option<Incoming>,
    quota: TokenBucket,
}

impl ReleaseIndex {
    /// Reads what was in force before.
    pub(super) fn load(config: &Config, now: Monotonic) -> Self {
        let mut index = Self {
            trust: config.trust.clone(),
            channel: config.update.channel.clone(),
            writer: FileWriter::new(config.device.data_dir.join(update_files::NOTE)),
            current: None,
            floor: 0,
            keys: Vec::new(),
            incoming: None,
            quota: TokenBucket::new(BURST, REFILL_INTERVAL, now),
        };
        index.load_note();
        index
    }

    pub(super) fn current(&self) -> Option<&Current> {
        self.current.as_ref()
    }

    pub(super) fn serial(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.release.serial)
    }

    /// Another release is being written.
    pub(super) fn is_changing(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether a key is trusted to sign releases, and enough of them are.
    pub(super) fn has_keys(&self) -> bool {
        let keys = self.trust.keys.iter().filter(|key| key.may.contains(&Role::Release)).count();
        keys >= usize::from(self.trust.threshold(Role::Release))
    }

    /// Reads the note that was in force before, and verifies it again: keys may have been taken away since.
    fn load_note(&mut self) {
        let path = self.writer.path();
        let note = match crate::untrusted_file::read(path, notes::MAX_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return tracing::error!("{}: {error}", path.display()),
        };
        match self.judge(&String::from_utf8_lossy(&note)) {
            Ok((current, keys)) => {
                self.current = Some(current);
                self.keys = keys;
            }
            Err(why) => tracing::warn!("the release that was in force counts no more: {why}"),
        }
    }

    /// The ledger was read, which has this serial as the channel's highest. Returns what it lacks: the power failed
    /// after the file was written.
    pub(super) fn restore(&mut self, floor: u64) -> Option<Fact> {
        self.floor = floor;
        if let Some(older) = self.current.take_if(|current| current.release.serial < floor) {
            let serial = older.release.serial;
            tracing::warn!("the stored release has the serial {serial}, and {floor} was in force: it counts no more");
        }
        let current = self.current.as_ref().filter(|current| current.release.serial > floor)?;
        Some(offered(&current.release, std::mem::take(&mut self.keys)))
    }

    /// Verifies a note, and reads what it says.
    fn judge(&self, note: &str) -> Result<(Current, Vec<String>), String> {
        let verified = self.trust.verify(note.as_bytes(), Role::Release);
        let verified = verified.map_err(|refusal| refusal.to_string())?;
        let release = Release::parse(&verified.json).map_err(|error| error.to_string())?;
        if release.channel != self.channel {
            let (theirs, ours) = (&release.channel, &self.channel);
            return Err(format!("it is for the channel {theirs}, and this box is on {ours}: see [update] channel"));
        }
        let (accepted, digest) = (release.accepted(&verified.text), release.digest());
        Ok((Current { note: note.to_owned(), release, accepted, digest }, verified.signers))
    }

    /// A release index came. The reply follows when it is kept, or at once. `Err`: it is refused, for the ledger. While
    /// an update is under way nothing replaces what is in force: the updater looks there for what it installs.
    pub(super) fn offer(
        &mut self,
        now: Monotonic,
        note: &str,
        is_under_way: bool,
        reply: ReplySender,
    ) -> Result<(), String> {
        let answer = |reply: ReplySender, response| {
            // A caller that went away does not need its reply.
            let _ = reply.send(response);
        };
        if self.current.as_ref().is_some_and(|known| known.note == note) {
            answer(reply, Response::Done);
            return Ok(());
        }
        if is_under_way {
            answer(reply, Response::unavailable("an update is under way: try it again when that has ended"));
            return Ok(());
        }
        if self.incoming.is_some() || !self.quota.try_take(now) {
            answer(reply, Response::unavailable("releases come too fast: try it again"));
            return Ok(());
        }
        let judged = self.judge(note).and_then(|(current, keys)| match self.follows(&current) {
            Replacement::New | Replacement::Repeated => Ok((current, keys)),
            Replacement::Older => {
                let (old, known) = (current.release.serial, self.serial().unwrap_or_default().max(self.floor));
                Err(format!(
                    "serial {old} is older than {known}, which is in force: it was replayed, or kept by a broker"
                ))
            }
            Replacement::Conflicting => {
                let serial = current.release.serial;
                Err(format!("another release has the serial {serial}: sign this one with a higher serial"))
            }
        });
        match judged {
            Ok((current, keys)) => {
                self.writer.write(note.to_owned());
                self.incoming = Some(Incoming { current, keys, reply });
                Ok(())
            }
            Err(why) => {
                answer(reply, Response::refused(why.clone()));
                Err(why)
            }
        }
    }

    fn follows(&self, new: &Current) -> Replacement {
        if new.release.serial < self.floor {
            return Replacement::Older;
        }
        self.current.as_ref().map_or(Replacement::New, |known| known.accepted.replaced_by(&new.accepted))
    }

    /// A release that is on disk comes into force; `None`: there is none.
    pub(super) fn take_incoming(&mut self) -> Option<Taken> {
        let written = self.writer.poll()?;
        let Incoming { current, keys, reply } = self.incoming.take()?;
        if let Err(error) = written {
            let why = format!("the release cannot be kept: {error}");
            tracing::error!("{why}");
            let _ = reply.send(Response::unavailable(why));
            return None;
        }
        let _ = reply.send(Response::Done);
        let is_repeated = self.follows(&current) == Replacement::Repeated;
        let fact = offered(&current.release, keys);
        let is_same = self.current.as_ref().is_some_and(|known| known.digest == current.digest);
        self.current = Some(current);
        Some(Taken { fact: (!is_repeated).then_some(fact), is_same })
    }
}

fn offered(Release { version, serial, security, channel, .. }: &Release, keys: Vec<String>) -> Fact {
    let channel = Some(channel.clone());
    Fact::UpdateOffered { version: version.to_string(), serial: *serial, security: *security, keys, channel }
}
