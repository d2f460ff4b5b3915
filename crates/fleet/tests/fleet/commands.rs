//! Commands to simulated boxes over a real broker: what they do, what they print, and how they end.

use crate::support::{Broker, lines, names, said, wait_until};
use serde_json::json;

const STATE: &str = r#"{"phase":"idle","session":null,"since":"2026-11-29T10:00:00Z","reason":null,"muted":false,"policy-version":"1","software":"tallybox 0.1.0"}"#;

#[test]
fn boxes_are_listed_asked_and_stopped() {
    let broker = Broker::start();
    let _boxes = broker.simulate(6, &["--script", "/dev/null"]);
    let listed = lines(&broker.run(&["list", "--json", "--wait", "1s"]));
    let fields = ["box", "availability", "phase", "session", "since", "reason", "muted", "policy-version", "software"];
    assert_eq!(names(&listed[0])[..fields.len()], fields);
    assert_eq!(listed.len(), 6);

    // A request asks, and starts nothing.
    let asked = broker.run(&["request", "sim-0001", "sim-0002", "--json"]);
    assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
    let rows = lines(&asked);
    assert_eq!(names(&rows[0]), ["box", "outcome", "code", "error", "phase"]);
    assert_eq!(names(&rows[2]), ["boxes", "outcomes", "paused", "not-sent"]);
    assert_eq!(rows[2], json!({"boxes": 2, "outcomes": {"done": 2}, "paused": null, "not-sent": []}));
    let phases = |phase: &str| lines(&broker.run(&["list", "--json", "--phase", phase, "--wait", "500ms"])).len();
    wait_until("the lamps ask", || phases("requested") == 2);
    assert_eq!(phases("live"), 0);

    // What makes no sense is refused, and the reason is told.
    let refused = broker.run(&["send", "unmute", "sim-0001"]);
    assert_eq!(refused.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("refused  remote takes back only its own mute"));

    let stopped = broker.run(&["stop", "--phase", "requested", "--json"]);
    assert_eq!(lines(&stopped)[2]["outcomes"], json!({"done": 2}));
    wait_until("they are idle", || phases("idle") == 6);

    let told = lines(&broker.run(&["send", "diagnose", "sim-0003", "--json"]));
    assert_eq!(told[0]["diagnosis"]["status"]["phase"], "idle");
}

/// A box that says that it knows no key would refuse each signature.
#[test]
fn what_is_sent_to_boxes_that_know_no_key_is_not_signed() {
    let broker = Broker::start();
    let _boxes = broker.simulate(1, &["--script", "/dev/null"]);
    let file = broker.dir.path().join("operator.key");
    let key = file.to_str().unwrap();
    let made = broker.run(&["key", "new", "--name", "operator.example.cn/test", key]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let sent = broker.run(&["send", "identify", "sim-0001", "--key", key, "--json"]);
    assert_eq!(lines(&sent)[0]["outcome"], "done", "{}", said(&sent));
    let refused = broker.run(&["send", "erase", "sim-0001", "--key", key, "--json"]);
    let row = &lines(&refused)[0];
    assert_eq!(row["outcome"], "refused", "{row}");
    assert!(row["error"].as_str().unwrap().starts_with("it knows no key"), "{row}");
}

#[test]
fn boxes_that_are_away_or_silent_are_told_apart_and_hold_nobody_up() {
    let broker = Broker::start();
    let _boxes = broker.simulate(2, &[]);
    broker.retain("tallybox/v1/away-1/availability", "offline");
    broker.retain("tallybox/v1/away-1/state", STATE);
    broker.retain("tallybox/v1/mute-1/availability", "online");
    broker.retain("tallybox/v1/mute-1/state", STATE);
    let asked = ["send", "identify", "away-1", "mute-1", "sim-0001", "sim-0002", "never-1", "--json"];
    let sent = broker.run(&[&asked[..], &["--jobs", "1", "--timeout", "1s", "--wait", "1s"]].concat());
    assert_eq!(sent.status.code(), Some(69), "{}", said(&sent));
    let rows = lines(&sent);
    let outcome = |id: &str| rows.iter().find(|row| row["box"] == id).unwrap()["outcome"].clone();
    assert_eq!(
        ["away-1", "never-1", "mute-1", "sim-0001", "sim-0002"].map(outcome),
        ["away", "away", "silent", "done", "done"]
    );

    // A stop is sent all the same: the broker may be wrong about who is away.
    let stop = broker.run(&["stop", "away-1", "--json", "--timeout", "1s"]);
    assert_eq!(lines(&stop)[0]["outcome"], "silent");
}

#[test]
fn sending_pauses_when_too_many_boxes_fail() {
    let broker = Broker::start();
    for number in 0..12 {
        broker.retain(&format!("tallybox/v1/mute-{number}/availability"), "online");
        broker.retain(&format!("tallybox/v1/mute-{number}/state"), STATE);
    }
    let budget = ["--jobs", "1", "--timeout", "200ms", "--minimum-sample", "3", "--max-failures", "20%"];
    let sent = broker.run(&[&["send", "identify", "--all", "--json", "--wait", "1s"][..], &budget].concat());
    assert_eq!(sent.status.code(), Some(75), "{}", said(&sent));
    let rows = lines(&sent);
    let last = rows.last().unwrap();
    assert_eq!(last["outcomes"], json!({"silent": 3, "not-sent": 9}));
    assert_eq!(last["not-sent"].as_array().unwrap().len(), 9);
    assert!(said(&sent).contains("paused: 3 of 3 boxes failed"), "{}", said(&sent));
}

#[test]
fn mistakes_are_told_and_end_with_the_code_of_their_kind() {
    let broker = Broker::start();
    let dir = broker.dir.path();
    let open_key = crate::support::write(dir, "open.key", "PRIVATE+KEY+a+00000000+AA==\n");
    let empty = crate::support::write(dir, "empty.jsonl", "");
    for (arguments, code, words) in [
        (&["stop"][..], 64, "name boxes, or write --all"),
        (&["stop", "Shop/1"], 64, "is no id of a box"),
        (&["start", "shop-1"], 64, "unrecognized subcommand"),
        (&["send", "start", "shop-1"], 64, "invalid value"),
        (&["list", "--broker", "http://127.0.0.1"], 64, "is not supported"),
        (&["list", "--broker", "mqtt://127.0.0.1:1"], 69, "the broker mqtt://127.0.0.1:1"),
        (&["stop", "--all", "--wait", "200ms"], 69, "no box that is online fits"),
        (&["set", "video", "shop-1"], 64, "name what to set"),
        (&["set", "desired", "--value", "fps=1", "shop-1"], 64, "names no section"),
        (&["set", "desired", "--value", "video.fps=25", "shop-1"], 64, "has to be signed"),
        (&["stop", "shop-1", "--key", "/nonexistent"], 66, "there is no such file"),
        (&["stop", "shop-1", "--key", open_key.to_str().unwrap()], 77, "others can read this key"),
        (&["verify", "/nonexistent.jsonl"], 66, "No such file"),
        (&["verify", empty.to_str().unwrap()], 65, "1 of 1 files do not verify"),
        (&["sim", "--boxes", "0"], 64, "not in 1..=20000"),
        (&["sim", "--name", "Box"], 64, "is no id of a box"),
        (&["sim", "--script", "/nonexistent"], 66, "there is no such file"),
        (&["update", "status", "--channel", "a/b"], 64, "write 1 to 32 of"),
        (&["update", "status", "--wait", "300ms"], 69, "there is no release on the channel stable"),
    ] {
        let output = broker.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn keys_are_made_for_their_owner_alone() {
    let broker = Broker::start();
    let file = broker.dir.path().join("operator.key");
    let file = file.to_str().unwrap();
    let made = broker.run(&["key", "new", "--name", "operator.example.cn/test", file]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    assert!(String::from_utf8_lossy(&made.stdout).starts_with("operator.example.cn/test+"));
    assert_eq!(broker.run(&["key", "show", file]).stdout, made.stdout);
    let again = broker.run(&["key", "new", "--name", "operator.example.cn/test", file]);
    assert_eq!(again.status.code(), Some(64), "a key is never written over: {}", said(&again));
    assert_eq!(broker.run(&["key", "show", file]).stdout, made.stdout);
}
