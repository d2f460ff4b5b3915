//! What runs, and what never does: each kind of wrong command by itself, then all of them mixed, held against a model.

mod model;

use notes::{Note, Role, SignerKey, Trust, TrustedKey};
use serde_json::json;

use super::{CommandJudge, Epoch, Surroundings, Verdict};
use crate::ipc::{Rejection, ReplyCode, Response, Verb};

const BOX: &str = "shop-0042";

fn signer(name: &str) -> SignerKey {
    let seed = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    SignerKey::new(name, &[seed; 32]).unwrap()
}

/// `ops` may do what staff have the last word on, `admin` may erase; `outsider` is nobody.
fn trust() -> Trust {
    let key = |name: &str, may: &[Role]| TrustedKey { key: signer(name).verifier_key(), may: may.to_vec() };
    let keys = vec![key("ops", &[Role::RequestStart, Role::Unmute, Role::SetVideo]), key("admin", &[Role::Erase])];
    Trust { keys, ..Trust::default() }
}

/// A command as an operator's program writes it.
#[derive(Clone, Debug)]
struct Written {
    kind: &'static str,
    box_id: &'static str,
    verb: &'static str,
    id: String,
    epoch: String,
    seq: u64,
    deadline_s: u64,
    by: &'static [&'static str],
}

impl Written {
    fn note(&self) -> String {
        let Self { kind, box_id, verb, id, epoch, seq, deadline_s, by } = self;
        let json = json!({
            "box": box_id, "verb": verb, "id": id, "epoch": epoch, "seq": seq, "deadline-s": deadline_s
        });
        let signers: Vec<_> = by.iter().map(|name| signer(name)).collect();
        Note::sign(&format!("{kind}\n{json}\n"), &signers.iter().collect::<Vec<_>>()).unwrap().to_string()
    }
}

/// A guard, as far as commands see it.
struct Guard {
    judge: CommandJudge,
    trust: Trust,
    uptime_s: u64,
}

impl Guard {
    fn start() -> Self {
        Self { judge: CommandJudge::new(Epoch::draw().unwrap()), trust: trust(), uptime_s: 0 }
    }

    /// A good command for it, as it is now.
    fn fresh(&self, seq: u64) -> Written {
        Written {
            kind: "tallybox/command/v1",
            box_id: BOX,
            verb: "unmute",
            id: format!("c{seq}"),
            epoch: self.judge.epoch().to_owned(),
            seq,
            deadline_s: self.uptime_s + 60,
            by: &["ops"],
        }
    }

    fn hear(&mut self, word: &str, payload: &str) -> Verdict {
        let surroundings = Surroundings { trust: &self.trust, box_id: Some(BOX), uptime_s: self.uptime_s };
        self.judge.admit(&surroundings, word, payload, |_| Ok(()))
    }

    #[track_caller]
    fn refuses(&mut self, written: &Written, code: ReplyCode) {
        let verdict = self.hear("unmute", &written.note());
        let Verdict::Refused(rejection) = verdict else { panic!("{written:?}: {verdict:?}") };
        assert_eq!(rejection.code, code, "{written:?}: {}", rejection.why);
    }

    #[track_caller]
    fn runs(&mut self, written: &Written) {
        let verdict = self.hear(written.verb, &written.note());
        assert!(matches!(verdict, Verdict::New(_)), "{written:?}: {verdict:?}");
    }
}

#[test]
fn a_fresh_command_runs_once_and_its_repetition_gets_its_answer() {
    let mut guard = Guard::start();
    let note = guard.fresh(1).note();
    let Verdict::New(accepted) = guard.hear("unmute", &note) else { panic!("not accepted") };
    assert_eq!((accepted.verb, accepted.id.as_str(), accepted.key.as_str()), (Verb::Unmute, "c1", "ops"));
    assert_eq!(guard.hear("unmute", &note), Verdict::Known(accepted.digest));
    assert_eq!(guard.judge.answer(&accepted.digest), None, "it is being carried out");
    guard.judge.settle(&accepted.digest, Response::Unwritten);
    assert_eq!(guard.judge.answer(&accepted.digest), Some(&Response::Unwritten));
    // Long after its deadline, and with another signature under the same text.
    guard.uptime_s += 100_000;
    assert_eq!(guard.hear("unmute", &note), Verdict::Known(accepted.digest));
    let both = Written { by: &["ops", "outsider"], deadline_s: 60, ..guard.fresh(1) };
    assert_eq!(guard.hear("unmute", &both.note()), Verdict::Known(accepted.digest));
}

#[test]
fn each_wrong_command_is_refused_by_its_own_code() {
    let mut guard = Guard::start();
    guard.uptime_s = 1000;
    let good = guard.fresh(10);
    let with = |change: &dyn Fn(&mut Written)| {
        let mut written = good.clone();
        change(&mut written);
        written
    };
    for (code, written) in [
        (ReplyCode::Misaddressed, with(&|it| it.box_id = "shop-0043")),
        (ReplyCode::Malformed, with(&|it| it.kind = "tallybox/desired/v1")),
        (ReplyCode::Malformed, with(&|it| it.kind = "tallybox/command/v2")),
        (ReplyCode::WrongEpoch, with(&|it| it.epoch = "0".repeat(32))),
        (ReplyCode::WrongEpoch, with(&|it| it.epoch.make_ascii_uppercase())),
        (ReplyCode::Expired, with(&|it| it.deadline_s = 1000)),
        (ReplyCode::Expired, with(&|it| it.deadline_s = 0)),
        (ReplyCode::TooFarAhead, with(&|it| it.deadline_s = 1301)),
        (ReplyCode::TooFarAhead, with(&|it| it.deadline_s = u64::MAX)),
        (ReplyCode::BadSignature, with(&|it| it.by = &["outsider"])),
        (ReplyCode::NotAllowed, with(&|it| it.by = &["admin"])),
    ] {
        // The epoch has letters, almost always.
        if written.epoch != good.epoch || written.note() != good.note() {
            guard.refuses(&written, code);
        }
    }
    let Verdict::Refused(other_topic) = guard.hear("request-start", &good.note()) else { panic!("it ran") };
    assert_eq!(other_topic.code, ReplyCode::Misaddressed);
    let Verdict::Refused(unknown) = guard.hear("start", &good.note()) else { panic!("it ran") };
    assert_eq!(unknown.code, ReplyCode::UnknownVerb);
    let Verdict::Refused(unsigned) = guard.hear("unmute", "{\"id\":\"a\"}") else { panic!("it ran") };
    assert_eq!(unsigned.code, ReplyCode::Unsigned);
    // Nothing of that has used up a number or an id.
    guard.runs(&good);
    guard.refuses(&with(&|it| it.id = "new".to_owned()), ReplyCode::Replayed);
    guard.refuses(&with(&|it| (it.id, it.seq) = ("new".to_owned(), 9)), ReplyCode::Replayed);
    guard.refuses(&with(&|it| it.seq = 11), ReplyCode::IdReused);
    guard.runs(&with(&|it| (it.id, it.deadline_s, it.seq) = ("last".to_owned(), 1300, u64::MAX)));
}

#[test]
fn a_key_cannot_do_with_another_keys_signature_what_it_may_not() {
    let mut guard = Guard::start();
    let erase = |seq| Written { verb: "erase", ..Guard::fresh(&Guard::start(), seq) };
    let epoch = guard.judge.epoch().to_owned();
    let of = |by| Written { epoch: epoch.clone(), by, ..erase(1) };
    let Verdict::Refused(refused) = guard.hear("erase", &of(&["ops"]).note()) else { panic!("it ran") };
    assert_eq!(refused.code, ReplyCode::NotAllowed);
    let Verdict::New(accepted) = guard.hear("erase", &of(&["ops", "admin"]).note()) else { panic!("refused") };
    assert_eq!(accepted.key, "admin", "only whoever may is named");
    // The numbers of `ops` are its own.
    guard.runs(&Written { id: "first".to_owned(), ..guard.fresh(1) });
}

#[test]
fn a_key_of_one_role_can_do_what_the_role_says_and_nothing_else() {
    let mut tried = 0;
    for role in Role::ALL {
        let mut guard = Guard::start();
        guard.trust.keys = vec![TrustedKey { key: signer("thief").verifier_key(), may: vec![role] }];
        // No verb starts a session, whoever signs it.
        for (seq, verb) in (1..).zip(Verb::ALL.map(Verb::as_str).into_iter().chain(["start", "press", "grant"])) {
            let verdict = guard.hear(verb, &Written { verb, by: &["thief"], ..guard.fresh(seq) }.note());
            let may = verb == role.as_str();
            // A verb with fields of its own is judged by them once the key may sign it.
            let code = if let Verdict::Refused(refused) = &verdict { Some(refused.code) } else { None };
            let wanted = |code| matches!(code, ReplyCode::NotAllowed | ReplyCode::UnknownVerb);
            assert_ne!(code.is_some_and(wanted), may, "{verb} by a key for {role:?}: {verdict:?}");
            tried += usize::from(!may);
        }
    }
    assert_eq!(tried, 16 * 15 - 12, "each role but the four for documents has one verb");
}

#[test]
fn a_box_without_trust_or_name_takes_nothing() {
    let mut guard = Guard::start();
    let good = guard.fresh(1);
    guard.trust = Trust::default();
    guard.refuses(&good, ReplyCode::BadSignature);
    let all = trust();
    let nameless = Surroundings { trust: &all, box_id: None, uptime_s: 0 };
    let verdict = guard.judge.admit(&nameless, "unmute", &good.note(), |_| Ok(()));
    assert!(matches!(verdict, Verdict::Refused(Rejection { code: ReplyCode::Misaddressed, .. })), "{verdict:?}");
}

#[test]
fn what_was_over_its_quota_can_be_sent_again() {
    let mut guard = Guard::start();
    let note = guard.fresh(1).note();
    let surroundings = Surroundings { trust: &trust(), box_id: Some(BOX), uptime_s: 0 };
    let busy = |_| Err(Rejection::new(ReplyCode::Busy, "later"));
    let verdict = guard.judge.admit(&surroundings, "unmute", &note, busy);
    assert!(matches!(verdict, Verdict::Refused(Rejection { code: ReplyCode::Busy, .. })), "{verdict:?}");
    assert!(matches!(guard.hear("unmute", &note), Verdict::New(_)));
}

#[test]
fn memory_is_bounded_and_what_it_forgot_still_runs_once() {
    let mut guard = Guard::start();
    let first = guard.fresh(1).note();
    for seq in 1..1000 {
        let Verdict::New(accepted) = guard.hear("unmute", &guard.fresh(seq).note()) else { panic!("{seq}") };
        guard.judge.settle(&accepted.digest, Response::Done);
        assert!(guard.judge.remembered() <= 256);
    }
    let Verdict::Refused(refused) = guard.hear("unmute", &first) else { panic!("it ran again") };
    assert_eq!(refused.code, ReplyCode::Replayed);
    // None of these has its answer: nothing is forgotten for a new one.
    let mut guard = Guard::start();
    for seq in 1..=256 {
        guard.runs(&guard.fresh(seq));
    }
    guard.refuses(&guard.fresh(257), ReplyCode::Busy);
    guard.refuses(&guard.fresh(300), ReplyCode::Busy);
}
