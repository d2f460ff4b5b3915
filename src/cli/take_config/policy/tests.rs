//! Each key of the configuration, as a stick may change it on a box that is new, and on one that was used.

use super::*;

const KEY: &str = "rtmps://a.example.cn/live/k";
const BEFORE: &str = "2022-07-11";

fn config_to(url: &str, more: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, format!("[ingest]\nurl = \"{url}\"\n{more}")).unwrap();
    Config::load(&path).unwrap()
}

fn used() -> History {
    History::Used { acknowledged: Some(BEFORE.to_owned()) }
}

fn said(now: &Config, wanted: &Config, history: &History) -> String {
    refusals(now, wanted, history).join("\n")
}

fn policy(mut config: Config, version: &str) -> Config {
    version.clone_into(&mut config.consent.policy_version);
    config
}

/// Staff are asked: without a new policy it is refused, and a new box, where nobody consented yet, may have it.
#[track_caller]
fn asks_staff(now: &Config, wanted: &Config, why: &str) {
    let refused = said(now, wanted, &used());
    assert!(refused.contains(why) && refused.contains("a later [consent] policy-version"), "{why}: {refused:?}");
    assert_eq!(said(now, &policy(wanted.clone(), "2022-07-12"), &used()), "");
    assert_eq!(said(now, wanted, &History::New), "");
    let unknown = said(now, &policy(wanted.clone(), "2022-07-12"), &History::Unknown);
    assert!(unknown.contains(why) && unknown.contains("the ledger cannot be read"), "{unknown:?}");
}

#[track_caller]
fn never_by_a_stick(now: &Config, wanted: &Config, why: &str, on_a_new_box: bool) {
    for wanted in [wanted.clone(), policy(wanted.clone(), "2022-07-12")] {
        for history in [used(), History::Unknown] {
            let refused = said(now, &wanted, &history);
            assert!(refused.contains(why) && refused.contains("as root"), "{why}: {refused:?}");
        }
        assert_eq!(said(now, &wanted, &History::New).is_empty(), on_a_new_box, "{why}");
    }
}

#[track_caller]
fn free(now: &Config, wanted: &Config) {
    for history in [used(), History::New, History::Unknown] {
        assert_eq!(said(now, wanted, &history), "");
    }
}

#[test]
fn a_short_list_is_free() {
    for wanted in [
        "[video]\nfps = 10\nencoder = \"x264enc\"\nbitrate-kbps = 900\nmin-bitrate-kbps = 200\nadaptive = false\n\
         keyframe-interval = \"1s\"\n",
        "[video]\nwidth = 640\nheight = 360\n",
        "[video]\nrotation = 180\nmirror = true\ncrop = { left = 5 }\n",
        "[[privacy-mask]]\nx = 0\ny = 0\nwidth = 9\nheight = 9\n",
        "[overlay]\ntext = \"Tea\"\nclock = true\n",
        "[audio]\nbitrate-kbps = 96\nnoise-suppression = true\nhigh-pass = true\n",
        "[audio]\nsource = \"none\"\n",
        "[capture]\ndevice-lost-limit = \"5s\"\n",
        "[consent]\nmax-session = \"1h\"\nrequest-timeout = \"5s\"\n",
        "[privacy]\nfootage-retention = \"1h\"\nallowed-ingest-hosts = [\"a.example.cn\"]\n",
    ] {
        free(&config_to(KEY, ""), &config_to(KEY, wanted));
    }
    free(&config_to(KEY, "metered-links = \"refuse\"\n"), &config_to(KEY, "metered-interfaces = [\"eth1\"]\n"));
    let outage = "reconnect-window = \"1m\"\noutage-buffer-mib = 8\ncatch-up = \"1s\"\n";
    free(&config_to(KEY, "outage-buffer = \"disk\"\n"), &config_to(KEY, outage));
    let srt = "srt://a.example.cn:9000";
    free(&config_to(srt, ""), &config_to(srt, "min-latency = \"1s\"\npacket-size = 1128\n"));
    let second = "[ingest.second]\nurl = \"rtmps://b.example.cn/live/k\"\n";
    free(&config_to(KEY, second), &config_to(KEY, ""));
    let broker = "[mqtt]\nurl = \"mqtts://b.example.cn\"\n";
    free(&config_to(KEY, broker), &config_to(KEY, &format!("{broker}telemetry-interval = \"60s\"\n")));
    let wide = "[privacy]\nallowed-ingest-hosts = [\"a.example.cn\", \"*.example.org\"]\n";
    let narrow = "[privacy]\nallowed-ingest-hosts = [\"a.example.cn\", \"push.example.org\"]\n";
    free(&config_to(KEY, wide), &config_to(KEY, narrow));
    free(&config_to(KEY, wide), &config_to(KEY, ""));
}

#[test]
fn what_protects_people_is_out_of_reach() {
    for (wanted, why, on_a_new_box) in [
        ("[device]\ndata-dir = \"/tmp/x\"\n", "data-dir", false),
        ("[device]\nruntime-dir = \"/tmp/x\"\n", "runtime-dir", false),
        ("[panel]\nbackend = \"sim\"\n", "a person's", false),
        ("[device]\nid = \"shop-7\"\n", "[device] id", true),
        ("[panel]\nlamp-pin = 5\n", "lamp could be left dark", true),
        ("[panel]\nbutton-pin = 5\n", "lamp could be left dark", true),
        ("[panel]\nlamp-sense-pin = 5\n", "lamp could be left dark", true),
        ("[panel]\nmute-pin = 5\n", "lamp could be left dark", true),
        ("[panel]\nactive-low = false\n", "lamp could be left dark", true),
        ("[panel]\nbackend = \"cdev\"\n", "lamp could be left dark", true),
        ("[panel]\ndebounce = \"200ms\"\n", "a touch unheard", true),
        ("[privacy]\nledger-retention = \"400d\"\n", "ledger-retention", true),
        ("[mqtt]\nurl = \"mqtts://b.example.cn\"\n", "who asks and stops", true),
    ] {
        never_by_a_stick(&config_to(KEY, ""), &config_to(KEY, wanted), why, on_a_new_box);
        if on_a_new_box {
            never_by_a_stick(&config_to(KEY, wanted), &config_to(KEY, ""), why, true);
        }
    }
    let sim = "[panel]\nbackend = \"sim\"\n";
    free(&config_to(KEY, sim), &config_to(KEY, sim));
    let broker = |more: &str| config_to(KEY, &format!("[mqtt]\n{more}"));
    let now = broker("url = \"mqtts://b.example.cn\"\n");
    for wanted in [
        "url = \"mqtts://c.example.cn\"\n",
        "url = \"mqtts://b.example.cn:8884\"\n",
        "url = \"mqtt://b.example.cn\"\nallow-plain = true\n",
        "url = \"mqtts://b.example.cn\"\nallow-plain = true\n",
        "url = \"mqtts://b.example.cn\"\ncrl-file = \"/tmp/crl.pem\"\n",
        "url = \"mqtts://b.example.cn\"\nreconnect-spread = \"1h\"\n",
        "url = \"mqtts://u:p@b.example.cn\"\n",
        "url = \"mqtts://b.example.cn\"\nca-file = \"/tmp/ca.pem\"\n",
        "url = \"mqtts://b.example.cn\"\nclient-cert = \"/tmp/c.pem\"\nclient-key = \"/tmp/k.pem\"\n",
        "url = \"mqtts://b.example.cn\"\ntopic-prefix = \"other\"\n",
    ] {
        never_by_a_stick(&now, &broker(wanted), "who asks and stops", true);
    }
}

#[test]
fn another_audience_is_a_matter_for_staff() {
    let now = config_to(KEY, "");
    for (url, why) in [
        ("rtmps://a.example.cn/live/another", "under another key"),
        ("rtmps://a.example.cn/other/k", "under another key"),
        ("rtmp://a.example.cn/live/k", "encrypted"),
        ("rtmps://b.example.cn/live/k", "a server that staff did not agree to"),
        ("rtmps://a.example.cn:444/live/k", "a server that staff did not agree to"),
    ] {
        asks_staff(&now, &config_to(url, ""), why);
    }
    let second = "[ingest.second]\nurl = \"rtmps://b.example.cn/live/k\"\n";
    asks_staff(&now, &config_to(KEY, second), "a second place");
    asks_staff(&config_to(KEY, second), &config_to(KEY, &second.replace("/k", "/l")), "under another key");
    let whip = "https://a.example.cn/whip";
    asks_staff(&config_to(whip, "token = \"a\"\n"), &config_to(whip, "token = \"b\"\n"), "under another key");
    let (srt, phrase) = ("srt://a.example.cn:9000", "passphrase = \"0123456789\"\npbkeylen = 32\n");
    asks_staff(&config_to(srt, "streamid = \"a\"\n"), &config_to(srt, "streamid = \"b\"\n"), "under another key");
    for weaker in ["", "passphrase = \"9876543210\"\npbkeylen = 32\n", "passphrase = \"0123456789\"\n"] {
        asks_staff(&config_to(srt, phrase), &config_to(srt, weaker), "encrypted");
    }
    let list = |hosts: &str| format!("[privacy]\nallowed-ingest-hosts = [\"a.example.cn\", {hosts}]\n");
    let (wide, host) = (config_to(KEY, &list("\"*.example.org\"")), config_to(KEY, &list("\"push.example.org\"")));
    asks_staff(&now, &wide, "did not agree");
    asks_staff(&host, &wide, "did not agree");
}

#[test]
fn seeing_hearing_and_keeping_more_is_a_matter_for_staff() {
    let mask = "[[privacy-mask]]\nx = 0\ny = 0\nwidth = 100\nheight = 100\n";
    let camera = "[video]\ndevice = \"/dev/video2\"\n";
    for (now, wanted, why) in [
        ("", camera, "another camera"),
        (mask, &format!("{camera}{mask}"), "another camera"),
        ("", "[video]\nsource = \"libcamera\"\n", "another camera"),
        ("", "[video]\nwidth = 1920\nheight = 1080\n", "it shows more"),
        ("", "[video]\nwidth = 640\nheight = 480\n", "it shows more"),
        (mask, "", "a privacy mask hid"),
        (mask, &format!("[video]\nrotation = 180\n{mask}"), "lies otherwise"),
        (mask, &format!("[video]\nwidth = 640\nheight = 360\n{mask}"), "lies otherwise"),
        ("[video]\ncrop = { left = 20 }\n", "[video]\ncrop = { left = 19 }\n", "lies otherwise"),
        ("[audio]\nsource = \"none\"\n", "", "opens a microphone"),
        ("", "[audio]\nsource = \"alsa\"\n", "another microphone"),
        ("[audio]\nsource = \"test\"\n", "", "another microphone"),
        ("", "[audio]\ndevice = \"hw:1\"\n", "another microphone"),
        ("", "[capture]\ndevice-lost-limit = \"61s\"\n", "device-lost-limit"),
        ("", "[consent]\nmax-session = \"5h\"\n", "max-session"),
        ("", "[consent]\nrequest-timeout = \"61s\"\n", "request-timeout"),
        ("", "[privacy]\nfootage-retention = \"25h\"\n", "footage-retention"),
    ] {
        asks_staff(&config_to(KEY, now), &config_to(KEY, wanted), why);
    }
    for (wanted, why) in [
        ("reconnect-window = \"11m\"\n", "reconnect-window"),
        ("outage-buffer = \"disk\"\n", "outage-buffer"),
        ("outage-buffer-mib = 33\n", "outage-buffer-mib"),
        ("catch-up = \"11s\"\n", "catch-up"),
    ] {
        asks_staff(&config_to(KEY, ""), &config_to(KEY, wanted), why);
    }
    // A file in the camera's place is no camera, and the way back to a real one is a question.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/bigbuckbunny-720p25-5s.mp4");
    let file = format!("source = \"file\"\ndevice = \"{file}\"\n");
    let (now, real) = (format!("[audio]\n{file}"), "[audio]\nsource = \"alsa\"\n");
    asks_staff(&config_to(KEY, &now), &config_to(KEY, real), "another microphone");
    asks_staff(&config_to(KEY, &format!("[video]\n{file}")), &config_to(KEY, ""), "another camera");
}

#[test]
fn a_policy_that_staff_would_not_be_asked_about_lets_nothing_in() {
    let (now, wanted) = (config_to(KEY, ""), config_to("rtmps://b.example.cn/live/k", ""));
    for version in ["2022-07-10", "2021-01-01", "1999-12-31"] {
        let refused = said(&now, &policy(wanted.clone(), version), &used());
        assert!(refused.contains("is older than"), "{version}: {refused}");
        assert!(said(&now, &policy(now.clone(), version), &used()).contains("is older than"), "{version}, alone");
    }
    // What a first stick brought waits for staff; a second one cannot take back the question.
    let waiting = policy(wanted.clone(), "2026-12-01");
    assert!(said(&waiting, &policy(wanted.clone(), BEFORE), &used()).contains("is older than"));
    // Somebody went back by hand, and nobody was asked yet.
    let back = policy(now.clone(), "2020-01-01");
    assert!(said(&back, &policy(wanted, BEFORE), &used()).contains("acknowledged already"));
    // With a policy as without, what no policy can allow stays out.
    let both = policy(config_to("rtmps://b.example.cn/live/k", "[device]\nid = \"shop-7\"\n"), "2026-12-01");
    assert!(said(&now, &both, &used()).contains("[device] id"));
}
