//! Retained documents at a real broker that anybody else may write to, or put back: what was in force stays, and
//! nothing older comes into force; what is missing on a restored disk comes back with the broker's copy.

use serde_json::Value;

use crate::exactly_once::{DOCUMENTS, DocumentCase, is_long};
use crate::rig::{Rig, Victim};
use crate::support::wait_until;

/// This version is in force, and these came into force so far.
#[track_caller]
fn stays(rig: &mut Rig, case: &DocumentCase, number: u64, all: &[u64], part: &str) {
    rig.settle();
    let all: Vec<Value> = all.iter().map(|number| (case.number)(*number)).collect();
    assert_eq!(case.versions(rig), all, "{}: {part}", case.topic);
    assert!((case.in_force)(rig, number), "{}: {part}: {:?}", case.topic, rig.shop.status());
}

#[track_caller]
fn comes(rig: &Rig, case: &DocumentCase, number: u64, part: &str) {
    wait_until(&format!("{} {number} is in force: {part}", case.topic), || {
        (case.in_force)(rig, number) && case.versions(rig).last() == Some(&(case.number)(number))
    });
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// The broker is away while the box starts; `meanwhile` is what happens to its disk.
fn start_without_broker(rig: &mut Rig, meanwhile: impl FnOnce(&Rig)) {
    rig.broker.kill();
    rig.kill(Victim::Both);
    meanwhile(rig);
    rig.resume();
}

fn run(case: &DocumentCase) {
    let mut rig = Rig::new("", |_| String::new());
    let note = |number| (case.note)(number);
    rig.kill(Victim::Agent);
    rig.retain(case.topic, &note(3));
    rig.start();
    comes(&rig, case, 3, "it is there at the connection");
    let image = rig.shop.path("image");
    rig.restart_broker();
    stays(&mut rig, case, 3, &[3], "it comes again with the next connection");
    let good = note(4);
    let half: String = good.chars().take(good.chars().count() / 2).collect();
    for (part, payload, is_kept) in [
        ("an older one", note(2), true),
        ("no note", "garbage".to_owned(), false),
        ("half a note", half, false),
        ("a changed one", good.replacen("tallybox/", "tallybox\\", 1), true),
        ("too much", "x".repeat(40_000), false),
        ("nothing: the broker's copy is deleted", String::new(), true),
        ("an older one", note(1), false),
    ] {
        rig.retain(case.topic, &payload);
        stays(&mut rig, case, 3, &[3], part);
        if is_kept || is_long() {
            rig.restart(Victim::Agent);
            stays(&mut rig, case, 3, &[3], &format!("{part}, at a new connection"));
        }
    }
    // Both roles are killed, and there is no broker: what was in force is.
    start_without_broker(&mut rig, |rig| copy(&rig.shop.path("data"), &image));
    assert!((case.in_force)(&rig, 3), "{}: {:?}", case.topic, rig.shop.status());
    rig.restart_broker();
    stays(&mut rig, case, 3, &[3], "the broker comes back with an older one");
    rig.retain(case.topic, &good);
    comes(&rig, case, 4, "a newer one");
    // The disk is put back to before that. The broker's copy is in force again, and nothing older than the image's.
    start_without_broker(&mut rig, |rig| {
        std::fs::remove_dir_all(rig.shop.path("data")).unwrap();
        copy(&image, &rig.shop.path("data"));
    });
    assert!((case.in_force)(&rig, 3), "{}: {:?}", case.topic, rig.shop.status());
    rig.restart_broker();
    comes(&rig, case, 4, "the broker's copy");
    for older in [2, 3] {
        rig.retain(case.topic, &note(older));
        stays(&mut rig, case, 4, &[3, 4], "after the disk was put back");
    }
    rig.shop.verify();
}

#[test]
fn what_is_in_force_stays_whatever_the_broker_retains() {
    std::thread::scope(|scope| {
        for case in &DOCUMENTS {
            scope.spawn(|| run(case));
        }
    });
}
