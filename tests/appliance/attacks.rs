//! Processes of the box that misbehave: a capture that floods the guard, and clients that only hold connections.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::played::{Played, Stage, frame, hear};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{poll, timed, wait_for, wait_until};

/// A text as long as a message can be, with characters that must not reach a terminal.
fn long() -> String {
    "\\u001b[31m\\n\\u202e0123456789".repeat(1900)
}

/// Every entry reaches a client that follows the ledger.
#[track_caller]
fn all_entries_come(shop: &TestBox) {
    let last = shop.kinds().len();
    let mut stream = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&frame(r#"{"call":1,"request":{"ask":"subscribe","entries":true,"after":null}}"#)).unwrap();
    let mut entries = 0;
    while entries < last {
        let said = hear(&mut stream).unwrap_or_else(|error| panic!("{entries} of {last} entries: {error}"));
        entries += usize::from(said["tell"] == "entry");
    }
}

#[test]
fn the_longest_texts_of_a_capture_stop_neither_status_nor_events() {
    let shop = TestBox::new(&BoxConfig::default());
    let stage = Stage::new(&shop);
    let text = long();
    let last_words = [
        format!(r#"{{"tell":"failed","kind":"source","message":"{text}"}}"#),
        // A protocol violation: the error quotes what was sent.
        format!(r#"{{"tell":"{text}"}}"#),
    ];
    for last in last_words {
        shop.press();
        let mut played = Played::take(&stage.listener);
        for message in [
            r#"{"tell":"live"}"#.to_owned(),
            format!(r#"{{"tell":"encoder","name":"{text}","why":"x"}}"#),
            format!(r#"{{"tell":"encoder","name":"x264enc","why":"{text}"}}"#),
            format!(r#"{{"tell":"encoder-fallback","from":"{text}","to":"x","why":"x"}}"#),
            format!(r#"{{"tell":"encoder-fallback","from":"x","to":"{text}","why":"x"}}"#),
            format!(r#"{{"tell":"encoder-fallback","from":"x","to":"x","why":"{text}"}}"#),
            format!(r#"{{"tell":"lost","device":"camera","why":"{text}"}}"#),
            format!(r#"{{"tell":"lost","device":"microphone","why":"{text}"}}"#),
            format!(
                r#"{{"tell":"second","on-air":false,"reason":"{text}","bitrate-kbps":0,"dropped-frames":0,"round-trip-ms":null,"reconnects":0,"queue-ms":0}}"#
            ),
            r#"{"tell":"stats","fps":1e300,"bitrate-kbps":0,"dropped-frames":0,"round-trip-ms":null,"reconnects":0,"target-kbps":0,"height":0,"reduced":false,"queue-ms":0,"level-db":-1e300}"#.to_owned(),
            format!(r#"{{"tell":"reconnecting","reason":"{text}"}}"#),
        ] {
            played.say(&message);
        }
        shop.wait_for_phase("reconnecting");
        let status = shop.status().unwrap();
        assert!(status.to_string().len() < 8000, "{} bytes", status.to_string().len());
        assert!(status["stream"]["fps"].is_number() && status["reason"].as_str().unwrap().starts_with("[31m 012"));
        all_entries_come(&shop);
        played.say(&last);
        wait_until("it is killed or has ended", || {
            played.process.is_running() && last.contains("failed") && shop.phase() == "reconnecting"
                || !played.process.is_running()
        });
        drop(played);
        shop.wait_for_phase("idle");
        assert!(shop.status().is_some());
        all_entries_come(&shop);
    }
    let text = serde_json::to_string(&shop.ledger()).unwrap();
    assert!(!text.contains("\\u001b") && !text.contains('\u{202e}') && text.len() < 20_000, "{} bytes", text.len());
    shop.verify();
}

/// Resident memory of a process, in KiB.
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_capture_that_reports_without_end_is_killed_and_holds_nobody_up() {
    let shop = TestBox::new(&BoxConfig::default());
    let stage = Stage::new(&shop);
    let before = memory(stage.guard.pid());
    shop.press();
    let mut played = Played::take(&stage.listener);
    let mut stream = played.stream.try_clone().unwrap();
    let text = long();
    let flood = std::thread::spawn(move || {
        let said = [
            frame(&format!(r#"{{"tell":"reconnecting","reason":"{text}"}}"#)),
            frame(r#"{"tell":"live"}"#),
            frame(r#"{"tell":"in-force","revision":0,"muted":false,"bitrate-kbps":400}"#),
        ]
        .concat();
        let mut sent = 0_u64;
        while stream.write_all(&said).is_ok() {
            sent += 3;
        }
        sent
    });
    let ((), took) = timed(|| wait_until("it is killed", || !played.process.is_running()));
    shop.wait_for_phase("idle");
    drop(played);
    let sent = flood.join().unwrap();
    let grown = memory(stage.guard.pid()).saturating_sub(before);
    println!("killed after {took:?} and {sent} reports; the guard grew by {grown} KiB");
    assert!(grown < 16 * 1024, "{grown} KiB");
    let status = shop.status().unwrap();
    assert_eq!(status["reason"], "capture-died");
    assert!(status["message"].as_str().unwrap().contains("without end"), "{status}");
    assert!(shop.kinds().len() < 60, "{}", shop.kinds().len());
    shop.verify();
}

/// Just below the rate at which it would be killed: a stop comes first, and the ledger does not fill up.
#[test]
fn a_capture_that_reports_much_delays_no_stop() {
    let shop = TestBox::new(&BoxConfig::default());
    let stage = Stage::new(&shop);
    shop.press();
    let mut played = Played::take(&stage.listener);
    let text = long();
    for _ in 0..60 {
        played.say(r#"{"tell":"live"}"#);
        played.say(&format!(r#"{{"tell":"reconnecting","reason":"{text}"}}"#));
    }
    played.say(r#"{"tell":"live"}"#);
    let mut operator = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
    operator.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    operator.write_all(&frame(r#"{"call":1,"request":{"ask":"stop"}}"#)).unwrap();
    let (answer, took) = timed(|| hear(&mut operator).unwrap());
    println!("a stop among 121 long reports took {took:?}");
    assert_eq!(answer["answer"], "done");
    assert!(!played.process.is_running());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let kinds = shop.kinds();
    assert!(kinds.iter().filter(|kind| *kind == "off-air").count() <= 12, "{kinds:?}");
    assert_eq!(kinds.last().unwrap(), "session-stopped");
}

#[test]
fn peers_that_only_sit_there_lock_nobody_out() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    let silent: Vec<UnixStream> = (0..64).map(|_| UnixStream::connect(shop.path("run/guard.sock")).unwrap()).collect();
    for _ in 0..5 {
        assert!(shop.status().is_some(), "{}", shop.log());
    }
    shop.press();
    shop.wait_for_phase("connecting");
    let ended = silent.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        let mut stream: &UnixStream = stream;
        stream.read(&mut [0; 1]).is_ok()
    });
    assert!(ended.count() >= 40, "the oldest of them had to leave");
    // Neither do subscribers.
    let watching: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
            stream
                .write_all(&frame(r#"{"call":1,"request":{"ask":"subscribe","entries":false,"after":null}}"#))
                .unwrap();
            stream
        })
        .collect();
    let seen = poll(Duration::from_secs(20), || shop.status());
    assert!(seen.is_some());
    drop(watching);
    wait_for("the guard answers", Duration::from_secs(20), || shop.status());
}
