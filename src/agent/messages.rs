//! What the agent publishes besides state and telemetry.

use serde::Serialize;

use super::state::State;
use super::telemetry::Telemetry;
use crate::ipc::{Fault, LedgerEntry, ReplyCode, clean};

/// An event as it is published.
#[derive(Serialize)]
pub(super) struct Published<'a> {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) entry: &'a LedgerEntry,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Reply {
    pub(super) id: Option<String>,
    pub(super) verb: String,
    pub(super) ok: bool,
    pub(super) error: Option<String>,
    pub(super) code: Option<ReplyCode>,
    /// What the command waits for; another reply follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<String>,
    /// What an erasure destroyed: a signed note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diagnosis: Option<Diagnosis>,
}

/// An answer as it is published: what became of the command, and how the box is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Answer {
    #[serde(flatten)]
    pub(super) reply: Reply,
    pub(super) epoch: Option<String>,
    pub(super) uptime_s: Option<u64>,
    /// `diagnosis` has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<State>,
}

/// Longest answer but for `diagnose`, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;
/// What an error, and a server's words in the state, are cut to in one that is longer.
const CUT: [usize; 3] = [300, 150, 60];

impl Answer {
    /// As JSON that fits: an error and a server's words give way, the rest is short.
    pub(super) fn into_json(mut self) -> String {
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
