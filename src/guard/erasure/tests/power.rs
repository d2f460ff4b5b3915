//! The power is cut at each change that an erasure makes: what is gone stays gone, and what was begun is ended.

use std::path::Path;

use super::*;
use crate::atomic_file::{self, Durability, PRIVATE};
use crate::disk;
use crate::disk::simulated::power::{HOME, Run, Scenario};
use crate::erasure_files::{ErasureRequest, REQUEST};

/// What somebody was told.
#[derive(Clone, Debug, Default)]
struct Told {
    /// The erasure's entry.
    fact: Option<Fact>,
    /// The ledger has it.
    recorded: bool,
}

/// Everything that goes with the binding. The agent's folder is the agent's.
const FILES: [&str; 8] = [
    "footage/1-0.age",
    "footage/1-1.age",
    "agent/outbox-cursor",
    "agent/answers",
    "credentials/other",
    POLICY_NOTE,
    twin::NOTE,
    twin::NEXT,
];

fn home() -> &'static Path {
    Path::new(HOME)
}

fn prepare() {
    for folder in ["footage", "agent"] {
        disk::create_dir(&home().join(folder), 0o755).unwrap();
    }
    identity::read_or_make(home(), Some("shop-1"), &PLAIN).unwrap();
    for file in FILES {
        atomic_file::replace(&home().join(file), &[b'x'; 900], PRIVATE, Durability::Synced).unwrap();
    }
}

/// What is left of the binding.
fn left() -> Vec<String> {
    let there = |name: &str| disk::exists(&home().join(name));
    let key = ["credentials/identity", REQUEST];
    FILES.into_iter().chain(key).filter(|name| there(name)).map(str::to_owned).collect()
}

/// Answers the guard's request, as the helper does, if there is one.
fn help(due: &mut PendingErasure) {
    let request = disk::read_to_string(&home().join(REQUEST)).ok();
    if let Some(ErasureRequest { attempt, .. }) = request.as_deref().and_then(ErasureRequest::parse) {
        due.confirm_credentials(CredentialsReport { attempt, removed: 2, left: Vec::new() });
    }
}

/// Runs it until it is done, as the guard does.
fn run_to_end(due: &mut PendingErasure, has_helper: bool) -> Option<Fact> {
    let configuration = "ab".repeat(32);
    let context = ReceiptContext { configuration: &configuration, has_helper, ..context() };
    for _ in 0..4 {
        if let Some(fact) = due.run(home(), &context, true).facts.pop() {
            return Some(fact);
        }
        help(due);
    }
    None
}

fn work(run: &mut Run<Told>, what: Erasure, has_helper: bool) {
    // One that a former unbinding left.
    receipt::discard(home());
    let mut due = PendingErasure::default();
    due.add(what, None);
    due.set_announced(1);
    let fact = run_to_end(&mut due, has_helper);
    run.note(|told| told.fact = fact.clone());
    if fact.is_some() {
        run.note(|told| told.recorded = true);
        receipt::discard(home());
    }
}

fn resume(what: Erasure, has_helper: bool) -> Option<Fact> {
    let mut due = PendingErasure::default();
    due.resume(what, None);
    run_to_end(&mut due, has_helper)
}

fn judge(told: &Told, what: Erasure, has_helper: bool) {
    let has_receipt = |fact: &Fact| serde_json::to_value(fact).unwrap()["receipt"].is_string();
    if let Some(fact) = &told.fact {
        assert!(has_receipt(fact), "{fact:?}");
        let expected = if what == Erasure::Erase { left().len() == FILES.len() - 1 } else { left().is_empty() };
        assert!(expected, "came back: {:?}", left());
    }
    if told.recorded {
        return;
    }
    let fact = resume(what, has_helper).expect("it is ended after the next start");
    assert!(has_receipt(&fact), "it is not lost with the key: {fact:?}");
    assert!(left().iter().all(|name| what == Erasure::Erase && !name.starts_with("footage")), "{:?}", left());
    assert_eq!(disk::names(&home().join("footage")).unwrap().len(), 0);
}

fn try_all(name: &str, what: Erasure, has_helper: bool) -> u64 {
    let scenario = Scenario {
        name,
        capacity: None,
        prepare: &prepare,
        work: &|run: &mut Run<Told>| work(run, what, has_helper),
        recover: &|told: &Told| {
            if !told.recorded {
                resume(what, has_helper);
            }
        },
        judge: &|told: &Told| judge(told, what, has_helper),
    };
    scenario.fail_all(1);
    scenario.try_all(1)
}

#[test]
fn an_unbinding_is_ended_after_a_power_cut() {
    assert!(try_all("unbinding", Erasure::Unbind, false) > 20);
    assert!(try_all("unbinding with the helper", Erasure::Unbind, true) > 20);
}

#[test]
fn an_erasure_and_the_end_of_service_are_ended_after_a_power_cut() {
    assert!(try_all("end of service", Erasure::EndOfService, true) > 20);
    assert!(try_all("erasure of footage", Erasure::Erase, false) > 5);
}

/// Regression: the removal of a receipt was not synced. A power cut brought it back, and the next unbinding took it for
/// its own: the helper was not asked, and another shop's receipt was handed out.
#[test]
fn a_receipt_that_was_discarded_does_not_come_back() {
    let scenario = Scenario {
        name: "receipt",
        capacity: None,
        prepare: &|| receipt::stage(home(), "a receipt").unwrap(),
        work: &|run: &mut Run<bool>| {
            receipt::discard(home());
            run.note(|discarded| *discarded = true);
        },
        recover: &|_| {},
        judge: &|discarded: &bool| assert!(!discarded || receipt::staged(home()).is_none()),
    };
    assert!(scenario.try_all(1) >= 2);
}

#[test]
fn the_boxs_key_is_whole_or_not_there() {
    let made = || identity::read_or_make(home(), None, &PLAIN).map(|identity| identity.fingerprint);
    let scenario = Scenario {
        name: "identity",
        capacity: None,
        prepare: &|| {},
        work: &|run: &mut Run<Option<String>>| {
            let made = made().ok();
            run.note(|known| *known = made);
        },
        recover: &|_| drop(made()),
        judge: &|known: &Option<String>| {
            let found = made().unwrap();
            assert!(known.as_ref().is_none_or(|known| *known == found), "the box has another key now");
        },
    };
    assert!(scenario.try_all(1) > 5);
}
