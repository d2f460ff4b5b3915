//! Releases and their waves: published, watched, and stopped when boxes break or fall silent.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Broker, lines, said, wait_until};

/// A release whose wave began long ago, and whose deadline has passed.
fn release() -> String {
    json!({
        "version": "0.2.0-1", "channel": "stable", "not-after": "2027-06-01T00:00:00Z", "security": true,
        "files": {"arm64": {
            "url": "https://updates.example.cn/tallybox_0.2.0-1_arm64.deb", "size": 1000, "sha256": "0f".repeat(32),
        }},
        "wave": {
            "start": "2026-11-01T00:00:00Z", "stages": [{"permille": 1000}], "deadline-s": 600, "minimum-sample": 10,
            "abort": [{"on": "any", "minimum": 3, "permille": 200}],
        },
    })
    .to_string()
}

fn retain_box(broker: &Broker, id: &str, software: &str, phase: &str) {
    broker.retain(&format!("tallybox/v1/{id}/availability"), "online");
    let state = json!({"phase": phase, "software": format!("tallybox {software}"), "policy-version": "1"});
    broker.retain(&format!("tallybox/v1/{id}/state"), &state.to_string());
}

#[test]
fn a_wave_is_published_paused_resumed_and_stops_when_boxes_are_silent() {
    let broker = Broker::start();
    let file = support::write(broker.dir.path(), "release.json", &release());
    let key = broker.dir.path().join("release.key");
    let key = key.to_str().unwrap();
    assert!(broker.run(&["key", "new", "--name", "release.example.cn/test", key]).status.success());
    let published = broker.run(&["update", "publish", file.to_str().unwrap(), "--key", key]);
    assert_eq!(published.status.code(), Some(0), "{}", said(&published));

    for number in 0..8 {
        retain_box(&broker, &format!("new-{number}"), "0.2.0", "idle");
    }
    retain_box(&broker, "old-1", "0.1.0", "idle");
    retain_box(&broker, "busy-1", "0.1.0", "live");
    let status = || lines(&broker.run(&["update", "status", "--json", "--wait", "1s"])).remove(0);
    let first = status();
    assert_eq!(first["standings"], json!({"updated": 8, "silent": 1, "busy": 1}), "busy is no failure");
    assert_eq!((&first["wave"], &first["version"]), (&json!("running"), &json!("0.2.0-1")));

    // Paused and let go on: the same release with a higher serial.
    assert!(broker.run(&["update", "pause", "--key", key]).status.success());
    let paused = status();
    assert_eq!(
        (paused["wave"].as_str(), paused["serial"].as_u64()),
        (Some("paused"), first["serial"].as_u64().map(|serial| serial + 1))
    );
    assert!(broker.run(&["update", "resume", "--key", key]).status.success());
    assert_eq!(status()["wave"], "running");

    // Two more fall silent: 3 of 11 are too many, and the watcher pauses the wave by itself.
    let watcher = broker.spawn(&["update", "watch", "--json", "--wait", "500ms", "--key", key]);
    retain_box(&broker, "old-2", "0.1.0", "idle");
    retain_box(&broker, "old-3", "0.1.0", "fault");
    let ended = watcher.finish();
    wait_until("the wave is paused", || status()["wave"] == "paused");
    assert_eq!(ended.status.code(), Some(75), "{}", said(&ended));
    assert!(said(&ended).contains("more than 20 % of the boxes that are done failed"), "{}", said(&ended));

    // An aborted wave does not come back.
    assert!(broker.run(&["update", "abort", "--key", key]).status.success());
    let resumed = broker.run(&["update", "resume", "--key", key]);
    assert_eq!(resumed.status.code(), Some(65), "{}", said(&resumed));
    assert_eq!(status()["wave"], "aborted");
}

#[test]
fn boxes_that_say_that_they_failed_count_at_once() {
    let broker = Broker::start();
    let mut document: Value = serde_json::from_str(&release()).unwrap();
    // Nobody's deadline has passed: only what boxes say counts.
    document["wave"]["deadline-s"] = json!(2_592_000);
    let file = support::write(broker.dir.path(), "release.json", &document.to_string());
    let key = broker.dir.path().join("release.key");
    let key = key.to_str().unwrap();
    assert!(broker.run(&["key", "new", "--name", "release.example.cn/test", key]).status.success());
    assert!(broker.run(&["update", "publish", file.to_str().unwrap(), "--key", key]).status.success());
    (0..8).for_each(|number| retain_box(&broker, &format!("new-{number}"), "0.2.0", "idle"));
    let watcher = broker.spawn(&["update", "watch", "--json", "--wait", "500ms"]);
    let failed =
        json!({"id": "x", "fact": {"kind": "update-failed", "version": "0.2.0-1", "why": "it did not come up"}});
    let status = || lines(&broker.run(&["update", "status", "--json", "--wait", "500ms"])).remove(0);
    wait_until("the boxes are known", || status()["boxes"] == 8);
    for number in 0..3 {
        retain_box(&broker, &format!("old-{number}"), "0.1.0", "idle");
        broker.retain(&format!("tallybox/v1/old-{number}/event"), &failed.to_string());
    }
    let ended = watcher.finish();
    assert_eq!(ended.status.code(), Some(75), "{}", said(&ended));
    assert!(said(&ended).contains("call update pause"), "{}", said(&ended));
    assert_eq!(lines(&ended).last().unwrap()["standings"]["failed"], 3);
}
