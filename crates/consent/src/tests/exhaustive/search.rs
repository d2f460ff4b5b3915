//! A breadth-first search: the first counterexample that it finds is one of the shortest.

use std::collections::hash_map::{DefaultHasher, Entry, HashMap};
use std::hash::{Hash, Hasher};
use std::mem::{Discriminant, discriminant};

use super::{Action, State};
use crate::{Effect, LampPattern};

/// A kind of effect, and the pattern of the lamp.
type Kind = (Discriminant<Effect>, Option<LampPattern>);

/// What a search has looked at.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) states: usize,
    pub(super) transitions: usize,
    /// Steps from a start to the farthest state.
    pub(super) depth: usize,
    /// All that can be reached was.
    pub(super) is_complete: bool,
    /// The kinds of effect that came up, and each pattern of the lamp, with their names.
    pub(super) met: HashMap<Kind, String>,
}

/// How a state was reached: from which, and by which action; `None`: it is a start.
type Origins = HashMap<u64, Option<(u64, u16)>>;

/// States are told apart by 64 bits of hash: of a million states, one is missed with a chance of 1 to 37 million.
fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Follows `actions` from `starts` until all is known, or `most` states are. `rule` is judged beside those of the
/// onlooker. `Err`: one is broken; how to get there.
pub(super) fn search(
    starts: &[State],
    actions: &[Action],
    most: usize,
    rule: fn(&State) -> Result<(), String>,
) -> Result<Report, String> {
    let mut report = Report::default();
    let mut origins: Origins = starts.iter().map(|state| (fingerprint(state), None)).collect();
    let mut frontier = starts.to_vec();
    while !frontier.is_empty() && origins.len() < most {
        let mut next = Vec::new();
        for state in frontier {
            let from = fingerprint(&state);
            for (index, action) in (0_u16..).zip(actions) {
                let mut met = |effect: &Effect| note(&mut report.met, effect);
                let mut reached = state.clone();
                match reached.take(*action, &mut met).map(|taken| taken.and_then(|()| rule(&reached))) {
                    None => continue,
                    Some(Ok(())) => {}
                    Some(Err(broken)) => return Err(trace(starts, actions, &origins, (from, index), &broken)),
                }
                report.transitions += 1;
                if let Entry::Vacant(unknown) = origins.entry(fingerprint(&reached)) {
                    unknown.insert(Some((from, index)));
                    next.push(reached);
                }
            }
        }
        frontier = next;
        report.depth += 1;
    }
    report.is_complete = frontier.is_empty();
    report.states = origins.len();
    Ok(report)
}

/// The effect's kind, and the pattern of a lamp.
fn note(met: &mut HashMap<Kind, String>, effect: &Effect) {
    let lamp = if let Effect::SetLamp(lamp) = effect { Some(*lamp) } else { None };
    met.entry((discriminant(effect), lamp)).or_insert_with(|| match lamp {
        Some(lamp) => format!("SetLamp({lamp:?})"),
        None => format!("{effect:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
    });
}

/// The way to a broken rule, a line for each step.
fn trace(starts: &[State], actions: &[Action], origins: &Origins, last: (u64, u16), broken: &str) -> String {
    let (mut at, mut steps) = (last.0, vec![last.1]);
    while let Some((from, index)) = origins[&at] {
        steps.push(index);
        at = from;
    }
    let begin = starts.iter().find(|state| fingerprint(state) == at).expect("every way begins at a start");
    let mut lines = vec![format!("from {:?}", begin.watched.machine.phase())];
    let mut state = begin.clone();
    for index in steps.into_iter().rev() {
        let (action, before) = (actions[usize::from(index)], state.watched.now);
        let mut effects = Vec::new();
        let _ = state.take_as_is(action, &mut |effect| effects.push(format!("{effect:?}")));
        let passed = state.watched.now - before;
        let phase = state.watched.machine.phase();
        lines.push(format!("+{passed:>5} ms  {action:?}  ->  {phase:?}  {}", effects.join(", ")));
        state.watched.canonical();
    }
    format!("{}\n{broken}", lines.join("\n"))
}
