//! Cosignatures (c2sp.org/tlog-cosignature, `cosignature/v1`): a witness signs the text of a checkpoint, and when.

use crate::key::{SignerKey, VerifierKey};
use crate::note::{Note, NoteError};

/// Bytes of the time in front of the signature.
const TIME_BYTES: usize = 8;

/// What is signed: the header keeps a cosignature from passing for a signature of anything else.
fn message(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl Note {
    /// The same note with this witness's cosignature at a time, in seconds since 1970 in UTC. It replaces an earlier
    /// one by the same key.
    ///
    /// # Errors
    /// The note has no room for it.
    pub fn cosign(&self, witness: &SignerKey, seconds: u64) -> Result<Self, NoteError> {
        let signature = witness.sign(&message(self.text(), seconds));
        let bytes = [seconds.to_be_bytes().as_slice(), &signature].concat();
        let key = witness.verifier_key();
        self.with_signature(key.name(), key.cosigner_id(), bytes)
    }

    /// When the witness with this key cosigned. `None`: it has not. `Some(None)`: it is said to have, and has not.
    pub fn cosigned_at(&self, witness: &VerifierKey) -> Option<Option<u64>> {
        let judge = |bytes: &[u8]| {
            let (time, signature) = bytes.split_first_chunk::<TIME_BYTES>()?;
            let seconds = u64::from_be_bytes(*time);
            witness.verifies(&message(self.text(), seconds), signature).then_some(seconds)
        };
        let own = self.signatures_of(witness.name(), witness.cosigner_id());
        own.map(judge).reduce(|newest, one| Some(newest?.max(one?)))
    }
}
