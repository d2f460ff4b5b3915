//! What staff did not agree to is not asked again until something changes, whoever asks, by whatever way, however it is
//! written. Policies are in `policies`.

use serde_json::{Value, json};

use crate::erasure::count;
use crate::rig::{ALL_ROLES, signed, signer, trust};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;
use crate::verbs::Operator;

fn plan(timeout: &str, more: &str) -> BoxConfig {
    let allowed = "[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\", \"localhost\", \"*.example\"]\n";
    let more = format!("{allowed}[consent]\nrequest-timeout = \"{timeout}\"\n{more}{}", trust(&signer(), &ALL_ROLES));
    BoxConfig { more, ..BoxConfig::default() }
}

fn other_server() -> Value {
    json!({ "url": "rtmp://localhost:9/live/a" })
}

fn document(version: u64, values: &Value) -> String {
    signed("desired", &json!({ "box": "test-box", "version": version, "values": values }))
}

/// It is refused at once, and the lamp asks nobody.
#[track_caller]
fn is_not_asked(shop: &TestBox, answer: &Value) {
    assert!(answer.to_string().contains("not asked again"), "{answer}");
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("idle", "dark"), "{answer}");
}

#[test]
fn another_server_is_asked_once_by_command_and_by_document() {
    let shop = TestBox::new(&plan("2s", ""));
    let mut guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    operator.send("set-ingest", &other_server());
    wait_until("the lamp asks", || shop.lamp() == "triple-blink");
    let answer = operator.answer();
    assert!(answer.to_string().contains("did not agree"), "{answer}");
    shop.wait_for_phase("idle");
    // Another id, spelling, port, path, key; and after a restart.
    for url in ["rtmp://localhost:9/live/a", "rtmp://LOCALHOST:10/other/b", "  rtmp://localhost/c/d  "] {
        let answer = operator.ask("set-ingest", &json!({ "url": url, "stream-key": url.len().to_string() }));
        if answer["refused"]["code"] != "malformed" {
            is_not_asked(&shop, &answer);
        }
        assert_eq!(shop.lamp(), "dark", "{answer}");
    }
    guard.kill();
    guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    let answer = operator.ask("set-ingest", &other_server());
    is_not_asked(&shop, &answer);
    // The same question in a document: it is not taken, and the lamp stays dark.
    let second = json!({ "ingest.second.url": "rtmp://localhost:11/x/y", "overlay.text": "hello" });
    operator.hand_in("desired", &document(1, &second));
    assert_eq!((shop.phase(), &shop.status().unwrap()["desired"]["version"]), ("idle".to_owned(), &Value::Null));
    assert_eq!((count(&shop, "desired-pending"), count(&shop, "agreement-refused")), (0, 1), "{:?}", shop.kinds());
    // Another server is another question.
    operator.send("set-ingest", &json!({ "url": "rtmp://other.example/live/a" }));
    wait_until("the lamp asks", || shop.lamp() == "triple-blink");
    assert!(operator.answer().to_string().contains("did not agree"));
    // The box's files change: what was refused may be asked.
    drop(operator);
    guard.kill();
    shop.configure(&plan("2s", "[overlay]\ntext = \"changed\"\n"));
    let _guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    operator.send("set-ingest", &other_server());
    wait_until("the lamp asks", || shop.lamp() == "triple-blink");
    shop.verify();
}

#[test]
fn a_document_that_was_withdrawn_is_not_asked_again_under_another_version() {
    let shop = TestBox::new(&plan("2s", ""));
    let mut guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    let values = json!({ "ingest.second.url": "rtmp://second.example/live/a" });
    operator.hand_in("desired", &document(1, &values));
    shop.wait_for_phase("policy");
    shop.press();
    operator.hand_in("desired", &document(2, &json!({})));
    shop.wait_for_phase("idle");
    assert_eq!(count(&shop, "agreement-refused"), 1, "{:?}", shop.kinds());
    for version in 3..6 {
        operator.hand_in("desired", &document(version, &values));
        assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("idle", "dark"), "{version}");
        operator.hand_in("desired", &document(version, &values));
    }
    guard.kill();
    guard = shop.start("guard");
    assert_eq!((shop.phase().as_str(), count(&shop, "desired-pending")), ("idle", 1), "{:?}", shop.kinds());
    let mut operator = Operator::new(&shop);
    let answer = operator.ask("set-ingest", &json!({ "url": "rtmp://second.example/live/other" }));
    is_not_asked(&shop, &answer);
    // Staff acknowledge a policy; the broker's copy, which comes again, is a question.
    let policy = json!({ "version": "2027-01-01", "material": true });
    operator.hand_in("policy", &signed("policy", &policy));
    shop.wait_for_phase("policy");
    shop.hold("2.4");
    shop.wait_for_phase("idle");
    operator.hand_in("desired", &document(5, &values));
    shop.wait_for_phase("policy");
    shop.hold("2.4");
    wait_until("it is in force", || shop.status().unwrap()["desired"]["version"] == 5);
    shop.verify();
    drop(guard);
}

#[test]
fn an_unbinding_is_asked_once_and_five_different_questions_are_the_last() {
    let shop = TestBox::new(&plan("1s", ""));
    let _guard = shop.start("guard");
    let mut operator = Operator::new(&shop);
    // Nobody is there.
    assert!(operator.ask("unbind", &json!({})).to_string().contains("in time"));
    assert_eq!(count(&shop, "unbind-requested"), 1);
    let answer = operator.ask("unbind", &json!({}));
    is_not_asked(&shop, &answer);
    assert!(answer.to_string().contains("a hold of 10 s"), "{answer}");
    for number in 0..4 {
        let answer = operator.ask("set-ingest", &json!({ "url": format!("rtmp://s{number}.example/live/a") }));
        assert!(answer.to_string().contains("in time"), "{answer}");
    }
    let answer = operator.ask("set-ingest", &json!({ "url": "rtmp://s9.example/live/a" }));
    assert!(answer.to_string().contains("asked nothing more"), "{answer}");
    assert_eq!((shop.lamp().as_str(), count(&shop, "agreement-refused")), ("dark", 5), "{:?}", shop.kinds());
    // Nothing of that keeps staff from what they want.
    wait_until("a press starts, once it cannot be a late answer", || {
        shop.press();
        shop.phase() != "idle"
    });
    shop.press();
    shop.wait_for_phase("idle");
    shop.verify();
}
