//! The state that survives a power cut, replayed from the ledger fact by fact.

use serde::{Deserialize, Serialize};

use super::timeline::Timeline;
use crate::ipc::{Fact, LedgerEntry, StoredFact};
use consent::{PersistedState, SessionId};

/// The state after an entry of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct LedgerState {
    /// The highest session number.
    pub last_session: u64,
    /// A session without an end: the guard died in it.
    pub open_session: Option<u64>,
    /// Staff locked the box and did not unlock it.
    pub locked: bool,
    /// The box was unbound, and no other configuration was in force since.
    pub unbound: bool,
    /// The policy that staff acknowledged last; `None` on a new box.
    pub acknowledged: Option<String>,
    /// The policy that was last recorded as pending.
    pub announced: Option<String>,
    /// Staff have to acknowledge the policy in force.
    pub policy_pending: bool,
    /// Fingerprint of the box's latest key.
    pub identity: Option<String>,
    /// Number of the last `unbound` entry; 0: there is none. Entries before it belong to the former shop.
    pub unbound_entry: u64,
    /// Hash of the configuration that was last in force.
    pub configuration: Option<String>,
    /// The ledger's time.
    pub time: Timeline,
}

impl LedgerState {
    pub(super) fn apply(&mut self, entry: &LedgerEntry) {
        self.time.apply(entry.at, entry.reading().as_ref());
        let fact = match &entry.fact {
            StoredFact::Known(fact) => fact,
            StoredFact::Unknown(_) => return,
        };
        match fact {
            Fact::SessionStarted { session, .. } | Fact::Probed { session, .. } => {
                self.last_session = self.last_session.max(*session);
                self.open_session = Some(*session);
            }
            Fact::SessionStopped { session, .. } | Fact::SessionInterrupted { session } => {
                // A session whose lamp failed was stopped without having been started; its number is used all the same.
                self.last_session = self.last_session.max(*session);
                self.open_session = None;
            }
            Fact::Locked {} => self.locked = true,
            Fact::Unlocked {} => self.locked = false,
            Fact::PolicyPending { policy_version } => self.announced = Some(policy_version.clone()),
            Fact::PolicyAcknowledged { policy_version } => self.acknowledged = Some(policy_version.clone()),
            Fact::Identified { fingerprint } => self.identity = Some(fingerprint.clone()),
            // Recorded only when it changes: whoever brings another one claims the box.
            Fact::Configured { hash, .. } => {
                self.configuration = Some(hash.clone());
                self.unbound = false;
            }
            Fact::Unbound { .. } => {
                self.unbound_entry = entry.seq;
                self.unbound = true;
                // The hold that unbinds passes the one that locks; only a later lock counts.
                self.locked = false;
            }
            Fact::GuardStarted { .. }
            | Fact::GuardStopped {}
            | Fact::OnAir { .. }
            | Fact::OffAir { .. }
            | Fact::EncoderFallback { .. }
            | Fact::Muted { .. }
            | Fact::Requested { .. }
            | Fact::RequestEnded { .. }
            | Fact::FaultDetected { .. }
            | Fact::FaultCleared { .. }
            | Fact::FootageDestroyed { .. }
            | Fact::CommandRefused { .. }
            | Fact::CommandsRefused { .. }
            | Fact::ConnectionRefused { .. }
            | Fact::ClockStepped { .. }
            | Fact::Pruned { .. }
            | Fact::EntriesLost { .. }
            | Fact::EntriesLeftOut { .. } => {}
        }
    }

    /// The same state, with this policy in force.
    #[must_use]
    pub fn with_policy(self, policy_version: &str) -> Self {
        let policy_pending = self.acknowledged.as_deref().is_some_and(|known| known != policy_version);
        Self { policy_pending, ..self }
    }

    /// What the consent machine is restored from, under the configuration with this hash: an unbound box is claimed by
    /// a configuration other than the one it had.
    pub fn persisted_state(&self, configuration: &str) -> PersistedState {
        PersistedState {
            last_session: SessionId(self.last_session),
            locked: self.locked,
            unbound: self.unbound && self.configuration.as_deref().is_none_or(|known| known == configuration),
            policy_pending: self.policy_pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_a_checkpoint_are_pinned() {
        let mut state = LedgerState::default();
        let utc = jiff::Timestamp::UNIX_EPOCH;
        let reading = crate::clock::ClockReading { utc, synchronised: true, boot: "".into(), monotonic_ms: 0 };
        state.time.apply(utc, Some(&reading));
        crate::wire::pin("ledger-checkpoint", &crate::wire::written(&state));
    }
}
