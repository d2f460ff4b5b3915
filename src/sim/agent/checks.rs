//! What has to be true of an agent, whatever happens around it.
#![allow(clippy::wildcard_enum_match_arm)] // each check looks at what it is about

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{ANSWER_TIME, AgentSchedule, Asked, BASE, LONG_RECOVERY, Played, PlayedGuard, RECOVERY};
use super::{Action, BrokerAction};
use crate::agent::state::State;
use crate::ipc::{LedgerEntry, Phase, Request, Response, Verb};
use crate::sim::broker::{Arrival, Broker, Happening};

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

/// Events that the box knows the broker to have, by ledger and number.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    read: usize,
    arrivals: BTreeMap<usize, String>,
    ids: BTreeSet<String>,
}

impl Acknowledged {
    /// Takes what happened since; returns whether anything did.
    pub(super) fn read_on(&mut self, broker: &Broker) -> bool {
        let news = broker.history(self.read);
        let is_news = !news.is_empty();
        for (_, what) in news {
            match what {
                Happening::Published(arrival) if arrival.topic == format!("{BASE}/event") => {
                    self.arrivals.insert(self.read, event_id(&arrival));
                }
                Happening::Acknowledged(place) => self.ids.extend(self.arrivals.remove(&place)),
                _ => {}
            }
            self.read += 1;
        }
        is_news
    }

    /// Whether all entries of a ledger are among them.
    pub(super) fn has_all(&self, (ledger, entries): &(String, usize)) -> bool {
        (1..=*entries as u64).all(|seq| self.ids.contains(&id_of(ledger, seq)))
    }
}

fn id_of(ledger: &str, seq: u64) -> String {
    format!("{}-{ledger:.16}-{seq}", super::BOX_ID)
}

fn event_id(arrival: &Arrival) -> String {
    json(&arrival.payload)["id"].as_str().unwrap_or_default().to_owned()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Whether a published state says this, but for its time.
pub(super) fn same_state(published: &[u8], state: &State) -> bool {
    let without_time = |mut value: Value| {
        for name in ["uptime-s", "warnings"] {
            value.as_object_mut().map(|object| object.remove(name));
        }
        value
    };
    without_time(json(published)) == without_time(serde_json::to_value(state).unwrap_or_default())
}

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
    protocol(played, &mut problems);
    events(played, &mut problems);
    answers(played, &mut problems);
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

fn protocol(played: &Played, problems: &mut Vec<String>) {
    problems.extend(played.history.iter().filter_map(|(_, what)| match what {
        Happening::Violation(what) => Some(what.clone()),
        _ => None,
    }));
}

/// Each event says what the ledger has, and none overtakes another: the next one is sent once the one before was
/// acknowledged.
fn events(played: &Played, problems: &mut Vec<String>) {
    let entries: BTreeMap<String, LedgerEntry> =
        played.guard.entries().into_iter().map(|(ledger, entry)| (id_of(&ledger, entry.seq), entry)).collect();
    let mut order: Vec<String> = Vec::new();
    let (mut arrivals, mut acknowledged) = (BTreeMap::new(), BTreeSet::new());
    for (place, (_, what)) in played.history.iter().enumerate() {
        match what {
            Happening::Published(arrival) if arrival.topic == format!("{BASE}/event") => {
                let id = event_id(arrival);
                let mut said = json(&arrival.payload);
                said.as_object_mut().map(|object| object.remove("id"));
                match entries.get(&id) {
                    None => problems.push(format!("the event {id} is in no ledger")),
                    Some(entry) if serde_json::to_value(entry).ok() != Some(said) => {
                        problems.push(format!("the event {id} does not say what the ledger does"));
                    }
                    Some(entry) if !order.contains(&id) => {
                        let before = id.rsplit_once('-').map(|(ledger, _)| format!("{ledger}-{}", entry.seq - 1));
                        if entry.seq > 1 && before.is_some_and(|before| !acknowledged.contains(&before)) {
                            problems.push(format!("the event {id} came before the one before it was acknowledged"));
                        }
                        order.push(id.clone());
                    }
                    Some(_) => {}
                }
                arrivals.insert(place, id);
            }
            Happening::Acknowledged(place) => acknowledged.extend(arrivals.get(place).cloned()),
            _ => {}
        }
    }
}

/// Nobody is answered who did not ask, no more often than he asked, and differently never; and where all is well each
/// command has its answer.
fn answers(played: &Played, problems: &mut Vec<String>) {
    let mut deliveries: BTreeMap<u64, usize> = BTreeMap::new();
    let mut given: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (at, what) in &played.history {
        match what {
            Happening::Delivered { number, .. } => *deliveries.entry(*number).or_default() += 1,
            Happening::Published(arrival) if arrival.topic == "answers/simulated" => {
                let correlation = arrival.correlation.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                let answer = json(&arrival.payload);
                if answer["ok"] == true && !was_carried_out(played, &correlation, *at) {
                    problems.push(format!("{correlation} is said to be done, and the guard does not say so: {answer}"));
                }
                if answer.get("progress").is_none() {
                    given.entry(correlation.into_owned()).or_default().push(answer);
                }
            }
            _ => {}
        }
    }
    for (index, sent) in played.operator.sent().iter().enumerate() {
        let answers = given.remove(&sent.correlation).unwrap_or_default();
        let (count, delivered) = (answers.len(), deliveries.get(&sent.number).copied().unwrap_or_default());
        let (verb, who) = (sent.verb.as_str(), &sent.correlation);
        // A retained command comes under other numbers too.
        if count > delivered && !sent.retained {
            problems.push(format!("{verb} {who} came {delivered} times and was answered {count} times"));
        }
        if answers.iter().any(|answer| answer["verb"] != verb) {
            problems.push(format!("{verb} {who} has the answer to another verb"));
        }
        let is_calm = index >= played.first_calm && played.recovered_after.is_some();
        if is_calm && count != 1 {
            problems.push(format!("{verb} {who} came when all was well, and has {count} answers"));
        }
    }
    problems.extend(given.into_keys().map(|who| format!("{who:?} was answered and had not asked")));
}

/// Whether the guard has said that it carried this command out, or had begun to.
fn was_carried_out(played: &Played, correlation: &str, by: Instant) -> bool {
    let Some(sent) = played.operator.sent().iter().find(|sent| sent.correlation == correlation) else { return true };
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
        let is_without_guard = json(&arrival.payload)["epoch"].is_null();
        match said.iter().skip(place).position(|state| same_state(&arrival.payload, state)) {
            Some(further) => place += further,
            None if is_without_guard && json(&arrival.payload)["phase"] == "fault" => {}
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
        let is_short = topic == "answers/simulated" && json(payload).get("diagnosis").is_none();
        let limit = if is_short { MAX_ANSWER } else { MAX_PAYLOAD };
        if payload.len() > limit && json(payload).get("receipt").is_none() {
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
