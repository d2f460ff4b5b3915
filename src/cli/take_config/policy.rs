//! What may be changed by whoever has a USB stick and a minute. Shop floors have such people.

use super::history::History;
use crate::config::{Config, compare, policy_follows};

const ASK_STAFF: &str = "give it a later [consent] policy-version, and the box asks staff to hold the button for 2 s";
const BY_HAND: &str = "change it in the files under /etc/tallybox, as root";

/// Why `wanted` may not follow on `now`, each with what to do; empty where it may.
pub(super) fn refusals(now: &Config, wanted: &Config, history: &History) -> Vec<String> {
    let changes = compare(now, wanted);
    let with = |all: &[&str], advice: &str| all.iter().map(|what| format!("{what}; {advice}")).collect::<Vec<_>>();
    let mut all = with(&changes.never, BY_HAND);
    let acknowledged = match history {
        History::New => return all,
        History::Used { acknowledged } => acknowledged.as_deref(),
        History::Unknown => {
            all.extend(with(&changes.by_hand, BY_HAND));
            let advice = "the ledger cannot be read, so nobody knows what staff agreed to: see tallybox ledger verify";
            all.extend(with(&changes.staff, advice));
            return all;
        }
    };
    all.extend(with(&changes.by_hand, BY_HAND));
    let (old, new) = (&now.consent.policy_version, &wanted.consent.policy_version);
    if old == new {
        all.extend(with(&changes.staff, ASK_STAFF));
    } else if !policy_follows(new, old) {
        all.push(format!("[consent] policy-version {new:?} is older than {old:?}; write one that comes after it"));
    } else if acknowledged == Some(new) {
        let advice = "write a later one, and the box asks staff to hold the button for 2 s";
        all.push(format!("[consent] policy-version {new:?} was acknowledged already, before this change; {advice}"));
    }
    all
}

#[cfg(test)]
mod tests;
