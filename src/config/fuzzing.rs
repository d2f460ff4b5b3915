//! Fuzz targets: configurations of whoever writes one, and the values in them.

use std::path::Path;

use serde_json::Value;

use super::address::{AddressRange, Host, HostPattern, ServerUrl, ValueError};
use super::document::SourceFile;
use super::{AgeRecipient, Config, ConfigError, Diagnostic, STICK_FILE, encoding, load, reader};
use crate::fuzzing::input::Input;
use crate::fuzzing::oracle::{CANARY, assert_no_secret, assert_shown, assert_told};
use crate::ipc::{MESSAGE, SessionValues, SetIngest, SetVideo, Values};

/// The least that is a configuration.
const LEAST: &str = "[ingest]\nurl = \"rtmps://push.example.cn/live/k\"\n";

/// What is in every diagnostic: a place in the text, and one line that can be shown.
fn assert_diagnostic(diagnostic: &Diagnostic, texts: &[&str]) {
    assert_told(&diagnostic.message);
    assert_shown(&diagnostic.help, MESSAGE);
    if let Some((line, column)) = diagnostic.at {
        let fits = |text: &&str| text.split('\n').nth(line - 1).is_some_and(|line| column <= line.chars().count() + 2);
        assert!(line > 0 && column > 0 && texts.iter().any(fits), "{diagnostic}");
    }
}

fn assert_mistakes(error: &ConfigError, texts: &[&str]) {
    assert!(!error.diagnostics.is_empty());
    error.diagnostics.iter().for_each(|diagnostic| assert_diagnostic(diagnostic, texts));
}

/// What was accepted lies within bounds, and is the same again.
fn assert_accepted(config: &Config, texts: &[&str]) {
    config.warnings.iter().for_each(|warning| assert_diagnostic(warning, texts));
    let (video, audio) = (&config.video, &config.audio);
    assert!(
        (16..=7680).contains(&video.width) && (16..=7680).contains(&video.height) && (1..=240).contains(&video.fps)
    );
    assert!(
        video.min_bitrate_kbps <= video.bitrate_kbps && video.bitrate_kbps <= 200_000 && audio.bitrate_kbps <= 1000
    );
    for to in config.ingest.destinations() {
        assert!(to.port > 0 && Host::parse(to.host.as_str()).as_ref() == Ok(&to.host), "{to}");
        assert!(config.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.allows(&to.host)), "{to}");
    }
    assert_told(&config.summary());
}

/// Any bytes as the one file of a box.
pub(crate) fn file(bytes: &[u8]) {
    let path = Path::new("tallybox.toml");
    let text = match encoding::text(path, bytes.to_vec()) {
        Ok(text) => text,
        Err(diagnostic) => return assert_told(&diagnostic.message),
    };
    match load::load(path, vec![SourceFile::new(path.to_owned(), text.clone())]) {
        Ok(config) => {
            assert_accepted(&config, &[&text]);
            let again = load::load(path, config.files.clone()).expect("it was accepted");
            assert_eq!((again.hash.as_str(), again.summary()), (config.hash.as_str(), config.summary()));
        }
        Err(error) => assert_mistakes(&error, &[&text]),
    }
}

/// Any bytes as the file on a stick, beside a box's own: it reads no secret, and what it sets is its own.
pub(crate) fn stick(bytes: &[u8]) {
    let Ok(text) = encoding::text(Path::new("stick"), bytes.to_vec()) else { return };
    let own = format!("{LEAST}stream-key = \"${{KEY}}\"\n[device]\nid = \"box-1\"\n");
    let path = Path::new("tallybox.toml");
    let files = [SourceFile::new(path.to_owned(), own.clone()), SourceFile::new(STICK_FILE.into(), text.clone())];
    let present = load::load(path, files[..1].to_vec()).expect("the box's own");
    match load::load(path, files.to_vec()) {
        Ok(wanted) => {
            assert_accepted(&wanted, &[&own, &text]);
            let changes = super::compare(&present, &wanted);
            changes.never.iter().chain(&changes.by_hand).chain(&changes.staff).for_each(|what| assert_told(what));
            let same = wanted.ingest.first.host == present.ingest.first.host;
            let reads_key = wanted.named_secrets().0.contains("KEY");
            assert!(same || !reads_key, "the box's stream key goes to {}", wanted.ingest.first.host);
        }
        Err(error) => assert_mistakes(&error, &[&own, &text]),
    }
}

fn assert_value_error(error: &ValueError) {
    assert_told(&error.message);
    assert_told(&error.help);
}

/// Any text as each form of an address.
pub(crate) fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Host::parse(&text) {
        Ok(host) => {
            assert_eq!(Host::parse(host.as_str()).as_ref(), Ok(&host));
            assert_eq!(Host::parse(&host.in_url()).as_ref(), Ok(&host));
            assert!(host.as_str().len() <= 253 && host.as_str().is_ascii() && !host.as_str().is_empty());
            let url = url::Url::parse(&format!("http://{}:81/", host.in_url())).expect("a URL of it");
            let seen = url.host_str().map(|seen| seen.trim_matches(['[', ']']).to_owned());
            assert!(host.ip().is_none() || seen.as_deref() == Some(host.as_str()), "{seen:?} {host}");
        }
        Err(error) => assert_value_error(&error),
    }
    match HostPattern::parse(&text) {
        Ok(pattern) => {
            assert!(pattern.covers(&pattern));
            let evil = Host::parse("evil.test").expect("a host");
            assert!(!pattern.allows(&evil) || text.to_lowercase().contains("test"), "{text}");
        }
        Err(error) => assert_value_error(&error),
    }
    match ServerUrl::parse(&text) {
        Ok(url) => {
            assert!(url.port > 0 && !url.application.is_empty());
            // Another parser of URLs sees the same host, or none: nobody is led elsewhere by an odd spelling.
            let other = url::Url::parse(&text.to_ascii_lowercase().replacen("rtmps:", "rtmp:", 1)).ok();
            let host = other.and_then(|other| Host::parse(other.host_str()?).ok());
            assert!(host.is_none_or(|host| host == url.host), "{text}");
        }
        Err(error) => assert_value_error(&error),
    }
    match AddressRange::parse(&text) {
        Ok(range) => assert_eq!(AddressRange::parse(&range.to_string()), Ok(range)),
        Err(error) => assert_value_error(&error),
    }
    match text.parse::<AgeRecipient>() {
        Ok(recipient) => assert_eq!(recipient.to_string(), text),
        Err(error) => {
            assert_told(&error.to_string());
            assert!(text.len() < 8 || !error.to_string().contains(&*text), "{error}");
        }
    }
    if let Some(span) = reader::parse_duration(&text) {
        let shown = reader::format_duration(span);
        let again = reader::parse_duration(&shown).expect("what was written");
        assert!(span.abs_diff(again).as_millis() == 0, "{text} {shown}");
    }
}

/// An address with a secret where secrets stand in one: whatever is wrong with it, nobody is told the secret.
pub(crate) fn secret_address(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let scheme = *input.choose(&["rtmp", "rtmps", "srt", "http", "https", "ftp", ""]);
    let shape = input.byte() % 6;
    let (before, behind) = (input.text(), input.text());
    let secret = format!("{CANARY}{behind}");
    let at = "a.example.cn";
    let ingest = match shape {
        // What stands before the first slash is an application, and no secret.
        0 => SetIngest::of(&format!("{scheme}://{at}/live/{before}{secret}")),
        1 => SetIngest::of(&format!("{scheme}://user:{secret}@{at}/live")),
        2 => SetIngest { stream_key: Some(secret), ..SetIngest::of(&format!("{scheme}://{at}/{before}")) },
        3 => SetIngest { passphrase: Some(secret), ..SetIngest::of(&format!("{scheme}://{at}:9000?{before}")) },
        4 => SetIngest { token: Some(secret), ..SetIngest::of(&format!("{scheme}://{at}/{before}")) },
        _ => SetIngest { streamid: Some(secret), ..SetIngest::of(&format!("{scheme}://{at}:9000?{before}")) },
    };
    let (url, quoted) = (ingest.url.clone(), |text: &str| toml::Value::from(text).to_string());
    let mut text = format!("[ingest]\nurl = {}\n", quoted(&url));
    for (key, value) in [
        ("stream-key", &ingest.stream_key),
        ("srt-passphrase", &ingest.passphrase),
        ("srt-streamid", &ingest.streamid),
        ("token", &ingest.token),
    ] {
        if let Some(value) = value {
            text = format!("{text}{key} = {}\n", quoted(value));
        }
    }
    let path = Path::new("tallybox.toml");
    match load::load(path, vec![SourceFile::new(path.to_owned(), text)]) {
        Ok(config) => {
            assert_no_secret(&format!("{:?} {} {:?}", config.ingest, config.summary(), config.warnings));
            assert_no_secret(&format!("{:?}", config.unusable_secrets()));
        }
        Err(error) => assert_no_secret(&error.to_string()),
    }
    let files = load::load(path, vec![SourceFile::new(path.to_owned(), LEAST.to_owned())]).expect("the least");
    let values = SessionValues { video: SetVideo::default(), ingest: Some(Box::new(ingest)) };
    match files.with_session_values(&values) {
        Ok(config) => assert_no_secret(&format!("{:?} {}", config.ingest, config.summary())),
        Err(told) => {
            assert_no_secret(&told);
            assert_told(&told);
        }
    }
}

/// Any JSON as values that the platform wants: each gets its verdict, and what is taken stands by itself.
pub(crate) fn desired(bytes: &[u8]) {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(bytes) else { return };
    let mut values = Values::default();
    fields.iter().take(8).filter(|(key, _)| key.len() <= 64).for_each(|(key, value)| values.insert(key, value.clone()));
    let path = Path::new("tallybox.toml");
    let own = format!("{LEAST}[device]\nid = \"box-1\"\n");
    let files = load::load(path, vec![SourceFile::new(path.to_owned(), own)]).expect("the box's own");
    let judged = files.with_desired(&values);
    assert_eq!(judged.keys.len(), values.len());
    for (key, verdict) in &judged.keys {
        let is_taken = judged.taken.get(key).is_some();
        match verdict {
            super::Verdict::Ok => assert!(is_taken, "{key}"),
            super::Verdict::Locked(why) | super::Verdict::Refused(why) | super::Verdict::Unknown(why) => {
                assert!(!is_taken, "{key}");
                assert_told(why);
            }
        }
    }
    let again = files.with_desired(&judged.taken);
    assert_eq!((again.config.hash.as_str(), again.taken), (judged.config.hash.as_str(), judged.taken));
    assert_eq!(judged.config.trust, files.trust);
    assert_eq!(judged.config.device.id, files.device.id);
    assert_eq!(judged.config.consent.policy_version, files.consent.policy_version);
}
