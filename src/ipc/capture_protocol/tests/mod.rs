//! A model check of the protocol: both ends, as production has them, with a connection and a process between them that
//! may do whatever such things do; every state within bounds, breadth first. docs/model-check.md explains it.

// What is not possible in a state is all the rest, and facts about a world are many.
#![allow(clippy::wildcard_enum_match_arm, clippy::struct_excessive_bools)]

mod rules;
mod world;

use std::collections::hash_map::{Entry, HashMap};

use super::{LEASE_DURATION, RENEW_INTERVAL};
use world::{ACTIONS, Action, Kind, World};

/// The guard kills a capture that is left so many ms after consent ended (docs/consent.md).
const KILL: u64 = 300;
const LEASE: u64 = 1000 * LEASE_DURATION.as_secs();
const RENEWAL: u64 = 1000 * RENEW_INTERVAL.as_secs();
/// Messages that one direction holds; the next one waits.
const HELD: usize = 2;

struct Report {
    states: usize,
    transitions: usize,
    depth: usize,
    is_complete: bool,
}

/// Follows every action from the beginning, until all is known or `most` states are. `Err`: a broken rule, and the way
/// to it.
fn search(kind: Kind, most: usize, rule: fn(&World) -> Result<(), &'static str>) -> Result<Report, String> {
    let starts = [World::new(false), World::new(true)];
    let mut origins: HashMap<u64, Option<(u64, Action)>> = starts.iter().map(|one| (one.fingerprint(), None)).collect();
    let mut report = Report { states: 0, transitions: 0, depth: 0, is_complete: false };
    let mut frontier = starts.to_vec();
    while !frontier.is_empty() && origins.len() < most {
        let mut next = Vec::new();
        for world in frontier {
            let from = world.fingerprint();
            for action in ACTIONS {
                let mut reached = world.clone();
                if reached.take(action, kind).is_none() {
                    continue;
                }
                report.transitions += 1;
                if let Err(broken) = reached.judge(kind).and_then(|()| rule(&reached)) {
                    return Err(trace(&starts, &origins, (from, action), kind, broken));
                }
                if let Entry::Vacant(unknown) = origins.entry(reached.fingerprint()) {
                    unknown.insert(Some((from, action)));
                    next.push(reached);
                }
            }
        }
        frontier = next;
        report.depth += 1;
    }
    (report.is_complete, report.states) = (frontier.is_empty(), origins.len());
    Ok(report)
}

fn trace(
    starts: &[World],
    origins: &HashMap<u64, Option<(u64, Action)>>,
    last: (u64, Action),
    kind: Kind,
    broken: &str,
) -> String {
    let (mut at, mut steps) = (last.0, vec![last.1]);
    while let Some((from, action)) = origins[&at] {
        steps.push(action);
        at = from;
    }
    let mut world = starts.iter().find(|one| one.fingerprint() == at).expect("every way begins at a start").clone();
    let mut lines = Vec::new();
    for action in steps.into_iter().rev() {
        let before = world.now;
        world.take(action, kind).expect("it was possible");
        let place = format!("{:?}", world.process);
        let place = place.split('(').next().unwrap_or_default();
        lines.push(format!("+{:>4} ms  {action:?}  ->  capture {place}, sound {}", world.now - before, !world.muted));
    }
    format!("{}\n{broken}", lines.join("\n"))
}

/// All of them where `TALLYBOX_LONG` is set.
fn most() -> usize {
    if std::env::var_os("TALLYBOX_LONG").is_some() { usize::MAX } else { 20_000 }
}

#[test]
fn every_way_of_both_ends_keeps_the_rules() {
    for kind in [Kind::Prompt, Kind::Slow, Kind::Hostile] {
        let Report { states, transitions, depth, is_complete } =
            search(kind, most(), |_| Ok(())).unwrap_or_else(|broken| panic!("{kind:?}:\n{broken}"));
        println!(
            "{kind:?}: {states} states, {transitions} transitions, {depth} steps to the farthest, complete: {is_complete}"
        );
        assert!(is_complete || states >= 20_000, "{kind:?}: {states} states");
    }
}

#[test]
fn a_rule_that_is_false_is_found_broken_by_the_shortest_way() {
    let live = |world: &World| if world.guard.live && !world.muted { Err("it is live with sound") } else { Ok(()) };
    let broken = search(Kind::Prompt, usize::MAX, live).err().expect("it can be live");
    assert!(broken.ends_with("it is live with sound"), "{broken}");
    assert_eq!(broken.lines().count(), 7, "{broken}");
    let dark = |world: &World| {
        if world.may_leave() && world.now >= world.guard.renewed_at + LEASE - Kind::Prompt.step() {
            Err("late")
        } else {
            Ok(())
        }
    };
    assert!(search(Kind::Prompt, usize::MAX, dark).is_err(), "the lease is used to its end");
}
