//! What a broker sees of a box: events as the ledger has them, answers to whoever asked, and nothing that breaks a rule
//! of MQTT.
#![allow(clippy::wildcard_enum_match_arm)] // each check looks at what it is about

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::broker::{Arrival, Broker, Happening, History};
use super::super::operator::SentCommand;
use crate::agent::state::State;
use crate::ipc::{Fact, LedgerEntry, StoredFact, Verb};

/// Events that the box knows the broker to have, by ledger and number.
#[derive(Debug)]
pub(in crate::sim) struct Acknowledged {
    /// Its topics lie below this.
    base: String,
    box_id: String,
    read: usize,
    arrivals: BTreeMap<usize, String>,
    ids: BTreeSet<String>,
}

impl Acknowledged {
    /// Those of the box `box_id`, whose topics lie below `base`.
    pub(in crate::sim) fn new(base: &str, box_id: &str) -> Self {
        let (base, box_id) = (base.to_owned(), box_id.to_owned());
        Self { base, box_id, read: 0, arrivals: BTreeMap::new(), ids: BTreeSet::new() }
    }

    /// Takes what happened since; returns whether anything did.
    pub(in crate::sim) fn read_on(&mut self, broker: &Broker) -> bool {
        let news = broker.history(self.read);
        let is_news = !news.is_empty();
        for (_, what) in news {
            match what {
                Happening::Published(arrival) if arrival.topic == format!("{}/event", self.base) => {
                    self.arrivals.insert(self.read, said_id(&arrival));
                }
                Happening::Acknowledged(place) => self.ids.extend(self.arrivals.remove(&place)),
                _ => {}
            }
            self.read += 1;
        }
        is_news
    }

    /// Whether these entries of a ledger are among them.
    pub(in crate::sim) fn has_all(&self, ledger: &str, mut entries: impl Iterator<Item = u64>) -> bool {
        entries.all(|seq| self.ids.contains(&event_id(&self.box_id, ledger, seq)))
    }
}

/// An event's id, as docs/mqtt.md has it.
pub(in crate::sim) fn event_id(box_id: &str, ledger: &str, seq: u64) -> String {
    format!("{box_id}-{ledger:.16}-{seq}")
}

fn said_id(arrival: &Arrival) -> String {
    parsed(&arrival.payload)["id"].as_str().unwrap_or_default().to_owned()
}

/// A payload that is JSON; anything else is null.
pub(in crate::sim) fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Whether a published state says this, but for its time.
pub(in crate::sim) fn same_state(published: &[u8], state: &State) -> bool {
    let without_time = |mut value: Value| {
        for name in ["uptime-s", "warnings"] {
            value.as_object_mut().map(|object| object.remove(name));
        }
        value
    };
    without_time(parsed(published)) == without_time(serde_json::to_value(state).unwrap_or_default())
}

/// What the box did that MQTT, or its broker, forbids.
pub(in crate::sim) fn protocol(history: &History, problems: &mut Vec<String>) {
    problems.extend(history.iter().filter_map(|(_, what)| match what {
        Happening::Violation(what) => Some(what.clone()),
        _ => None,
    }));
}

/// Each event says what the ledger has, and none overtakes another: the next one is sent once the one before was
/// acknowledged.
pub(in crate::sim) fn events(
    history: &History,
    base: &str,
    entries: &BTreeMap<String, LedgerEntry>,
    problems: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    let (mut arrivals, mut acknowledged) = (BTreeMap::new(), BTreeSet::new());
    for (place, (_, what)) in history.iter().enumerate() {
        match what {
            Happening::Published(arrival) if arrival.topic == format!("{base}/event") => {
                let id = said_id(arrival);
                let mut said = parsed(&arrival.payload);
                said.as_object_mut().map(|object| object.remove("id"));
                match entries.get(&id) {
                    None => problems.push(format!("the event {id} is in no ledger")),
                    Some(entry) if serde_json::to_value(entry).ok() != Some(said) => {
                        problems.push(format!("the event {id} does not say what the ledger does"));
                    }
                    Some(entry) if seen.insert(id.clone()) => {
                        let before = id.rsplit_once('-').map(|(ledger, _)| format!("{ledger}-{}", entry.seq - 1));
                        // What was before an unbinding is the former platform's.
                        if entry.seq > 1
                            && !ends_binding(&entry.fact)
                            && before.is_some_and(|before| !acknowledged.contains(&before))
                        {
                            problems.push(format!("the event {id} came before the one before it was acknowledged"));
                        }
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

/// Whether whoever the box is bound to next begins with this entry.
pub(in crate::sim) fn ends_binding(fact: &StoredFact) -> bool {
    matches!(fact, StoredFact::Known(Fact::Unbound { .. } | Fact::ServiceEnded { .. }))
}

/// Nobody is answered who did not ask, no more often than he asked, and differently never; and where all is well each
/// command has its answer. `was_carried_out`: by then, and as far as the answer says, written down or not yet.
pub(in crate::sim) fn answers(
    history: &History,
    commands: &[SentCommand],
    first_calm: Option<usize>,
    was_carried_out: impl Fn(&SentCommand, Instant, bool) -> bool,
    problems: &mut Vec<String>,
) {
    let known: BTreeMap<&str, &SentCommand> = commands.iter().map(|sent| (sent.correlation.as_str(), sent)).collect();
    let mut deliveries: BTreeMap<u64, usize> = BTreeMap::new();
    let mut given: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (at, what) in history {
        match what {
            Happening::Delivered { number, .. } => *deliveries.entry(*number).or_default() += 1,
            Happening::Published(arrival) if arrival.topic == "answers/simulated" => {
                let correlation = arrival.correlation.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                let answer = parsed(&arrival.payload);
                let sent = known.get(&*correlation);
                let is_written = answer["error"].is_null();
                if answer["ok"] == true && sent.is_some_and(|sent| !was_carried_out(sent, *at, is_written)) {
                    problems.push(format!("{correlation} is said to be done, and the guard does not say so: {answer}"));
                }
                if answer.get("progress").is_none() {
                    given.entry(correlation.into_owned()).or_default().push(answer);
                }
            }
            _ => {}
        }
    }
    for (index, sent) in commands.iter().enumerate() {
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
        let is_calm = first_calm.is_some_and(|first| index >= first);
        if is_calm && count != 1 {
            problems.push(format!("{verb} {who} came when all was well, and has {count} answers"));
        }
        let is_stop = sent.verb == Verb::Stop && !sent.retained;
        for answer in answers.iter().filter(|answer| is_stop && answer["ok"] != true) {
            let may_be = !is_calm && [json!("unavailable"), json!("busy")].contains(&answer["code"]);
            if !may_be {
                problems.push(format!("a stop is refused: {answer}"));
            }
        }
    }
    problems.extend(given.into_keys().map(|who| format!("{who:?} was answered and had not asked")));
}
