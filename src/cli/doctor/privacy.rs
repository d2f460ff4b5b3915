//! What the box owes to people: incidents that are not over, minors' mode, where connections may go, signed notes.

use super::{CheckResult, CheckStatus, fail, ok, warn};
use crate::config::{Config, Outside};
use crate::ipc::{OpenIncident, Status};
use crate::judges::policy_note::POLICY_NOTE;

pub(super) fn rows(config: &Config, status: Option<&Status>) -> Vec<CheckResult> {
    let told = status.into_iter().flat_map(incidents);
    told.chain([minors_mode(config), residency(config)]).chain(notes(config, status)).collect()
}

/// Those that the guard knows; without a guard its own row says enough.
fn incidents(status: &Status) -> Vec<CheckResult> {
    let row = |OpenIncident { incident, what }: &OpenIncident| {
        let (found, advice) = (format!("{}: {what}", incident.as_str()), incident.english().advice);
        if incident.is_tampering() { fail("incidents", found, advice) } else { warn("incidents", found, advice) }
    };
    let all: Vec<_> = status.incidents.iter().map(row).collect();
    if all.is_empty() { vec![ok("incidents", "none is open")] } else { all }
}

/// A row that works, with what else could be done.
fn optional(check: &'static str, found: impl Into<String>, advice: &str) -> CheckResult {
    CheckResult { check, verdict: CheckStatus::Ok, found: found.into(), advice: advice.to_owned() }
}

fn minors_mode(config: &Config) -> CheckResult {
    if config.consent.minors_mode {
        return ok("minors-mode", "on: each start needs a guardian's hold, and no footage is stored");
    }
    let advice = "set [consent] minors-mode = true where children are in front of the camera";
    optional("minors-mode", "off: a press starts", advice)
}

fn residency(config: &Config) -> CheckResult {
    let ranges = &config.residency.allowed_addresses;
    match (ranges.len(), config.residency.outside) {
        (0, _) => {
            let advice = "list the networks of your servers in [residency] allowed-addresses, where they have to be \
                          in certain ones";
            optional("residency", "names alone say where the box connects to", advice)
        }
        (count, Outside::Refuse) => ok("residency", format!("connections go to {count} listed networks only")),
        (count, Outside::Report) => {
            let found = format!("connections outside of {count} listed networks are reported, and made all the same");
            warn("residency", found, "set [residency] outside = \"refuse\"")
        }
    }
}

/// The platform's signed policy: one that lies on the disk has to be in force.
fn notes(config: &Config, status: Option<&Status>) -> Option<CheckResult> {
    let status = status?;
    match &status.policy {
        Some(policy) => Some(ok("notes", format!("the signed policy {} is in force", policy.version))),
        None if config.device.data_dir.join(POLICY_NOTE).exists() => {
            let found = format!("{POLICY_NOTE} lies in data-dir, and is not in force");
            Some(warn(
                "notes",
                found,
                "see that its keys stand under [[trust]], and the guard's log; then send it again",
            ))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Incident;

    #[test]
    fn an_open_incident_has_a_row_of_its_own_with_what_to_do() {
        let mut status = Status::idle(jiff::Timestamp::UNIX_EPOCH, "1");
        assert_eq!(incidents(&status)[0].verdict, CheckStatus::Ok);
        let open = |incident: Incident| OpenIncident { incident, what: "it".to_owned() };
        status.incidents = vec![open(Incident::CaseOpened), open(Incident::UnitChanged)];
        let rows = incidents(&status);
        assert_eq!(rows.iter().map(|row| row.verdict).collect::<Vec<_>>(), [CheckStatus::Fail, CheckStatus::Warn]);
        assert!(rows.iter().all(|row| !row.advice.is_empty()));
    }
}
