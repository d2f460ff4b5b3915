//! The policy in force: the configuration's, or a later one that the platform signed.

use super::policy_note::{PolicyHistory, PolicyNote};
use crate::config::{Config, policy_follows};
use crate::ledger::LedgerState;

/// The policy in force, and what is known of those before.
#[derive(Debug)]
pub struct PolicyInForce {
    /// Its version: a day.
    pub version: String,
    /// The signed note, where the version is the platform's.
    pub note: Option<PolicyNote>,
    /// The version that staff acknowledged last.
    pub acknowledged: Option<String>,
    /// The latest version of a signed policy, as the ledger has it.
    pub noted: Option<String>,
    /// The keys that signed it.
    pub keys: Vec<String>,
    /// Why the last retained policy was refused.
    pub refused: Option<String>,
}

impl PolicyInForce {
    /// That of the files alone.
    pub fn of_configuration(config: &Config) -> Self {
        let version = config.consent.policy_version.clone();
        Self { version, note: None, acknowledged: None, noted: None, keys: Vec::new(), refused: None }
    }

    /// The policy in force at the start: the stored one if it is whole, trusted, in the ledger, and not older than the
    /// configuration's.
    pub fn restored(config: &Config, state: &LedgerState) -> Self {
        let mut policy = Self::of_configuration(config);
        policy.acknowledged.clone_from(&state.acknowledged);
        policy.noted.clone_from(&state.noted);
        policy.keys.clone_from(&state.noted_keys);
        let Some(note) = PolicyNote::load(&config.device.data_dir, &config.trust) else { return policy };
        let (version, own) = (&note.document.version, &config.consent.policy_version);
        if state.noted.as_ref() == Some(version) && (version == own || policy_follows(version, own)) {
            policy.version.clone_from(version);
            if policy.keys.is_empty() {
                policy.keys = note.signers().to_vec();
            }
            policy.note = Some(note);
        }
        policy
    }

    /// What a new policy is judged by.
    pub fn history(&self, is_pending: bool) -> PolicyHistory<'_> {
        PolicyHistory {
            in_force: &self.version,
            note: self.note.as_ref(),
            noted: self.noted.as_deref(),
            keys: &self.keys,
            acknowledged: self.acknowledged.as_deref(),
            is_pending,
        }
    }

    /// A policy takes effect: file and ledger have it.
    pub fn adopt(&mut self, note: PolicyNote) {
        self.version.clone_from(&note.document.version);
        self.noted = Some(self.version.clone());
        self.keys = note.signers().to_vec();
        self.note = Some(note);
    }

    /// The box was unbound.
    pub fn forget_note(&mut self, config: &Config) {
        let acknowledged = self.acknowledged.take();
        *self = Self { acknowledged, ..Self::of_configuration(config) };
    }
}
