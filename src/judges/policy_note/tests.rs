//! Which policies count: signatures, documents, order of versions, and what becomes of the file.

use notes::{Note, SignerKey, TrustedKey};
use serde_json::json;

use super::*;
use crate::disk::simulated::power::{HOME, Possible, Run, Scenario};

fn signer(name: &str, seed: u8) -> SignerKey {
    SignerKey::new(name, &[seed; 32]).unwrap()
}

fn trust(threshold: u8) -> Trust {
    let key = |name: &str, seed, may: &[Role]| TrustedKey { key: signer(name, seed).verifier_key(), may: may.to_vec() };
    let keys = vec![key("one", 1, &[Role::Policy]), key("two", 2, &[Role::Policy]), key("three", 3, &[Role::Unmute])];
    Trust { keys, policy_threshold: threshold, ..Trust::default() }
}

fn signed(json: &str, signers: &[&SignerKey]) -> String {
    Note::sign(&format!("tallybox/policy/v1\n{json}\n"), signers).unwrap().to_string()
}

fn policy(version: &str, material: bool, url: &str) -> PolicyNote {
    let json = json!({ "version": version, "material": material, "url": url }).to_string();
    PolicyNote::verify(&trust(1), &signed(&json, &[&signer("one", 1)])).unwrap()
}

#[test]
fn signatures_and_threshold_decide() {
    let (one, two, three) = (signer("one", 1), signer("two", 2), signer("three", 3));
    let json = r#"{"version":"2026-11-29","material":true}"#;
    assert!(PolicyNote::verify(&trust(1), &signed(json, &[&one])).is_ok());
    assert!(PolicyNote::verify(&trust(2), &signed(json, &[&one])).is_err());
    assert!(PolicyNote::verify(&trust(2), &signed(json, &[&one, &two])).is_ok());
    assert!(PolicyNote::verify(&trust(1), &signed(json, &[&three])).is_err(), "a key without the role");
    assert!(PolicyNote::verify(&Trust::default(), &signed(json, &[&one])).is_err(), "nobody is trusted");
    let changed = signed(json, &[&one]).replace("true", "false");
    assert!(PolicyNote::verify(&trust(1), &changed).is_err());
    let command = signed(json, &[&one]).replace("policy/v1", "command/v1");
    assert!(PolicyNote::verify(&trust(1), &command).is_err());
}

#[test]
fn documents_are_refused_with_what_to_do() {
    for (json, told) in [
        (r#"{"version":"v2","material":true}"#, "no day"),
        (r#"{"version":"2026-11-29"}"#, "material"),
        (r#"{"version":"2026-11-29","material":true,"language":"zh"}"#, "unknown field"),
        (r#"{"version":"2026-11-29","material":true,"effective":"soon"}"#, "effective"),
        (r#"{"version":"2026-11-29","material":true,"text-sha256":"AB"}"#, "text-sha256"),
        (r#"{"version":"2026-11-29","material":true,"url":"http://example.cn"}"#, "https"),
        (r#"{"version":"2026-11-29","material":true,"contacts":["a","b","c","d","e"]}"#, "contacts"),
        (r#"{"version":"2026-11-29","material":true,"contacts":["\u0007"]}"#, "contacts"),
        (r#"{"version":"2026-11-29","material":true,"answer-days":0}"#, "answer-days"),
        (r#"{"version":"2026-11-29","material":true,"reasons":[]}"#, "at least one of purposes, ownership"),
        (r#"{"version":"2026-11-29","material":false,"reasons":["rights"]}"#, "a change of rights is material"),
        (r#"{"version":"2026-11-29","material":true,"reasons":["rights","rights"]}"#, "twice"),
        (r#"{"version":"2026-11-29","material":true,"reasons":["colour"]}"#, "colour"),
        (r#"{"version":"2026-11-29","material":false,"texts":{"zh":{"text":"a"}}}"#, "en"),
        (r#"{"version":"2026-11-29","material":false,"texts":{"zh":{"text":"a"},"en":{}}}"#, "texts.en needs the text"),
        (r#"{"version":"2026-11-29","material":true,"texts":{"zh":{"text":"a"},"en":{"text":"b"}}}"#, "reasons"),
        ("[]", "no policy"),
    ] {
        let error = PolicyNote::verify(&trust(1), &signed(json, &[&signer("one", 1)])).unwrap_err().to_string();
        assert!(error.contains(told), "{json}: {error}");
    }
}

/// A text with its hash, or its hash and address, in both languages; a wrong hash is told with the right one.
#[test]
fn texts_are_in_both_languages_and_match_their_hashes() {
    let text = |zh: serde_json::Value, en: serde_json::Value| {
        let effective = "2027-01-01T00:00:00+08:00";
        let json = json!({ "version": "2026-11-29", "material": true, "reasons": ["rights", "contacts"],
            "effective": effective, "texts": { "zh": zh, "en": en }, "contacts": ["privacy@example.cn"] });
        PolicyNote::verify(&trust(1), &signed(&json.to_string(), &[&signer("one", 1)]))
    };
    let hash = |text: &str| crate::hex(&<sha2::Sha256 as sha2::Digest>::digest(text));
    let linked = json!({ "sha256": hash("en"), "url": "https://example.cn/en" });
    let note = text(json!({ "text": "隐私政策", "sha256": hash("隐私政策") }), linked.clone()).unwrap();
    assert_eq!(note.document.reasons, Some(vec![PolicyReason::Rights, PolicyReason::Contacts]));
    let wrong = text(json!({ "text": "隐私政策", "sha256": hash("else") }), linked.clone()).unwrap_err().to_string();
    assert!(wrong.contains(&hash("隐私政策")), "{wrong}");
    for bad in [json!({ "text": "x".repeat(2001) }), json!({ "text": "\u{7}" }), json!({ "url": "https://example.cn" })]
    {
        assert!(text(bad.clone(), linked.clone()).is_err(), "{bad}");
    }
}

/// A note by a key that signed none before comes from somebody else, whatever it says of itself.
#[test]
fn another_key_is_another_owner_unless_a_former_key_signs_too() {
    let by = |signers: &[&SignerKey], material: bool| {
        let mut document = json!({ "version": "2026-06-02", "material": material });
        if material {
            document["reasons"] = json!(["purposes"]);
        }
        PolicyNote::verify(&trust(1), &signed(&document.to_string(), signers)).unwrap()
    };
    let keys = ["one".to_owned()];
    let history = PolicyHistory {
        in_force: "2026-06-01",
        note: None,
        noted: Some("2026-06-01"),
        keys: &keys,
        acknowledged: Some("2026-06-01"),
        is_pending: false,
    };
    let (one, two) = (signer("one", 1), signer("two", 2));
    let adopt = |waits_for_staff, reasons| Judgement::Adopt { waits_for_staff, reasons };
    assert_eq!(judge(&by(&[&one], false), history), adopt(false, Vec::new()));
    assert_eq!(judge(&by(&[&one, &two], false), history), adopt(false, Vec::new()), "a key is changed by both");
    assert_eq!(judge(&by(&[&two], false), history), adopt(true, vec![PolicyReason::Ownership]));
    let both = vec![PolicyReason::Purposes, PolicyReason::Ownership];
    assert_eq!(judge(&by(&[&two], true), history), adopt(true, both));
    // The first one that is signed follows on the configuration's, which nobody signed.
    assert_eq!(judge(&by(&[&two], false), PolicyHistory { keys: &[], ..history }), adopt(false, Vec::new()));
}

#[test]
fn versions_rise_and_nothing_lowers_what_staff_have_to_acknowledge() {
    let known = policy("2026-06-01", false, "https://example.cn/a");
    let of = |in_force, note, noted, acknowledged, is_pending| PolicyHistory {
        in_force,
        note,
        noted,
        keys: &[],
        acknowledged,
        is_pending,
    };
    let signed = of("2026-06-01", Some(&known), Some("2026-06-01"), Some("2026-01-01"), false);
    assert_eq!(judge(&known, signed), Judgement::Known);
    assert!(matches!(judge(&policy("2026-06-01", false, "https://example.cn/b"), signed), Judgement::Refuse(_)));
    assert!(matches!(judge(&policy("2026-05-31", true, "https://example.cn/a"), signed), Judgement::Refuse(_)));
    let adopt = |waits_for_staff| Judgement::Adopt { waits_for_staff, reasons: Vec::new() };
    assert_eq!(judge(&policy("2026-06-02", true, "https://example.cn/a"), signed), adopt(true));
    assert_eq!(judge(&policy("2026-06-02", false, "https://example.cn/a"), signed), adopt(false));
    let waiting = PolicyHistory { is_pending: true, ..signed };
    assert_eq!(judge(&policy("2026-06-02", false, "https://example.cn/a"), waiting), adopt(true));
    // The configuration's policy came after the last signed one, and the other way round.
    let by_file = of("2026-09-01", None, Some("2026-06-01"), Some("2026-09-01"), false);
    assert!(matches!(judge(&known, by_file), Judgement::Refuse(_)));
    let lost = of("2026-01-01", None, Some("2026-06-01"), Some("2026-01-01"), false);
    assert!(matches!(judge(&policy("2026-03-01", true, "https://example.cn/a"), lost), Judgement::Refuse(_)));
    assert_eq!(judge(&known, lost), adopt(false), "a file that was lost comes back");
    // What staff acknowledged they are not asked again; the same version as the file's changes nothing for them.
    let acknowledged = PolicyHistory { acknowledged: Some("2026-07-01"), ..lost };
    assert_eq!(judge(&policy("2026-07-01", true, "https://example.cn/a"), acknowledged), adopt(false));
    assert_eq!(
        judge(&policy("2026-01-01", true, "https://example.cn/a"), of("2026-01-01", None, None, None, false)),
        adopt(false)
    );
}

#[test]
fn a_damaged_file_or_one_that_nobody_trusts_any_more_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(PolicyNote::load(dir.path(), &trust(1)), None);
    let note = policy("2026-06-01", true, "https://example.cn/a");
    note.store(dir.path()).unwrap();
    assert_eq!(PolicyNote::load(dir.path(), &trust(1)), Some(note.clone()));
    assert_eq!(PolicyNote::load(dir.path(), &trust(2)), None, "the threshold was raised");
    assert_eq!(PolicyNote::load(dir.path(), &Trust::default()), None, "the key is gone");
    for cut in [0, 20, note.note.len() / 2, note.note.len() - 1] {
        std::fs::write(dir.path().join(POLICY_NOTE), &note.note[..cut]).unwrap();
        assert_eq!(PolicyNote::load(dir.path(), &trust(1)), None, "{cut} bytes");
    }
    std::fs::write(dir.path().join(POLICY_NOTE), vec![b'x'; 100_000]).unwrap();
    assert_eq!(PolicyNote::load(dir.path(), &trust(1)), None);
}

#[test]
fn a_power_cut_leaves_the_one_in_force_or_the_next() {
    let notes = ["2026-11-01", "2026-11-02", "2026-11-03"].map(|version| policy(version, true, "https://example.cn/a"));
    let work = |run: &mut Run<Possible<Option<String>>>| {
        for note in &notes {
            run.note(|known| known.attempt(Some(note.note.clone())));
            if note.store(Path::new(HOME)).is_ok() {
                run.note(Possible::settle);
            }
        }
    };
    let found = || PolicyNote::load(Path::new(HOME), &trust(1)).map(|policy| policy.note);
    let judge = |known: &Possible<_>| known.admit(&found());
    Scenario { name: "policy", capacity: None, prepare: &|| {}, work: &work, recover: &|_| {}, judge: &judge }
        .try_all(1);
}
