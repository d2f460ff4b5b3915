//! A capture is gone soon after consent has ended (rule 4), and mute soon after somebody asked for that (rule 2).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::truth::{Capture, Shared, Truth, guard_waited};
use super::SLACK;
use crate::sync::LockExt;

/// The longest time from the end of consent to the end of its capture, less what the guard had to wait for its disk.
const END_WITHIN: Duration = Duration::from_millis(500);
/// A mute that capture does not confirm within this ends the session.
const CONFIRM_WITHIN: Duration = Duration::from_millis(500);

/// Holds the box to the end of what captures now.
pub(in crate::sim) fn expect(truth: &Shared, after: Duration, why: &'static str) {
    expect_while(truth, after, why, || true);
}

/// The same, where `holds` still says so at that time.
pub(in crate::sim) fn expect_while(
    truth: &Shared,
    after: Duration,
    why: &'static str,
    holds: impl Fn() -> bool + 'static,
) {
    let known = in_truth(truth, |capture| capture.alive && capture.known);
    later(truth, known, after + END_WITHIN, move |truth, number| {
        // Of a guard that is gone, its unit's stop hook ends what captures.
        if truth.captures[number].alive && truth.guard_since.is_some() && holds() {
            truth.violated(format_args!("rule 4: capture {number} outlives {why}"));
        }
    });
}

/// Somebody asks for silence: soon nobody can be heard by what captures now, unless somebody asks for something else.
pub(in crate::sim) fn expect_silence(truth: &Shared) {
    let known = in_truth(truth, Capture::may_hear);
    let asked = truth.lock_unpoisoned().sound_asked;
    later(truth, known, CONFIRM_WITHIN + END_WITHIN, move |truth, number| {
        if truth.captures[number].may_hear() && truth.sound_asked == asked {
            truth.violated(format_args!("rule 2: capture {number} can be heard, and was to be mute"));
        }
    });
}

fn in_truth(truth: &Shared, is_one: impl Fn(&Capture) -> bool) -> Vec<usize> {
    let truth = truth.lock_unpoisoned();
    truth.captures.iter().enumerate().filter(|(_, capture)| is_one(capture)).map(|(number, _)| number).collect()
}

/// Looks at these captures so much later, plus the time that the guard waited for its disk.
#[allow(clippy::disallowed_methods)] // the schedule's end ends it
fn later(truth: &Shared, captures: Vec<usize>, after: Duration, look: impl Fn(&mut Truth, usize) + 'static) {
    if captures.is_empty() {
        return;
    }
    let (truth, due, waited) = (truth.clone(), Instant::now() + after + SLACK, guard_waited());
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
            look(&mut truth, number);
        }
    });
}
