//! The state that survives a power cut, replayed from the ledger fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::desired::DesiredHistory;
use super::footage::FootageMarks;
use super::refusals::Refusals;
use super::timeline::Timeline;
use crate::ipc::{Erasure, ErasureReason, Fact, Incident, LedgerEntry, StoredFact};
use consent::{Parting, PersistedState, SessionId};

/// When something ended, on the machine's own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootTime {
    /// The boot.
    pub boot: String,
    /// Milliseconds since then.
    pub monotonic_ms: u64,
}

/// The latest attempt at an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct UpdateRecord {
    /// The digest of what its release delivers.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// Its name.
    pub attempt: String,
    /// It has not ended yet.
    pub open: bool,
    /// It failed, and was to blame for it.
    pub failed: bool,
    /// Attempts at this digest that ended without its being to blame.
    pub interrupted: u32,
}

/// The note that ended the platform's service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ServiceEnd {
    /// SHA-256 of its text, in hex.
    pub digest: String,
    /// Whom people may ask.
    pub contacts: Vec<String>,
    /// Within how many days they are answered.
    pub answer_days: Option<u32>,
    /// Nobody claimed the box since.
    pub in_force: bool,
}

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
    /// The latest version of which a signed policy said that staff need not acknowledge it.
    pub carried: Option<String>,
    /// A signed policy that staff have to acknowledge.
    pub noted_pending: Option<String>,
    /// The latest version of a signed policy that was in force.
    pub noted: Option<String>,
    /// The keys that signed it.
    pub noted_keys: Vec<String>,
    /// The last note that ended a service.
    pub service_end: Option<ServiceEnd>,
    /// An erasure that was begun and not finished.
    pub erasing: Option<Erasure>,
    /// Why somebody asked for it.
    pub erasing_reason: Option<ErasureReason>,
    /// Footage that is kept, by session.
    pub footage: FootageMarks,
    /// The last receipt of an erasure.
    pub receipt: Option<String>,
    /// Fingerprint of the box's latest key.
    pub identity: Option<String>,
    /// Number of the last `unbound` entry; 0: there is none. Entries before it belong to the former shop.
    pub unbound_entry: u64,
    /// Hash of the configuration that was last in force.
    pub configuration: Option<String>,
    /// When the last session ended; `None` also where an older version wrote that.
    pub session_ended: Option<BootTime>,
    /// The latest attempt at an update.
    pub update: Option<UpdateRecord>,
    /// Until when updates were put off.
    pub update_postponed: Option<Timestamp>,
    /// The highest serial of a release index of each channel that the box was on.
    pub releases: BTreeMap<String, u64>,
    /// The platform's desired configuration.
    pub desired: DesiredHistory,
    /// What staff did not agree to.
    pub refusals: Refusals,
    /// Incidents that are not over.
    pub incidents: BTreeSet<Incident>,
    /// The ledger's time.
    pub time: Timeline,
}

impl LedgerState {
    /// The state after this entry.
    // A line for each fact that changes nothing here: a new one has to be judged.
    #[allow(clippy::too_many_lines)]
    pub fn apply(&mut self, entry: &LedgerEntry) {
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
                self.session_ended = entry
                    .reading()
                    .map(|reading| BootTime { boot: reading.boot.to_string(), monotonic_ms: reading.monotonic_ms });
            }
            Fact::Locked {} => self.locked = true,
            Fact::Unlocked {} => self.locked = false,
            Fact::PolicyPending { policy_version } => self.announced = Some(policy_version.clone()),
            Fact::PolicyAcknowledged { policy_version } => {
                self.acknowledged = Some(policy_version.clone());
                self.noted_pending = None;
                self.refusals.clear();
            }
            Fact::PolicyUpdated { policy_version, waits_for_staff, keys, .. } => {
                self.set_noted(policy_version, *waits_for_staff);
                self.noted_keys.clone_from(keys);
            }
            Fact::EndOfServiceReceived { digest, contacts, answer_days, keys: _ } => {
                self.erasing = Some(Erasure::EndOfService);
                let (digest, contacts) = (digest.clone(), contacts.clone());
                let end = ServiceEnd { digest, contacts, answer_days: *answer_days, in_force: true };
                self.service_end = Some(end);
            }
            Fact::Identified { fingerprint } => self.identity = Some(fingerprint.clone()),
            // Recorded only when it changes: whoever brings another one claims the box.
            Fact::Configured { hash, .. } => {
                self.configuration = Some(hash.clone());
                self.unbound = false;
                self.refusals.clear();
                if let Some(end) = &mut self.service_end {
                    end.in_force = false;
                }
            }
            Fact::AgreementRefused { questions, asked: _ } => self.refusals.add(questions),
            Fact::ErasureStarted { what, reason } => (self.erasing, self.erasing_reason) = (Some(*what), *reason),
            Fact::FootageKept { session, bytes, files: _ } => self.footage.keep(*session, *bytes, entry.reading()),
            Fact::FootageDestroyed { session, files: _, why: _ } => self.footage.destroy(*session),
            Fact::Erased { receipt, .. } => self.set_erased(receipt.as_ref()),
            Fact::Unbound { receipt, .. } | Fact::ServiceEnded { receipt, .. } => {
                self.set_erased(receipt.as_ref());
                self.unbound_entry = entry.seq;
                self.set_unbound();
            }
            Fact::UpdatePostponed { until } => self.update_postponed = Some(*until),
            Fact::UpdateStarted { version, digest, attempt, former: _ } => self.begin_update(version, digest, attempt),
            Fact::UpdateSucceeded { attempt, version: _ } => self.end_update(attempt, |_| {}),
            Fact::UpdateFailed { attempt, again, version: _, why: _ } => self.end_update(attempt, |record| {
                record.failed = !again;
                record.interrupted += u32::from(*again);
            }),
            Fact::DesiredReceived { .. }
            | Fact::DesiredPending { .. }
            | Fact::DesiredAgreed { .. }
            | Fact::DesiredApplied { .. }
            | Fact::DesiredDropped { .. } => self.desired.replay(fact),
            Fact::IncidentDetected { incident, .. } => drop(self.incidents.insert(*incident)),
            Fact::IncidentCleared { incident } => drop(self.incidents.remove(incident)),
            Fact::UpdateOffered { channel, serial, .. } => self.set_release(channel.as_ref(), *serial),
            Fact::UpdateAnnounced { .. }
            | Fact::GuardStarted { .. }
            | Fact::GuardStopped {}
            | Fact::OnAir { .. }
            | Fact::OffAir { .. }
            | Fact::EncoderFallback { .. }
            | Fact::Muted { .. }
            | Fact::Requested { .. }
            | Fact::RequestEnded { .. }
            | Fact::FaultDetected { .. }
            | Fact::FaultCleared { .. }
            | Fact::PrivacyExported {}
            | Fact::UnbindRequested {}
            | Fact::IngestSet { .. }
            | Fact::Commanded { .. }
            | Fact::CommandRefused { .. }
            | Fact::CommandsRefused { .. }
            | Fact::ConnectionRefused { .. }
            | Fact::BrokerConnected {}
            | Fact::BrokerLost { .. }
            | Fact::BrokerRefused { .. }
            | Fact::DestinationRefused { .. }
            | Fact::ClockStepped { .. }
            | Fact::Pruned { .. }
            | Fact::EntriesLost { .. }
            | Fact::EntriesLeftOut { .. } => {}
        }
    }

    /// A release index is in force.
    fn set_release(&mut self, channel: Option<&String>, serial: u64) {
        if let Some(channel) = channel {
            let highest = self.releases.entry(channel.clone()).or_default();
            *highest = serial.max(*highest);
        }
    }

    fn begin_update(&mut self, version: &str, digest: &str, attempt: &str) {
        let interrupted =
            self.update.take().filter(|known| known.digest == digest).map_or(0, |known| known.interrupted);
        let (digest, version, attempt) = (digest.to_owned(), version.to_owned(), attempt.to_owned());
        self.update = Some(UpdateRecord { digest, version, attempt, open: true, failed: false, interrupted });
    }

    fn end_update(&mut self, attempt: &str, note: impl FnOnce(&mut UpdateRecord)) {
        if let Some(record) = self.update.as_mut().filter(|record| record.attempt == attempt) {
            record.open = false;
            note(record);
        }
    }

    /// A signed policy is in force.
    fn set_noted(&mut self, version: &str, waits_for_staff: bool) {
        self.noted = Some(version.to_owned());
        if waits_for_staff {
            self.announced = Some(version.to_owned());
            self.noted_pending = Some(version.to_owned());
        } else {
            self.carried = Some(version.to_owned());
        }
    }

    /// An erasure is finished.
    fn set_erased(&mut self, receipt: Option<&String>) {
        (self.erasing, self.erasing_reason) = (None, None);
        self.footage.destroy(None);
        self.receipt = receipt.cloned();
    }

    /// The binding ended.
    pub(crate) fn set_unbound(&mut self) {
        self.unbound = true;
        // The hold that unbinds passes the one that locks; only a later lock counts.
        self.locked = false;
        // The next shop has a policy of its own.
        (self.noted, self.noted_pending, self.carried) = (None, None, None);
        self.noted_keys.clear();
        self.identity = None;
        self.desired.unbound();
    }

    /// The same state, with this policy in force.
    #[must_use]
    pub fn with_policy(self, policy_version: &str) -> Self {
        let is_carried = self.carried.as_deref() == Some(policy_version);
        let is_acknowledged = self.acknowledged.as_deref().is_none_or(|known| known == policy_version);
        // A signed policy that was lost meanwhile still waits for staff.
        let policy_pending = self.noted_pending.is_some() || !(is_acknowledged || is_carried);
        Self { policy_pending, ..self }
    }

    /// What the consent machine is restored from, under the configuration with this hash: an unbound box is claimed by
    /// a configuration other than the one it had.
    pub fn persisted_state(&self, configuration: &str) -> PersistedState {
        let is_parting = matches!(self.erasing, Some(Erasure::Unbind | Erasure::EndOfService));
        let is_claimed = self.configuration.as_deref().is_some_and(|known| known != configuration);
        let unbound = is_parting || self.unbound && !is_claimed;
        let has_ended = self.service_end.as_ref().is_some_and(|end| end.in_force);
        let how =
            if has_ended && self.erasing != Some(Erasure::Unbind) { Parting::ServiceEnded } else { Parting::Unbound };
        PersistedState {
            last_session: SessionId(self.last_session),
            locked: self.locked,
            parted: unbound.then_some(how),
            policy_pending: self.policy_pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_a_resume_point_are_pinned() {
        let releases = [("stable".to_owned(), 1)].into();
        let incidents = [Incident::CaseOpened].into();
        let mut state = LedgerState { releases, incidents, ..LedgerState::default() };
        let utc = jiff::Timestamp::UNIX_EPOCH;
        let reading = crate::clock::ClockReading { utc, synchronised: true, boot: "".into(), monotonic_ms: 0 };
        state.time.apply(utc, Some(&reading));
        crate::wire::pin("ledger-resume", &crate::wire::written(&state));
    }
}
