//! Checkpoints of the boxes, judged as a witness does: each has to be of the entries that the archive has, and to
//! continue the one before. What passes is kept, and cosigned if there is a key for it.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use notes::{SignerKey, VerifierKey};
use tallybox::exit::Exit;
use tallybox::ledger::{ExportError, verify_export, verify_export_with};
use tlog::{Checkpoint, SignedCheckpoint};

use super::archive::Archive;
use crate::{files, key};

/// Longest file of keys, in bytes: 200 a box, for more boxes than one archive takes.
const MAX_KEYS_BYTES: u64 = 64 * 1024 * 1024;
/// Longest checkpoint, in bytes.
const MAX_CHECKPOINT_BYTES: u64 = notes::MAX_BYTES as u64;

/// What a checkpoint is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It continues what is known, and is kept.
    Kept,
    /// It is the one that is kept.
    Known,
    /// The archive has not got all its entries yet.
    Early,
    /// It is none, or nothing is known to judge it by.
    Refused(String),
    /// The box contradicts what it signed or sent before.
    Contradiction(String),
}

/// What a file of the archive says to a checkpoint.
enum Archived {
    Same,
    Short,
    Other,
    Unusable(String),
}

/// Judges checkpoints.
#[derive(Debug)]
pub(super) struct Witness {
    /// By the names of their logs.
    keys: HashMap<String, VerifierKey>,
    cosigner: Option<SignerKey>,
    /// Newest checkpoints whose entries have not come yet, by box.
    early: HashMap<String, SignedCheckpoint>,
}

impl Witness {
    /// With the boxes' keys in a file, one a line, and the key that cosigns.
    pub(super) fn load(keys: &Path, cosign: Option<&Path>) -> Result<Self, Exit> {
        let mut known = HashMap::new();
        for (number, line) in (1..).zip(files::read_text(keys, MAX_KEYS_BYTES)?.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |error| Exit::data(format!("{}: line {number}: {error}", keys.display()));
            let key: VerifierKey = line.parse().map_err(wrong)?;
            known.insert(key.name().to_owned(), key);
        }
        Ok(Self { keys: known, cosigner: cosign.map(key::load).transpose()?, early: HashMap::new() })
    }

    /// Judges a checkpoint of the box `id`, at a time in seconds since 1970.
    pub(super) fn judge(
        &mut self,
        id: &str,
        payload: &[u8],
        archive: &Archive,
        seconds: u64,
    ) -> Result<Judgement, Exit> {
        let signed = match SignedCheckpoint::parse(payload) {
            Ok(signed) => signed,
            Err(error) => return Ok(Judgement::Refused(error.to_string())),
        };
        let origin = signed.unverified().origin.clone();
        if !origin
            .strip_prefix("tallybox/")
            .and_then(|rest| rest.strip_prefix(id)?.strip_prefix('/'))
            .is_some_and(is_hex)
        {
            return Ok(Judgement::Refused(format!("it is of the log {origin}, which is not this box's")));
        }
        let Some(key) = self.keys.get(&origin) else {
            let why = format!("the key of {origin} is not known: add identity.verifier-key of its status --json");
            return Ok(Judgement::Refused(why));
        };
        if let Err(error) = signed.verify(key) {
            return Ok(Judgement::Refused(error.to_string()));
        }
        self.early.remove(id);
        self.judge_signed(id, signed, archive, seconds)
    }

    /// Judges the checkpoint whose entries had not come, if there is one and they may have by now.
    pub(super) fn judge_early(
        &mut self,
        id: &str,
        last: u64,
        archive: &Archive,
        seconds: u64,
    ) -> Result<Option<Judgement>, Exit> {
        if self.early.get(id).is_none_or(|early| early.unverified().size > last) {
            return Ok(None);
        }
        let Some(signed) = self.early.remove(id) else { return Ok(None) };
        self.judge_signed(id, signed, archive, seconds).map(Some)
    }

    fn judge_signed(
        &mut self,
        id: &str,
        signed: SignedCheckpoint,
        archive: &Archive,
        seconds: u64,
    ) -> Result<Judgement, Exit> {
        let new = signed.unverified().clone();
        let path = path(archive, id, &new.origin);
        let kept = if path.exists() { Some(read(&path)?) } else { None };
        let contradiction = |why: String| Ok(Judgement::Contradiction(why));
        if let Some(old) = &kept {
            let Checkpoint { size, root, .. } = old;
            if new.size < *size {
                return contradiction(format!(
                    "the ledger went back: it had {size} entries, and now has {}: it was restored from a backup",
                    new.size
                ));
            }
            if new.size == *size {
                let why = format!("two ledgers have the same key: there are two trees of {size} entries");
                return if new.root == *root { Ok(Judgement::Known) } else { contradiction(why) };
            }
        }
        let (mut is_short, mut unusable) = (false, None);
        let ledgers = archive.ledgers(id)?;
        for ledger in &ledgers {
            match hold(ledger, &new)? {
                Archived::Same => {
                    if let Some(old) = &kept
                        && !matches!(hold(ledger, old)?, Archived::Same)
                    {
                        return contradiction(format!(
                            "two ledgers have the same key: the tree of {} entries does not begin with that of {}",
                            new.size, old.size
                        ));
                    }
                    self.keep(&path, signed, seconds)?;
                    return Ok(Judgement::Kept);
                }
                Archived::Short => is_short = true,
                Archived::Other => {}
                Archived::Unusable(why) => unusable = Some(format!("{}: {why}", ledger.display())),
            }
        }
        if is_short || ledgers.is_empty() {
            self.early.insert(id.to_owned(), signed);
            return Ok(Judgement::Early);
        }
        if let Some(why) = unusable {
            return Ok(Judgement::Refused(why));
        }
        contradiction(format!("it is of {} entries that are not those that the box sent", new.size))
    }

    /// Keeps a checkpoint in one step: whoever reads meanwhile has the one before.
    fn keep(&self, path: &Path, signed: SignedCheckpoint, seconds: u64) -> Result<(), Exit> {
        let failed = |error: std::io::Error| Exit::io(format!("{}: {error}", path.display()));
        let note = match &self.cosigner {
            Some(key) => signed.cosign(key, seconds).map_err(|error| Exit::software(error.to_string()))?,
            None => signed,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(note.to_string().as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where the newest checkpoint of a log is kept.
fn path(archive: &Archive, id: &str, origin: &str) -> PathBuf {
    archive.folder(id).join(format!("{}.checkpoint", origin.rsplit('/').next().unwrap_or_default()))
}

fn read(path: &Path) -> Result<Checkpoint, Exit> {
    let read = SignedCheckpoint::parse(&files::read(path, MAX_CHECKPOINT_BYTES)?);
    let damaged = |error| Exit::data(format!("{}: {error}; put it back from a backup", path.display()));
    read.map(|signed| signed.unverified().clone()).map_err(damaged)
}

/// Holds a ledger's file against a checkpoint.
fn hold(ledger: &Path, checkpoint: &Checkpoint) -> Result<Archived, Exit> {
    let failed = |error: std::io::Error| Exit::io(format!("{}: {error}", ledger.display()));
    let open = || std::fs::File::open(ledger).map(BufReader::new).map_err(failed);
    match verify_export(open()?) {
        Err(error) => return Ok(Archived::Unusable(error.to_string())),
        Ok(proof) if proof.tree.is_none() => {
            let why = "it begins in the middle of a ledger: put the first line of the box's own export before it";
            return Ok(Archived::Unusable(why.to_owned()));
        }
        Ok(proof) if proof.last < checkpoint.size => return Ok(Archived::Short),
        Ok(_) => {}
    }
    match verify_export_with(open()?, checkpoint) {
        Ok(_) => Ok(Archived::Same),
        Err(ExportError::Checkpoint(_)) => Ok(Archived::Other),
        Err(error) => Ok(Archived::Unusable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use tallybox::clock;
    use tallybox::ipc::Fact;
    use tallybox::ledger::following;
    use tlog::{CompactRange, leaf_hash};

    use super::*;

    const ORIGIN: &str = "tallybox/shop-1/0011223344556677";

    /// Lines of a ledger: the first ones are the same for each `kind`, and the rest are not.
    fn lines(count: usize, fork: usize) -> Vec<String> {
        let (mut last, mut lines): (Option<(u64, String)>, Vec<String>) = (None, Vec::new());
        let reading = clock::ClockReading {
            utc: jiff::Timestamp::UNIX_EPOCH,
            synchronised: true,
            boot: "b".into(),
            monotonic_ms: 1,
        };
        for number in 0..count {
            let before = last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()));
            let fact = if number < fork { Fact::Locked {} } else { Fact::Unlocked {} };
            let entry = following(before, reading.utc, &reading, fact).unwrap();
            lines.push(entry.line());
            last = Some((entry.seq, entry.hash));
        }
        lines
    }

    fn note(lines: &[String], seed: u8) -> Vec<u8> {
        let mut tree = CompactRange::default();
        for line in lines {
            tree.append(leaf_hash(line.as_bytes()));
        }
        let signer = SignerKey::new(ORIGIN, &[seed; 32]).unwrap();
        SignedCheckpoint::sign(Checkpoint::new(ORIGIN, &tree), &signer).unwrap().to_string().into_bytes()
    }

    fn is_contradiction(judgement: &Judgement) -> bool {
        matches!(judgement, Judgement::Contradiction(_))
    }

    #[test]
    fn forks_and_ledgers_that_went_back_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let key = SignerKey::new(ORIGIN, &[1; 32]).unwrap().verifier_key();
        let cosigner = SignerKey::new("operator.example/witness", &[7; 32]).unwrap();
        let mut witness = Witness {
            keys: [(ORIGIN.to_owned(), key.clone())].into(),
            cosigner: Some(SignerKey::new("operator.example/witness", &[7; 32]).unwrap()),
            early: HashMap::new(),
        };
        let mut judge = |payload: &[u8]| witness.judge("shop-1", payload, &archive, 1000).unwrap();
        let good = lines(20, 20);
        let keep = |lines: &[String], ledger: &str| {
            std::fs::create_dir_all(dir.path().join("shop-1")).unwrap();
            let text: String = lines.iter().map(|line| line.clone() + "\n").collect();
            std::fs::write(dir.path().join("shop-1").join(format!("{ledger}.jsonl")), text).unwrap();
        };
        assert_eq!(judge(&note(&good[..5], 1)), Judgement::Early, "nothing came yet");
        keep(&good[..12], "a");
        assert_eq!(judge(&note(&good[..5], 1)), Judgement::Kept);
        assert_eq!(judge(&note(&good[..5], 1)), Judgement::Known);
        assert_eq!(judge(&note(&good[..15], 1)), Judgement::Early);
        assert_eq!(judge(&note(&good[..12], 1)), Judgement::Kept);
        assert!(is_contradiction(&judge(&note(&good[..11], 1))), "it went back");
        let fork = lines(20, 8);
        assert!(is_contradiction(&judge(&note(&fork[..12], 1))), "the same size, another tree");
        // The box sends a fork under the same key, in a file of its own, and signs it: it does not continue the first.
        keep(&fork, "b");
        assert!(is_contradiction(&judge(&note(&fork[..18], 1))));
        std::fs::remove_file(dir.path().join("shop-1").join("b.jsonl")).unwrap();
        keep(&good, "a");
        assert!(is_contradiction(&judge(&note(&fork[..15], 1))), "entries that never came");
        assert!(matches!(judge(&note(&good, 2)), Judgement::Refused(_)), "another key");
        assert!(matches!(judge(b"no note"), Judgement::Refused(_)));
        assert_eq!(judge(&note(&good, 1)), Judgement::Kept);
        let kept = std::fs::read(dir.path().join("shop-1").join("0011223344556677.checkpoint")).unwrap();
        let kept = SignedCheckpoint::parse(&kept).unwrap();
        assert_eq!((kept.verify(&key).unwrap().size, kept.cosigned_at(&cosigner.verifier_key())), (20, Ok(Some(1000))));
        // Another box's, and an archive that begins in the middle.
        let other = witness.judge("shop-2", &note(&good, 1), &archive, 1).unwrap();
        assert!(matches!(other, Judgement::Refused(_)), "{other:?}");
    }

    #[test]
    fn a_checkpoint_that_came_first_waits_for_its_entries() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let key = SignerKey::new(ORIGIN, &[1; 32]).unwrap().verifier_key();
        let mut witness = Witness { keys: [(ORIGIN.to_owned(), key)].into(), cosigner: None, early: HashMap::new() };
        let good = lines(9, 9);
        assert_eq!(witness.judge("shop-1", &note(&good, 1), &archive, 1).unwrap(), Judgement::Early);
        for (number, line) in (1..).zip(&good) {
            archive.append("shop-1", "a", line).unwrap();
            let judged = witness.judge_early("shop-1", number, &archive, 1).unwrap();
            assert_eq!(judged, (number == 9).then_some(Judgement::Kept), "{number}");
        }
    }
}
