//! A model check for tests: every state that a model can reach within bounds, breadth first.
//!
//! The model is a value that is cloned for each action, and that need not remember what makes no difference.

use std::collections::hash_map::{DefaultHasher, Entry, HashMap};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// What a search has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Different states, the starts among them.
    pub states: usize,
    /// Actions that were possible, each in its state.
    pub transitions: usize,
    /// Steps from a start to the farthest state.
    pub depth: usize,
    /// All that can be reached was.
    pub is_complete: bool,
}

/// A way to a broken rule: no other is shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample<S, A> {
    /// Where it begins.
    pub start: S,
    /// What happens from there on. The last of it breaks the rule.
    pub actions: Vec<A>,
    /// What the rule says.
    pub broken: String,
}

/// How a state was reached: from which, and by which action; `None`: it is a start.
type Origins = HashMap<u64, Option<(u64, u16)>>;

/// States are told apart by 64 bits of hash: of a million states, one is missed with a chance of 1 to 37 million.
fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Follows `actions`, of which there are at most 65,536, from `starts` until all is known, or `most` states are.
///
/// `take` changes a state by an action and judges what comes of it. `None`: the action is not possible there, or out of
/// bounds. States with the same hash count as one.
///
/// # Errors
/// A rule is broken.
pub fn search<S: Clone + Hash, A: Copy>(
    starts: &[S],
    actions: &[A],
    most: usize,
    mut take: impl FnMut(&mut S, A) -> Option<Result<(), String>>,
) -> Result<Report, Counterexample<S, A>> {
    let mut report = Report { states: 0, transitions: 0, depth: 0, is_complete: false };
    let mut origins: Origins = starts.iter().map(|state| (fingerprint(state), None)).collect();
    let mut frontier = starts.to_vec();
    while !frontier.is_empty() && origins.len() < most {
        let mut next = Vec::new();
        for state in frontier {
            let from = fingerprint(&state);
            for (index, action) in (0_u16..).zip(actions) {
                let mut reached = state.clone();
                match take(&mut reached, *action) {
                    None => continue,
                    Some(Ok(())) => report.transitions += 1,
                    Some(Err(broken)) => return Err(way(starts, actions, &origins, (from, index), broken)),
                }
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

fn way<S: Clone + Hash, A: Copy>(
    starts: &[S],
    actions: &[A],
    origins: &Origins,
    last: (u64, u16),
    broken: String,
) -> Counterexample<S, A> {
    let (mut at, mut steps) = (last.0, vec![actions[usize::from(last.1)]]);
    while let Some((from, index)) = origins[&at] {
        steps.push(actions[usize::from(index)]);
        at = from;
    }
    steps.reverse();
    let start = starts.iter().find(|state| fingerprint(*state) == at).expect("every way begins at a start").clone();
    Counterexample { start, actions: steps, broken }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds and doubles up to 100; a rule may forbid one number.
    fn take(forbidden: u32) -> impl FnMut(&mut u32, char) -> Option<Result<(), String>> {
        move |number, action| {
            let reached = if action == '+' { *number + 1 } else { *number * 2 };
            *number = reached;
            (reached <= 100).then(|| if reached == forbidden { Err(format!("{reached}")) } else { Ok(()) })
        }
    }

    #[test]
    fn all_that_can_be_reached_is_looked_at() {
        let report = search(&[1, 90], &['+', '*'], usize::MAX, take(0)).expect("nothing is forbidden");
        // 1 to 100, each but 100 with one more, and each up to 50 doubled.
        assert_eq!(report, Report { states: 100, transitions: 99 + 50, depth: 11, is_complete: true });
    }

    #[test]
    fn a_bound_ends_a_search_that_is_not_complete() {
        let report = search(&[1], &['+', '*'], 10, take(0)).expect("nothing is forbidden");
        assert!(!report.is_complete && (10..20).contains(&report.states), "{report:?}");
    }

    #[test]
    fn the_shortest_way_to_a_broken_rule_is_told() {
        let found = search(&[1, 90], &['+', '*'], usize::MAX, take(10)).expect_err("10 can be reached");
        assert_eq!(found, Counterexample { start: 1, actions: vec!['+', '*', '+', '*'], broken: "10".into() });
    }
}
