//! What the ledger knows of the platform's desired configuration.

use serde::{Deserialize, Serialize};

use crate::ipc::Fact;

/// Replayed from its facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DesiredHistory {
    /// The highest version that was received; 0: none.
    pub received: u64,
    /// SHA-256 of its text, in hex.
    pub digest: String,
    /// The last version that staff were asked about; 0: none.
    pub announced: u64,
    /// The version in force; 0: none.
    pub applied: u64,
    /// SHA-256 of its text, in hex.
    pub applied_digest: String,
    /// Its keys that were taken.
    pub taken: Vec<String>,
    /// A version that was in force and is lost, while staff have not agreed to go on without it.
    pub unsettled: Option<u64>,
}

impl DesiredHistory {
    /// Applies a fact of it; every other one changes nothing.
    pub fn replay(&mut self, fact: &Fact) {
        if let Fact::DesiredReceived { version, digest, keys: _ } = fact {
            (self.received, self.digest) = (*version, digest.clone());
        } else if let Fact::DesiredPending { version, changes: _ } = fact {
            self.announced = *version;
        } else if let Fact::DesiredAgreed { version: _ } = fact {
            self.unsettled = None;
        } else if let Fact::DesiredApplied { version, taken, .. } = fact {
            // Only the last one that was received can be applied.
            if *version == self.received {
                self.applied_digest.clone_from(&self.digest);
            }
            (self.applied, self.taken, self.unsettled) = (*version, taken.clone(), None);
        } else if let Fact::DesiredDropped { version, asks, .. } = fact {
            self.unbound();
            self.unsettled = asks.then_some(*version);
        }
    }

    /// What was in force is gone; what was judged stays judged.
    pub fn unbound(&mut self) {
        let (received, digest) = (self.received, std::mem::take(&mut self.digest));
        *self = Self { received, digest, ..Self::default() };
    }
}
