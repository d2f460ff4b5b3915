//! What a verb or a document brings happens at most once, whoever is killed when, however often the same bytes come and
//! in whatever order; and once in the end, where the sender tries again as the tools do. Ledger, status and answers say
//! what happened.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Rig, VICTIMS, Victim, signed};
use crate::support::dates::days_from_now;
use crate::support::{poll, wait_until};

/// How one verb is tried.
pub(crate) struct VerbCase {
    pub(crate) verb: &'static str,
    /// Brings the box to where the verb has an effect.
    pub(crate) prepare: fn(&mut Rig, u64),
    /// The verb's parameters in a round.
    pub(crate) fields: fn(u64) -> Value,
    /// Whether this fact is the effect. `None`: the ledger has no fact of it.
    pub(crate) effect: Option<fn(&Value) -> bool>,
    /// Whether what was asked in a round is in force.
    pub(crate) in_force: fn(&Rig, u64) -> bool,
    /// It outlives guard and session: in the end it has happened once, not once for each try.
    pub(crate) is_lasting: bool,
    /// A kill can take away what the verb needs, a session: then a later try is refused.
    pub(crate) needs_session: bool,
}

fn is_kind(fact: &Value, kind: &str) -> bool {
    fact["kind"] == kind
}

fn nothing(_: u64) -> Value {
    json!({})
}

fn policy_version(round: u64) -> String {
    format!("{}-{:02}-{:02}", 2027 + round / 300, 1 + round / 25 % 12, 1 + round % 25)
}

/// Idle, also where a request or a session is left over.
fn idle(rig: &mut Rig, _: u64) {
    if rig.shop.phase() != "idle" {
        rig.operator.ask("stop");
        rig.shop.wait_for_phase("idle");
    }
}

/// On air as far as it goes without a server, and muted by remote.
fn muted(rig: &mut Rig, round: u64) {
    capturing(rig, round);
    if rig.shop.status().unwrap()["muted"] != true {
        assert_eq!(rig.operator.ask("mute")["ok"], true);
    }
}

fn capturing(rig: &mut Rig, round: u64) {
    if !rig.shop.captures().is_empty() && !rig.shop.status().unwrap()["encoder"].is_null() {
        return;
    }
    idle(rig, round);
    rig.shop.press();
    let shop = &rig.shop;
    wait_until("the encoder runs", || shop.status().is_some_and(|status| !status["encoder"].is_null()));
}

/// With footage that waits to be sent.
fn footage(rig: &mut Rig, round: u64) {
    idle(rig, round);
    std::fs::create_dir_all(rig.shop.path("data/footage")).unwrap();
    std::fs::write(rig.shop.path("data/footage/unsent"), "x").unwrap();
}

const VERBS: [VerbCase; 6] = [
    VerbCase {
        verb: "request-start",
        prepare: idle,
        fields: nothing,
        effect: Some(|fact| is_kind(fact, "requested")),
        in_force: |rig, _| rig.shop.phase() == "requested",
        is_lasting: false,
        needs_session: false,
    },
    VerbCase {
        verb: "unmute",
        prepare: muted,
        fields: nothing,
        effect: Some(|fact| is_kind(fact, "muted") && fact["muted"] == false),
        in_force: |rig, _| rig.shop.captures().is_empty() || rig.shop.status().unwrap()["muted"] == false,
        is_lasting: false,
        needs_session: true,
    },
    VerbCase {
        verb: "set-video",
        prepare: capturing,
        fields: |round| json!({ "bitrate-kbps": 300 + round }),
        effect: None,
        in_force: |rig, round| rig.shop.status().unwrap()["video"]["bitrate-kbps"] == 300 + round,
        is_lasting: false,
        needs_session: false,
    },
    VerbCase {
        verb: "set-ingest",
        prepare: idle,
        fields: |round| json!({ "url": format!("rtmp://127.0.0.1:{}/live/x", 9 + round) }),
        effect: Some(|fact| is_kind(fact, "ingest-set")),
        in_force: |rig, round| {
            rig.shop.status().unwrap()["ingest"][0] == format!("rtmp://127.0.0.1:{}/live", 9 + round)
        },
        is_lasting: false,
        needs_session: false,
    },
    VerbCase {
        verb: "set-policy",
        prepare: idle,
        fields: |round| {
            let policy = json!({ "version": policy_version(round), "material": false });
            json!({ "note": signed("policy", &policy) })
        },
        effect: Some(|fact| is_kind(fact, "policy-updated")),
        in_force: |rig, round| rig.shop.status().unwrap()["policy-version"] == policy_version(round),
        is_lasting: true,
        needs_session: false,
    },
    VerbCase {
        verb: "erase",
        prepare: footage,
        fields: nothing,
        effect: Some(|fact| is_kind(fact, "erased")),
        in_force: |rig, _| !rig.shop.path("data/footage/unsent").exists(),
        is_lasting: false,
        needs_session: false,
    },
];

pub(crate) fn is_long() -> bool {
    std::env::var_os("TALLYBOX_LONG").is_some()
}

pub(crate) fn rounds() -> u64 {
    if is_long() { 60 } else { 3 }
}

/// The row's effects in the ledger, so far.
fn effects(rig: &Rig, case: &VerbCase) -> usize {
    let Some(is_effect) = case.effect else { return 0 };
    rig.shop.ledger().iter().filter(|fact| is_effect(fact)).count()
}

/// Ids of this verb's commands that were accepted; none is there twice.
fn commanded(rig: &Rig, verb: &str) -> BTreeSet<String> {
    let all: Vec<_> = rig.facts("commanded").into_iter().filter(|fact| fact["verb"] == verb).collect();
    let ids: BTreeSet<String> = all.iter().map(|fact| fact["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), all.len(), "{verb}: a command was accepted twice: {all:?}");
    ids
}

/// A new command until the box has done it, as the fleet's tool sends them; the bytes that were done, unless a kill
/// took away what the verb needs.
fn until_done(rig: &mut Rig, case: &VerbCase, round: u64) -> Option<String> {
    for _ in 0..20 {
        let (note, id) = rig.command(case.verb, &(case.fields)(round));
        let correlation = rig.publish(case.verb, &note);
        let answer = rig.answer(case.verb, &correlation);
        if answer["ok"] == true {
            wait_until("the ledger has what was answered", || commanded(rig, case.verb).contains(&id));
            return Some(note);
        }
        match answer["code"].as_str().unwrap() {
            "busy" | "unavailable" | "wrong-epoch" => std::thread::sleep(Duration::from_millis(200)),
            "refused" if case.needs_session => return None,
            code => panic!("{}, round {round}: {code}: {answer}", case.verb),
        }
    }
    panic!("{}: never done", case.verb);
}

/// One round: the same bytes before, while and after somebody is killed.
pub(crate) fn round(rig: &mut Rig, case: &VerbCase, round: u64, victim: Victim, pause: Duration) {
    let what = format!("{}, round {round}, {victim:?} after {pause:?}", case.verb);
    (case.prepare)(rig, round);
    let (before, known) = (effects(rig, case), commanded(rig, case.verb));
    let (first, _) = rig.command(case.verb, &(case.fields)(round));
    rig.publish(case.verb, &first);
    std::thread::sleep(pause);
    rig.publish(case.verb, &first);
    rig.restart(victim);
    let correlation = rig.publish(case.verb, &first);
    rig.answer(case.verb, &correlation);
    let done = until_done(rig, case, round);
    if done.is_some() {
        wait_until(&format!("{what}: it is in force"), || (case.in_force)(rig, round));
    }
    let settled = effects(rig, case);
    // Afterwards, and in another order: nothing happens any more.
    for note in done.iter().chain([&first]).chain(&done) {
        let correlation = rig.publish(case.verb, note);
        rig.answer(case.verb, &correlation);
    }
    assert!(done.is_none() || (case.in_force)(rig, round), "{what}: {:?}", rig.shop.status());
    let accepted = commanded(rig, case.verb).difference(&known).count();
    let happened = effects(rig, case) - before;
    assert_eq!(before + happened, settled, "{what}: what came late had an effect");
    assert!(happened <= accepted, "{what}: {happened} effects of {accepted} commands: {:?}", rig.shop.kinds());
    assert!(accepted <= if victim == Victim::Capture { 2 } else { 20 }, "{what}: {accepted} were accepted");
    if case.is_lasting {
        assert_eq!(happened, 1, "{what}: {:?}", rig.shop.kinds());
    }
    if done.is_some() && case.effect.is_some() {
        assert!(happened >= 1, "{what}: it was answered and did not happen");
    }
}

fn run(case: &VerbCase) {
    let mut rig = Rig::new("[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\"]\n", |_| String::new());
    let mut random = fastrand::Rng::with_seed(17);
    for number in 1..=rounds() {
        let victim = VICTIMS[usize::try_from(number % 4).unwrap()];
        round(&mut rig, case, number, victim, Duration::from_micros(random.u64(0..30_000)));
    }
    let (started, erased) = (rig.facts("erasure-started").len(), rig.facts("erased").len());
    assert_eq!(started, erased, "{}: what was begun was finished", case.verb);
    rig.shop.verify();
}

#[test]
fn each_verb_takes_effect_once_whoever_is_killed() {
    std::thread::scope(|scope| {
        for case in &VERBS {
            scope.spawn(|| run(case));
        }
    });
    println!("{} verbs, {} rounds each", VERBS.len(), rounds());
}

/// How one retained document is tried.
pub(crate) struct DocumentCase {
    pub(crate) topic: &'static str,
    /// The document with a number that rises.
    pub(crate) note: fn(u64) -> String,
    /// The fact that it is in force, and what in it tells the version.
    pub(crate) fact: &'static str,
    pub(crate) version: fn(&Value) -> Value,
    pub(crate) number: fn(u64) -> Value,
    /// Whether the status says so too.
    pub(crate) in_force: fn(&Rig, u64) -> bool,
}

impl DocumentCase {
    /// Versions that came into force, in order.
    pub(crate) fn versions(&self, rig: &Rig) -> Vec<Value> {
        rig.facts(self.fact).iter().map(self.version).collect()
    }
}

pub(crate) const DOCUMENTS: [DocumentCase; 3] = [
    DocumentCase {
        topic: "test-box/config/desired",
        note: |number| {
            let values = json!({ "video.keyframe-interval": format!("{}ms", 1000 + number) });
            signed("desired", &json!({ "box": "test-box", "version": number, "values": values }))
        },
        fact: "desired-applied",
        version: |fact| fact["version"].clone(),
        number: Value::from,
        in_force: |rig, number| rig.shop.status().unwrap()["desired"]["version"] == number,
    },
    DocumentCase {
        topic: "test-box/policy",
        note: |number| signed("policy", &json!({ "version": policy_version(number), "material": false })),
        fact: "policy-updated",
        version: |fact| fact["policy-version"].clone(),
        number: |number| policy_version(number).into(),
        in_force: |rig, number| rig.shop.status().unwrap()["policy-version"] == policy_version(number),
    },
    DocumentCase {
        topic: "release/stable",
        note: release,
        fact: "update-offered",
        version: |fact| fact["serial"].clone(),
        number: Value::from,
        in_force: |rig, number| {
            let kept = std::fs::read_to_string(rig.shop.path("data/release.note")).unwrap_or_default();
            kept == release(number)
        },
    },
];

fn release(serial: u64) -> String {
    let file = json!({ "url": "https://updates.example/t.deb", "size": 10, "sha256": "ab".repeat(32) });
    let files = json!({ "amd64": file, "arm64": file, "armhf": file });
    let wave = json!({ "start": days_from_now(1), "deadline-s": 86400, "state": "running", "minimum-sample": 1,
        "stages": [{ "permille": 1000, "over-s": 0 }], "abort": [] });
    let release = json!({ "version": "9.0.0-1", "serial": serial, "channel": "stable", "files": files,
        "not-after": days_from_now(90), "security": true, "wave": wave });
    signed("release", &release)
}

fn run_document(case: &DocumentCase) {
    let mut rig = Rig::new("", |_| String::new());
    let mut random = fastrand::Rng::with_seed(18);
    for number in 1..=rounds() {
        let victim = VICTIMS[usize::try_from(number % 4).unwrap()];
        let pause = Duration::from_micros(random.u64(0..30_000));
        let note = (case.note)(number);
        rig.retain(case.topic, &note);
        std::thread::sleep(pause);
        rig.restart(victim);
        // Nobody sends it again: the broker has it.
        let is_there = || (case.in_force)(&rig, number) && case.versions(&rig).last() == Some(&(case.number)(number));
        let seen = poll(Duration::from_secs(60), || is_there().then_some(()));
        assert!(seen.is_some(), "{} {number}, {victim:?} after {pause:?}: {}", case.topic, rig.shop.log());
        rig.retain(case.topic, &note);
        rig.retain(case.topic, &(case.note)(number - u64::from(number > 1)));
        rig.settle();
        rig.retain(case.topic, &note);
    }
    rig.settle();
    let wanted: Vec<Value> = (1..=rounds()).map(case.number).collect();
    assert_eq!(case.versions(&rig), wanted, "{}: each version once, in order", case.topic);
    assert!((case.in_force)(&rig, rounds()), "{}", case.topic);
    rig.shop.verify();
}

#[test]
fn each_retained_document_takes_effect_once_whoever_is_killed() {
    std::thread::scope(|scope| {
        for case in &DOCUMENTS {
            scope.spawn(|| run_document(case));
        }
    });
    println!("{} documents, {} rounds each", DOCUMENTS.len(), rounds());
}
