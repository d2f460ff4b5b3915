//! Answers of this epoch, so that a command that comes twice gets the same one.

use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};

use crate::ipc::Response;

/// Commands that are remembered: more than can wait at a broker. Older ones are void by their sequence numbers, and
/// only get another answer.
const MAX_REMEMBERED: usize = 256;

/// SHA-256 of a command's text. Not of the whole note: other signatures under the same text make no other command.
pub type Digest = [u8; 32];

pub(super) fn digest(text: &str) -> Digest {
    Sha256::digest(text).into()
}

#[derive(Debug)]
struct Remembered {
    digest: Digest,
    id: String,
    /// `None`: it is being carried out.
    answer: Option<Response>,
}

/// The last commands that were accepted.
#[derive(Debug, Default)]
pub(super) struct AnswerMemory {
    remembered: VecDeque<Remembered>,
}

impl AnswerMemory {
    /// Whether this very command was accepted before.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.remembered.iter().any(|known| known.digest == *digest)
    }

    /// Whether a command with this id was.
    pub(super) fn knows_id(&self, id: &str) -> bool {
        self.remembered.iter().any(|known| known.id == id)
    }

    pub(super) fn answer(&self, digest: &Digest) -> Option<&Response> {
        self.remembered.iter().find(|known| known.digest == *digest)?.answer.as_ref()
    }

    /// Makes room for one more. `Err`: all that are remembered are still being carried out.
    pub(super) fn make_room(&mut self) -> Result<(), ()> {
        if self.remembered.len() >= MAX_REMEMBERED {
            let oldest = self.remembered.iter().position(|known| known.answer.is_some()).ok_or(())?;
            self.remembered.remove(oldest);
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, digest: Digest, id: String) {
        self.remembered.push_back(Remembered { digest, id, answer: None });
    }

    pub(super) fn settle(&mut self, digest: &Digest, answer: Response) {
        if let Some(known) = self.remembered.iter_mut().find(|known| known.digest == *digest) {
            known.answer = Some(answer);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.remembered.len()
    }
}
