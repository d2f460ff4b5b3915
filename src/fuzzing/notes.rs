//! Signed notes and keys, held against `ring`, which verifies signatures by itself.

use notes::{DocumentType, Note, Role, SignerKey, Trust, TrustedKey, VerifierKey};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::input::Input;
use super::oracle::assert_told;

/// Names of keys that are trusted, and the seed of each. The first one signs commands, the second policies, the third
/// both, and the last one is not trusted.
const SIGNERS: [(&str, u8); 4] = [("fuzz.example/a", 1), ("fuzz.example/b", 2), ("fuzz.example/c", 3), ("x", 4)];

/// A key of [`SIGNERS`].
pub(crate) fn signer(index: usize) -> SignerKey {
    let (name, seed) = SIGNERS[index % SIGNERS.len()];
    SignerKey::new(name, &[seed; 32]).expect("a name and 32 bytes")
}

/// What the three trusted keys may sign. Two have to sign a policy.
pub(crate) fn trust() -> Trust {
    let may: [Vec<Role>; 3] = [
        vec![Role::Unmute, Role::SetIngest, Role::Desired],
        vec![Role::Policy, Role::EndOfService],
        Role::ALL.to_vec(),
    ];
    let keys = may.into_iter().enumerate();
    let keys = keys.map(|(index, may)| TrustedKey { key: signer(index).verifier_key(), may }).collect();
    Trust { keys, policy_threshold: 2, release_threshold: 1 }
}

/// A document of a type with this JSON, signed by keys that are trusted with everything.
pub(crate) fn signed(kind: DocumentType, json: &str) -> Option<String> {
    if json.contains('\n') {
        return None;
    }
    let text = format!("{}\n{json}\n", kind.as_str());
    Note::sign(&text, &[&signer(1), &signer(2)]).ok().map(|note| note.to_string())
}

/// Keys that signed this text, as `ring` sees it: `None` where one that is trusted is said to have and has not.
fn signed_by(note: &str, trust: &Trust) -> Option<Vec<usize>> {
    let (text, lines) = note.rsplit_once("\n\n")?;
    let text = format!("{text}\n");
    let mut signed = Vec::new();
    for (index, TrustedKey { key, .. }) in trust.keys.iter().enumerate() {
        let head = format!("\u{2014} {} ", key.name());
        for blob in lines.lines().filter_map(|line| line.strip_prefix(&head)) {
            let blob = <base64ct::Base64 as base64ct::Encoding>::decode_vec(blob).ok()?;
            let (id, signature) = blob.split_first_chunk::<4>()?;
            if u32::from_be_bytes(*id) != key.id() {
                continue;
            }
            UnparsedPublicKey::new(&ED25519, key.bytes()).verify(text.as_bytes(), signature).ok()?;
            signed.push(index);
        }
    }
    signed.dedup();
    Some(signed)
}

/// What counts was signed by as many keys with the role as have to, and by no key wrongly.
fn assert_counts(trust: &Trust, bytes: &[u8], role: Role) {
    match trust.verify(bytes, role) {
        Ok(verified) => {
            let note = std::str::from_utf8(bytes).expect("a note is text");
            let signed = signed_by(note, trust).expect("a wrong signature counted");
            let may = signed.iter().filter(|index| trust.keys[**index].may.contains(&role)).count();
            assert!(may >= usize::from(trust.threshold(role)) && may == verified.signers.len(), "{verified:?}");
            assert_eq!(verified.text, format!("{}\n{}\n", role.document().as_str(), verified.json));
        }
        Err(refusal) => assert_told(&refusal.to_string()),
    }
}

/// Any bytes as a note.
pub(super) fn note(bytes: &[u8]) {
    match Note::parse(bytes) {
        Ok(note) => {
            assert_eq!(note.to_string().as_bytes(), bytes);
            assert!(bytes.len() <= notes::MAX_BYTES && note.claimed_signers().count() <= notes::MAX_SIGNATURES);
        }
        Err(error) => assert_told(&error.to_string()),
    }
    let trust = trust();
    for role in Role::ALL {
        assert_counts(&trust, bytes, role);
    }
    assert!(Trust::default().verify(bytes, Role::Stop).is_err(), "nobody is trusted");
}

/// A note that some of the keys signed, as it is and with one byte changed.
pub(super) fn signed_note(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let role = *input.choose(&Role::ALL);
    let kind = *input.choose(&[role.document(), DocumentType::Policy, DocumentType::Command]);
    let who = input.byte();
    let (place, change) = (input.number(), input.byte());
    let json = String::from_utf8_lossy(input.rest()).replace(|letter: char| letter.is_control(), " ");
    let signers: Vec<SignerKey> = (0..4).filter(|index| who >> index & 1 == 1).map(signer).collect();
    let text = format!("{}\n{json}\n", kind.as_str());
    let Ok(note) = Note::sign(&text, &signers.iter().collect::<Vec<_>>()) else { return };
    let trust = trust();
    let has = |index: usize| who >> index & 1 == 1 && trust.keys[index].may.contains(&role);
    let counted = (0..3).filter(|index| has(*index)).count();
    let counts = kind == role.document() && counted >= usize::from(trust.threshold(role));
    let note = note.to_string();
    let verified = trust.verify(note.as_bytes(), role);
    assert_eq!(verified.is_ok(), counts, "{verified:?}");
    let mut changed = note.into_bytes();
    let at = usize::try_from(place % changed.len() as u64).expect("a place within the note");
    changed[at] ^= change;
    if let Ok(other) = trust.verify(&changed, role) {
        assert_eq!(other.text, text, "a text that nobody signed counts");
    }
    assert_counts(&trust, &changed, role);
}

/// Any text as a key.
pub(super) fn key(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<VerifierKey>() {
        Ok(key) => {
            assert_eq!(key.to_string(), text);
            assert!(key.name().len() <= notes::MAX_NAME_BYTES);
        }
        Err(error) => assert_told(&error.to_string()),
    }
    match text.parse::<SignerKey>() {
        Ok(key) => {
            assert_eq!(*key.to_text(), text);
            assert!(!format!("{key:?}").contains(text.rsplit('+').next().unwrap_or_default()), "the key is printed");
            assert_eq!(key.verifier_key().to_string().parse(), Ok(key.verifier_key()));
        }
        Err(error) => {
            let told = error.to_string();
            assert_told(&told);
            let secret = text.rsplit('+').next().filter(|secret| secret.len() > 16);
            assert!(secret.is_none_or(|secret| !told.contains(secret)), "{told}");
        }
    }
    match text.parse::<Role>() {
        Ok(role) => assert_eq!(role.as_str(), text),
        Err(why) => assert_told(&why),
    }
}
