//! All that can happen, mixed, and held against a model of what may run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{BOX, Guard, Written};
use crate::judges::commands::Verdict;

/// What can happen between an operator and a guard.
#[derive(Clone, Debug)]
enum Step {
    /// An operator signs something; whether it is delivered at once.
    Sign { box_id: bool, verb: usize, by: usize, seq: u64, ahead: u64, reuse_id: bool, deliver: bool },
    /// Something that was signed before is delivered, perhaps changed, perhaps on another topic.
    Deliver { which: usize, change: Change, verb: Option<usize> },
    /// Time passes.
    Wait(u64),
    /// The guard ends, by whatever cause, and starts again; the disk is of any time.
    Restart,
}

/// What somebody on the way does to the bytes.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Flip(usize, u8),
    Cut(usize),
    Append(&'static str),
    SwapSignature(usize),
    AddSignature(usize),
}

const VERBS: [&str; 4] = ["request-start", "unmute", "erase", "identify"];
const BY: [&[&str]; 5] = [&["ops"], &["admin"], &["outsider"], &["ops", "admin"], &["outsider", "ops"]];

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        4 => Just(Change::Nothing),
        3 => (any::<usize>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => any::<usize>().prop_map(Change::Cut),
        1 => prop_oneof![Just("\n"), Just(" "), Just("\n\n"), Just("{}")].prop_map(Change::Append),
        2 => any::<usize>().prop_map(Change::SwapSignature),
        1 => any::<usize>().prop_map(Change::AddSignature),
    ];
    prop_oneof![
        5 => (prop::bool::weighted(0.9), 0..4_usize, 0..5_usize, 0..12_u64, 0..400_u64, prop::bool::weighted(0.1),
              prop::bool::weighted(0.7))
            .prop_map(|(box_id, verb, by, seq, ahead, reuse_id, deliver)| Step::Sign {
                box_id, verb, by, seq, ahead, reuse_id, deliver
            }),
        6 => (any::<usize>(), change, prop::option::weighted(0.2, 0..4_usize))
            .prop_map(|(which, change, verb)| Step::Deliver { which, change, verb }),
        1 => (0..200_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// What may run, said in another way than the judge does: by what was really signed, and not by the bytes.
#[derive(Default)]
struct Model {
    /// What operators signed, by its text.
    signed: BTreeMap<String, Written>,
    ran: BTreeSet<String>,
    highest: BTreeMap<&'static str, u64>,
    ids: BTreeSet<String>,
}

impl Model {
    /// Whether a text may run now. `by` of what was signed is an upper bound: signatures can be taken away.
    fn may_run(&self, guard: &Guard, word: &str, text: &str) -> bool {
        let Some(written) = self.signed.get(text) else { return false };
        let able: Vec<_> = Self::able(written);
        !self.ran.contains(text)
            && written.verb == word
            && written.box_id == BOX
            && written.epoch == guard.judge.epoch()
            && (guard.uptime_s + 1..=guard.uptime_s + 300).contains(&written.deadline_s)
            && !self.ids.contains(&written.id)
            && able.iter().any(|key| self.highest.get(key).is_none_or(|highest| written.seq > *highest))
    }

    /// Keys that signed it and may.
    fn able(written: &Written) -> Vec<&'static str> {
        let may = |key: &str| match key {
            "ops" => matches!(written.verb, "request-start" | "unmute"),
            "admin" => written.verb == "erase",
            _ => false,
        };
        written.by.iter().copied().filter(|key| may(key)).collect()
    }

    fn ran(&mut self, text: &str) {
        let written = self.signed[text].clone();
        for key in Self::able(&written) {
            self.highest.insert(key, written.seq);
        }
        self.ids.insert(written.id);
        self.ran.insert(text.to_owned());
    }
}

fn text_of(note: &str) -> &str {
    note.rfind("\n\n").map_or(note, |at| &note[..=at])
}

fn changed(change: &Change, note: &str, all: &[(usize, String)]) -> Option<String> {
    let line = |at: usize| all[at % all.len()].1.lines().last().unwrap_or_default();
    match change {
        Change::Nothing => Some(note.to_owned()),
        Change::Flip(at, bit) => {
            let mut bytes = note.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            // What is no text never comes this far.
            String::from_utf8(bytes).ok()
        }
        Change::Cut(at) => note.get(..at % note.len()).map(str::to_owned),
        Change::Append(more) => Some(format!("{note}{more}")),
        Change::SwapSignature(at) => Some(format!("{}\n{}\n", text_of(note), line(*at))),
        Change::AddSignature(at) => Some(format!("{note}{}\n", line(*at))),
    }
}

/// One run; returns how many deliveries there were and how many of them ran.
fn run(steps: &[Step]) -> (usize, usize) {
    let (mut guard, mut model) = (Guard::start(), Model::default());
    let mut all: Vec<(usize, String)> = Vec::new();
    let (mut deliveries, mut ran) = (0, 0);
    for (number, step) in steps.iter().enumerate() {
        let delivery = match step {
            Step::Wait(seconds) => {
                guard.uptime_s += seconds;
                None
            }
            Step::Restart => {
                guard = Guard::start();
                (model.highest, model.ids) = (BTreeMap::new(), BTreeSet::new());
                None
            }
            Step::Sign { box_id, verb, by, seq, ahead, reuse_id, deliver } => {
                let written = Written {
                    box_id: if *box_id { BOX } else { "shop-0043" },
                    verb: VERBS[*verb],
                    by: BY[*by],
                    id: if *reuse_id { "one-for-all".to_owned() } else { format!("c{number}") },
                    deadline_s: guard.uptime_s + ahead,
                    ..guard.fresh(*seq)
                };
                let note = written.note();
                if model.signed.contains_key(text_of(&note)) {
                    continue;
                }
                model.signed.insert(text_of(&note).to_owned(), written);
                all.push((*verb, note.clone()));
                deliver.then_some((*verb, note))
            }
            Step::Deliver { .. } if all.is_empty() => None,
            Step::Deliver { which, change, verb } => {
                let (own, note) = &all[which % all.len()];
                changed(change, note, &all).map(|bytes| (verb.unwrap_or(*own), bytes))
            }
        };
        let Some((verb, bytes)) = delivery else { continue };
        deliveries += 1;
        let text = text_of(&bytes).to_owned();
        let may_run = model.may_run(&guard, VERBS[verb], &text);
        let whole = all.iter().any(|(_, note)| *note == bytes);
        match guard.hear(VERBS[verb], &bytes) {
            Verdict::New(_) => {
                assert!(may_run, "step {number} ran: {step:?}\n{bytes}");
                model.ran(&text);
                ran += 1;
            }
            Verdict::Known(_) => assert!(model.ran.contains(&text), "step {number}: {step:?}"),
            // What is whole and may run does run.
            Verdict::Refused(refused) => assert!(!(may_run && whole), "step {number}: {step:?}: {refused:?}\n{bytes}"),
        }
    }
    (deliveries, ran)
}

proptest! {
    #[test]
    fn nothing_runs_but_what_was_signed_for_it_and_once(steps in prop::collection::vec(step(), 1..40)) {
        run(&steps);
    }
}

/// The same, counted: 10,000 deliveries of all kinds; a million in the long form.
#[test]
fn ten_thousand_deliveries_of_all_kinds() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let wanted = if std::env::var_os("TALLYBOX_LONG").is_some() { 200_000 } else { 10_000 };
    let (mut runner, steps) = (TestRunner::deterministic(), prop::collection::vec(step(), 60..100));
    let (mut deliveries, mut ran) = (0, 0);
    while deliveries < wanted {
        let (more, accepted) = run(&steps.new_tree(&mut runner).unwrap().current());
        (deliveries, ran) = (deliveries + more, ran + accepted);
    }
    println!("{deliveries} deliveries, {ran} ran, each of them signed for this box, its first time, in time");
    assert!(ran * 50 > deliveries && ran * 2 < deliveries, "{ran} of {deliveries}: these are not all kinds");
}
