//! The retained `state`: what is, not what was asked for.

use jiff::Timestamp;
use serde::Serialize;

use crate::ipc::{Phase, SOFTWARE, Status};

/// Exactly the fields of the contract, and no more.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct State {
    phase: Phase,
    session: Option<u64>,
    since: Timestamp,
    reason: Option<String>,
    muted: bool,
    policy_version: String,
    software: String,
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
        }
    }
}

impl State {
    /// Without a guard there is no capture, and nobody who could answer the button: a fault.
    pub(super) fn without_guard(since: Timestamp, policy_version: &str) -> Self {
        Self {
            phase: Phase::Fault,
            session: None,
            since,
            reason: Some("guard-unreachable".to_owned()),
            muted: false,
            policy_version: policy_version.to_owned(),
            software: SOFTWARE.to_owned(),
        }
    }
}
