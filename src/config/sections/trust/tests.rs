//! `[[trust]]`: what is read, and each mistake with its place and advice.

use notes::{Role, SignerKey};

use crate::config::tests::{example, example_with};

fn key(name: &str, seed: u8) -> String {
    SignerKey::new(name, &[seed; 32]).unwrap().verifier_key().to_string()
}

/// A table with these values, from line 3 on.
fn of(text: &str) -> String {
    format!("[ingest]\nurl = \"rtmp://127.0.0.1/live/key\"\n{text}")
}

#[track_caller]
fn says(text: &str, wanted: &[&str]) {
    let error = example_with(&of(text)).unwrap_err();
    let found: Vec<String> = error
        .diagnostics
        .iter()
        .map(|wrong| {
            let (line, column) = wrong.at.unwrap();
            format!("{line}:{column}: {}; {}", wrong.message, wrong.help)
        })
        .collect();
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found}\n  does not begin with\n{wanted}");
    }
}

#[test]
fn keys_of_all_files_count_with_their_roles() {
    assert!(example("").trust.is_empty());
    let (one, other) = (key("a.example/one", 1), key("a.example/other", 2));
    let trust = example(&format!(
        "[[trust]]\nkey = \"{one}\"\nmay = [\"unmute\", \"policy\"]\n[[trust]]\nkey = \"{other}\"\nmay = [\"policy\"]\n\
         [trust-thresholds]\npolicy = 2\n"
    ))
    .trust;
    let names: Vec<_> = trust.keys.iter().map(|trusted| trusted.key.name()).collect();
    assert_eq!(names, ["a.example/one", "a.example/other"]);
    assert_eq!(trust.keys[0].may, [Role::Unmute, Role::Policy]);
    assert_eq!((trust.policy_threshold, trust.release_threshold), (2, 1));
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_to_write() {
    let one = key("a.example/one", 1);
    says(
        "[[trust]]\n",
        &["3:1: a trust table without key; write key = ", "3:1: a trust table without may; write may ="],
    );
    says("[[trust]]\nkey = 7\nmay = 7\n", &["4:7: key must be text", "5:7: may must be a list of texts"]);
    says(
        "[[trust]]\nkey = \"x\"\nmay = []\n",
        &["4:7: key cannot be used: this is no verifier key", "5:7: may is empty"],
    );
    says(
        &format!("[[trust]]\nkey = \"{one}\"\nmay = [\"request_start\", 1, \"unmute\", \"unmute\"]\nkeys = 1\n"),
        &[
            "5:8: \"request_start\" is no role; did you mean \"request-start\"? roles are: request-start, stop",
            "5:25: a role must be text, not integer",
            "5:38: unmute is there twice",
            "6:1: trust: keys is not known; did you mean \"key\"? trust has: key, may",
        ],
    );
    says("trust = 1\n", &["3:1: [ingest] trust is not known"]);
}

#[test]
fn a_key_is_trusted_once() {
    let table = |key: &str| format!("[[trust]]\nkey = \"{key}\"\nmay = [\"unmute\"]\n");
    let (one, same_name, alias) = (key("a.example/one", 1), key("a.example/one", 2), key("a.example/alias", 1));
    says(&(table(&one) + &table(&same_name)), &["7:7: there is another key named \"a.example/one\""]);
    says(&(table(&one) + &table(&alias)), &["7:7: this is the key of \"a.example/one\" under another name"]);
    let many: String = (0..65).map(|number| table(&key(&format!("key-{number}"), number + 1))).collect();
    says(&many, &["195:1: more than 64 keys"]);
}

#[test]
fn a_private_key_is_refused_and_not_repeated() {
    let secret = SignerKey::new("a.example/one", &[1; 32]).unwrap().to_text();
    let error = example_with(&of(&format!("[[trust]]\nkey = \"{}\"\nmay = [\"unmute\"]\n", secret.as_str())));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a signer's private key") && !error.contains(&secret[30..]), "{error}");
}

#[test]
fn a_threshold_is_one_that_the_keys_can_reach() {
    let table = format!("[[trust]]\nkey = \"{}\"\nmay = [\"policy\"]\n", key("a.example/one", 1));
    says(
        &format!("{table}[trust-thresholds]\npolicy = 2\nrelease = 1\n"),
        &["7:10: policy = 2, and 1 keys have the role policy", "8:11: release = 1, and 0 keys have the role release"],
    );
    says(
        &format!("{table}[trust-thresholds]\npolicy = 0\n"),
        &["7:10: policy = 0 is out of range; write a whole number"],
    );
}
