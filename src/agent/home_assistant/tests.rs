use std::path::Path;
use std::time::Duration;

use monotonic::Monotonic;
use serde_json::Value;

use super::announcement::{HomeAssistant, LEAST_INTERVAL};
use super::{BIRTH_SPREAD, discovery};
use crate::config::{Config, Mqtt};

const OWN: &str = "homeassistant/device/shop-0042/config";

fn config(dir: &Path, more: &str) -> Config {
    let path = dir.join("tallybox.toml");
    let text = format!("[ingest]\nurl = \"rtmp://127.0.0.1/live/k\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n{more}");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

fn mqtt(more: &str) -> Mqtt {
    config(tempfile::tempdir().unwrap().path(), more).mqtt.unwrap()
}

fn told(dir: &Path, more: &str) -> HomeAssistant {
    HomeAssistant::new(&config(dir, more).mqtt.unwrap(), &dir.join("agent"))
}

fn message(more: &str, id: &str) -> Value {
    serde_json::from_str(&discovery::message(&mqtt(more), id)).unwrap()
}

#[test]
fn it_is_off_unless_configured() {
    assert_eq!(mqtt("").home_assistant, None);
    assert_eq!(mqtt("home-assistant-prefix = \"ha\"\n").home_assistant, None);
    assert_eq!(mqtt("home-assistant = true\n").home_assistant.as_deref(), Some("homeassistant"));
    let dir = tempfile::tempdir().unwrap();
    let mut off = told(dir.path(), "");
    off.connected(Monotonic::default());
    assert_eq!((off.next(Monotonic::default(), None), off.due()), (None, None));
    assert!(!dir.path().join("agent").exists());
}

#[test]
fn an_unbound_box_has_nothing_to_wake_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = told(dir.path(), "home-assistant = true\n");
    let now = Monotonic::default();
    told.connected(now);
    assert_eq!(told.due(), Some(now));
    assert_eq!((told.next(now, None), told.due()), (None, None));
}

#[test]
fn nothing_can_be_switched_on_and_nothing_is_seen() {
    let message = message("", "shop-0042");
    let components = message["components"].as_object().unwrap();
    let mut commands = 0;
    for (name, part) in components {
        let platform = part["platform"].as_str().unwrap();
        assert!(["binary_sensor", "sensor", "button"].contains(&platform), "{name}: {platform}");
        assert_eq!(part["unique_id"], format!("shop-0042-{name}"));
        commands += usize::from(part.get("command_topic").is_some());
        let said = name == "live" || name == "consent" || name == "stop";
        assert_eq!(part["entity_category"] == "diagnostic", !said, "{name}");
    }
    assert_eq!((commands, &components["stop"]["command_topic"]), (1, &"tallybox/v1/shop-0042/cmd/stop".into()));
    assert!(message["device"].is_object() && message["origin"]["name"] == "tallybox");
    let text = message.to_string();
    assert_eq!(text.matches("availability_topic").count(), 1);
}

/// Home Assistant takes more; a broker may not, and this one is retained by each for each box.
#[test]
fn the_message_is_under_4_kib() {
    let usual = message("", &"x".repeat(64)).to_string().len();
    assert!(usual < 4096, "{usual}");
    let longest = message(&format!("topic-prefix = \"{}\"\n", "p".repeat(256)), &"x".repeat(64)).to_string().len();
    assert!(longest < 8192, "{longest}");
}

#[test]
fn each_figure_is_one_of_telemetry() {
    let known = serde_json::to_value(crate::agent::telemetry::Telemetry::default()).unwrap();
    let message = message("", "shop-0042");
    let figures = message["components"].as_object().unwrap().values().filter(|part| part["platform"] == "sensor");
    let mut count = 0;
    for template in figures.map(|part| part["value_template"].as_str().unwrap()) {
        // The phase comes from `state`.
        let Some((_, field)) = template.split_once("value_json['") else { continue };
        let field = field.split('\'').next().unwrap();
        assert!(known.get(field).is_some(), "{field}");
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn a_flood_of_births_sends_one_message_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = told(dir.path(), "home-assistant = true\n");
    let begin = Monotonic::default();
    told.connected(begin);
    let mut sent = 0;
    for tenth in 0..36_000 {
        let now = begin.saturating_add(Duration::from_millis(100 * tenth));
        told.born(now, BIRTH_SPREAD / 2);
        if let Some((topic, withdraws)) = told.next(now, Some(OWN)) {
            assert_eq!((topic.as_str(), withdraws), (OWN, false));
            sent += 1;
            told.settle(true);
        }
    }
    assert!((59..=61).contains(&sent), "{sent} in an hour");
}

#[test]
fn a_birth_is_answered_although_it_comes_soon_after_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = told(dir.path(), "home-assistant = true\n");
    let begin = Monotonic::default();
    told.connected(begin);
    assert!(told.next(begin, Some(OWN)).is_some());
    told.born(begin, Duration::ZERO);
    assert!(told.next(begin.saturating_add(LEAST_INTERVAL), Some(OWN)).is_none(), "one at a time");
    told.settle(true);
    assert!(told.next(begin.saturating_add(LEAST_INTERVAL / 2), Some(OWN)).is_none());
    assert!(told.next(begin.saturating_add(LEAST_INTERVAL), Some(OWN)).is_some());
}

#[test]
fn what_was_announced_is_withdrawn_when_it_is_switched_off_or_moves() {
    let dir = tempfile::tempdir().unwrap();
    let now = Monotonic::default();
    let mut first = told(dir.path(), "home-assistant = true\n");
    first.connected(now);
    let (topic, _) = first.next(now, Some(OWN)).unwrap();
    first.note(&topic);
    // The agent dies here: whether the broker has it is not known.
    let mut moved = told(dir.path(), "home-assistant = true\nhome-assistant-prefix = \"ha\"\n");
    moved.connected(now);
    let new = "ha/device/shop-0042/config";
    assert_eq!(moved.next(now, Some(new)), Some((OWN.to_owned(), true)));
    // The broker refuses it: not again on this connection, and the new one is sent.
    moved.settle(false);
    assert_eq!(moved.next(now, Some(new)), Some((new.to_owned(), false)));
    moved.note(new);
    moved.settle(true);
    let mut off = told(dir.path(), "");
    off.connected(now);
    for topic in [OWN, new] {
        assert_eq!(off.next(now, None), Some((topic.to_owned(), true)));
        off.settle(true);
    }
    assert_eq!(off.next(now, None), None);
    assert!(!dir.path().join("agent/home-assistant").exists());
}

/// What an agent withdraws that is told nothing of Home Assistant.
fn withdrawn(dir: &Path) -> Vec<String> {
    let mut off = told(dir, "");
    let next = || {
        let (topic, _) = off.next(Monotonic::default(), None)?;
        off.settle(true);
        Some(topic)
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn a_damaged_file_names_no_topic_that_cannot_be_published_to() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("agent")).unwrap();
    let path = dir.path().join("agent/home-assistant");
    std::fs::write(&path, format!("\n#\na/+/b\n{OWN}\n")).unwrap();
    assert_eq!(withdrawn(dir.path()), [OWN]);
    for damage in [vec![0xff, 0xfe], vec![b'a'; 5000]] {
        std::fs::write(&path, damage).unwrap();
        assert!(withdrawn(dir.path()).is_empty());
    }
}
