//! What the platform sends, judged: signed commands, desired configurations, policies and releases. The guard asks
//! here and carries out what is accepted; the simulated boxes of `tallybox-fleet` do the same. No button, lamp, capture
//! or ledger in here, and no broker.

pub mod commands;
pub mod end_of_service;
mod notice;
pub mod policy_in_force;
pub mod policy_note;
pub mod session_settings;
pub mod twin;
pub mod updates;
pub mod verb_quotas;

use tokio::sync::oneshot;

use crate::ipc::Response;

/// The channel that a caller waits on. One that went away does not need its reply, so a failed send is no error.
pub type ReplySender = oneshot::Sender<Response>;
