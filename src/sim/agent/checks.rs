//! What has to be true of an agent, whatever happens around it.
#![allow(clippy::wildcard_enum_match_arm)] // each check looks at what it is about

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{ANSWER_TIME, Action, AgentSchedule, Asked, BASE, BOX_ID, LONG_RECOVERY, Played, PlayedGuard, RECOVERY};
use crate::agent::state::State;
use crate::ipc::{Phase, Request, Response, Verb};
use crate::sim::broker::{Arrival, BrokerAction, Happening};
use crate::sim::checks::wire;
use crate::sim::operator::SentCommand;

/// Attempts to connect within a minute, of one process.
const MAX_ATTEMPTS: usize = 10;
/// Longest answer without a receipt or a diagnosis, in bytes.
const MAX_ANSWER: usize = 1024;
/// Longest of all other payloads.
const MAX_PAYLOAD: usize = 16 * 1024;
/// A stop is with the guard within this.
const STOP_TIME: Duration = Duration::from_secs(1);
/// Guard and agent have found each other after this.
const SETTLED: Duration = Duration::from_secs(3);

/// Whether the guard was handed this desired configuration.
pub(super) fn was_offered(guard: &PlayedGuard, wanted: &str) -> bool {
    guard.asked().iter().any(|Asked { request, answer, .. }| {
        let is_judged = answer.as_ref().is_some_and(|(_, response)| !matches!(response, Response::Unavailable(_)));
        is_judged && matches!(request, Request::Desired { note } if note == wanted)
    })
}

/// Everything that is wrong.
pub(super) fn all(schedule: &AgentSchedule, played: &Played) -> Vec<String> {
    let mut problems = Vec::new();
    if played.is_spinning {
        problems.push("it turns without a pause".to_owned());
    }
    recovery(schedule, played, &mut problems);
    wire::protocol(&played.history, &mut problems);
    let entries = played.guard.entries();
    let entries = entries.into_iter().map(|(ledger, entry)| (wire::event_id(BOX_ID, &ledger, entry.seq), entry));
    wire::events(&played.history, BASE, &entries.collect(), &mut problems);
    let first_calm = played.recovered_after.map(|_| played.first_calm);
    let is_done = |sent: &SentCommand, by, _: bool| was_carried_out(played, sent, by);
    wire::answers(&played.history, played.operator.sent(), first_calm, is_done, &mut problems);
    stops(played, &mut problems);
    states(played, &mut problems);
    bounds(played, &mut problems);
    requests(played, &mut problems);
    problems
}

fn recovery(schedule: &AgentSchedule, played: &Played, problems: &mut Vec<String>) {
    let is_slow = |action: &Action| {
        matches!(
            action,
            Action::Broker(BrokerAction::Refuse(_) | BrokerAction::End(_) | BrokerAction::RefuseFilters(_))
        )
    };
    let limit = if schedule.steps.iter().any(|step| is_slow(&step.action)) { LONG_RECOVERY } else { RECOVERY };
    match played.recovered_after {
        None => problems.push(format!("it is not as it should be {LONG_RECOVERY:?} after all was well again")),
        Some(after) if after > limit => problems.push(format!("it needed {after:?} until it was as it should be")),
        Some(_) => {}
    }
}

/// Whether the guard has said that it carried this command out, or had begun to.
fn was_carried_out(played: &Played, sent: &SentCommand, by: Instant) -> bool {
    let is_it = |request: &Request| match request {
        Request::Command { payload, .. } => payload.0.as_bytes() == sent.payload,
        other => other.word() == sent.verb.as_str(),
    };
    let is_done = |Asked { request, answer, .. }: &Asked| {
        let refused = |response: &Response| matches!(response, Response::Rejected(_) | Response::Unavailable(_));
        is_it(request) && answer.as_ref().is_some_and(|(at, response)| *at <= by && !refused(response))
    };
    // What is diagnosed is the agent's own to say.
    sent.verb == Verb::Diagnose || played.guard.asked().iter().any(is_done)
}

/// A stop that the box has is with the guard at once, whatever else there is to do: unless the guard, or the agent
/// itself, was just away, or the guard has not answered the one before.
fn stops(played: &Played, problems: &mut Vec<String>) {
    let asked = played.guard.asked();
    let stops: Vec<&Asked> = asked.iter().filter(|asked| asked.request == Request::Stop {}).collect();
    let mut known = BTreeSet::new();
    // A stop that comes again is answered, and not carried out again.
    let new: BTreeSet<u64> = played
        .operator
        .sent()
        .iter()
        .filter(|sent| sent.verb == Verb::Stop && !sent.retained && known.insert(&sent.payload))
        .map(|sent| sent.number)
        .collect();
    let (mut delivered, mut done) = (BTreeMap::new(), BTreeSet::new());
    for (at, what) in &played.history {
        match what {
            Happening::Delivered { number, .. } => drop(delivered.entry(*number).or_insert(*at)),
            Happening::Heard { number, .. } if new.contains(number) && done.insert(*number) => {
                let Some(first) = delivered.get(number) else { continue };
                let (from, until) = (*first - SETTLED, *at + STOP_TIME);
                let was_disturbed = played.disturbed.iter().any(|moment| *moment >= from && *moment <= until);
                let is_carried_out = |Asked { at, answer, .. }: &&Asked| {
                    let waits = answer.as_ref().is_none_or(|(answered, _)| *answered >= *first);
                    *at <= until && (*at >= *first || waits)
                };
                let is_carried_out = stops.iter().copied().any(|asked| is_carried_out(&asked));
                if !is_carried_out && !was_disturbed && played.guard.was_there(from, until) {
                    problems.push(format!("the stop {number} did not get to the guard"));
                }
            }
            _ => {}
        }
    }
}

/// The states that were published are some that the guard had, in its order, or say that there is no guard.
fn states(played: &Played, problems: &mut Vec<String>) {
    let said: Vec<State> = played.guard.said().iter().map(State::from).collect();
    let mut place = 0;
    for (_, what) in &played.history {
        let Happening::Published(arrival) = what else { continue };
        if arrival.topic != format!("{BASE}/state") {
            continue;
        }
        let is_without_guard = wire::parsed(&arrival.payload)["epoch"].is_null();
        match said.iter().skip(place).position(|state| wire::same_state(&arrival.payload, state)) {
            Some(further) => place += further,
            None if is_without_guard && wire::parsed(&arrival.payload)["phase"] == "fault" => {}
            None => problems.push(format!("the guard did not say {}", String::from_utf8_lossy(&arrival.payload))),
        }
    }
    let captures = |state: &State| state.phase.may_capture() || state.phase == Phase::Stopping;
    if said.iter().any(|state| captures(state) != state.session.is_some()) {
        problems.push("the guard that is played contradicts itself".to_owned());
    }
}

/// Sizes and rates.
fn bounds(played: &Played, problems: &mut Vec<String>) {
    let dials: Vec<Instant> =
        played.history.iter().filter(|(_, what)| *what == Happening::Dialled).map(|(at, _)| *at).collect();
    let allowed = MAX_ATTEMPTS * played.disturbed.len();
    for (first, at) in dials.iter().enumerate() {
        if dials.get(first + allowed).is_some_and(|later| later.duration_since(*at) < Duration::from_mins(1)) {
            problems.push(format!("it tried to connect more than {allowed} times within a minute"));
            break;
        }
    }
    for (_, what) in &played.history {
        let Happening::Published(Arrival { topic, payload, .. }) = what else { continue };
        let is_short = topic == "answers/simulated" && wire::parsed(payload).get("diagnosis").is_none();
        let limit = if is_short { MAX_ANSWER } else { MAX_PAYLOAD };
        if payload.len() > limit && wire::parsed(payload).get("receipt").is_none() {
            problems.push(format!("it published {} bytes on {topic}", payload.len()));
        }
    }
    let calm = ANSWER_TIME + Duration::from_secs(1);
    let states = played.history.iter().filter(|(at, what)| {
        let is_state = matches!(what, Happening::Published(arrival) if arrival.topic == format!("{BASE}/state"));
        is_state && *at >= played.healed && at.duration_since(played.healed) < calm
    });
    // Two a second, and what waited in the network when all was well again.
    if states.count() > 2 * 11 + 8 {
        problems.push("it published states more often than twice a second".to_owned());
    }
}

/// What the agent may ask of the guard: nothing that root or the guard's own user asks.
fn requests(played: &Played, problems: &mut Vec<String>) {
    for Asked { request, .. } in played.guard.asked() {
        if request.denial(false, false).is_some() || matches!(request, Request::Button { .. }) {
            problems.push(format!("the agent asks for {}", request.word()));
        }
    }
}
