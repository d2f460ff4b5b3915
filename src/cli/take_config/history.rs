//! What a box went through before somebody brings it a configuration: whether it ever captured, and which policy staff
//! acknowledged last.

use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};

/// What the ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// It never captured anything: it is being installed, and nobody consented to anything yet.
    New,
    /// It was used.
    Used {
        /// The policy version that staff acknowledged last. Under it the guard asks nobody.
        acknowledged: Option<String>,
    },
    /// The ledger is there and cannot be read: the box may have captured under any policy.
    Unknown,
}

impl History {
    /// Reads it from the ledger of the box that `config` describes.
    pub(super) fn of(config: &Config) -> Self {
        let path = config.ledger();
        if !path.exists() {
            return Self::New;
        }
        let read = || -> Result<Self, LedgerError> {
            let ledger = Ledger::open_read_only(&path)?;
            let (last, _, kept) = ledger.verify()?;
            let recall = ledger.replay(&config.consent.policy_version)?;
            let used = kept < last || recall.last_session > 0;
            Ok(if used { Self::Used { acknowledged: recall.acknowledged } } else { Self::New })
        };
        read().unwrap_or(Self::Unknown)
    }
}
