//! Each kind of mistake, with its place and its advice.

use std::path::Path;

use super::{Config, Host, HostPattern, Protocol, Srt};

const URL: &str = "[ingest]\nurl = \"rtmp://127.0.0.1/live/key\"\n";

fn load(files: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Config::load(&dir.path().join("tallybox.toml"))
        .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

/// The defaults, but for `text`.
#[track_caller]
pub(crate) fn example(text: &str) -> Config {
    load(&[("tallybox.toml", &format!("{URL}{text}"))]).unwrap()
}

/// `text` alone, and all its mistakes.
pub(super) fn example_with(text: &str) -> Result<Config, super::ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

/// The defaults, but for where the stream goes, and `text`.
#[track_caller]
pub(crate) fn example_to(url: &str, text: &str) -> Config {
    load(&[("tallybox.toml", &format!("[ingest]\nurl = \"{url}\"\n{text}"))]).unwrap()
}

#[track_caller]
fn says(text: &str, lines: &[&str]) {
    let error = load(&[("tallybox.toml", text)]).unwrap_err();
    let found: Vec<&str> = error.lines().collect();
    assert_eq!(found.len(), lines.len(), "{error}");
    for (line, wanted) in found.iter().zip(lines) {
        assert!(line.starts_with(wanted), "{line}\n  does not begin with\n{wanted}");
    }
}

#[test]
fn only_the_ingest_url_has_no_default() {
    let config = load(&[("tallybox.toml", URL)]).unwrap();
    assert_eq!((config.video.width, config.video.height, config.video.fps), (1280, 720, 30));
    assert_eq!(config.panel.debounce.as_millis(), 30);
    assert!(config.video.adaptive && config.mqtt.is_none());
    assert!(config.device.id.is_none_or(|id| id.starts_with("box-")));
    assert!(config.privacy.allowed_ingest_hosts[0].allows(&config.ingest.first.host));
    says("", &["tallybox.toml: [ingest] url is missing"]);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    says(
        &format!(
            "[video]\nwidht = 640\nfps = \"30\"\nbitrate-kbps = 5\nkeyframe-interval = \"soon\"\nsource = \"v4l\"\n{URL}[vidoe]\n"
        ),
        &[
            "tallybox.toml:2:1: [video] widht is not known; did you mean \"width\"?",
            "tallybox.toml:3:7: fps must be a whole number, not string; write a whole number from 1 to 60",
            "tallybox.toml:4:16: bitrate-kbps = 5 is out of range; write a whole number from 100 to 20000",
            "tallybox.toml:5:21: keyframe-interval = \"soon\" is not a span of time",
            "tallybox.toml:6:10: source = \"v4l\" is not known; did you mean \"v4l2\"?",
            "tallybox.toml:9:2: [vidoe] is not a section; did you mean \"video\"?",
        ],
    );
}

#[test]
fn what_is_done_for_voices_is_off_unless_it_is_said() {
    let of = |text: &str| load(&[("tallybox.toml", &format!("{URL}{text}"))]).unwrap().audio;
    assert!(!of("").noise_suppression && !of("").high_pass);
    let on = of("[audio]\nnoise-suppression = true\nhigh-pass = true\n");
    assert!(on.noise_suppression && on.high_pass);
    says(
        &format!("{URL}[audio]\nhigh-pass = \"80 Hz\"\n"),
        &["tallybox.toml:4:13: high-pass must be true or false, not string"],
    );
}

#[test]
fn a_policys_version_is_a_date() {
    for version in ["", " ", "1", "v2", "2022-07-11 ", "2022-02-30", "2026-12", "隐私政策 2026/12", "1\\n2"] {
        let text = format!("{URL}[consent]\npolicy-version = \"{version}\"\n");
        says(&text, &["tallybox.toml:4:18: policy-version = "]);
    }
    assert_eq!(example("[consent]\npolicy-version = \"2026-12-01\"\n").consent.policy_version, "2026-12-01");
}

#[test]
fn contradictions_are_mistakes() {
    says(&format!("{URL}[panel]\nmute-pin = 17\n"), &["tallybox.toml:4:12: mute-pin and button-pin are both pin 17"]);
    says(&format!("{URL}[panel]\ncase-pin = 27\n"), &["tallybox.toml:4:12: case-pin and lamp-pin are both pin 27"]);
    says(
        &format!("{URL}[residency]\nallowed-addresses = []\n"),
        &["tallybox.toml:4:21: allowed-addresses is empty: no server could be reached"],
    );
    says(
        &format!("{URL}[residency]\noutside = \"report\"\n"),
        &["tallybox.toml:4:11: outside says nothing without allowed-addresses"],
    );
    says(
        &format!("{URL}[residency]\nallowed-addresses = [\"10.0.0.0/8\", \"10.0.0.1/8\"]\n"),
        &["tallybox.toml:4:36: \"10.0.0.1/8\" has bits behind its length: it is no network"],
    );
    says(&format!("{URL}[video]\nmin-bitrate-kbps = 3000\n"), &["tallybox.toml:4:20: min-bitrate-kbps 3000 is above"]);
    says(&format!("{URL}[video]\nwidth = 641\n"), &["tallybox.toml:4:9: width = 641 is odd"]);
    says(
        &format!("{URL}[video]\nsource = \"file\"\n"),
        &["tallybox.toml:4:10: [video] source = \"file\" without a file"],
    );
    says(
        &format!("{URL}[privacy]\nallowed-ingest-hosts = [\"*.example.cn\"]\n"),
        &["tallybox.toml:2:7: the ingest host \"127.0.0.1\" is not one of allowed-ingest-hosts"],
    );
    says(
        &format!("{URL}[privacy]\nledger-retention = \"30d\"\n"),
        &["tallybox.toml:4:20: ledger-retention = \"30d\" is out of range; write a span from \"184d\""],
    );
    says(
        &format!("{URL}outage-buffer = \"disk\"\n[privacy]\nfootage-retention = \"0\"\n"),
        &["tallybox.toml:3:17: outage-buffer = \"disk\", and footage-retention says that footage is never written"],
    );
    says(
        &format!("{URL}outage-buffer = \"tape\"\noutage-buffer-mib = 1\ncatch-up = \"2d\"\n"),
        &[
            "tallybox.toml:3:17: outage-buffer = \"tape\" is not known; choose one of: memory, disk",
            "tallybox.toml:4:21: outage-buffer-mib = 1 is out of range; write a whole number from 8 to 4096",
            "tallybox.toml:5:12: catch-up = \"2d\" is out of range; write a span from \"0ms\" to \"1d\"",
        ],
    );
    says(
        &format!("{URL}[mqtt]\nurl = \"mqtt://127.0.0.1\"\nclient-cert = \"/c\"\n"),
        &["tallybox.toml:5:15: client-cert needs TLS", "tallybox.toml:5:15: client-cert without client-key"],
    );
}

#[test]
fn what_is_done_to_the_picture() {
    let config = load(&[
        (
            "tallybox.toml",
            &format!(
                "{URL}[video]\nrotation = 90\nmirror = true\ncrop = {{ left = 10, bottom = 5 }}\n[overlay]\ntext = \"Tea\"\n\
                 [[privacy-mask]]\nx = 1\ny = 2\nwidth = 3\nheight = 4\n"
            ),
        ),
        ("conf.d/10.toml", "[[privacy-mask]]\nx = 0\ny = 0\nwidth = 1280\nheight = 720\n"),
    ])
    .unwrap();
    let video = &config.video;
    assert_eq!((video.rotation, video.mirror, video.crop.left, video.crop.bottom), (90, true, 10, 5));
    assert_eq!((config.overlay.text.as_deref(), config.overlay.clock), (Some("Tea"), false));
    // A file that comes later adds masks and takes none away.
    assert_eq!(config.masks.iter().map(|mask| mask.width).collect::<Vec<_>>(), [3, 1280]);
    for (text, message) in [
        ("[video]\nrotation = 45\n", "4:12: rotation = 45 is not a quarter turn; write 0, 90, 180 or 270"),
        ("[video]\ncrop = 5\n", "4:8: crop must be a table, not integer"),
        ("[video]\ncrop = { lft = 5 }\n", "4:10: crop: lft is not known; did you mean \"left\"?"),
        ("[video]\ncrop = { left = 50, right = 41 }\n", "4:8: crop: left and right together cut off 91 percent"),
        ("[overlay]\ntext = \"\"\n", "4:8: text = \"\" cannot be shown"),
        ("[privacy-mask]\nx = 1\n", "3:1: privacy-mask must be a list of tables"),
        ("[[privacy-mask]]\nx = 1\ny = 1\nwidth = 5\n", "3:1: a privacy-mask without height"),
        (
            "[[privacy-mask]]\nx = 1000\ny = 0\nwidth = 281\nheight = 9\n",
            "6:9: a privacy-mask from 1000 with width = 281 reaches beyond the picture's 1280; write at most 280",
        ),
        ("[[privacy-mask]]\nx = 1\ny = 0\nwidth = 0\nheight = 9\n", "6:9: a privacy-mask with width = 0"),
        ("[[privacy-mask]]\nx = -1\ny = 0\nwidth = 1\nheight = 9\n", "4:5: x = -1 is out of range"),
        ("[[privacy-mask]]\nx = 1\ny = 0\nw = 1\nwidth = 1\nheight = 9\n", "6:1: privacy-mask: w is not known"),
        ("[[privacy-maks]]\nx = 1\n", "3:3: [privacy-maks] is not a section; did you mean \"privacy-mask\"?"),
    ] {
        says(&format!("{URL}{text}"), &[&format!("tallybox.toml:{message}")]);
    }
}

#[test]
fn urls_are_judged_without_their_secrets() {
    for (url, message) in [
        ("whip://h/x", "an ingest over whip:// is not supported"),
        ("rtmp://h/live", "an RTMP URL needs an application and a stream key"),
        ("srt://h", "an srt:// URL needs a port"),
        ("rtmp://${HOST}/live/k", "url has a secret for a host"),
        ("rtmp://a.cn:${PORT}/live/k", "url has a secret for a host or port"),
        ("rtmp://h/live/${K", "url \"${\" without a closing"),
        ("nonsense", "url is not a URL"),
    ] {
        says(&format!("[ingest]\nurl = \"{url}\"\n"), &[&format!("tallybox.toml:2:7: {message}")]);
    }
    let config = load(&[("tallybox.toml", "[ingest]\nurl = \"rtmps://a.example.cn/live/${NOT_SET_HERE}\"\n")]).unwrap();
    assert_eq!(config.ingest.first.port, 443);
    assert!(config.missing_secrets()[0].to_string().contains("NOT_SET_HERE"));
}

#[test]
fn each_protocol_has_its_own_keys() {
    says(
        &format!("{URL}passphrase = \"${{K\"\nmin-latency = \"1s\"\ntoken = \"t\"\n"),
        &[
            "tallybox.toml:3:14: passphrase: \"${\" without a closing",
            "tallybox.toml:3:14: passphrase is for srt:// only; leave it out",
            "tallybox.toml:4:15: min-latency is for srt:// only",
            "tallybox.toml:5:9: token is for https:// (WHIP) only",
        ],
    );
    says(
        "[ingest]\nurl = \"srt://127.0.0.1:9\"\npbkeylen = 20\npacket-size = 100\n",
        &[
            "tallybox.toml:3:12: pbkeylen = 20 is no length of an AES key in bytes; choose one of: 16, 24, 32",
            "tallybox.toml:4:15: packet-size = 100 is out of range; write a whole number from 188 to 1456",
        ],
    );
    let config = load(&[(
        "tallybox.toml",
        "[ingest]\nurl = \"srt://a.cn:9\"\npassphrase = \"hidden-hidden\"\nstreamid = \"#!::m=publish,r=hidden\"\n\
         [ingest.second]\nurl = \"https://b.cn/whip/hidden\"\ntoken = \"${HIDDEN}\"\n",
    )])
    .unwrap();
    assert!(config.warnings.is_empty() && !format!("{config:?}").contains("hidden"), "{config:?}");
    let second = config.ingest.second.as_ref().unwrap();
    assert_eq!((second.host.as_str(), second.port, second.scheme()), ("b.cn", 443, super::IngestScheme::Https));
    assert!(matches!(&config.ingest.first.protocol, Protocol::Srt(srt) if srt.latency == Srt::default().latency));
    assert_eq!(config.missing_secrets().len(), 1);
    assert!(config.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.allows(&second.host)));
}

#[test]
fn the_second_destination_is_judged_like_the_first() {
    says(
        &format!("{URL}[ingest.second]\nurl = \"rtmp://h/live\"\nport = 1\n"),
        &[
            "tallybox.toml:4:7: an RTMP URL needs an application and a stream key",
            "tallybox.toml:5:1: [ingest.second] port is not known; [ingest.second] has: url,",
        ],
    );
    says(&format!("{URL}[ingest.second]\n"), &["tallybox.toml:3:1: [ingest.second] has no url"]);
    says(
        &format!("{URL}second = 2\n"),
        &["tallybox.toml:3:1: ingest.second must be a section", "tallybox.toml:3:10: [ingest.second] has no url"],
    );
    says(
        &format!(
            "{URL}[ingest.second]\nurl = \"rtmp://h/live/k\"\n[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\"]\n"
        ),
        &["tallybox.toml:4:7: the ingest host \"h\" is not one of allowed-ingest-hosts"],
    );
}

#[test]
fn keys_are_never_printed() {
    let config = load(&[(
        "tallybox.toml",
        "[ingest]\nurl = \"rtmp://user:hidden@a.cn/live/hidden\"\n[mqtt]\nurl = \"mqtts://u:hidden@b.cn\"\n",
    )])
    .unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
    let Protocol::Rtmp(rtmp) = &config.ingest.first.protocol else { panic!("no RTMP") };
    assert!(!format!("{:?} {} {}", rtmp.stream.resolve(), rtmp.stream, config.ingest.first).contains("hidden"));
    assert_eq!(rtmp.stream.resolve().unwrap().expose(), "hidden");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}

#[test]
fn secrets_cross_no_network_in_clear_text() {
    let whip = |url: &str| load(&[("tallybox.toml", &format!("[ingest]\nurl = \"{url}\"\n"))]);
    for url in ["http://a.cn/whip\"\ntoken = \"t", "http://a.cn/whip\"\ntoken = \"${T}", "http://a.cn/whip/${T}"] {
        let said = whip(url).unwrap_err();
        assert!(said.starts_with("tallybox.toml:2:7: who publishes would cross the network unencrypted"), "{said}");
        whip(&url.replace("a.cn", "127.0.0.1")).unwrap();
        whip(&url.replace("http://", "https://")).unwrap();
    }
    let broker = |url: &str| load(&[("tallybox.toml", &format!("{URL}[mqtt]\nurl = \"{url}\"\n"))]);
    for url in ["mqtt://u:p@b.cn", "mqtt://u@b.cn", "mqtt://${U}:${P}@b.cn"] {
        let said = broker(url).unwrap_err();
        assert!(said.starts_with("tallybox.toml:4:7: user name and password would cross"), "{said}");
        broker(&url.replace("b.cn", "[::1]")).unwrap();
        broker(&url.replace("mqtt://", "mqtts://")).unwrap();
    }
    let keys = "url = \"mqtt://b.cn\"\nuser = \"u\"\npassword = \"${P}\"\n";
    let said = load(&[("tallybox.toml", &format!("{URL}[mqtt]\n{keys}"))]).unwrap_err();
    assert!(said.starts_with("tallybox.toml:4:7: user name and password would cross"), "{said}");
    // What a platform takes in no other way is said, and not refused.
    for url in ["rtmp://a.cn/live/${STREAM_KEY}", "http://a.cn/whip"] {
        assert_eq!(whip(url).unwrap().warnings.len(), 1, "{url}");
    }
    let said = broker("mqtt://b.cn").unwrap_err();
    assert!(
        said.contains("4:7: telemetry and commands would cross the network") && said.contains("allow-plain"),
        "{said}"
    );
    // Forced: said, and not refused; but never with a password.
    let forced = "[mqtt]\nallow-plain = true\nurl = \"mqtt://";
    assert_eq!(load(&[("tallybox.toml", &format!("{URL}{forced}b.cn\"\n"))]).unwrap().warnings.len(), 1);
    let said = load(&[("tallybox.toml", &format!("{URL}{forced}u:p@b.cn\"\n"))]).unwrap_err();
    assert!(said.contains("user name and password would cross"), "{said}");
    for (url, warnings) in [("mqtt://127.0.0.1", 0), ("mqtts://b.cn", 1), ("mqtts://${U}:${P}@b.cn", 0)] {
        assert_eq!(broker(url).unwrap().warnings.len(), warnings, "{url}");
    }
    let said = broker("mqtt://127.0.0.1\"\ncrl-file = \"/crl.pem").unwrap_err();
    assert!(said.contains("5:12: crl-file needs TLS"), "{said}");
}

#[test]
fn conf_d_overrides_in_the_order_of_names() {
    let config = load(&[
        ("tallybox.toml", &format!("{URL}[video]\nfps = 10\nwidth = 320\n")),
        ("conf.d/20.toml", "[video]\nfps = 20\n"),
        ("conf.d/10.toml", "[video]\nfps = 15\n"),
        ("conf.d/notes.txt", "not read"),
    ])
    .unwrap();
    assert_eq!((config.video.fps, config.video.width), (20, 320));
    let error = load(&[("tallybox.toml", URL), ("conf.d/10.toml", "[video]\n\nfps = 0\n")]).unwrap_err();
    assert!(error.starts_with("conf.d/10.toml:3:7: fps = 0 is out of range"), "{error}");
}

#[test]
fn a_text_is_tried_in_its_place_before_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("tallybox.toml");
    std::fs::write(&main, format!("{URL}[video]\nfps = 10\nwidth = 320\n")).unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    let put = |name: &str, text: &str| std::fs::write(dir.path().join("conf.d").join(name), text).unwrap();
    put("50.toml", "[video]\nfps = 11\nheight = 180\n");
    put("60.toml", "[video]\nwidth = 640\n");
    let tried = |text: &str| Config::load_with(&main, "50.toml", Path::new("/stick/a.toml"), text.to_owned());
    let before = Config::load(&main).unwrap();
    let config = tried("[video]\nfps = 12\nwidth = 160\n").unwrap();
    assert_eq!((config.video.fps, config.video.width, config.video.height), (12, 640, 720));
    assert_eq!(before.video.fps, 11);
    let error = tried("[video]\nfps = 0\n").unwrap_err().to_string();
    assert!(error.starts_with("/stick/a.toml:2:7: fps = 0"), "{error}");
    // The hash is of what would be there.
    assert_ne!(config.hash, before.hash);
    put("50.toml", "[video]\nfps = 12\nwidth = 160\n");
    assert_eq!(Config::load(&main).unwrap().hash, config.hash);
}

#[test]
fn broken_syntax_has_a_place_and_hides_nothing_else() {
    let error = load(&[("tallybox.toml", "[video\nfps = \n[audio]\nsource = \"tset\"\n")]).unwrap_err();
    assert!(error.starts_with("tallybox.toml:1:"), "{error}");
    assert!(error.contains("did you mean \"test\""), "{error}");
}

#[test]
fn an_absent_file_is_an_error_with_advice() {
    let error = Config::load(Path::new("/nonexistent/tallybox.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/tallybox.toml: cannot be read"), "{error}");
}

#[test]
fn wildcards_cover_hosts_below_and_nothing_else() {
    let parse = |text: &str| HostPattern::parse(text).unwrap();
    let allows = |host: &str| parse("*.example.cn").allows(&Host::parse(host).unwrap());
    assert!(allows("push.example.cn") && allows("A.B.EXAMPLE.CN."));
    assert!(!allows("example.cn") && !allows("badexample.cn") && !allows("push.example.cn.evil"));
    let covers = |one: &str, other: &str| parse(one).covers(&parse(other));
    assert!(covers("*.example.cn", "push.example.cn") && covers("*.example.cn", "*.example.cn"));
    assert!(covers("*.cn", "*.example.cn") && covers("a.cn", "a.cn"));
    assert!(!covers("*.example.cn", "*.cn") && !covers("a.cn", "*.a.cn") && !covers("x.a.cn", "*.a.cn"));
}

#[test]
fn a_session_without_its_camera_ends_after_a_minute_or_what_is_configured() {
    let config = load(&[("tallybox.toml", URL)]).unwrap();
    assert_eq!(config.capture.device_lost_limit.as_secs(), 60);
    let config = load(&[("tallybox.toml", &format!("{URL}[capture]\ndevice-lost-limit = \"5m\"\n"))]).unwrap();
    assert_eq!(config.capture.device_lost_limit.as_secs(), 300);
    says(
        &format!("{URL}[capture]\ndevice-lost-limit = \"0s\"\n"),
        &["tallybox.toml:4:21: device-lost-limit = \"0s\" is out of range; write a span from \"1s\" to \"1h\""],
    );
}

#[test]
fn what_is_no_machine_id_gives_no_name() {
    use super::sections::derived_id;
    for message in
        ["", "\n", "uninitialized\n", "00000000000000000000000000000000\n", "0123", "not-a-machine-id-of-32-characters"]
    {
        assert_eq!(derived_id(message.as_bytes()), None, "{message:?}");
    }
    let one = derived_id(b"0123456789abcdef0123456789abcdef\n");
    assert_ne!(one, derived_id(b"0123456789abcdef0123456789abcdee\n"));
    assert!(one.is_some_and(|id| id.starts_with("box-") && id.len() == 16));
}
