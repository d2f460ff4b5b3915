//! The policy in force: the configuration's, or a later one that the platform signed.

use super::policy_note::PolicyNote;
use crate::config::Config;

/// The policy in force, and what is known of those before.
#[derive(Debug)]
pub(crate) struct PolicyInForce {
    pub(crate) version: String,
    /// The signed note, where the version is the platform's.
    pub(crate) note: Option<PolicyNote>,
    /// The version that staff acknowledged last.
    pub(crate) acknowledged: Option<String>,
    /// The latest version of a signed policy, as the ledger has it.
    pub(crate) noted: Option<String>,
    /// Why the last retained policy was refused.
    pub(crate) refused: Option<String>,
}

impl PolicyInForce {
    pub(crate) fn of_configuration(config: &Config) -> Self {
        let version = config.consent.policy_version.clone();
        Self { version, note: None, acknowledged: None, noted: None, refused: None }
    }

    /// The box was unbound.
    pub(crate) fn forget_note(&mut self, config: &Config) {
        let acknowledged = self.acknowledged.take();
        *self = Self { acknowledged, ..Self::of_configuration(config) };
    }
}
