//! Random documents over random files.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::text;
use super::{DESIRED_KEYS, RTMP, SRT, ValueKind, Verdict, WHIP, files, sample};
use crate::ipc::Values;

fn any_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "auto",
        "test",
        "none",
        "disk",
        "v4l2",
        "x264enc",
        "1s",
        "0",
        "30s",
        "${NAME}",
        "x\"]\n[panel]",
    ]);
    prop_oneof![
        (0_u32..25_000).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        word.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!({"left": 10, "right": 10})),
        Just(json!([{"x": 0, "y": 0, "width": 10, "height": 10}])),
        Just(Value::Null),
        prop::sample::select(vec![RTMP, SRT, WHIP, "rtmps://evil.example.org/live/k"]).prop_map(Value::from),
    ]
}

fn any_values() -> impl Strategy<Value = Values> {
    let names: Vec<&str> = DESIRED_KEYS.iter().map(|key| key.name).chain(["panel.lamp-pin", "video.nothing"]).collect();
    let good = prop::sample::select(DESIRED_KEYS.to_vec()).prop_map(|key| (key.name, sample(&key).2));
    let any = (prop::sample::select(names), any_value());
    prop::collection::vec(prop_oneof![2 => good, 1 => any], 0..8).prop_map(|all| {
        let mut values = Values::default();
        for (key, value) in all {
            values.insert(key, value);
        }
        values
    })
}

/// Some keys that fit together, for a file.
fn any_file() -> impl Strategy<Value = BTreeSet<usize>> {
    let fit = DESIRED_KEYS
        .iter()
        .enumerate()
        .filter(|(_, key)| ["video.", "audio.", "overlay."].iter().any(|section| key.name.starts_with(section)));
    let fit: Vec<usize> = fit.map(|(index, _)| index).collect();
    prop::collection::btree_set(prop::sample::select(fit), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("TALLYBOX_LONG").is_some() { 10_000 } else { 200 }))]
    #[test]
    fn files_win_and_what_is_taken_stands_by_itself(wanted in any_values(), file in any_file()) {
        let mut own = Values::default();
        for index in file {
            let key = &DESIRED_KEYS[index];
            own.insert(key.name, sample(key).1);
        }
        let config = files(&format!("[ingest]\nurl = \"{RTMP}/k\"\n"), &text::toml(&own));
        let judged = config.with_desired(&wanted);
        prop_assert_eq!(judged.keys.len(), wanted.len());
        for (name, verdict) in &judged.keys {
            prop_assert_eq!(judged.taken.get(name).is_some(), *verdict == Verdict::Ok, "{}", name);
            let key = DESIRED_KEYS.iter().find(|key| key.name == name);
            if own.get(name).is_some() {
                prop_assert_ne!(verdict, &Verdict::Ok);
            }
            if let (Verdict::Ok, Some(key)) = (verdict, key) {
                let (now, before) = (key.value_in(&judged.config), wanted.get(name).unwrap().clone());
                let exact = matches!(key.kind, ValueKind::Flag | ValueKind::Number(..) | ValueKind::Word(_) | ValueKind::Text);
                prop_assert!(!exact || now == before, "{}: {} is not {}", name, now, before);
            }
        }
        for (name, _) in own.iter() {
            let key = DESIRED_KEYS.iter().find(|key| key.name == name).unwrap();
            prop_assert_eq!(key.value_in(&judged.config), key.value_in(&config), "the file lost {}", name);
        }
        let again = config.with_desired(&judged.taken);
        prop_assert_eq!(&again.config.hash, &judged.config.hash);
        prop_assert_eq!(again.taken, judged.taken);
        prop_assert_eq!(format!("{:?}", judged.config.panel), format!("{:?}", config.panel));
        prop_assert_eq!(judged.config.privacy.allowed_ingest_hosts, config.privacy.allowed_ingest_hosts);
    }
}
