//! The retained `state`: what is, not what was asked for.

use jiff::Timestamp;
use serde::Serialize;

use crate::ipc::{GUARD_UNREACHABLE, Incident, OpenIncident, Phase, Status, VERSION_STRING};
use crate::transport_warnings::Warning;

/// Exactly the fields that docs/mqtt.md promises, and no more.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// What the box is doing.
    #[cfg_attr(test, schemars(schema_with = "crate::wire::words::<Phase>"))]
    pub phase: Phase,
    /// The session whose capture may exist.
    pub session: Option<u64>,
    /// When this phase began, UTC.
    #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
    pub since: Timestamp,
    /// Why the box is in this phase, or, in `idle`, why the last session ended: docs/mqtt.md has the words.
    pub reason: Option<String>,
    /// Whether the stream is without sound.
    pub muted: bool,
    /// The policy in force.
    pub policy_version: String,
    /// Version of the guard.
    pub software: String,
    /// What is doubtful about the way to the broker.
    pub warnings: Vec<Warning>,
    /// Incidents that are not over, the oldest first: also those that no entry can tell yet.
    pub incidents: Vec<Incident>,
    /// The guard's epoch, which signed commands name. `None`: there is no guard.
    pub epoch: Option<String>,
    /// Seconds since it began, when this was published; deadlines of signed commands count them.
    pub uptime_s: Option<u64>,
    /// Whether the guard trusts a key: then all but stop and mute has to be signed, and without one nothing can be.
    /// `None`: there is no guard.
    pub signed_commands: Option<bool>,
}

impl From<&Status> for State {
    fn from(status: &Status) -> Self {
        Self {
            phase: status.phase,
            session: status.session,
            since: status.since,
            reason: status.reason.clone(),
            muted: status.muted,
            policy_version: status.policy_version.clone(),
            software: status.software.clone(),
            warnings: Vec::new(),
            incidents: status.incidents.iter().map(|OpenIncident { incident, what: _ }| *incident).collect(),
            epoch: Some(status.epoch.clone()),
            uptime_s: Some(status.uptime_s),
            signed_commands: Some(status.signed_commands),
        }
    }
}

impl State {
    /// Whether nothing but time has passed between the two.
    pub(crate) fn is_still(&self, later: &Self) -> bool {
        *self == Self { uptime_s: self.uptime_s, ..later.clone() }
    }

    /// Without a guard there is no capture, and nobody who could answer the button: a fault.
    pub(crate) fn without_guard(since: Timestamp, policy_version: &str) -> Self {
        Self {
            phase: Phase::Fault,
            session: None,
            since,
            reason: Some(GUARD_UNREACHABLE.to_owned()),
            muted: false,
            policy_version: policy_version.to_owned(),
            software: VERSION_STRING.to_owned(),
            warnings: Vec::new(),
            incidents: Vec::new(),
            epoch: None,
            uptime_s: None,
            signed_commands: None,
        }
    }
}
