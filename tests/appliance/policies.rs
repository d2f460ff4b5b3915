//! Signed policies and the end of the service on real processes, by every way in.

use std::process::Output;

use notes::{Note, Role, SignerKey};
use serde_json::{Value, json};

use crate::erasure::{count, receipt};
use crate::rig::{signed, signer, trust};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

fn other() -> SignerKey {
    SignerKey::new("other.example/fleet", &[11; 32]).unwrap()
}

fn plan() -> BoxConfig {
    let roles = [Role::Policy, Role::EndOfService];
    BoxConfig {
        more: format!("{}{}", trust(&signer(), &roles), trust(&other(), &[Role::Policy])),
        ..BoxConfig::default()
    }
}

fn policy(version: &str, reasons: &[&str]) -> Value {
    let text = |text: &str| json!({ "text": text });
    let mut document = json!({
        "version": version, "material": !reasons.is_empty(), "texts": { "zh": text("隐私政策"), "en": text("the policy") },
        "contacts": ["privacy@example.cn"], "answer-days": 10, "effective": "2030-01-01",
    });
    if !reasons.is_empty() {
        document["reasons"] = json!(reasons);
    }
    document
}

fn bring(shop: &TestBox, note: &str) -> Output {
    std::fs::write(shop.path("brought.note"), note).unwrap();
    shop.call(&["policy", "install", shop.path("brought.note").to_str().unwrap()])
}

#[track_caller]
fn said(output: &Output, code: i32, told: &str) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && text.contains(told), "{:?}: {text}", output.status);
}

#[test]
fn a_policy_comes_as_a_file_and_staff_are_asked_once() {
    let shop = TestBox::new(&plan());
    said(&bring(&shop, &signed("policy", &policy("2026-01-01", &[]))), 69, "start it");
    let mut guard = shop.start("guard");
    said(&bring(&shop, "no note"), 65, "not taken");
    said(&bring(&shop, &signed("release", &json!({}))), 65, "neither a policy");
    said(&bring(&shop, &signed("policy", &policy("2026-01-01", &[]))), 0, "2026-01-01 is in force");
    assert_eq!((shop.phase().as_str(), count(&shop, "policy-updated")), ("idle", 1));
    // Material: a session ends, and nothing starts until staff agree. The clock has no say.
    shop.press();
    shop.wait_for_phase("connecting");
    let material = signed("policy", &policy("2026-02-01", &["recipients", "contacts"]));
    said(&bring(&shop, &material), 0, "2026-02-01");
    shop.wait_for_phase("policy");
    assert!(shop.captures().is_empty());
    let fact = shop.ledger().into_iter().rfind(|fact| fact["kind"] == "policy-updated").unwrap();
    assert_eq!((&fact["reasons"], &fact["waits-for-staff"]), (&json!(["recipients", "contacts"]), &true.into()));
    // Staff do not agree: the same note by other ways, and restarts, ask nobody anew.
    std::fs::write(shop.path("policy.note"), &material).unwrap();
    for _ in 0..2 {
        said(&bring(&shop, &material), 0, "waits for staff");
        guard.kill();
        guard = shop.start("guard");
        assert_eq!((shop.phase().as_str(), count(&shop, "policy-updated")), ("policy", 2));
        assert_eq!((count(&shop, "policy-pending"), count(&shop, "policy-acknowledged")), (0, 1), "{:?}", shop.kinds());
        shop.press();
        assert!(shop.captures().is_empty());
    }
    shop.hold("2.3");
    shop.wait_for_phase("idle");
    // Roll-back, the same day with another text, a contradiction.
    said(&bring(&shop, &signed("policy", &policy("2026-01-01", &[]))), 69, "versions only rise");
    said(&bring(&shop, &signed("policy", &policy("2026-02-01", &["impact"]))), 69, "another text");
    let mut odd = policy("2026-03-01", &["rights"]);
    odd["material"] = false.into();
    said(&bring(&shop, &signed("policy", &odd)), 69, "a change of rights is material");
    // Somebody else signs: staff are asked, although the note says that nothing changes.
    let text = format!("tallybox/policy/v1\n{}\n", policy("2026-03-01", &[]));
    said(&bring(&shop, &Note::sign(&text, &[&other()]).unwrap().to_string()), 0, "waits for staff");
    let fact = shop.ledger().into_iter().rfind(|fact| fact["kind"] == "policy-updated").unwrap();
    assert_eq!((&fact["reasons"], &fact["keys"]), (&json!(["ownership"]), &json!(["other.example/fleet"])));
    shop.verify();
}

#[test]
fn a_policy_beside_the_configuration_counts_when_the_guard_starts() {
    let shop = TestBox::new(&plan());
    std::fs::write(shop.path("policy.note"), signed("policy", &policy("2026-05-01", &["purposes"]))).unwrap();
    let _guard = shop.start("guard");
    assert_eq!((shop.phase().as_str(), &shop.status().unwrap()["policy-version"]), ("policy", &"2026-05-01".into()));
}

#[test]
fn a_stick_brings_policies_and_the_end_of_the_service() {
    let (shop, stick) = (TestBox::new(&plan()), tempfile::tempdir().unwrap());
    let take = || shop.call(&["take-stick", stick.path().to_str().unwrap()]);
    said(&take(), 66, "nothing for a box");
    let _guard = shop.start("guard");
    std::fs::write(stick.path().join("policy.note"), signed("policy", &policy("2026-01-01", &[]))).unwrap();
    said(&take(), 0, "2026-01-01 is in force");
    std::fs::write(stick.path().join("end-of-service.note"), signed("end-of-service", &json!({ "box": "*" }))).unwrap();
    said(&take(), 0, "the service has ended");
    assert_eq!(shop.status().unwrap()["reason"], "end-of-service");
}

/// On air when the note comes; killed while the deletion is stuck.
#[test]
fn the_end_of_the_service_stops_deletes_and_is_final() {
    let shop = TestBox::new(&plan());
    let mut guard = shop.start("guard");
    let before = shop.status().unwrap()["identity"].clone();
    std::fs::create_dir_all(shop.path("data/agent")).unwrap();
    std::fs::write(shop.path("data/agent/cursor"), "x").unwrap();
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 40).collect();
    std::fs::create_dir_all(shop.path("data/footage").join(deep)).unwrap();
    shop.press();
    shop.wait_for_phase("connecting");
    let end = json!({ "box": "test-box", "contacts": ["privacy@example.cn"], "answer-days": 10 });
    said(&bring(&shop, &signed("end-of-service", &json!({ "box": "another-box" }))), 69, "another-box");
    said(&bring(&shop, &signed("end-of-service", &end)), 0, "the service has ended");
    shop.wait_for_phase("locked");
    for _ in 0..2 {
        let status = shop.status().unwrap();
        assert_eq!((&status["reason"], &status["unbound"]), (&"end-of-service".into(), &true.into()), "{status}");
        assert!(shop.captures().is_empty() && status["receipt"].is_null(), "no receipt without deletion");
        guard.kill();
        guard = shop.start("guard");
        shop.press();
    }
    std::fs::remove_dir_all(shop.path("data/footage")).unwrap();
    wait_until("it is finished", || count(&shop, "service-ended") == 1);
    let status = shop.status().unwrap();
    let told = receipt(&status["receipt"], &before["verifier-key"]);
    assert_eq!((&told["what"], &told["box"]), (&"end-of-service".into(), &"test-box".into()), "{told}");
    assert!(status["message"].as_str().unwrap().contains("privacy@example.cn") && shop.lamp() == "lock-flash");
    assert!(!shop.path("data/agent/cursor").exists());
    let kinds = shop.kinds();
    let at = |kind: &str| kinds.iter().position(|known| known == kind).unwrap();
    assert!(at("session-stopped") < at("service-ended") && at("end-of-service-received") < at("erasure-started"));
    shop.hold("11");
    assert_eq!((count(&shop, "service-ended"), count(&shop, "unbound")), (1, 0), "no gesture adds to it");
    // Another configuration claims the box; the same note ends no second service, a new one would.
    guard.kill();
    let mut claimed = plan();
    claimed.more.push_str("[overlay]\ntext = \"another shop\"\n");
    shop.configure(&claimed);
    let _guard = shop.start("guard");
    // The hold of 11 s passed the one that locks.
    assert_eq!(shop.status().unwrap()["reason"], "lock");
    shop.hold("2.3");
    assert_eq!(shop.phase(), "idle", "{:?}", shop.status());
    said(&bring(&shop, &signed("end-of-service", &end)), 69, "ended a service here before");
    assert_eq!(shop.phase(), "idle");
    shop.verify();
}
