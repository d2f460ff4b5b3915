//! A capture is gone soon after consent has ended (rule 4).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::truth::{Shared, guard_waited};
use super::SLACK;
use crate::sync::LockExt;

/// The longest time from the end of consent to the end of its capture, less what the guard had to wait for its disk.
const END_WITHIN: Duration = Duration::from_millis(500);

/// Holds the box to the end of what captures now.
#[allow(clippy::disallowed_methods)] // the schedule's end ends it
pub(in crate::sim) fn expect(truth: &Shared, after: Duration, why: &'static str) {
    let (captures, waited) = {
        let truth = truth.lock_unpoisoned();
        let known = truth.captures.iter().enumerate().filter(|(_, capture)| capture.alive && capture.known);
        (known.map(|(number, _)| number).collect::<Vec<_>>(), guard_waited())
    };
    if captures.is_empty() {
        return;
    }
    let (truth, due) = (truth.clone(), Instant::now() + after + END_WITHIN + SLACK);
    tokio::task::spawn_local(async move {
        loop {
            let due = due + guard_waited().saturating_sub(waited);
            if due <= Instant::now() {
                break;
            }
            sleep_until(due).await;
        }
        let mut truth = truth.lock_unpoisoned();
        for number in captures {
            if truth.captures[number].alive {
                truth.violated(format_args!("rule 4: capture {number} outlives {why}"));
            }
        }
    });
}
