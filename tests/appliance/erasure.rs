//! Erasures and signed policies on real processes: killed half-way they are finished, with one receipt.

use std::path::Path;
use std::time::Duration;

use notes::{Note, VerifierKey};
use serde_json::Value;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// The JSON of a receipt that verifies with the box's key.
pub(crate) fn receipt(note: &Value, verifier_key: &Value) -> Value {
    let key: VerifierKey = verifier_key.as_str().unwrap().parse().unwrap();
    let note = Note::parse(note.as_str().expect("a receipt").as_bytes()).unwrap();
    assert_eq!(note.is_signed_by(&key), Some(true));
    let document = notes::document(note.text()).unwrap();
    assert_eq!(document.kind, notes::DocumentType::Receipt);
    serde_json::from_str(document.json).unwrap()
}

pub(crate) fn count(shop: &TestBox, kind: &str) -> usize {
    shop.kinds().iter().filter(|known| *known == kind).count()
}

/// Folders too deep in each other: a deletion fails on them for as long as they are there.
pub(crate) fn obstacle(shop: &TestBox) -> std::path::PathBuf {
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 40).collect();
    std::fs::create_dir_all(shop.path("data/footage").join(deep)).unwrap();
    shop.path("data/footage")
}

#[test]
fn an_unbinding_leaves_a_receipt_that_the_destroyed_key_signed() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    let before = shop.status().unwrap()["identity"].clone();
    shop.hold("11");
    wait_until("it is unbound", || count(&shop, "unbound") == 1);
    let kinds = shop.kinds();
    let at = |kind: &str| kinds.iter().position(|known| known == kind).unwrap();
    assert!(at("erasure-started") < at("unbound"), "{kinds:?}");
    let status = shop.status().unwrap();
    assert_ne!(status["identity"], before, "whoever binds it next gets another key");
    let fact = shop.ledger()[at("unbound")].clone();
    let told = receipt(&fact["receipt"], &before["verifier-key"]);
    assert_eq!((&told["box"], &told["what"]), (&"test-box".into(), &"unbind".into()), "{told}");
    assert_eq!(status["receipt"], fact["receipt"]);
    assert!(!Path::new(&shop.path("data/receipt.note")).exists(), "the ledger has it");
}

/// The guard is killed while a deletion is stuck: what it was is told before and after.
#[test]
fn a_guard_that_is_killed_half_way_finishes_the_unbinding() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    let before = shop.status().unwrap()["identity"].clone();
    let footage = obstacle(&shop);
    shop.hold("11");
    wait_until("it has begun", || count(&shop, "erasure-started") == 1);
    for round in 0..3 {
        guard.kill();
        guard = shop.start("guard");
        let status = shop.status().unwrap();
        assert_eq!((&status["phase"], &status["reason"]), (&"locked".into(), &"unbind".into()), "{round}: {status}");
        assert_eq!((count(&shop, "unbound"), &status["receipt"]), (0, &Value::Null), "no receipt without deletion");
        shop.press();
        assert!(shop.captures().is_empty());
    }
    std::fs::remove_dir_all(footage).unwrap();
    wait_until("it is finished", || count(&shop, "unbound") == 1);
    let status = shop.status().unwrap();
    assert_eq!(receipt(&status["receipt"], &before["verifier-key"])["what"], "unbind");
    guard.kill();
    let _guard = shop.start("guard");
    assert_eq!((count(&shop, "erasure-started"), count(&shop, "unbound")), (1, 1), "and only once");
    assert_eq!(shop.status().unwrap()["receipt"], status["receipt"], "the receipt outlives the guard");
    shop.verify();
}

/// Killed at random moments of the unbinding.
#[test]
fn an_unbinding_that_is_killed_anywhere_happens_once() {
    let rounds: u64 = if std::env::var_os("TALLYBOX_LONG").is_some() { 100 } else { 6 };
    for round in 0..rounds {
        let shop = TestBox::new(&BoxConfig::default());
        let mut guard = shop.start("guard");
        let before = shop.status().unwrap()["identity"].clone();
        let finger = crate::support::Program::start(&mut shop.command(&["press", "--hold", "10.3"]));
        wait_until("the lamp warns", || shop.lamp() == "unbind-warning");
        // From before the release to after the last entry.
        std::thread::sleep(Duration::from_millis(2100 + round * 43 % 400));
        guard.kill();
        drop(finger);
        let _guard = shop.start("guard");
        let (started, unbound) = (count(&shop, "erasure-started"), count(&shop, "unbound"));
        assert_eq!(started, unbound, "{round}: what was announced is done, and nothing else: {:?}", shop.kinds());
        let status = shop.status().unwrap();
        assert_eq!(status["unbound"], started == 1, "{round}");
        if started == 1 {
            receipt(&status["receipt"], &before["verifier-key"]);
        } else {
            assert_eq!(status["identity"], before, "{round}: nothing was deleted without an entry");
        }
        shop.verify();
    }
}
