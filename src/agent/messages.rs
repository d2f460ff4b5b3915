//! What the agent publishes besides state and telemetry.

use serde::Serialize;

use super::state::State;
use super::telemetry::Telemetry;
use crate::ipc::{Fault, LedgerEntry};

/// An event as it is published.
#[derive(Serialize)]
pub(super) struct Published<'a> {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) entry: &'a LedgerEntry,
}

/// An answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Reply {
    pub(super) id: Option<String>,
    pub(super) verb: String,
    pub(super) ok: bool,
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diagnosis: Option<Diagnosis>,
}

/// What `diagnose` answers with: nothing that telemetry and state do not tell, but now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Diagnosis {
    pub(super) software: &'static str,
    pub(super) tls: bool,
    pub(super) unacknowledged_events: usize,
    pub(super) acknowledged_event: u64,
    pub(super) status: Option<State>,
    pub(super) faults: Vec<Fault>,
    pub(super) telemetry: Telemetry,
}

/// As JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    // Structs of strings, numbers and flags: cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}
