//! The platform's values below the files: who wins, what is refused, and why.

mod random;

use serde_json::{Value, json};

use super::keys::{MASKS, ValueKind};
use super::{DESIRED_KEYS, DesiredKey, Judged, Verdict};
use crate::config::Config;
use crate::ipc::Values;

const RTMP: &str = "rtmps://push.example.cn/live";
const SRT: &str = "srt://push.example.cn:9000";
const WHIP: &str = "https://push.example.cn/whip";

fn files(main: &str, later: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/20-shop.toml"), later).unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, main).unwrap();
    Config::load(&path).unwrap_or_else(|error| panic!("{error}\n{main}\n{later}"))
}

fn values(all: Value) -> Values {
    serde_json::from_value(all).unwrap()
}

fn verdict(judged: &Judged, key: &str) -> Verdict {
    judged.keys.iter().find(|(known, _)| known == key).unwrap_or_else(|| panic!("{key} is missing")).1.clone()
}

#[track_caller]
fn refused(judged: &Judged, key: &str, why: &str) {
    match verdict(judged, key) {
        Verdict::Refused(text) => assert!(text.contains(why), "{key}: {text}\n  is not about\n{why}"),
        other @ (Verdict::Ok | Verdict::Locked(_) | Verdict::Unknown(_)) => panic!("{key}: {other:?}"),
    }
    assert!(judged.taken.get(key).is_none());
}

/// A box on which `key` can be set: what its files have besides it, one value for a file and another for the platform.
fn sample(key: &DesiredKey) -> (String, Value, Value) {
    let url = match key.name {
        name if name.ends_with("token") => WHIP,
        name if ["passphrase", "pbkeylen", "streamid", "min-latency", "packet-size"]
            .iter()
            .any(|k| name.ends_with(k)) =>
        {
            SRT
        }
        _ => "rtmps://push.example.cn/live/k",
    };
    let second = key.name.starts_with("ingest.second.") && key.name != "ingest.second.url";
    let (first, second) = if second {
        ("rtmps://push.example.cn/live/k", format!("[ingest.second]\nurl = \"{url}\"\n"))
    } else {
        (if key.name == "ingest.url" { "rtmps://host.invalid/live/k" } else { url }, String::new())
    };
    // The keys of RTMP need one in the files; an address takes its key along.
    let base = format!(
        "[mqtt]\nurl = \"mqtts://broker.example.cn\"\n[privacy]\nallowed-ingest-hosts = [\"*.example.cn\", \"host.invalid\"]\n\
         [ingest]\nurl = \"{first}\"\n{second}"
    );
    let (one, other) = match (key.kind, key.name) {
        (_, "video.device") => (json!("/dev/video1"), json!("/dev/video2")),
        (_, "video.source") => (json!("v4l2"), json!("test")),
        (_, "video.width" | "video.height") => (json!(640), json!(480)),
        (_, "video.rotation") => (json!(90), json!(180)),
        (_, "video.bitrate-kbps") => (json!(700), json!(900)),
        (_, "video.min-bitrate-kbps") => (json!(400), json!(500)),
        (_, "audio.device") => (json!("hw:1"), json!("hw:2")),
        (_, "audio.source") => (json!("alsa"), json!("none")),
        (_, name) if name.ends_with("pbkeylen") => (json!(32), json!(24)),
        (_, name) if name.ends_with("passphrase") => (json!("0123456789"), json!("9876543210")),
        (_, name) if name.ends_with("url") => {
            (json!("rtmps://a.example.cn/live/k"), json!("rtmps://b.example.cn/live/k"))
        }
        (ValueKind::Flag, _) => {
            let default = key.value_in(&files(&base, "")) == json!(true);
            (json!(default), json!(!default))
        }
        (ValueKind::Number(low, high), _) => (json!(low), json!(high)),
        (ValueKind::Span(low, high), _) => (json!(low), json!(high)),
        (ValueKind::Word(words), _) => (json!(words[0]), json!(words[1])),
        (ValueKind::Text | ValueKind::Secret, _) => (json!("one"), json!("other")),
        (ValueKind::Crop, _) => (
            json!({"left": 1, "right": 2, "top": 3, "bottom": 4}),
            json!({"left": 5, "right": 6, "top": 7, "bottom": 8}),
        ),
        (ValueKind::Masks, _) => {
            let mask = |x: u32| json!([{"x": x, "y": 0, "width": 10, "height": 10}]);
            (mask(0), mask(20))
        }
    };
    (base, one, other)
}

/// A file of the integrator's with `value` for `key`.
fn file_with(key: &DesiredKey, value: &Value) -> String {
    let mut all = Values::default();
    all.insert(key.name, value.clone());
    super::text::toml(&all)
}

#[test]
fn a_file_wins_over_the_platform_for_every_key_and_without_one_the_platform_has_it() {
    for key in DESIRED_KEYS {
        let (base, one, other) = sample(key);
        let mut wanted = Values::default();
        wanted.insert(key.name, other.clone());
        let free = files(&base, "");
        let judged = free.with_desired(&wanted);
        assert_eq!(verdict(&judged, key.name), Verdict::Ok, "{}", key.name);
        assert_ne!(judged.config.hash, free.hash, "{}", key.name);
        if key.kind != ValueKind::Secret {
            assert_eq!(key.value_in(&judged.config), other, "{}", key.name);
        }
        assert_eq!(judged.taken, wanted);
        let locked = files(&base, &file_with(key, &one));
        let judged = locked.with_desired(&wanted);
        if key.name == MASKS {
            assert_eq!(judged.config.masks.len(), 2, "masks add up");
            continue;
        }
        let Verdict::Locked(text) = verdict(&judged, key.name) else { panic!("{} is not locked", key.name) };
        assert!(text.starts_with("20-shop.toml:2 says it"), "{}: {text}", key.name);
        assert_eq!(key.value_in(&judged.config), key.value_in(&locked), "{}", key.name);
        assert!(judged.taken.is_empty() && judged.config.hash == locked.hash, "{}", key.name);
    }
}

#[test]
fn the_table_has_the_readers_ranges_and_words() {
    for key in DESIRED_KEYS {
        let (base, ..) = sample(key);
        let config = files(&base, "");
        let verdict = |value: Value| {
            let mut wanted = Values::default();
            wanted.insert(key.name, value);
            verdict(&config.with_desired(&wanted), key.name)
        };
        let outside = |text: &str| {
            let span = crate::config::parse_duration(text).unwrap();
            [span.checked_sub(core::time::Duration::from_millis(1)), Some(span + core::time::Duration::from_millis(1))]
        };
        match key.kind {
            ValueKind::Number(low, high) => {
                let beyond = [low.checked_sub(1), Some(high + 1)].into_iter().flatten();
                for number in beyond {
                    let Verdict::Refused(text) = verdict(json!(number)) else { panic!("{}: {number}", key.name) };
                    assert!(
                        text.contains(&format!("from {low} to {high}")) || text.contains("is not"),
                        "{}: {text}",
                        key.name
                    );
                }
            }
            ValueKind::Span(low, high) => {
                let below = outside(low)[0].map(|span| format!("{}ms", span.as_millis()));
                let above = outside(high)[1].map(|span| format!("{}ms", span.as_millis()));
                for text in [below, above].into_iter().flatten() {
                    let Verdict::Refused(said) = verdict(json!(text)) else { panic!("{}: {text}", key.name) };
                    assert!(said.contains(&format!("\"{low}\" to \"{high}\"")), "{}: {said}", key.name);
                }
            }
            ValueKind::Word(words) => {
                let Verdict::Refused(text) = verdict(json!("nothing-like-it")) else { panic!("{}", key.name) };
                assert!(text.ends_with(&format!("choose one of: {}", words.join(", "))), "{}: {text}", key.name);
            }
            ValueKind::Flag | ValueKind::Text | ValueKind::Secret | ValueKind::Crop | ValueKind::Masks => {}
        }
        for wrong in [Value::Null, json!([1]), json!({"a": {"b": 1}}), json!(1.5), json!("\u{7f}"), json!([[[[]]]])] {
            assert!(matches!(verdict(wrong.clone()), Verdict::Refused(_)), "{} takes {wrong}", key.name);
        }
    }
}

#[test]
fn the_document_has_the_table() {
    let document = include_str!("../../../docs/twin.md");
    for key in DESIRED_KEYS {
        let row = format!("| `{}` | {} | {} |", key.name, key.kind, key.meaning);
        assert!(document.lines().any(|line| line == row), "docs/twin.md lacks\n{row}");
    }
}

/// Every key of the two sections that the contract gives to the platform as a whole is in the table.
#[test]
fn no_key_of_video_audio_and_overlay_is_forgotten() {
    let pinned = include_str!("../../../tests/wire/configuration.txt");
    for line in pinned.lines() {
        let Some((section, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("] ")) else { continue };
        let name = format!("{section}.{}", rest.split(':').next().unwrap());
        let shared = ["video", "audio", "overlay", "ingest", "ingest.second"].contains(&section);
        let known = DESIRED_KEYS.iter().any(|key| key.name == name);
        // Files and interfaces are the machine's.
        let is_local = name.ends_with("ca-file") || name == "ingest.metered-interfaces";
        assert_eq!(known, (shared && !is_local) || name == "mqtt.telemetry-interval", "{name}");
    }
}

#[test]
fn what_is_good_is_taken_beside_what_is_not() {
    let config = files(&format!("[ingest]\nurl = \"{RTMP}/k\"\n"), "[video]\nfps = 25\n");
    let judged = config.with_desired(&values(json!({
        "video.bitrate-kbps": 900, "video.fps": 10, "video.width": "wide", "vidoe.height": 1, "video.keyframe-intervall": "1s",
        "panel.lamp-pin": 5, "consent.max-session": "1d", "privacy.allowed-ingest-hosts": ["a"], "trust": [], "mqtt.url": "mqtt://x",
        "device.id": "x", "audio.bitrate-kbps": 8, "phase": "live", "ingest.ca-file": "/x", "audio.device": "file:'/tmp/x'",
        "trust.f\u{200b}ps": 1,
    })));
    assert_eq!((judged.config.video.bitrate_kbps, judged.config.video.fps), (900, 25));
    assert_eq!(judged.taken, values(json!({"video.bitrate-kbps": 900})));
    refused(&judged, "video.width", "width must be a whole number, not string; write a whole number from 16 to 3840");
    refused(&judged, "audio.bitrate-kbps", "bitrate-kbps = 8 is out of range; write a whole number from 16 to 320");
    refused(&judged, "audio.device", "is more than the name of an ALSA device");
    for key in [
        "panel.lamp-pin",
        "consent.max-session",
        "privacy.allowed-ingest-hosts",
        "trust",
        "mqtt.url",
        "device.id",
        "ingest.ca-file",
    ] {
        refused(&judged, key, "is the integrator's");
    }
    refused(&judged, "trust.f\u{200b}ps", "trust.fps is the integrator's");
    for (key, near) in [("vidoe.height", "video.height"), ("video.keyframe-intervall", "video.keyframe-interval")] {
        let Verdict::Unknown(text) = verdict(&judged, key) else { panic!("{key}") };
        assert!(text.starts_with(&format!("did you mean \"{near}\"? ")), "{text}");
    }
    assert!(matches!(verdict(&judged, "phase"), Verdict::Unknown(_)));
    assert!(matches!(verdict(&judged, "video.fps"), Verdict::Locked(_)));
}

#[test]
fn keys_that_contradict_each_other_are_refused_together() {
    let config = files(&format!("[ingest]\nurl = \"{RTMP}/k\"\n"), "");
    let judged = config.with_desired(&values(json!({
        "video.bitrate-kbps": 500, "video.min-bitrate-kbps": 600, "video.fps": 10
    })));
    for key in ["video.bitrate-kbps", "video.min-bitrate-kbps"] {
        refused(&judged, key, "min-bitrate-kbps 600 is above bitrate-kbps 500");
    }
    assert_eq!(judged.config.video.fps, 10);
    // Each alone would contradict the default, and together they are right.
    let judged = config.with_desired(&values(json!({"video.bitrate-kbps": 6000, "video.min-bitrate-kbps": 5000})));
    assert!(judged.keys.iter().all(|(_, verdict)| *verdict == Verdict::Ok));
    // Against what a file says only the platform's is wrong.
    let strict = files(&format!("[ingest]\nurl = \"{RTMP}/k\"\n"), "[video]\nmin-bitrate-kbps = 1000\n");
    refused(&strict.with_desired(&values(json!({"video.bitrate-kbps": 500}))), "video.bitrate-kbps", "is above");
    // A mask that the smaller picture does not have room for.
    let masked = files(
        &format!("[ingest]\nurl = \"{RTMP}/k\"\n[[privacy-mask]]\nx = 600\ny = 0\nwidth = 600\nheight = 9\n"),
        "",
    );
    let judged = masked.with_desired(&values(json!({"video.width": 640, "video.fps": 5})));
    refused(&judged, "video.width", "reaches beyond the picture's 640");
    assert_eq!((judged.config.video.width, judged.config.video.fps, judged.config.masks.len()), (1280, 5, 1));
    // Everything wrong at once ends, and takes nothing.
    let all: Values = values(DESIRED_KEYS.iter().map(|key| (key.name.to_owned(), json!("?"))).collect());
    let judged = config.with_desired(&all);
    assert!(judged.taken.iter().all(|(key, _)| ["overlay.text", "video.device"].contains(&key)), "{:?}", judged.taken);
}

#[test]
fn streams_go_where_the_files_allow_and_secrets_where_they_send_them() {
    let list = "[privacy]\nallowed-ingest-hosts = [\"*.example.cn\"]\n";
    let own = files("[ingest]\nurl = \"rtmps://push.example.cn/live/${STREAM_KEY}\"\n", "");
    let listed = files("[ingest]\nurl = \"rtmps://push.example.cn/live/${STREAM_KEY}\"\n", list);
    let second = |url: &str| values(json!({"ingest.second.url": url}));
    // Without a list only the files' own hosts are allowed.
    refused(
        &own.with_desired(&second("rtmps://b.example.cn/live/k")),
        "ingest.second.url",
        "not one of allowed-ingest-hosts",
    );
    refused(&listed.with_desired(&second("rtmps://b.example.org/live/k")), "ingest.second.url", "not one of allowed");
    assert_eq!(verdict(&listed.with_desired(&second("rtmps://b.example.cn/live/k")), "ingest.second.url"), Verdict::Ok);
    for url in [
        "rtmps://b.example.cn/live/${STREAM_KEY}",
        "rtmps://push.example.cn/live/${STREAM_KEY}",
        "srt://a.example.cn:9?streamid=${HOME}",
    ] {
        refused(&listed.with_desired(&second(url)), "ingest.second.url", "the platform cannot send the secret");
    }
    // An address in the files stands; one that is to be replaced gives way, but takes no secret along.
    let Verdict::Locked(_) =
        verdict(&listed.with_desired(&values(json!({"ingest.url": "rtmps://b.example.cn/live/k"}))), "ingest.url")
    else {
        panic!("not locked")
    };
    let shipped = files("[ingest]\nurl = \"rtmps://ingest.invalid/live/${STREAM_KEY}\"\n", list);
    let wanted = values(json!({"ingest.url": "rtmps://b.example.cn/live", "ingest.stream-key": "written-out"}));
    let judged = shipped.with_desired(&wanted);
    assert_eq!((judged.taken, judged.config.ingest.first.host.as_str()), (wanted, "b.example.cn"));
    let allowed = &judged.config.privacy.allowed_ingest_hosts;
    assert!(
        allowed.len() == 1 && allowed[0].allows(&crate::config::Host::parse("x.example.cn").unwrap()),
        "the platform allows nothing: {allowed:?}"
    );
    let with_secret = values(json!({"ingest.url": "rtmps://b.example.cn/live/${STREAM_KEY}"}));
    refused(&shipped.with_desired(&with_secret), "ingest.url", "the platform cannot send the secret STREAM_KEY");
    let kept = files("[ingest]\nurl = \"rtmps://ingest.invalid/live\"\nstream-key = \"hidden\"\n", list);
    let judged = kept.with_desired(&values(json!({"ingest.url": "rtmps://b.example.cn/live"})));
    refused(&judged, "ingest.url", "the platform cannot send the box's stream-key");
    assert!(!format!("{judged:?}").contains("hidden"));
}

#[test]
fn a_stick_counts_as_a_file_and_not_as_the_boxs_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, "[ingest]\nurl = \"rtmps://push.example.cn/live\"\nstream-key = \"own\"\n").unwrap();
    let stick = "[ingest]\nurl = \"srt://b.example.cn:9\"\nstream-key = \"x\"\n[video]\nfps = 10\n";
    std::fs::write(
        dir.path().join("conf.d/50-usb.toml"),
        stick.replace("srt://b.example.cn:9", "rtmps://b.example.cn/live"),
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    let judged = config.with_desired(&values(json!({"video.fps": 5, "video.bitrate-kbps": 700})));
    assert_eq!(verdict(&judged, "video.bitrate-kbps"), Verdict::Ok, "{:?}", judged.keys);
    let Verdict::Locked(text) = verdict(&judged, "video.fps") else { panic!("not locked") };
    assert!(text.starts_with("50-usb.toml:5"), "{text}");
}
