//! What the agent makes of commands.

use proptest::prelude::*;

use super::*;

const NOW: &str = "2026-11-24T12:00:00Z";

fn at(time: &str) -> Option<Timestamp> {
    time.parse().ok()
}

fn payload(id: &str, issued: &str, expires: &str) -> Vec<u8> {
    format!(r#"{{"id":"{id}","issued-at":"{issued}","expires-at":"{expires}"}}"#).into_bytes()
}

fn fresh(id: &str) -> Vec<u8> {
    payload(id, NOW, "2026-11-24T12:01:00Z")
}

fn reply(id: &str, ok: bool) -> Reply {
    Reply {
        id: Some(id.to_owned()),
        verb: "stop".to_owned(),
        ok,
        error: None,
        code: None,
        progress: None,
        receipt: None,
        diagnosis: None,
    }
}

fn command(id: &str, parameters: Parameters, verb: Verb) -> Command {
    Command { id: id.to_owned(), verb, parameters }
}

impl CommandValidator {
    /// On a box that trusts no key.
    fn judge(&self, now: Option<Timestamp>, word: &str, retained: bool, payload: &[u8]) -> Verdict {
        self.validate(now, word, retained, payload, false)
    }
}

#[track_caller]
fn refused(judged: Verdict, why: &str) {
    let Verdict::Rejected(refusal) = judged else { panic!("not refused: {judged:?}") };
    assert!(refusal.rejection.why.contains(why), "{refusal:?}");
}

#[test]
fn a_command_that_comes_twice_is_done_once_and_answered_twice() {
    let mut validator = CommandValidator::default();
    let command = command("a", Parameters::Unmute, Verb::Unmute);
    assert_eq!(validator.judge(at(NOW), "unmute", false, &fresh("a")), Verdict::New(command.clone()));
    validator.begin(&command);
    assert_eq!(validator.judge(at(NOW), "unmute", false, &fresh("a")), Verdict::UnderWay(command.clone()));
    validator.settle("a", &reply("a", false));
    assert_eq!(validator.judge(at(NOW), "unmute", false, &fresh("a")), Verdict::Answered(Box::new(reply("a", false))));
    // Its answer is asked for again when it has long expired.
    assert_eq!(
        validator.judge(at("2026-12-24T12:00:00Z"), "unmute", false, &fresh("a")),
        Verdict::Answered(Box::new(reply("a", false)))
    );
    refused(validator.judge(at(NOW), "stop", false, &fresh("a")), "taken already, by a command unmute");
}

#[test]
fn an_id_is_not_burnt_by_a_command_that_nobody_carried_out() {
    let mut validator = CommandValidator::default();
    let command = command("a", Parameters::Identify, Verb::Identify);
    assert_eq!(validator.judge(at(NOW), "identify", false, &fresh("a")), Verdict::New(command.clone()));
    assert_eq!(validator.judge(at(NOW), "identify", false, &fresh("a")), Verdict::New(command.clone()));
    validator.begin(&command);
    validator.forget("a");
    assert_eq!(validator.judge(at(NOW), "identify", false, &fresh("a")), Verdict::New(command));
}

#[test]
fn answers_outlive_the_judge() {
    let mut validator = CommandValidator::default();
    for (id, verb) in [("a", Verb::RequestStart), ("b", Verb::Diagnose), ("c", Verb::Stop)] {
        validator.begin(&command(id, Parameters::Stop, verb));
    }
    let answer = Reply { verb: "request-start".to_owned(), ..reply("a", true) };
    validator.settle("a", &answer);
    validator.settle("b", &reply("b", true));
    // `c` is under way: nobody knows what became of it.
    let next = CommandValidator::remembering(validator.answered());
    assert_eq!(next.judge(at(NOW), "request-start", false, &fresh("a")), Verdict::Answered(Box::new(answer)));
    for (word, id, verb, parameters) in
        [("diagnose", "b", Verb::Diagnose, Parameters::Diagnose), ("stop", "c", Verb::Stop, Parameters::Stop)]
    {
        let command = command(id, parameters, verb);
        assert_eq!(next.judge(at(NOW), word, false, &fresh(id)), Verdict::New(command));
    }
}

#[test]
fn the_oldest_answers_are_forgotten_and_never_a_command_under_way() {
    let mut validator = CommandValidator::default();
    let name = |number: usize| command(&number.to_string(), Parameters::Stop, Verb::Stop);
    for number in 0..1000 {
        validator.begin(&name(number));
        if number > 0 {
            validator.settle(&number.to_string(), &reply(&number.to_string(), true));
        }
    }
    assert_eq!(validator.remembered.len(), MAX_REMEMBERED);
    assert_eq!(validator.judge(at(NOW), "stop", false, &fresh("0")), Verdict::UnderWay(name(0)));
    assert_eq!(validator.judge(at(NOW), "stop", false, &fresh("1")), Verdict::New(name(1)));
    assert_eq!(validator.judge(at(NOW), "stop", false, &fresh("999")), Verdict::Answered(Box::new(reply("999", true))));
}

#[test]
fn stop_and_mute_need_an_id_and_nothing_else() {
    let validator = CommandValidator::default();
    for (verb, word, parameters) in [(Verb::Stop, "stop", Parameters::Stop), (Verb::Mute, "mute", Parameters::Mute)] {
        for payload in [
            r#"{"id":"a"}"#,
            r#"{"id":"a","issued-at":"1999-01-01T00:00:00Z","expires-at":"1999-01-01T00:01:00Z"}"#,
            r#"{"id":"a","issued-at":"2099-01-01T00:00:00Z","expires-at":"2199-01-01T00:01:00Z"}"#,
            r#"{"id":"a","issued-at":"yesterday","expires-at":17}"#,
            r#"{"id":"a","issued-at":null,"why":"fire alarm"}"#,
        ] {
            for now in [None, at(NOW), at("1970-01-01T00:00:00Z"), at("2036-11-24T12:00:00Z")] {
                let judged = validator.judge(now, word, false, payload.as_bytes());
                assert_eq!(judged, Verdict::New(command("a", parameters.clone(), verb)), "{payload} at {now:?}");
            }
        }
        refused(validator.judge(at(NOW), word, true, br#"{"id":"a"}"#), "retained");
        refused(validator.judge(at(NOW), word, false, b"{}"), "id: write");
        refused(validator.judge(at(NOW), word, false, br#"{"id":""}"#), "1 to 128");
        assert_eq!(validator.judge(at(NOW), word, true, b""), Verdict::Cleared);
    }
    for word in ["request-start", "unmute", "identify", "diagnose"] {
        refused(validator.judge(at(NOW), word, false, br#"{"id":"a"}"#), "issued-at: write 2026-");
    }
}

#[test]
fn retained_expired_future_and_endless_commands_are_refused() {
    let validator = CommandValidator::default();
    refused(validator.judge(at(NOW), "request-start", true, &fresh("a")), "retained");
    let old = payload("a", "2026-11-24T11:00:00Z", "2026-11-24T12:00:00Z");
    refused(validator.judge(at(NOW), "unmute", false, &old), "expired");
    let future = payload("a", "2026-11-24T12:06:00Z", "2026-11-24T12:07:00Z");
    refused(validator.judge(at(NOW), "request-start", false, &future), "future");
    let endless = payload("a", NOW, "2026-11-26T12:00:00Z");
    refused(validator.judge(at(NOW), "identify", false, &endless), "24 hours");
    let turned = payload("a", "2026-11-24T12:04:00Z", "2026-11-24T12:03:00Z");
    refused(validator.judge(at(NOW), "diagnose", false, &turned), "24 hours");
    refused(validator.judge(at(NOW), "start", false, &fresh("a")), "no such command");
    refused(validator.judge(at(NOW), "stop", false, &vec![b' '; MAX_BYTES + 1]), "longer");
    let extra = br#"{"id":"a","issued-at":"2026-11-24T12:00:00Z","expires-at":"2026-11-24T12:01:00Z","force":true}"#;
    refused(validator.judge(at(NOW), "request-start", false, extra), "unknown field");
}

#[test]
fn without_a_clock_only_what_makes_the_box_safer_is_taken() {
    for verb in Verb::ALL {
        let judged = CommandValidator::default().judge(None, verb.as_str(), false, &fresh(verb.as_str()));
        assert_eq!(matches!(judged, Verdict::New(_)), matches!(verb, Verb::Stop | Verb::Mute), "{verb:?}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused(word in ".{0,20}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let judged = CommandValidator::default().judge(at(NOW), &word, false, &payload);
        prop_assert!(matches!(judged, Verdict::Rejected(_)));
    }
}

fn code(judged: Verdict) -> ReplyCode {
    let Verdict::Rejected(Refused { rejection, .. }) = judged else { panic!("not refused: {judged:?}") };
    rejection.code
}

#[test]
fn without_a_signature_a_box_that_trusts_keys_takes_stop_and_mute_only() {
    let validator = CommandValidator::default();
    for verb in Verb::ALL {
        let payload = match verb {
            Verb::SetIngest => fresh("a\",\"url\":\"rtmp://h/live"),
            Verb::SetPolicy => fresh("a\",\"note\":\"n"),
            Verb::RequestStart
            | Verb::Stop
            | Verb::Mute
            | Verb::Unmute
            | Verb::SetVideo
            | Verb::Update
            | Verb::Identify
            | Verb::Diagnose
            | Verb::Erase
            | Verb::Unbind => fresh("a"),
        };
        let judge = |has_trust| validator.validate(at(NOW), verb.as_str(), false, &payload, has_trust);
        match verb.row().signed {
            Signed::Never => assert!(matches!(judge(true), Verdict::New(_)), "{verb:?}"),
            Signed::WithTrust => {
                assert!(matches!(judge(false), Verdict::New(_)), "{verb:?}");
                assert_eq!(code(judge(true)), ReplyCode::Unsigned, "{verb:?}");
            }
            Signed::Always => {
                assert_eq!([code(judge(false)), code(judge(true))], [ReplyCode::Unsigned; 2], "{verb:?}");
            }
        }
    }
}

#[test]
fn a_signed_command_is_the_guards_to_judge_each_time() {
    let validator = CommandValidator::default();
    let note = "tallybox/command/v1\n{\"id\":\"c1\"}\n\n\u{2014} who knows\n";
    for has_trust in [false, true] {
        let judged = validator.validate(None, "erase", false, note.as_bytes(), has_trust);
        let payload = SignedPayload(note.to_owned());
        assert_eq!(judged, Verdict::Signed(SignedMessage { id: Some("c1".to_owned()), verb: Verb::Erase, payload }));
    }
    assert_eq!(code(validator.judge(None, "erase", true, note.as_bytes())), ReplyCode::Retained);
    assert_eq!(code(validator.judge(None, "start", false, note.as_bytes())), ReplyCode::UnknownVerb);
    assert_eq!(code(validator.judge(None, "erase", false, b"tallybox/\xff")), ReplyCode::Malformed);
    let long = [note.as_bytes(), &[b' '; MAX_BYTES]].concat();
    assert_eq!(code(validator.judge(None, "erase", false, &long)), ReplyCode::Malformed);
}

#[test]
fn a_signed_stop_gets_through_whatever_its_signature() {
    let note = "tallybox/command/v1\n{\"id\":\"c1\",\"seq\":-7,\"id\":\"c1\"}\n\n\u{2014} who knows\n";
    for (word, verb, parameters) in [("stop", Verb::Stop, Parameters::Stop), ("mute", Verb::Mute, Parameters::Mute)] {
        for has_trust in [false, true] {
            let judge = |payload: &[u8]| CommandValidator::default().validate(None, word, false, payload, has_trust);
            assert_eq!(judge(note.as_bytes()), Verdict::New(command("c1", parameters.clone(), verb)));
            let long = [note.as_bytes(), &[b' '; MAX_BYTES]].concat();
            assert_eq!(judge(&long), Verdict::New(command("c1", parameters.clone(), verb)));
            for at in b"tallybox/".len()..note.len() {
                let judged = judge(&note.as_bytes()[..at]);
                let Verdict::New(cut) = judged else { panic!("cut at {at}: {judged:?}") };
                assert_eq!((cut.verb, cut.id.is_empty()), (verb, false), "cut at {at}");
                assert_eq!(judge(&note.as_bytes()[..at]), Verdict::New(cut));
            }
        }
    }
}
