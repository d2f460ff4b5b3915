//! Notes and trust: what is refused, whatever is done to a note.
#![allow(clippy::unwrap_used, clippy::panic)]

use notes::{
    DocumentType, KeyError, MAX_BYTES, MAX_NAME_BYTES, MAX_SIGNATURES, Note, NoteError, Refusal, Role, SignerKey,
    Trust, TrustedKey, VerifierKey, document,
};
use proptest::prelude::*;
use proptest::sample::Index;

const TEXT: &str = "tallybox/command/v1\n{\"verb\":\"unmute\"}\n";

fn signer(number: u8) -> SignerKey {
    SignerKey::new(&format!("operator.example/key-{number}"), &[number; 32]).unwrap()
}

/// Trust in keys 1, 2, … with these roles.
fn trust(roles: &[&[Role]]) -> Trust {
    let key = |(number, may): (u8, &&[Role])| TrustedKey { key: signer(number).verifier_key(), may: may.to_vec() };
    Trust { keys: (1..).zip(roles).map(key).collect(), ..Trust::default() }
}

fn signed(text: &str, numbers: &[u8]) -> String {
    let signers: Vec<_> = numbers.iter().map(|number| signer(*number)).collect();
    Note::sign(text, &signers.iter().collect::<Vec<_>>()).unwrap().to_string()
}

fn verify(trust: &Trust, note: &str) -> Result<Vec<String>, Refusal> {
    trust.verify(note.as_bytes(), Role::Unmute).map(|verified| verified.signers)
}

fn malformed(bytes: &[u8]) -> NoteError {
    Note::parse(bytes).unwrap_err()
}

#[test]
fn unknown_keys_are_ignored_and_a_known_one_that_fails_refuses() {
    let trust = trust(&[&[Role::Unmute], &[]]);
    let name = "operator.example/key-1".to_owned();
    assert_eq!(verify(&trust, &signed(TEXT, &[1])), Ok(vec![name.clone()]));
    assert_eq!(verify(&trust, &signed(TEXT, &[7, 1, 8])), Ok(vec![name.clone()]));
    assert_eq!(verify(&trust, &signed(TEXT, &[7, 8])), Err(Refusal::UnknownKey));
    assert_eq!(verify(&Trust::default(), &signed(TEXT, &[1])), Err(Refusal::UnknownKey));
    // Key 2 has no role here, and its signature is of another text: the note was put together from two.
    let other = signed("tallybox/command/v1\n{}\n", &[2]);
    let line = other.lines().last().unwrap();
    let joined = format!("{}{line}\n", signed(TEXT, &[1]));
    assert_eq!(verify(&trust, &joined), Err(Refusal::BadSignature { key: "operator.example/key-2".to_owned() }));
    assert_eq!(
        verify(&trust, &signed(TEXT, &[2])),
        Err(Refusal::RoleMissing { key: "operator.example/key-2".to_owned(), role: Role::Unmute })
    );
    assert_eq!(verify(&trust, &signed(TEXT, &[2, 1])), Ok(vec![name]));
}

#[test]
fn another_key_under_a_trusted_name_is_an_unknown_key() {
    let trust = trust(&[&[Role::Unmute]]);
    let imposter = SignerKey::new("operator.example/key-1", &[99; 32]).unwrap();
    let note = Note::sign(TEXT, &[&imposter]).unwrap().to_string();
    assert_eq!(verify(&trust, &note), Err(Refusal::UnknownKey));
}

#[test]
fn duplicates_of_a_key_count_once() {
    let mut trust = trust(&[&[Role::Policy], &[Role::Policy]]);
    trust.policy_threshold = 2;
    let text = "tallybox/policy/v1\n{}\n";
    let judge =
        |trust: &Trust, note: &str| trust.verify(note.as_bytes(), Role::Policy).map(|verified| verified.signers.len());
    let once = signed(text, &[1]);
    let twice = format!("{once}{}\n", once.lines().last().unwrap());
    assert_eq!(judge(&trust, &once), Err(Refusal::Threshold { needed: 2, got: 1 }));
    assert_eq!(judge(&trust, &twice), Err(Refusal::Threshold { needed: 2, got: 1 }));
    assert_eq!(judge(&trust, &signed(text, &[2, 1])), Ok(2));
    // One key under two names.
    let alias = SignerKey::new("other.example/alias", &[1; 32]).unwrap();
    trust.keys[1].key = alias.verifier_key();
    let both = Note::sign(text, &[&signer(1), &alias]).unwrap().to_string();
    assert_eq!(judge(&trust, &both), Err(Refusal::Threshold { needed: 2, got: 1 }));
    // Two signatures by one key of which one is wrong.
    let (note, line) = (signed(text, &[1]), signed("tallybox/policy/v1\n{\"a\":1}\n", &[1]));
    let mixed = format!("{note}{}\n", line.lines().last().unwrap());
    assert!(matches!(judge(&trust, &mixed), Err(Refusal::BadSignature { .. })));
    assert_eq!(Note::sign(text, &[&signer(1), &signer(1)]), Err(NoteError::Signers));
}

#[test]
fn a_threshold_of_nothing_is_one() {
    let mut trust = trust(&[&[]]);
    (trust.policy_threshold, trust.release_threshold) = (0, 0);
    for (kind, role) in [(DocumentType::Policy, Role::Policy), (DocumentType::Release, Role::Release)] {
        let note = signed(&format!("{}\n{{}}\n", kind.as_str()), &[1]);
        assert!(matches!(trust.verify(note.as_bytes(), role), Err(Refusal::RoleMissing { .. })));
    }
}

#[test]
fn each_type_counts_in_its_own_place_only() {
    let all = trust(&[&Role::ALL]);
    for kind in DocumentType::ALL {
        let note = signed(&format!("{}\n{{}}\n", kind.as_str()), &[1]);
        for role in Role::ALL {
            // The roles that have a verb's name sign commands; a receipt is signed by the box, and by nobody's role.
            let own = format!("tallybox/{role}/v1");
            let needed = DocumentType::ALL.into_iter().find(|kind| kind.as_str() == own);
            let needed = needed.unwrap_or(DocumentType::Command);
            let judged = all.verify(note.as_bytes(), role);
            match judged {
                Ok(verified) => assert_eq!((kind, verified.json.as_str()), (needed, "{}")),
                Err(refusal) => assert_eq!(refusal, Refusal::WrongType { needed, got: kind }),
            }
        }
    }
}

#[test]
fn a_document_is_two_lines() {
    let read = document(TEXT).unwrap();
    assert_eq!((read.kind, read.json, read.text().as_str()), (DocumentType::Command, "{\"verb\":\"unmute\"}", TEXT));
    for text in ["", "\n", "tallybox/command/v1\n", "tallybox/command/v1\n{}", "tallybox/command/v1\n{}\n\n"] {
        assert_eq!(document(text), Err(NoteError::NotTwoLines), "{text:?}");
    }
    assert_eq!(document("tallybox/command/v1\n{}\n{}\n"), Err(NoteError::NotTwoLines));
    assert_eq!(document("tallybox/command/v2\n{}\n"), Err(NoteError::UnknownType));
    assert_eq!(document(" tallybox/command/v1\n{}\n"), Err(NoteError::UnknownType));
}

#[test]
fn what_is_no_note_is_said_to_be_none() {
    let good = signed(TEXT, &[1]);
    let line = good.lines().last().unwrap();
    assert_eq!(malformed(b""), NoteError::NoSignatures);
    assert_eq!(malformed(TEXT.as_bytes()), NoteError::NoSignatures);
    assert_eq!(malformed(format!("{TEXT}\n").as_bytes()), NoteError::NoSignatures);
    assert_eq!(malformed(format!("\n\n{line}\n").as_bytes()), NoteError::NoSignatures);
    assert_eq!(malformed(good.trim_end().as_bytes()), NoteError::SignatureLine { line: 1 });
    assert_eq!(malformed(format!("{good}rubbish\n").as_bytes()), NoteError::SignatureLine { line: 2 });
    assert_eq!(malformed(good.replace('\u{2014}', "-").as_bytes()), NoteError::SignatureLine { line: 1 });
    assert_eq!(malformed(good.replace('=', "").as_bytes()), NoteError::SignatureLine { line: 1 });
    assert_eq!(malformed(format!("{TEXT}\n\u{2014} name AAAAAA==\n").as_bytes()), NoteError::SignatureLine { line: 1 });
    for name in ["", "a+b", "a\u{a0}b", "a\u{2003}b"] {
        let note = format!("{TEXT}\n\u{2014} {name} AAAAAAA=\n");
        assert_eq!(malformed(note.as_bytes()), NoteError::SignatureLine { line: 1 }, "{name:?}");
    }
    for control in ['\r', '\t', '\0', '\u{1b}', '\u{7f}', '\u{85}'] {
        let note = good.replacen("verb", &format!("ve{control}rb"), 1);
        assert_eq!(malformed(note.as_bytes()), NoteError::ControlCharacter, "{control:?}");
        assert_eq!(Note::sign(&format!("a{control}\n"), &[&signer(1)]), Err(NoteError::ControlCharacter));
    }
    let mut bytes = good.into_bytes();
    bytes[3] = 0xff;
    assert_eq!(malformed(&bytes), NoteError::NotUtf8);
    assert_eq!(Note::sign("no newline", &[&signer(1)]), Err(NoteError::NoNewline));
    assert_eq!(Note::sign(TEXT, &[]), Err(NoteError::Signers));
}

#[test]
fn size_and_number_of_signatures_are_bounded() {
    let around = signed(&format!("{}\n", "a".repeat(100)), &[1]).len() - 100;
    let longest = signed(&format!("{}\n", "a".repeat(MAX_BYTES - around)), &[1]);
    assert_eq!((longest.len(), Note::parse(longest.as_bytes()).is_ok()), (MAX_BYTES, true));
    let text = format!("{}\n", "a".repeat(MAX_BYTES - around + 1));
    assert_eq!(Note::sign(&text, &[&signer(1)]), Err(NoteError::TooLong));
    assert_eq!(malformed(&vec![0xff; MAX_BYTES + 1]), NoteError::TooLong);

    let most = signed(TEXT, &(1..=16).collect::<Vec<_>>());
    assert_eq!(Note::parse(most.as_bytes()).unwrap().claimed_signers().count(), MAX_SIGNATURES);
    let line = signed(TEXT, &[17]);
    let more = format!("{most}{}\n", line.lines().last().unwrap());
    assert_eq!(malformed(more.as_bytes()), NoteError::TooManySignatures);
}

#[test]
fn keys_are_refused_with_what_to_do() {
    let good = signer(1).verifier_key().to_string();
    let parse = |text: &str| text.parse::<VerifierKey>().unwrap_err();
    assert_eq!(parse(&signer(1).to_text()), KeyError::Private);
    assert!(parse(&signer(1).to_text()).to_string().contains("note key show"));
    assert!(matches!(good.parse::<SignerKey>().unwrap_err(), KeyError::Form { .. }));
    for text in ["", "name", "name+1a2b3c4d", "name+1A2B3C4D+AQ==", "name+1a2b3c4+AQ==", "name+1a2b3c4d+?"] {
        assert!(matches!(parse(text), KeyError::Form { .. }), "{text:?}");
    }
    assert_eq!(parse(&good.replace("key-1", "key-2")).to_string().split(' ').next(), Some("the"));
    assert!(matches!(parse(&good.replace("key-1", "key-2")), KeyError::Id { .. }));
    assert_eq!(parse("name+00000000+AgAA"), KeyError::Type);
    assert_eq!(SignerKey::new("a b", &[1; 32]).unwrap_err(), KeyError::Name);
    assert_eq!(SignerKey::new(&"n".repeat(MAX_NAME_BYTES + 1), &[1; 32]).unwrap_err(), KeyError::Name);
    assert!(SignerKey::new(&"n".repeat(MAX_NAME_BYTES), &[1; 32]).is_ok());
    // The neutral point: its "signatures" fit any text.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(VerifierKey::new("weak", &neutral).unwrap_err(), KeyError::Weak);
    assert!(!format!("{:?}", signer(1)).contains(&signer(1).to_text()[30..]));
}

#[test]
fn every_flipped_bit_is_refused() {
    let trust = trust(&[&[Role::Unmute], &[Role::Unmute]]);
    let note = signed(TEXT, &[1]);
    for at in 0..note.len() * 8 {
        let mut bytes = note.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        let judged = trust.verify(&bytes, Role::Unmute);
        assert!(judged.is_err(), "bit {at}: {:?}", String::from_utf8_lossy(&bytes));
    }
    // With two signatures a flip in one's name or id makes it unknown: the note then counts by the other, its text
    // unchanged.
    let note = signed(TEXT, &[1, 2]);
    for at in 0..note.len() * 8 {
        let mut bytes = note.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(verified) = trust.verify(&bytes, Role::Unmute) {
            assert_eq!((verified.text.as_str(), verified.signers.len()), (TEXT, 1));
        }
    }
}

#[test]
fn every_shorter_or_longer_note_is_refused() {
    let trust = trust(&[&[Role::Unmute]]);
    let note = signed(TEXT, &[1]);
    for at in 0..note.len() {
        assert!(trust.verify(&note.as_bytes()[..at], Role::Unmute).is_err(), "cut at {at}");
        assert!(trust.verify(&note.as_bytes()[at + 1..], Role::Unmute).is_err(), "from {at}");
    }
    for more in [" ", "\n", "x", "\u{2014} "] {
        assert!(verify(&trust, &format!("{note}{more}")).is_err(), "{more:?} behind");
        assert!(verify(&trust, &format!("{more}{note}")).is_err(), "{more:?} before");
    }
}

/// What can be done to the bytes of a note without its key.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Swap(Index, Index),
    SwapLines(Index, Index),
    DropLine(Index),
    RepeatLine(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::Swap(one, other)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::SwapLines(one, other)),
        any::<Index>().prop_map(Change::DropLine),
        any::<Index>().prop_map(Change::RepeatLine),
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let of_lines = |bytes: &[u8], edit: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        edit(&mut lines);
        lines.concat()
    };
    match change {
        Change::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Remove(at) => {
            bytes.remove(at.index(bytes.len()));
        }
        Change::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
        Change::Swap(one, other) => {
            let length = bytes.len();
            bytes.swap(one.index(length), other.index(length));
        }
        Change::SwapLines(one, other) => {
            *bytes = of_lines(bytes, &|lines| {
                let length = lines.len();
                lines.swap(one.index(length), other.index(length));
            });
        }
        Change::DropLine(at) => *bytes = of_lines(bytes, &|lines| drop(lines.remove(at.index(lines.len())))),
        Change::RepeatLine(at) => {
            *bytes = of_lines(bytes, &|lines| {
                let at = at.index(lines.len());
                lines.insert(at, lines[at].clone());
            });
        }
    }
}

/// Lines as notes have them, empty ones among them.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec("[^\\p{C}]{0,30}", 1..5)
        .prop_map(|lines| lines.join("\n") + "\n")
        .prop_filter("only an empty line", |text| text != "\n")
}

proptest! {
    #[test]
    fn a_note_is_written_as_it_was_read(text in text(), numbers in prop::collection::btree_set(1_u8..40, 1..16)) {
        let numbers: Vec<_> = numbers.into_iter().collect();
        let written = signed(&text, &numbers);
        let read = Note::parse(written.as_bytes()).unwrap();
        prop_assert_eq!(read.text(), text);
        prop_assert_eq!(read.to_string(), written);
        for number in numbers {
            prop_assert_eq!(read.is_signed_by(&signer(number).verifier_key()), Some(true));
        }
        prop_assert_eq!(read.is_signed_by(&signer(200).verifier_key()), None);
    }

    #[test]
    fn any_bytes_are_refused_or_written_as_they_were_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn a_changed_note_never_says_anything_new(
        numbers in prop::collection::btree_set(1_u8..6, 1..4), changes in prop::collection::vec(change(), 1..4),
    ) {
        let trust = trust(&[&[Role::Unmute], &[Role::Unmute, Role::Erase], &[Role::Erase]]);
        let written = signed(TEXT, &numbers.into_iter().collect::<Vec<_>>());
        let before = verify(&trust, &written);
        let mut bytes = written.into_bytes();
        for change in &changes {
            apply(change, &mut bytes);
        }
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes.clone());
        }
        if let Ok(verified) = trust.verify(&bytes, Role::Unmute) {
            prop_assert_eq!(verified.text.as_str(), TEXT);
            let before = before.unwrap_or_default();
            prop_assert!(verified.signers.iter().all(|name| before.contains(name)), "{:?}", verified);
        }
    }
}

#[test]
fn roles_have_words_that_are_read_back() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert!("start".parse::<Role>().unwrap_err().contains("request-start"));
}
