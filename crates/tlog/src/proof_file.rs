//! Proofs as files, to be checked without the log: that an entry is in it (c2sp.org/tlog-proof), and that it only grew
//! since an older checkpoint (the request of c2sp.org/tlog-witness).

use std::fmt;

use base64ct::{Base64, Encoding};
use notes::VerifierKey;

use crate::checkpoint::{self, Checkpoint, CheckpointError, SignedCheckpoint, decimal};
use crate::hash::{Hash, leaf_hash};
use crate::proof::{MAX_PROOF_HASHES, ProofError, verify_consistency, verify_inclusion};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// How the line of extra data begins.
const EXTRA: &str = "extra ";
/// How the line of the index begins.
const INDEX: &str = "index ";
/// How a proof of growth begins.
const OLD: &str = "old ";
/// Longest file, in bytes: a checkpoint, a proof, and an entry of a ledger as extra data.
pub const MAX_PROOF_BYTES: usize = 256 * 1024;

/// Why a proof file proves nothing; with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Not a proof file.
    #[error("it is no proof file: {0}; send its bytes unchanged")]
    Form(&'static str),
    /// Its checkpoint is none, or not one of this log.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not in the log.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A proof that an entry is in a log. `Display` gives exactly the bytes that were parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// What belongs to it: here the entry itself. Nobody vouches for it before the proof is verified with it.
    pub extra: Option<Vec<u8>>,
    /// The entry's place, from 0.
    pub index: u64,
    /// From the leaf to the root.
    pub hashes: Vec<Hash>,
    /// The tree that it is in.
    pub checkpoint: SignedCheckpoint,
}

impl ProofFile {
    /// Reads a proof file; says nothing about what it proves.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let form = ProofFileError::Form;
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(form("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| form("it is not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(form("it has no checkpoint behind an empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(form("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next_if(|line| line.starts_with(EXTRA)).map(|line| Base64::decode_vec(&line[EXTRA.len()..]));
        let extra = extra.transpose().map_err(|_| form("its extra data is not base 64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix(INDEX)).and_then(decimal);
        let index = index.ok_or(form("it has no line `index` with a number"))?;
        let (hashes, checkpoint) = read_rest(lines, checkpoint)?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// Whether `entry` is in the log of this key at the place that the proof says. Returns the checkpoint.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<&Checkpoint, ProofFileError> {
        let checkpoint = self.checkpoint.verify(key)?;
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, &self.hashes, checkpoint.root)?;
        Ok(checkpoint)
    }
}

/// The hashes, and the checkpoint that they lead to.
fn read_rest<'a>(
    lines: impl Iterator<Item = &'a str>,
    checkpoint: &str,
) -> Result<(Vec<Hash>, SignedCheckpoint), ProofFileError> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == MAX_PROOF_HASHES {
            return Err(ProofFileError::Form("it has more hashes than any tree"));
        }
        hashes.push(line.parse().map_err(|()| ProofFileError::Form("a line is not a hash in base 64"))?);
    }
    if checkpoint.len() > checkpoint::MAX_BYTES {
        return Err(ProofFileError::Form("its checkpoint is too long"));
    }
    Ok((hashes, SignedCheckpoint::parse(checkpoint.as_bytes())?))
}

/// A proof that a log only grew: what is sent to a witness. `Display` gives exactly the bytes that were parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowthFile {
    /// The size of the older checkpoint.
    pub old: u64,
    /// The consistency proof.
    pub hashes: Vec<Hash>,
    /// The newer checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl GrowthFile {
    /// Reads such a proof; says nothing about what it proves.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let form = ProofFileError::Form;
        let text = std::str::from_utf8(bytes).map_err(|_| form("it is not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(form("it has no checkpoint behind an empty line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix(OLD)).and_then(decimal);
        let old = old.ok_or(form("its first line is not `old` with a number"))?;
        let (hashes, checkpoint) = read_rest(lines, checkpoint)?;
        Ok(Self { old, hashes, checkpoint })
    }

    /// Whether the log of this key begins with what its verified `old` checkpoint has. Returns the newer one.
    pub fn verify(&self, old: &Checkpoint, key: &VerifierKey) -> Result<&Checkpoint, ProofFileError> {
        let checkpoint = self.checkpoint.verify(key)?;
        if self.old != old.size {
            return Err(ProofFileError::Form("it is for an older checkpoint of another size"));
        }
        verify_consistency((old.size, old.root), (checkpoint.size, checkpoint.root), &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for GrowthFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{OLD}{}", self.old)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl fmt::Display for ProofFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "{EXTRA}{}", Base64::encode_string(extra))?;
        }
        writeln!(f, "{INDEX}{}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
