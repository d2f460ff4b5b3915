//! What of the configuration in force is the platform's: everything else is from the box's files.

use super::{CheckResult, ok, warn};
use crate::ipc::{DesiredStatus, Status};

/// The guard's word; no line where the platform has no say.
pub(super) fn row(status: Option<&Status>) -> Option<CheckResult> {
    let desired = &status?.desired;
    let found = describe(desired).join("; ");
    match (desired.version, desired.waiting) {
        (None, None) => None,
        (Some(_), None) => Some(ok("desired", found)),
        (_, Some(_)) => {
            Some(warn("desired", found, "see tallybox status: if it waits for staff, hold the button for 2 s"))
        }
    }
}

/// In lines for people: which version is in force with which keys, and which one waits.
pub(in crate::cli) fn describe(desired: &DesiredStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(version) = desired.version {
        let keys = if desired.taken.is_empty() { "nothing".to_owned() } else { desired.taken.join(", ") };
        lines.push(format!("version {version} says {keys}; the rest is from files"));
    }
    if let Some(version) = desired.waiting {
        lines.push(format!("version {version} waits, and nothing of it is in force"));
    }
    lines
}
