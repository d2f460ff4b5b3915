//! Schedules made of seeds.

use fastrand::Rng;

use super::{Action, Asker, CapturePlan, Help, Platform, Quirk, Wish};
use crate::ipc::Verb;
use crate::sim::broker::BrokerAction;
use crate::sim::operator::OperatorAction;
use crate::sim::process::ProcessAction;
use crate::sim::releases::{ReleasePlan, ServerFault};

/// What happens to a box of this seed.
pub(super) fn actions(seed: u64, platform: Platform) -> Vec<Action> {
    let mut random = Rng::with_seed(seed);
    let count = random.usize(3..12);
    let (count, one): (usize, fn(&mut Rng) -> Action) =
        if platform.is_none() { (count, action) } else { (count * 2, action_with_platform) };
    let mut actions = Vec::with_capacity(count * 2);
    let has_keys = [Platform::Trusted, Platform::Minors].contains(&platform);
    if has_keys {
        match random.u8(..8) {
            0..=3 => update(&mut random, &mut actions),
            4 => orders(&mut random, &mut actions),
            5 => erasure(&mut random, &mut actions),
            6 => documents(&mut random, &mut actions),
            _ => {}
        }
    }
    for _ in 0..count {
        if random.u8(..8) == 0 {
            scene(&mut random, &mut actions);
        } else {
            actions.push(one(&mut random));
        }
        actions.push(Action::Wait { ms: pause(&mut random) });
    }
    actions
}

fn pause(random: &mut Rng) -> u32 {
    match random.u8(..10) {
        0..=2 => random.u32(1..80),
        3..=6 => random.u32(80..800),
        7..=8 => random.u32(800..3_000),
        _ => random.u32(3_000..9_000),
    }
}

fn action(random: &mut Rng) -> Action {
    match random.u8(..100) {
        0..=34 => touch(random),
        35..=39 => Action::MuteTouch { hold: random.u32(20..900) },
        40..=54 => Action::Plan(plan(random)),
        55..=58 => Action::Link { up: random.bool() },
        59..=60 => Action::Lamp { dead: random.bool() },
        61..=62 => Action::Panel { lost: random.bool() },
        63..=65 => Action::Clock { by_s: random.i64(-400_000_000..400_000_000) },
        66..=67 => Action::Disk { ms: random.u32(20..8_000) },
        68 if random.bool() => Action::Room { mib: random.u16(..64) },
        68 => Action::Faulty { changes: random.u16(1..30) },
        69..=71 => Action::Kill,
        72..=73 => Action::PowerCut,
        74..=76 => Action::Restart { policy: random.u8(..2) },
        _ => Action::Ask { by: asker(random), wish: wish(random) },
    }
}

fn action_with_platform(random: &mut Rng) -> Action {
    match random.u8(..100) {
        0..=49 => action(random),
        50..=51 => Action::Helper { how: [Help::Prompt, Help::Never, Help::Wrong][random.usize(..3)] },
        52 => Action::Synchronised { is: random.u8(..4) != 0 },
        53 => Action::Packages { how: ServerFault::any(random) },
        54..=79 => operator(OperatorAction::any(random)),
        80..=94 => Action::Broker { what: BrokerAction::any(random) },
        _ => Action::Agent { what: ProcessAction::any(random) },
    }
}

fn operator(what: OperatorAction) -> Action {
    Action::Operator { what }
}

/// Commands in the right hands, the box's end perhaps, and then nearly the same commands.
fn orders(random: &mut Rng, actions: &mut Vec<Action>) {
    let verb = random.u8(..12);
    let wait = |random: &mut Rng| Action::Wait { ms: random.u32(300..3_000) };
    for _ in 0..random.u8(1..4) {
        actions.extend([operator(OperatorAction::right(verb)), wait(random)]);
    }
    if random.bool() {
        actions.extend([an_end(random), Action::Wait { ms: random.u32(2_000..8_000) }]);
    }
    for _ in 0..random.u8(1..4) {
        actions.extend([operator(OperatorAction::nearly_right(verb, random)), wait(random)]);
    }
    actions.push(operator(OperatorAction::Again { back: random.u8(..5) }));
}

/// An erasure, or an unbinding that waits for its helper, and something that comes in between.
fn erasure(random: &mut Rng, actions: &mut Vec<Action>) {
    let wait = |random: &mut Rng, ms: u32| Action::Wait { ms: random.u32(..ms) };
    if random.bool() {
        let hold = random.u32(10_200..12_000);
        actions.extend([Action::Helper { how: Help::Never }, Action::Touch { hold, bounces: 0, late: 0 }]);
        actions.extend([Action::Wait { ms: hold }, wait(random, 3_000)]);
    } else {
        let erase = Verb::ALL.iter().position(|verb| *verb == Verb::Erase).and_then(|verb| u8::try_from(verb).ok());
        actions.extend([operator(OperatorAction::right(erase.unwrap_or_default())), wait(random, 2_000)]);
        actions.push(match random.u8(..2) {
            0 => Action::Faulty { changes: random.u16(1..30) },
            _ => Action::Disk { ms: random.u32(20..8_000) },
        });
        actions.push(wait(random, 1_000));
    }
    actions.extend([an_end(random), Action::Wait { ms: 6_000 }]);
}

/// Documents in the right hands, newer and older ones, and the box's end between them.
fn documents(random: &mut Rng, actions: &mut Vec<Action>) {
    let is_policy = random.bool();
    for _ in 0..random.u8(2..6) {
        actions.push(operator(if is_policy {
            OperatorAction::right_policy(random.u8(..28), random.bool())
        } else {
            OperatorAction::right_desired(random.u64(1..9))
        }));
        actions.push(Action::Wait { ms: random.u32(300..4_000) });
        if random.u8(..4) == 0 {
            actions.extend([an_end(random), Action::Wait { ms: random.u32(2_000..6_000) }]);
        }
    }
}

fn an_end(random: &mut Rng) -> Action {
    if random.bool() { Action::PowerCut } else { Action::Kill }
}

/// A release that is taken, more often than not, and something that comes in between.
fn update(random: &mut Rng, actions: &mut Vec<Action>) {
    let wait = |random: &mut Rng, ms: std::ops::Range<u32>| Action::Wait { ms: random.u32(ms) };
    let publish = |plan: ReleasePlan| operator(OperatorAction::Release(plan));
    actions.push(Action::Synchronised { is: true });
    if random.u8(..3) == 0 {
        actions.push(Action::Packages { how: ServerFault::any(random) });
    }
    let release = ReleasePlan::right(random, 1);
    if random.u8(..6) == 0 {
        // Mostly of the same version.
        let other = if random.u8(..4) == 0 { random.u8(..32) } else { (release.build + 4 * random.u8(1..8)) % 32 };
        actions.push(Action::Swap { build: other });
    }
    actions.extend([publish(release), wait(random, 500..12_000)]);
    for _ in 0..random.u8(..4) {
        match random.u8(..16) {
            0..=3 => actions.push(Action::PowerCut),
            4..=5 => actions.push(Action::Kill),
            6 => actions.push(Action::Agent { what: ProcessAction::any(random) }),
            7..=8 => actions.push(publish(ReleasePlan::right(random, 1))),
            9 => actions.push(publish(ReleasePlan::any(random, 1))),
            10..=11 => actions.push(Action::Touch { hold: random.u32(60..600), bounces: 0, late: 0 }),
            12 => actions.push(Action::Packages { how: ServerFault::any(random) }),
            13 => actions.push(Action::Faulty { changes: random.u16(1..30) }),
            14 => actions.push(Action::Disk { ms: random.u32(20..8_000) }),
            _ => actions.push(Action::Synchronised { is: random.bool() }),
        }
        actions.push(wait(random, 10..9_000));
        if random.bool() {
            // A boot's clock is synchronised some seconds later.
            actions.push(Action::Synchronised { is: true });
        }
    }
}

/// What seldom follows on each other by chance, and has to be right.
fn scene(random: &mut Rng, actions: &mut Vec<Action>) {
    let touch = |hold: u32| Action::Touch { hold, bounces: 0, late: 0 };
    let wait = |ms: u32| Action::Wait { ms };
    let press = touch(random.u32(100..600));
    match random.u8(..7) {
        // The guard is killed in the middle of a touch, and is there again before its end.
        6 => {
            let before = random.u32(10..700);
            let hold = before + 1_300 + random.u32(60..650);
            actions.extend([touch(hold), wait(before), Action::Kill, wait(3_000)]);
        }
        // The panel is away in the middle of a hold.
        0 => {
            actions.extend([
                touch(random.u32(5_500..25_000)),
                wait(random.u32(100..4_000)),
                Action::Panel { lost: true },
            ]);
            actions.extend([wait(random.u32(10..3_000)), Action::Panel { lost: false }, wait(6_000)]);
        }
        // Somebody asks for silence, and capture does not say that it obeys.
        1 => {
            let plan = CapturePlan { quirk: Some(Quirk::Unconfirming), live: 50, ..CapturePlan::default() };
            let mute = Action::Ask { by: Asker::Agent, wish: Wish::Mute };
            actions.extend([Action::Plan(plan), press, wait(random.u32(1_000..2_000)), mute, wait(2_000)]);
        }
        // What cannot be sent is kept, and then has to go.
        2 | 3 => {
            let end = touch(random.u32(5_500..14_000));
            actions.extend([Action::Link { up: false }, press, wait(3_500), touch(100), wait(1_000), end]);
            actions.push(wait(random.u32(5_000..16_000)));
        }
        // A touch stops, and starts nothing.
        4 => actions.extend([press, wait(random.u32(800..2_000)), touch(random.u32(100..600)), wait(2_000)]),
        // The power fails in an unbinding, or soon after it.
        _ => {
            let hold = random.u32(10_200..12_000);
            actions.extend([touch(hold), wait(hold + random.u32(..200)), Action::PowerCut, wait(2_000)]);
        }
    }
}

fn touch(random: &mut Rng) -> Action {
    let hold = match random.u8(..16) {
        0 => random.u32(1..40),
        1..=8 => random.u32(40..690),
        9..=10 => random.u32(690..3_000),
        11..=12 => random.u32(1_900..2_900),
        13 => random.u32(3_000..5_000),
        14 => random.u32(5_000..10_000),
        _ => random.u32(10_000..35_000),
    };
    let late = if random.u8(..8) == 0 { random.u32(1..1_500) } else { 0 };
    Action::Touch { hold, bounces: random.u8(..4), late }
}

fn plan(random: &mut Rng) -> CapturePlan {
    let quirk = match random.u8(..20) {
        0 => Some(Quirk::Silent),
        1 => Some(Quirk::Unconfirming),
        2 => Some(Quirk::Endless),
        3 => Some(Quirk::Talkative),
        4 => Some(Quirk::Deaf),
        5 => Some(Quirk::Garbage(random.u32(..2_000))),
        6 => Some(Quirk::Dies(random.u32(..2_000))),
        7 => Some(Quirk::CameraLost(random.u32(..2_000))),
        8 => Some(Quirk::WrongProcess),
        9 => Some(Quirk::Absent),
        10 => Some(Quirk::Wordy(random.u32(..2_000))),
        _ => None,
    };
    let slow = |random: &mut Rng, most: u32| if random.u8(..4) == 0 { random.u32(..most) } else { random.u32(..60) };
    CapturePlan {
        hello: slow(random, 1_500),
        apply: slow(random, 700),
        live: random.u32(50..3_000),
        end: slow(random, 290),
        quirk,
    }
}

fn asker(random: &mut Rng) -> Asker {
    match random.u8(..8) {
        0..=1 => Asker::Root,
        2..=6 => Asker::Agent,
        _ => Asker::Stranger,
    }
}

fn wish(random: &mut Rng) -> Wish {
    match random.u8(..16) {
        0..=2 => Wish::RequestStart,
        3..=5 => Wish::Stop,
        6..=8 => Wish::Mute,
        9..=10 => Wish::Unmute,
        11 => Wish::Identify,
        12 => Wish::Probe,
        13 => Wish::Button,
        14 => Wish::Garbage,
        _ if random.bool() => Wish::Flood(random.u8(1..60)),
        _ => Wish::Command(["stop", "mute", "erase", "unbind", "set-ingest"][random.usize(..5)].to_owned()),
    }
}
