//! Settings in force, what the lamp shows of them, and what remains when one of the processes dies.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, Operator};
use crate::ingest::Nginx;
use crate::played::{Played, Stage, frame, hear};
use crate::sockets::Capture;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, poll, timed, wait_for, wait_until};

/// The loudest sample that a server recorded in the last 1.5 s of its newest file.
fn loudest(nginx: &Nginx) -> u16 {
    let file = nginx.recordings().pop().unwrap();
    // The file grows in pieces: its end may lack a picture's worth of sound for a moment.
    let words = poll(Duration::from_secs(60), || {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-sseof", "-1.5", "-i"]).arg(&file).args(["-vn", "-f", "s16le", "-"]);
        Some(ffmpeg.output().unwrap().stdout).filter(|words| words.len() > 90_000)
    });
    let words = words.expect("a second of sound is recorded");
    words.chunks_exact(2).map(|word| i16::from_le_bytes([word[0], word[1]]).unsigned_abs()).max().unwrap()
}

fn arrived(nginx: &Nginx) -> u64 {
    nginx.recordings().last().and_then(|file| std::fs::metadata(file).ok()).map_or(0, |data| data.len())
}

/// A client that mutes and unmutes in turn, as fast as it gets responses.
fn alternate(socket: &std::path::Path, rounds: u64) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for round in 0..rounds {
        let calls: Vec<u8> = (0..8)
            .flat_map(|call| {
                let ask = if call % 2 == 0 { "mute" } else { "unmute" };
                frame(&format!(r#"{{"call":{},"request":{{"ask":"{ask}"}}}}"#, round * 8 + call))
            })
            .collect();
        stream.write_all(&calls).unwrap();
        for _ in 0..8 {
            hear(&mut stream).unwrap();
        }
    }
}

/// Twelve clients that mute and unmute in turn: the server receives what the last one requested.
#[test]
fn after_a_flood_of_mutes_the_lamp_says_what_the_server_hears() {
    let nginx = Nginx::new();
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    for _ in 0..3 {
        let before = arrived(&nginx);
        wait_until("the stream goes on", || arrived(&nginx) > before + 120_000);
        let socket = shop.path("run/guard.sock");
        let flood: Vec<_> = (0..12)
            .map(|_| {
                let socket = socket.clone();
                std::thread::spawn(move || alternate(&socket, 25))
            })
            .collect();
        for thread in flood {
            thread.join().unwrap();
        }
        let mut last = UnixStream::connect(&socket).unwrap();
        wait_until("the last mute is taken", || {
            last.write_all(&frame(r#"{"call":1,"request":{"ask":"mute"}}"#)).unwrap();
            hear(&mut last).unwrap()["answer"] == "done"
        });
        assert_eq!((shop.lamp().as_str(), &shop.status().unwrap()["muted"]), ("solid-notched", &true.into()));
        let before = arrived(&nginx);
        // 2 s and more at 400 kbit/s, of which the last 1.5 are listened to.
        wait_until("the stream goes on", || arrived(&nginx) > before + 150_000);
        assert_eq!(shop.lamp(), "solid-notched");
        assert_eq!(loudest(&nginx), 0, "the lamp says that nobody is heard");
        let muted: Vec<bool> =
            shop.ledger().iter().filter(|fact| fact["kind"] == "muted").map(|fact| fact["muted"] == true).collect();
        assert!(muted.windows(2).all(|pair| pair[0] != pair[1]) && muted.last() == Some(&true), "{muted:?}");
        // The quota of unmutes refills with time.
        wait_until("sound is back", || {
            last.write_all(&frame(r#"{"call":2,"request":{"ask":"unmute"}}"#)).unwrap();
            hear(&mut last).unwrap();
            shop.status().unwrap()["muted"] == false
        });
    }
    let before = arrived(&nginx);
    wait_until("the stream goes on", || arrived(&nginx) > before + 150_000);
    assert!(loudest(&nginx) > 30, "this test would be idle");
}

/// The same from the platform.
#[test]
fn after_a_flood_over_mqtt_the_lamp_says_what_the_server_hears() {
    let (broker, nginx) = (Broker::new(""), Nginx::new());
    let mut operator = Operator::connect(broker.port);
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), mqtt: broker.url(), ..BoxConfig::default() });
    let _run = shop.start("run");
    operator.wait_for_phase("idle");
    shop.press();
    shop.wait_for_phase("live");
    for _ in 0..150 {
        operator.command("mute");
        operator.command("unmute");
    }
    // Too many at once are refused, and those under way may still unmute.
    let muted = || shop.status().unwrap()["muted"] == true;
    wait_until("the last mute is taken", || {
        operator.command("mute");
        poll(Duration::from_secs(5), || muted().then_some(())).is_some()
            && poll(Duration::from_secs(2), || (!muted()).then_some(())).is_none()
    });
    assert_eq!(shop.lamp(), "solid-notched");
    let before = arrived(&nginx);
    wait_until("the stream goes on", || arrived(&nginx) > before + 150_000);
    assert_eq!(shop.lamp(), "solid-notched");
    assert_eq!(loudest(&nginx), 0, "the lamp says that nobody is heard");
}

/// The same at capture's end, with a guard that changes the settings 4,001 times at once.
#[test]
fn after_a_flood_of_renewals_the_last_one_is_in_force() {
    let nginx = Nginx::new();
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), ..BoxConfig::default() });
    let mut capture = Capture::start(&shop);
    capture.begin(&shop, true);
    let (mut socket, writer) = (capture.socket.try_clone().unwrap(), Mutex::new(capture.socket.try_clone().unwrap()));
    let (told, in_force) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Ok(said) = hear(&mut socket) {
            if said["tell"] == "in-force" {
                let _ = told.send((said["revision"].as_u64().unwrap(), said["muted"] == true));
            }
        }
    });
    let renew = |revision: u64, muted: bool| {
        let text = format!(r#"{{"do":"renew","wanted":{{"revision":{revision},"muted":{muted},"bitrate-kbps":400}}}}"#);
        writer.lock().unwrap().write_all(&frame(&text)).unwrap();
    };
    // The loudest of what comes while the lease goes on with this.
    let loudest_with = |revision: u64, muted: bool| {
        let before = arrived(&nginx);
        wait_until("the stream goes on", || {
            renew(revision, muted);
            arrived(&nginx) > before + 150_000
        });
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| loudest(&nginx));
            wait_until("it is listened to", || {
                renew(revision, muted);
                listener.is_finished()
            });
            listener.join().unwrap()
        })
    };
    assert!(loudest_with(0, false) > 30, "this test would be idle");
    for revision in 1..=4001 {
        renew(revision, revision % 2 == 1);
    }
    assert_eq!(in_force.iter().find(|(revision, _)| *revision == 4001), Some((4001, true)));
    assert_eq!(loudest_with(4001, true), 0);
    drop(capture);
    reader.join().unwrap();
}

#[test]
fn a_mute_that_capture_does_not_confirm_ends_the_session_and_is_never_shown() {
    let shop = TestBox::new(&BoxConfig::default());
    let stage = Stage::new(&shop);
    shop.press();
    let mut played = Played::take(&stage.listener);
    assert_eq!(played.start["wanted"], serde_json::json!({"revision": 0, "muted": false, "bitrate-kbps": 400}));
    played.say(r#"{"tell":"live"}"#);
    shop.wait_for_phase("live");
    let begun = shop.command(&["press", "--mute"]).status().unwrap();
    assert!(begun.success());
    let seen = wait_for("the session ends", Duration::from_secs(20), || {
        let lamp = shop.lamp();
        assert_ne!(lamp, "solid-notched", "nobody has confirmed that");
        (lamp == "dark").then_some(lamp)
    });
    assert_eq!(seen, "dark");
    assert!(!played.process.is_running());
    let status = shop.status().unwrap();
    assert_eq!((&status["reason"], &status["phase"]), (&"mute-unconfirmed".into(), &"idle".into()));
    assert!(!shop.kinds().contains(&"muted".to_owned()));
    // Each renewal carries the settings.
    let told = std::iter::from_fn(|| hear(&mut played.stream).ok()).last().unwrap();
    assert_eq!(told, serde_json::json!({"do": "renew", "wanted": {"revision": 1, "muted": true, "bitrate-kbps": 400}}));
}

#[test]
fn a_mute_before_capture_is_there_goes_out_with_its_start() {
    let shop = TestBox::new(&BoxConfig::default());
    let stage = Stage::new(&shop);
    shop.press();
    assert!(shop.call(&["press", "--mute"]).status.success());
    wait_until("it is in force: nothing is open", || shop.status().unwrap()["muted"] == true);
    let mut played = Played::take(&stage.listener);
    assert_eq!(played.start["wanted"], serde_json::json!({"revision": 1, "muted": true, "bitrate-kbps": 400}));
    played.say(r#"{"tell":"live"}"#);
    shop.wait_for_phase("live");
    assert_eq!(shop.lamp(), "solid-notched");
    assert!(shop.kinds().contains(&"muted".to_owned()));
    // A capture that sends sound although it is muted is ended.
    played.say(r#"{"tell":"in-force","revision":1,"muted":false,"bitrate-kbps":400}"#);
    shop.wait_for_phase("idle");
    assert_eq!(shop.status().unwrap()["reason"], "mute-unconfirmed");
    assert!(!played.process.is_running());
}

/// A library whose exit handler hangs, in capture alone.
fn hanging_library(shop: &TestBox) -> std::path::PathBuf {
    let (source, library) = (shop.path("hang.c"), shop.path("hang.so"));
    let text = r#"
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        __attribute__((destructor)) static void hang(void) {
            char line[4096];
            FILE *file = fopen("/proc/self/cmdline", "r");
            size_t length = file ? fread(line, 1, sizeof line, file) : 0;
            if (length && memmem(line, length, "\0capture\0", 9)) for (;;) pause();
        }"#;
    std::fs::write(&source, format!("#define _GNU_SOURCE{text}")).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(made.success());
    library
}

#[test]
fn a_library_that_hangs_at_the_end_keeps_no_camera_behind_a_dark_lamp() {
    let shop = TestBox::new(&BoxConfig::default());
    let (socket, library) = (shop.path("capture.sock"), hanging_library(&shop));
    let mut listener = Command::new("systemd-socket-activate");
    listener
        .args(["--accept", "--inetd", "-E"])
        .arg(format!("LD_PRELOAD={}", library.display()))
        .arg("-l")
        .arg(&socket);
    listener.arg(crate::support::TALLYBOX).args(["capture", "--config"]).arg(&shop.config).stderr(Stdio::null());
    let _listener = Program::start(&mut listener);
    wait_until("the socket is there", || socket.exists());
    let start = || {
        let mut guard = shop.command(&["guard", &format!("--capture-socket={}", socket.display())]);
        let guard = Program::start(guard.stderr(Stdio::null()));
        wait_until("the guard answers", || shop.status().is_some());
        guard
    };
    for _ in 0..2 {
        let mut guard = start();
        shop.press();
        shop.wait_for_phase("connecting");
        wait_until("capture is there", || shop.captures().len() == 1);
        guard.kill();
        assert!(shop.lamp_says_capturing());
        assert!(shop.call(&["guard", "--darken"]).status.success());
        // The lamp is read before the processes.
        assert_eq!(shop.lamp(), "dark");
        assert!(shop.captures().is_empty(), "a capture lives behind a dark lamp");
    }
    // A capture that ends in order is not killed.
    let mut guard = start();
    shop.press();
    shop.wait_for_phase("connecting");
    shop.press();
    shop.wait_for_phase("idle");
    assert!(shop.captures().is_empty());
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn whoever_darkens_the_lamp_ends_the_capture_that_stayed() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut stage = Stage::new(&shop);
    shop.press();
    // It ignores the loss of its guard.
    let mut played = Played::take(&stage.listener);
    // A living guard has the lamp to itself.
    let refused = shop.call(&["guard", "--darken"]);
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    assert!(played.process.is_running() && shop.lamp_says_capturing());
    stage.guard.kill();
    let mut darken = Program::start(&mut shop.command(&["guard", "--darken"]));
    wait_until("the lamp is dark", || shop.lamp() == "dark");
    assert!(!played.process.is_running(), "a capture lives behind a dark lamp");
    assert!(poll(Duration::from_secs(20), || (!darken.is_running()).then_some(())).is_some());
    assert!(!shop.path("run/capture.pid").exists());
}

#[test]
fn a_guard_that_is_started_anew_ends_the_capture_of_before() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut stage = Stage::new(&shop);
    shop.press();
    let mut played = Played::take(&stage.listener);
    stage.guard.kill();
    assert!(played.process.is_running() && shop.lamp_says_capturing());
    let _guard = shop.start("guard");
    assert!(!played.process.is_running());
    assert_eq!((shop.phase().as_str(), shop.lamp().as_str()), ("idle", "dark"));
}

#[test]
fn a_process_that_got_the_id_of_a_capture_is_left_alone() {
    let shop = TestBox::new(&BoxConfig::default());
    shop.start("guard").finish();
    let mut other = Program::start(Command::new("sleep").arg("1000"));
    std::fs::write(shop.path("run/capture.pid"), format!("{} 1\n", other.pid())).unwrap();
    assert!(shop.call(&["guard", "--darken"]).status.success());
    let _guard = shop.start("guard");
    assert!(other.is_running());
}

/// systemd accepts no connection before it has cleaned up after the last one: it closes it at once.
#[test]
fn a_socket_that_turns_the_guard_away_at_first_does_not_lose_the_press() {
    let shop = TestBox::new(&BoxConfig::default());
    let stage = Stage::new(&shop);
    shop.press();
    for _ in 0..2 {
        drop(stage.listener.accept().unwrap());
    }
    let mut played = Played::take(&stage.listener);
    played.say(r#"{"tell":"live"}"#);
    shop.wait_for_phase("live");
    let sessions = shop.kinds().iter().filter(|kind| *kind == "session-started").count();
    assert_eq!(sessions, 1);
    // A stop in between is one.
    shop.press();
    shop.wait_for_phase("idle");
    assert!(!played.process.is_running());
    shop.press();
    drop(stage.listener.accept().unwrap());
    let ((), took) = timed(|| {
        shop.press();
        shop.wait_for_phase("idle");
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// A capture that hangs reports nothing: its last figures do not count as present ones.
#[test]
fn figures_of_a_capture_that_hangs_are_not_told_as_the_present_ones() {
    let nginx = Nginx::new();
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    let figures = || !shop.status().unwrap()["stream"].is_null();
    wait_until("figures come", figures);
    let capture = Pid::from_raw(shop.captures()[0]).unwrap();
    kill_process(capture, Signal::STOP).unwrap();
    wait_until("they are not told any more", || !figures());
    assert!(shop.lamp_says_capturing(), "it may still have the camera open");
    // Its lease has run out meanwhile, and it sees that before anything else.
    kill_process(capture, Signal::CONT).unwrap();
    shop.wait_for_phase("idle");
}
