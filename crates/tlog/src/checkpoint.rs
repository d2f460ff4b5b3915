//! A checkpoint: what a log says that it has, as three lines of a signed note (c2sp.org/tlog-checkpoint).

use std::fmt;

use notes::{MAX_NAME_BYTES, Note, NoteError, SignerKey, VerifierKey};

use crate::hash::Hash;
use crate::range::CompactRange;

/// Longest checkpoint, in bytes, signatures included: that of a note.
pub(crate) const MAX_BYTES: usize = notes::MAX_BYTES;

/// Why bytes are no checkpoint, or not one of this log; with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note.
    #[error("it is no checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Not three lines of the right form.
    #[error("it is no checkpoint: {0}; send its bytes unchanged")]
    Form(&'static str),
    /// The key has not signed it.
    #[error("it is not signed by {0}: it is of another box, or of this one before it was unbound")]
    NotSigned(String),
    /// The signature is not the key's.
    #[error("its signature by {0} does not verify: it was changed, or another key signed it")]
    Signature(String),
    /// It says that it is another log's.
    #[error("it is of the log {origin:?}, and the key is that of {key}")]
    Origin {
        /// The log that it names.
        origin: String,
        /// The key's name.
        key: String,
    },
}

/// What a log has at some moment. `Display` gives the text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The tree's hash.
    pub root: Hash,
    /// Further lines, which say nothing here.
    extensions: Vec<String>,
}

impl Checkpoint {
    /// Of the log `origin`, which has this tree.
    pub fn new(origin: &str, tree: &CompactRange) -> Self {
        Self { origin: origin.to_owned(), size: tree.size(), root: tree.root(), extensions: Vec::new() }
    }

    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Form("its last line has no end"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Form("it has fewer lines than origin, size and root"));
        };
        if origin.is_empty() || origin.len() > MAX_NAME_BYTES {
            return Err(CheckpointError::Form("its first line is no log's name, of 1 to 128 bytes"));
        }
        let size = decimal(size).ok_or(CheckpointError::Form("its second line is not a number of entries"))?;
        let root: Hash = root.parse().map_err(|()| CheckpointError::Form("its third line is not a hash in base 64"))?;
        if size == 0 && root != Hash::empty() {
            return Err(CheckpointError::Form("an empty log has another root"));
        }
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Form("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

/// A number without leading zeros, sign or spaces.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint with signatures, of which none is verified yet. `Display` gives exactly the bytes that were parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint; says nothing about its signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// Signs a checkpoint.
    pub fn sign(checkpoint: Checkpoint, signer: &SignerKey) -> Result<Self, CheckpointError> {
        let note = Note::sign(&checkpoint.to_string(), &[signer])?;
        // Whatever is signed can be read again.
        Checkpoint::parse(note.text())?;
        Ok(Self { checkpoint, note })
    }

    /// What it says; nobody vouches for it yet.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What it says, if the log's key signed it, whose name is the log's.
    pub fn verify(&self, key: &VerifierKey) -> Result<&Checkpoint, CheckpointError> {
        match self.note.is_signed_by(key) {
            Some(true) if self.checkpoint.origin == key.name() => Ok(&self.checkpoint),
            Some(true) => {
                let (origin, key) = (self.checkpoint.origin.clone(), key.name().to_owned());
                Err(CheckpointError::Origin { origin, key })
            }
            Some(false) => Err(CheckpointError::Signature(key.name().to_owned())),
            None => Err(CheckpointError::NotSigned(key.name().to_owned())),
        }
    }

    /// The same with a witness's cosignature (c2sp.org/tlog-cosignature, `cosignature/v1`): at this time, seconds since
    /// 1970 in UTC, this was the largest consistent tree of this log that the witness knew.
    pub fn cosign(&self, witness: &SignerKey, seconds: u64) -> Result<Self, CheckpointError> {
        Ok(Self { checkpoint: self.checkpoint.clone(), note: self.note.cosign(witness, seconds)? })
    }

    /// When the witness with this key cosigned; `None`: it has not. A cosignature that does not verify is an error.
    pub fn cosigned_at(&self, witness: &VerifierKey) -> Result<Option<u64>, CheckpointError> {
        let wrong = || CheckpointError::Signature(witness.name().to_owned());
        self.note.cosigned_at(witness).map(|at| at.ok_or_else(wrong)).transpose()
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
