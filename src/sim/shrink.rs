//! Makes a schedule that fails as short as it can be made.

use super::schedule::{Action, Schedule};
use super::world::run;

/// The kind of a violation: what it says without its figures.
fn kind(violation: &str) -> String {
    let text = violation.split_once(": ").map_or(violation, |(_, text)| text);
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Removes actions, and makes waits and touches shorter, for as long as the schedule fails in the same way. Returns the
/// shortest one, and how often it was tried.
///
/// # Errors
/// Where the machine has no room for the box's files, or the schedule does not fail.
pub fn shrink(schedule: &Schedule) -> std::io::Result<(Schedule, u32)> {
    let Some(first) = run(schedule, false)?.violation else {
        return Err(std::io::Error::other("this schedule does not fail"));
    };
    let (wanted, mut best, mut tries) = (kind(&first), schedule.clone(), 0);
    loop {
        let before = best.clone();
        for candidate in candidates(&before) {
            if candidate.actions.len() > best.actions.len() {
                continue;
            }
            tries += 1;
            if run(&candidate, false)?.violation.is_some_and(|found| kind(&found) == wanted) {
                best = candidate;
                break;
            }
        }
        if best == before {
            return Ok((best, tries));
        }
    }
}

/// Schedules that are a little simpler.
fn candidates(schedule: &Schedule) -> Vec<Schedule> {
    let count = schedule.actions.len();
    let mut all = Vec::new();
    let mut part = count / 2;
    while part > 0 {
        for start in (0..count).step_by(part) {
            let kept = schedule.actions.iter().enumerate().filter(|(at, _)| !(start..start + part).contains(at));
            all.push(Schedule { actions: kept.map(|(_, action)| action.clone()).collect(), ..schedule.clone() });
        }
        part /= 2;
    }
    for (at, action) in schedule.actions.iter().enumerate() {
        let Some(simpler) = simpler(action) else { continue };
        let mut actions = schedule.actions.clone();
        actions[at] = simpler;
        all.push(Schedule { actions, ..schedule.clone() });
    }
    all
}

fn simpler(action: &Action) -> Option<Action> {
    match *action {
        Action::Wait { ms } if ms > 10 => Some(Action::Wait { ms: ms / 2 }),
        Action::Touch { hold, bounces, late } if bounces > 0 || late > 0 => {
            Some(Action::Touch { hold, bounces: 0, late: late / 2 })
        }
        Action::Touch { hold, bounces, late } if hold > 100 => Some(Action::Touch { hold: hold / 2, bounces, late }),
        Action::Disk { ms } if ms > 50 => Some(Action::Disk { ms: ms / 2 }),
        Action::Wait { .. }
        | Action::Touch { .. }
        | Action::MuteTouch { .. }
        | Action::Plan(_)
        | Action::Link { .. }
        | Action::Lamp { .. }
        | Action::Panel { .. }
        | Action::Clock { .. }
        | Action::Synchronised { .. }
        | Action::Packages { .. }
        | Action::Swap { .. }
        | Action::Disk { .. }
        | Action::Room { .. }
        | Action::Faulty { .. }
        | Action::Kill
        | Action::PowerCut
        | Action::Restart { .. }
        | Action::Ask { .. }
        | Action::Broker { .. }
        | Action::Operator { .. }
        | Action::Agent { .. }
        | Action::Helper { .. } => None,
    }
}
