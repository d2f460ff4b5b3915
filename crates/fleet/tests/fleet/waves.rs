//! Releases and their waves: published, watched, and stopped when boxes break or fall silent.

use crate::dates::days_from_now;
use crate::support::{Broker, Keys, lines, release, said, wait_until};
use rollout::WaveState;
use serde_json::{Value, json};

fn retain_box(broker: &Broker, id: &str, software: &str, phase: &str) {
    broker.retain(&format!("tallybox/v1/{id}/availability"), "online");
    let state = json!({"phase": phase, "software": format!("tallybox {software}"), "policy-version": "1"});
    broker.retain(&format!("tallybox/v1/{id}/state"), &state.to_string());
}

#[test]
fn a_wave_is_published_paused_resumed_and_stops_when_boxes_are_silent() {
    let broker = Broker::start();
    let file = crate::support::write(broker.dir.path(), "release.json", &release());
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
    let file = crate::support::write(broker.dir.path(), "release.json", &document.to_string());
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

/// All at once, stopped when two of at least four have failed.
fn wave_of_all(state: WaveState) -> Value {
    json!({
        "start": days_from_now(-20), "stages": [{"permille": 1000}], "deadline-s": 2_592_000, "state": state,
        "minimum-sample": 4, "abort": [{"on": "any", "minimum": 2, "permille": 100}],
    })
}

/// A fleet of simulated boxes that trust a release key, and what is published for them.
struct WaveOfBoxes {
    broker: Broker,
    key: String,
    config: String,
}

impl WaveOfBoxes {
    fn new(update: &str) -> Self {
        let broker = Broker::start();
        let mut keys = Keys::new(&broker);
        let key = keys.add(&broker, "release", &["release"]);
        let config = keys.config(&format!("[update]\nnotice = \"0s\"\n{update}"));
        Self { broker, key, config }
    }

    fn publish(&self, wave: &Value) {
        let mut document: Value = serde_json::from_str(&release()).unwrap();
        document["wave"] = wave.clone();
        let file = crate::support::write(self.broker.dir.path(), "release.json", &document.to_string());
        let published = self.broker.run(&["update", "publish", file.to_str().unwrap(), "--key", &self.key]);
        assert!(published.status.success(), "{}", said(&published));
    }

    fn status(&self) -> Value {
        lines(&self.broker.run(&["update", "status", "--json", "--wait", "500ms"])).remove(0)
    }
}

#[test]
fn boxes_judge_the_release_and_update_unless_they_are_in_use_or_nobody_signed_it() {
    let fleet = WaveOfBoxes::new("");
    let _idle = fleet.broker.simulate(9, &["--config", &fleet.config]);
    let script = crate::support::write(fleet.broker.dir.path(), "busy", "500ms press 100%\n");
    let (script, broker) = (script.to_str().unwrap(), fleet.broker.url());
    let busy = ["--first", "10", "--boxes", "3", "--idle", "0s", "--config", &fleet.config, "--script", script];
    let _busy = fleet.broker.spawn(&[&["sim", "--broker", &broker][..], &busy].concat());
    let live = || lines(&fleet.broker.run(&["list", "--json", "--phase", "live", "--wait", "300ms"])).len();
    wait_until("three are in use", || live() == 3);
    fleet.publish(&wave_of_all(WaveState::Running));
    wait_until("all others have it", || fleet.status()["standings"] == json!({"updated": 9, "due": 3}));
    // A note that no release key signed is refused by every box, and changes nothing.
    let mut keys = Keys::new(&fleet.broker);
    let stranger = keys.add(&fleet.broker, "stranger", &[]);
    let wave = WaveOfBoxes { key: stranger, ..fleet };
    let events = wave.broker.subscribe("tallybox/v1/+/event", Some(12));
    wave.publish(&wave_of_all(WaveState::Running));
    let told = String::from_utf8(events.finish().stdout).unwrap();
    assert!(told.contains("no trusted key signed it") && !told.contains("update-offered"), "{told}");
}

#[test]
fn a_wave_is_paused_when_boxes_that_judged_the_release_fail() {
    let fleet = WaveOfBoxes::new("");
    let _boxes = fleet.broker.simulate(12, &["--config", &fleet.config, "--update-failures", "50"]);
    // Events are not retained: the wave begins once somebody watches.
    fleet.publish(&wave_of_all(WaveState::Paused));
    let mut watcher = fleet.broker.spawn(&["update", "watch", "--json", "--wait", "500ms", "--key", &fleet.key]);
    let first = watcher.line();
    assert!(first.contains("\"wave\":\"paused\""), "{first}");
    assert!(fleet.broker.run(&["update", "resume", "--key", &fleet.key]).status.success());
    let ended = watcher.finish();
    assert_eq!(ended.status.code(), Some(75), "{}", said(&ended));
    let last = lines(&ended).pop().unwrap_or_else(|| panic!("{}", said(&ended)));
    let count = |standing: &str| last["standings"][standing].as_u64().unwrap_or(0);
    assert!(count("failed") >= 2 && count("failed") + count("updated") >= 4, "the minimum sample: {last}");
    wait_until("the boxes' own index says paused", || fleet.status()["wave"] == "paused");
}
