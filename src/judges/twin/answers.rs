//! What is said of the desired configuration: to the platform, in the status, and to staff.

use super::{InForce, Stage, Twin, Waiting, report};
use crate::ipc::{DesiredStatus, ReportedConfig};

/// Why a document is not judged yet.
pub(super) const IN_SESSION: &str = "it waits until the session is over";

impl Twin {
    /// For `config/reported`.
    pub fn report(&self, epoch: &str, is_idle: bool) -> ReportedConfig {
        let refusal = self.refusal.as_ref().map(|(refusal, _)| refusal);
        let (version, keys) = match &self.waiting {
            None => (self.in_force.version, report::in_force(&self.in_force.keys, &self.in_force.config)),
            Some(waiting) => {
                let why = match &waiting.judged {
                    Some((_, asks)) if waiting.stage == Stage::Asked => {
                        format!("it waits for staff: hold the button for 2 s; {}", asks.join("; "))
                    }
                    Some(_) | None if is_idle => "it waits for the disk".to_owned(),
                    Some(_) | None => IN_SESSION.to_owned(),
                };
                let judged = waiting.judged.as_ref().map(|(judged, _)| judged);
                let InForce { config, taken, .. } = &self.in_force;
                (Some(waiting.desired.version), report::waiting(&waiting.desired.values, judged, config, taken, &why))
            }
        };
        report::compose(epoch, version, keys, refusal)
    }

    /// For the status.
    pub fn status(&self) -> DesiredStatus {
        DesiredStatus {
            version: self.in_force.version,
            taken: self.in_force.taken.iter().map(|(key, _)| key.to_owned()).collect(),
            waiting: self.waiting.as_ref().map(|waiting| waiting.desired.version),
        }
    }

    /// What staff are asked, for a person.
    pub fn question(&self) -> Option<String> {
        if let Some(Waiting { desired, stage: Stage::Asked, judged: Some((_, asks)) }) = &self.waiting {
            let (version, asks) = (desired.version, asks.join("; "));
            return Some(format!(
                "the platform's configuration {version} waits for staff: hold the button for 2 s; {asks}"
            ));
        }
        let version = self.lost?;
        Some(format!(
            "the platform's configuration {version} is lost, and what it hid is not known any more: hold the button for \
             2 s to go on without it"
        ))
    }
}
