//! What the agent publishes besides state and telemetry.

use serde::Serialize;

use super::state::State;
use super::telemetry::Telemetry;
use crate::ipc::{Fault, LedgerEntry, ReplyCode, clean};

/// An event as it is published.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Serialize)]
pub(crate) struct Published<'a> {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) entry: &'a LedgerEntry,
}

/// What became of a command.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Reply {
    pub(crate) id: Option<String>,
    pub(crate) verb: String,
    pub(crate) ok: bool,
    pub(crate) error: Option<String>,
    pub(crate) code: Option<ReplyCode>,
    /// What the command waits for; another reply follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<String>,
    /// What an erasure destroyed: a signed note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diagnosis: Option<Diagnosis>,
}

/// An answer as it is published: what became of the command, and how the box is now.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Answer {
    #[serde(flatten)]
    pub(crate) reply: Reply,
    pub(crate) epoch: Option<String>,
    pub(crate) uptime_s: Option<u64>,
    /// `diagnosis` has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<State>,
}

/// Longest answer but for `diagnose`, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;
/// What an error, and a server's words in the state, are cut to in one that is longer.
const CUT: [usize; 3] = [300, 150, 60];

impl Answer {
    /// As JSON that fits: an error and a server's words give way, the rest is short.
    pub(crate) fn into_json(mut self) -> String {
        let mut whole = json(&self);
        for longest in CUT {
            if whole.len() <= MAX_ANSWER_BYTES {
                break;
            }
            let reason = self.state.as_mut().and_then(|state| state.reason.as_mut());
            for text in reason.into_iter().chain(&mut self.reply.error) {
                *text = clean(text, longest);
            }
            whole = json(&self);
        }
        if whole.len() > MAX_ANSWER_BYTES && self.reply.receipt.is_some() {
            // The receipt cannot be cut; what the box does is in `state`.
            self.state = None;
            whole = json(&self);
        }
        whole
    }
}

/// What `diagnose` answers with: nothing that telemetry and state do not tell, but now.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Diagnosis {
    pub(crate) software: &'static str,
    pub(crate) tls: bool,
    pub(crate) unacknowledged_events: usize,
    pub(crate) acknowledged_event: u64,
    pub(crate) status: Option<State>,
    #[cfg_attr(test, schemars(schema_with = "crate::wire::list_of::<Fault>"))]
    pub(crate) faults: Vec<Fault>,
    pub(crate) telemetry: Telemetry,
}

/// As JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    // Structs of strings, numbers and flags: cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}
