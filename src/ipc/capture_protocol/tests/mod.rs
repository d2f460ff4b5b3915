//! A model check of the protocol: both ends, as production has them, with a connection and a process between them that
//! may do whatever such things do; every state within bounds, breadth first. docs/model-check.md explains it.

// What is not possible in a state is all the rest, and facts about a world are many.
#![allow(clippy::wildcard_enum_match_arm, clippy::struct_excessive_bools)]

mod rules;
mod world;

use model_check::{Counterexample, Report};

use super::{LEASE_DURATION, RENEW_INTERVAL};
use world::{ACTIONS, Action, Kind, World};

/// The guard kills a capture that is left so many ms after consent ended (docs/consent.md).
const KILL: u64 = 300;
const LEASE: u64 = 1000 * LEASE_DURATION.as_secs();
const RENEWAL: u64 = 1000 * RENEW_INTERVAL.as_secs();
/// Messages that one direction holds; the next one waits.
const HELD: usize = 2;

/// Follows every action from the beginning, until all is known or `most` states are. `Err`: a broken rule, and the way
/// to it.
fn search(kind: Kind, most: usize, rule: fn(&World) -> Result<(), &'static str>) -> Result<Report, String> {
    let starts = [World::new(false), World::new(true)];
    let report = model_check::search(&starts, &ACTIONS, most, |world, action| {
        world.take(action, kind)?;
        Some(world.judge(kind).and_then(|()| rule(world)).map_err(str::to_owned))
    });
    report.map_err(|found| trace(kind, found))
}

fn trace(kind: Kind, found: Counterexample<World, Action>) -> String {
    let (mut world, mut lines) = (found.start, Vec::new());
    for action in found.actions {
        let before = world.now;
        world.take(action, kind).expect("it was possible");
        let place = format!("{:?}", world.process);
        let place = place.split('(').next().unwrap_or_default();
        lines.push(format!("+{:>4} ms  {action:?}  ->  capture {place}, sound {}", world.now - before, !world.muted));
    }
    format!("{}\n{}", lines.join("\n"), found.broken)
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
    let broken = search(Kind::Prompt, usize::MAX, live).expect_err("it can be live");
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
