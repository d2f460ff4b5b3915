//! Why the box is in its phase, as one word and in a sentence: both speak of the present phase only.

use super::capture_events::lost_reason;
use super::engine::Engine;
use crate::config::policy_follows;
use crate::ipc::ENCODER_FALLBACK;
use consent::{Fault, Phase};

/// What `status` says of a supply that is too weak.
const WEAK: &str =
    "the supply voltage is too low: use the supply that belongs to this Pi (5.1 V), and a short thick cable";

/// What `status` says of a box that was unbound.
const UNCLAIMED: &str = "this box was unbound: it captures nothing until it is claimed, which a new configuration does \
    (see docs/operations.md)";

/// `reason` and `message` of a status.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Explanation {
    /// One of [`crate::ipc::reasons`], or while a session goes on what a server said.
    pub(super) reason: Option<String>,
    /// A sentence for a person.
    pub(super) message: Option<String>,
}

impl Engine {
    /// Gives account of the present phase.
    pub(super) fn account(&self) -> Explanation {
        let word = self.machine.reason().map(|reason| reason.as_str().to_owned());
        match self.machine.phase() {
            // A deletion that failed matters until it is done; a former session's end only until the next thing
            // happens.
            Phase::Idle => {
                Explanation { reason: word, message: self.message.clone().or_else(|| self.erasure_message.clone()) }
            }
            Phase::Requested => Explanation { reason: word, message: self.erasure_message.clone() },
            Phase::Policy => {
                let message = self.erasure_message.clone().unwrap_or_else(|| self.policy_message.clone());
                Explanation { reason: word, message: Some(message) }
            }
            Phase::Connecting | Phase::Reconnecting => match self.session.offline.clone() {
                Some(offline) => Explanation { reason: Some(offline.clone()), message: Some(offline) },
                None => self.of_devices(),
            },
            Phase::Live => self.of_devices(),
            Phase::Stopping => Explanation { reason: word, message: self.message.clone() },
            Phase::Locked => {
                let unclaimed = self.machine.is_unbound().then(|| UNCLAIMED.to_owned());
                Explanation { reason: word, message: self.erasure_message.clone().or(unclaimed) }
            }
            Phase::Fault => {
                // The same part as the reason names.
                let message = match Fault::ALL.into_iter().find(|part| self.machine.has_fault(*part)) {
                    Some(Fault::Lamp | Fault::Button) => self.panel.last_error().map(str::to_owned),
                    Some(Fault::Power) => Some(WEAK.to_owned()),
                    Some(Fault::Ledger) | None => self.ledger_message.clone(),
                };
                Explanation { reason: word, message: message.or_else(|| self.erasure_message.clone()) }
            }
        }
    }

    /// What is wrong with the devices of a session that goes on. Capture has a slate or silence in the place of one
    /// that is away; the lamp says that it may capture, as before.
    fn of_devices(&self) -> Explanation {
        if let Some((device, why)) = self.session.away.first() {
            return Explanation { reason: Some(lost_reason(*device).as_str().to_owned()), message: Some(why.clone()) };
        }
        match self.session.fallback.clone() {
            Some(said) => Explanation { reason: Some(ENCODER_FALLBACK.to_owned()), message: Some(said) },
            None => Explanation::default(),
        }
    }
}

/// What is said of a policy that staff did not acknowledge. An older one is most likely a mistake.
pub(super) fn policy_pending_message(acknowledged: Option<&str>, policy_version: &str) -> String {
    let waits = format!("the policy {policy_version} waits for staff: hold the button for 2 s");
    match acknowledged {
        Some(known) if !policy_follows(policy_version, known) => {
            format!("{waits}; it is older than {known}, which staff acknowledged last: see [consent] policy-version")
        }
        Some(_) | None => waits,
    }
}
