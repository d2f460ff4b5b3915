//! The same bytes as other implementations: published vectors, and the `signed_note` crate in both directions.
#![allow(clippy::unwrap_used)]

use notes::{Note, SignerKey, VerifierKey};
use proptest::prelude::*;
use signed_note::{Note as Other, StandardSigner, StandardVerifier, VerifierList};

/// The example of Go's `golang.org/x/mod/sumdb/note`.
const GO_SIGNER: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_SIGNATURE: &str = "\u{2014} PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
/// The example of c2sp.org/signed-note.
const C2SP_VERIFIER: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const C2SP_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

#[test]
fn gos_example_is_read_and_written_byte_for_byte() {
    let signer: SignerKey = GO_SIGNER.parse().unwrap();
    assert_eq!(signer.to_text().as_str(), GO_SIGNER);
    assert_eq!(signer.verifier_key().to_string(), GO_VERIFIER);
    assert_eq!(signer.verifier_key(), GO_VERIFIER.parse().unwrap());
    let whole = format!("{GO_TEXT}\n{GO_SIGNATURE}");
    assert_eq!(Note::sign(GO_TEXT, &[&signer]).unwrap().to_string(), whole);
    let note = Note::parse(whole.as_bytes()).unwrap();
    assert_eq!((note.text(), note.is_signed_by(&signer.verifier_key())), (GO_TEXT, Some(true)));
}

#[test]
fn c2sps_example_verifies() {
    let key: VerifierKey = C2SP_VERIFIER.parse().unwrap();
    assert_eq!((key.name(), key.id(), key.to_string()), ("example.com/foo", 0x530d_903a, C2SP_VERIFIER.to_owned()));
    let note = Note::parse(C2SP_NOTE.as_bytes()).unwrap();
    assert_eq!((note.is_signed_by(&key), note.to_string()), (Some(true), C2SP_NOTE.to_owned()));
}

proptest! {
    #[test]
    fn what_one_signs_the_other_verifies(
        seed in any::<[u8; 32]>(), name in "[a-z./-]{1,30}", lines in prop::collection::vec("[^\\p{C}]{1,40}", 1..4),
    ) {
        let text = lines.join("\n") + "\n";
        let signer = SignerKey::new(&name, &seed).unwrap();
        let theirs = VerifierList::new(vec![Box::new(
            StandardVerifier::new(&signer.verifier_key().to_string()).unwrap(),
        )]);
        let ours = Note::sign(&text, &[&signer]).unwrap().to_string();
        let read = Other::from_bytes(ours.as_bytes()).unwrap();
        let (good, unknown) = read.verify(&theirs).unwrap();
        prop_assert_eq!((good.len(), unknown.len()), (1, 0));

        let mut written = Other::new(text.as_bytes(), &[]).unwrap();
        written.add_sigs(&[&StandardSigner::new(&signer.to_text()).unwrap()]).unwrap();
        let written = written.to_bytes();
        prop_assert_eq!(String::from_utf8(written.clone()).unwrap(), ours);
        let read = Note::parse(&written).unwrap();
        prop_assert_eq!(read.is_signed_by(&signer.verifier_key()), Some(true));
    }
}
