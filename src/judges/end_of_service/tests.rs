//! Which notes end a service: signatures, threshold, the box that they name, and no replay.

use notes::{SignerKey, TrustedKey};

use super::*;

fn signer(name: &str, seed: u8) -> SignerKey {
    SignerKey::new(name, &[seed; 32]).unwrap()
}

fn trust(threshold: u8) -> Trust {
    let key = |name: &str, seed, may: &[Role]| TrustedKey { key: signer(name, seed).verifier_key(), may: may.to_vec() };
    let keys = vec![
        key("one", 1, &[Role::EndOfService]),
        key("two", 2, &[Role::EndOfService]),
        key("three", 3, &[Role::Policy, Role::Unbind]),
    ];
    Trust { keys, policy_threshold: threshold, ..Trust::default() }
}

fn signed(json: &str, signers: &[&SignerKey]) -> String {
    Note::sign(&format!("tallybox/end-of-service/v1\n{json}\n"), signers).unwrap().to_string()
}

#[test]
fn the_note_of_another_box_key_or_time_ends_nothing() {
    let (one, two, three) = (signer("one", 1), signer("two", 2), signer("three", 3));
    let own = signed(r#"{"box":"shop-1","contacts":["help@example.cn"],"answer-days":10}"#, &[&one]);
    let code = |trust: &Trust, note: &str, former: Option<&str>| {
        EndOfService::verify(trust, note, Some("shop-1"), former).map(|_| ()).map_err(|rejection| rejection.code)
    };
    let end = EndOfService::verify(&trust(1), &own, Some("shop-1"), None).unwrap();
    assert!(EndOfService::is_one(&own));
    assert_eq!((end.signers.as_slice(), end.document.answer_days), (&["one".to_owned()][..], Some(10)));
    assert_eq!(code(&trust(1), &signed(r#"{"box":"*"}"#, &[&one]), None), Ok(()));
    assert_eq!(code(&trust(1), &signed(r#"{"box":"shop-2"}"#, &[&one]), None), Err(ReplyCode::Misaddressed));
    // A shop that claimed the box trusts other keys; and the same note counts once.
    assert_eq!(code(&Trust::default(), &own, None), Err(ReplyCode::BadSignature));
    assert_eq!(code(&trust(1), &own, Some(&end.digest)), Err(ReplyCode::Replayed));
    assert_eq!(code(&trust(1), &own, Some("another")), Ok(()));
    assert_eq!(code(&trust(1), &signed(r#"{"box":"shop-1"}"#, &[&three]), None), Err(ReplyCode::NotAllowed));
    // As many keys as for a policy.
    assert!(code(&trust(2), &own, None).is_err());
    assert_eq!(code(&trust(2), &signed(r#"{"box":"shop-1"}"#, &[&one, &two]), None), Ok(()));
    assert!(code(&trust(1), &own.replace("shop-1", "shop-3"), None).is_err(), "changed after it was signed");
    assert!(!EndOfService::is_one(&own.replace("end-of-service/v1", "policy/v1")));
}

#[test]
fn documents_are_refused_with_what_to_do() {
    for (json, told) in [
        ("{}", "box"),
        (r#"{"box":"*","effective":"2027-01-01"}"#, "unknown field"),
        (r#"{"box":"*","contacts":[""]}"#, "contacts"),
        (r#"{"box":"*","answer-days":366}"#, "answer-days"),
        (r#"{"box":"*","texts":{"zh":{"text":"结束"}}}"#, "en"),
        (r#"{"box":"*","texts":{"zh":{"text":"结束"},"en":{"url":"https://example.cn"}}}"#, "sha256"),
    ] {
        let note = signed(json, &[&signer("one", 1)]);
        let rejection = EndOfService::verify(&trust(1), &note, Some("shop-1"), None).unwrap_err();
        assert_eq!(rejection.code, ReplyCode::Malformed, "{json}");
        assert!(rejection.why.contains(told), "{json}: {}", rejection.why);
    }
}
