//! What reaches real ingest servers.

use std::path::Path;

use crate::ingest::{Nginx, Packet, ffmpeg_listener, packets, srt_listener, streams};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, footage, free_port, wait_until};

fn shop(ingest: &str) -> TestBox {
    TestBox::new(&BoxConfig { ingest: ingest.to_owned(), ..BoxConfig::default() })
}

/// Bytes that have arrived.
fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |data| data.len())
}

/// No gap and no step back: from one packet to the next it is one frame, give or take the container's milliseconds.
#[track_caller]
fn runs_on(packets: &[Packet], frame: f64) {
    assert!(packets.len() > 30, "{} packets", packets.len());
    for pair in packets.windows(2) {
        let step = pair[1].pts - pair[0].pts;
        assert!((step - frame).abs() < 0.003, "from {} to {}: {step}", pair[0].pts, pair[1].pts);
    }
}

#[track_caller]
fn keyframes_every_two_seconds(packets: &[Packet]) {
    let keys: Vec<f64> = packets.iter().filter(|packet| packet.key).map(|packet| packet.pts).collect();
    assert!(keys.len() >= 3, "{keys:?}");
    assert!(keys.windows(2).all(|pair| (pair[1] - pair[0] - 2.0).abs() < 0.01), "{keys:?}");
}

/// AAC has 1024 samples in a frame, here 48,000 a second.
const AAC: f64 = 1024.0 / 48_000.0;

#[test]
fn nginx_gets_the_stream_across_the_files_loop_and_its_own_restart() {
    let mut nginx = Nginx::new();
    let shop = shop(&nginx.url());
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    assert_eq!(shop.lamp(), "solid");
    // Longer than the file, which has 5.3 s: 8 s at 400 kbit/s and 128 kbit/s of sound.
    wait_until("the file has looped", || nginx.recordings().first().is_some_and(|file| size(file) > 500_000));
    let capture = shop.captures();
    nginx.stop();
    shop.wait_for_phase("reconnecting");
    assert_eq!(shop.lamp(), "double-blink");
    let status = shop.status().unwrap();
    assert!(status["reason"].as_str().unwrap().starts_with("127.0.0.1:"), "{status}");
    assert_eq!(shop.captures(), capture, "capture goes on");
    nginx.start();
    shop.wait_for_phase("live");
    wait_until("it goes on", || nginx.recordings().get(1).is_some_and(|file| size(file) > 400_000));
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
    nginx.stop();
    let files = nginx.recordings();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        assert_eq!(streams(file).lines().collect::<Vec<_>>(), ["h264,320,180", "aac"], "{file:?}");
        let video = packets(file, "v");
        assert!(video[0].key, "it begins with a keyframe");
        keyframes_every_two_seconds(&video);
        runs_on(&video, 1.0 / 30.0);
        runs_on(&packets(file, "a"), AAC);
    }
    // Time goes on through the restart: nothing that was captured is given a time twice.
    let (first, second) = (packets(&files[0], "v"), packets(&files[1], "v"));
    assert!(second[0].pts >= 0.0 && first.last().unwrap().pts > 5.3);
    let kinds = shop.kinds();
    let wanted = ["session-started", "on-air", "off-air", "on-air", "session-stopped"];
    assert_eq!(&kinds[4..9], wanted);
    assert!(!shop.log().contains("key-of-the-stream"), "{}", shop.log());
}

#[test]
fn an_ffmpeg_listener_gets_the_stream_and_a_short_hold_has_no_sound() {
    let port = free_port();
    let shop = shop(&format!("rtmp://127.0.0.1:{port}/live/key-of-the-stream"));
    let mut guard = shop.start("guard");
    for (hold, wanted) in [("0.15", &["h264,320,180", "aac"][..]), ("1.0", &["h264,320,180"])] {
        let file = shop.path(&format!("out-{hold}.flv"));
        let mut listener = ffmpeg_listener(port, &file);
        shop.hold(hold);
        shop.wait_for_phase("live");
        assert_eq!(shop.status().unwrap()["muted"], hold != "0.15");
        wait_until("the stream arrives", || size(&file) > 150_000);
        shop.press();
        shop.wait_for_phase("idle");
        wait_until("the listener ends with the stream", || !listener.is_running());
        assert_eq!(streams(&file).lines().collect::<Vec<_>>(), wanted);
        runs_on(&packets(&file, "v"), 1.0 / 30.0);
    }
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn srt_live_transmit_gets_the_stream_and_may_come_late() {
    let port = free_port();
    let shop = shop(&format!("srt://127.0.0.1:{port}?mode=caller"));
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
    wait_until("the first attempt fails", || shop.status().unwrap()["reason"].is_string());
    let file = shop.path("out.ts");
    let mut listener: Program = srt_listener(port, "", &file);
    shop.wait_for_phase("live");
    wait_until("the stream arrives", || size(&file) > 400_000);
    wait_until("the round trip is known", || shop.status().unwrap()["stream"]["round-trip-ms"].is_number());
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
    listener.finish();
    let found = streams(&file);
    assert!(found.contains("h264,320,180") && found.contains("aac"), "{found}");
    let video = packets(&file, "v");
    keyframes_every_two_seconds(&video);
    runs_on(&video, 1.0 / 30.0);
}

#[test]
fn muted_sends_silence_and_the_stream_goes_on() {
    let port = free_port();
    let plan = BoxConfig { ingest: format!("rtmp://127.0.0.1:{port}/live/key-of-the-stream"), ..BoxConfig::default() };
    // Whatever is done for voices is done before the mute.
    let shop = TestBox::new(&BoxConfig { audio: plan.audio + "noise-suppression = true\nhigh-pass = true\n", ..plan });
    let _guard = shop.start("guard");
    let file = shop.path("out.flv");
    let mut listener = ffmpeg_listener(port, &file);
    shop.press();
    shop.wait_for_phase("live");
    wait_until("sound arrives", || size(&file) > 150_000);
    wait_until("its level is told", || {
        shop.status().unwrap()["stream"]["level-db"].as_f64().is_some_and(|db| (-60.0..=-3.0).contains(&db))
    });
    assert!(shop.call(&["press", "--mute"]).status.success());
    wait_until("the lamp has a notch", || shop.lamp() == "solid-notched");
    let level = || shop.status().unwrap()["stream"]["level-db"].as_f64();
    wait_until("the level says so", || level() == Some(-100.0));
    let before = size(&file);
    wait_until("the stream goes on", || size(&file) > before + 400_000);
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the listener ends", || !listener.is_running());
    runs_on(&packets(&file, "a"), AAC);
    let heard = |from: &str| {
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        let decoded = ["-vn", "-f", "s16le", "-"];
        ffmpeg.args(["-v", "error"]).args(from.split(' ')).arg("-i").arg(&file).args(decoded);
        let words = ffmpeg.output().unwrap().stdout;
        assert!(words.len() > 90_000, "{} bytes", words.len());
        words.chunks_exact(2).map(|word| i16::from_le_bytes([word[0], word[1]]).unsigned_abs()).max().unwrap()
    };
    // Music is noise to what is done for voices.
    assert!(heard("-t 1") > 30, "{}", heard("-t 1"));
    assert_eq!(heard("-sseof -1.5"), 0, "digital silence");
}

#[test]
fn why_the_server_is_out_of_reach_is_said() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closing = silent.local_addr().unwrap().port();
    std::thread::spawn(move || silent.incoming().for_each(drop));
    for (url, said) in [
        ("rtmp://127.0.0.1:9/live/key-of-the-stream".to_owned(), "refused"),
        ("rtmp://no-such-host.invalid/live/key-of-the-stream".to_owned(), "cannot be resolved"),
        (format!("rtmp://127.0.0.1:{closing}/live/key-of-the-stream"), "closed the connection"),
        (format!("rtmps://127.0.0.1:{closing}/live/key-of-the-stream"), "127.0.0.1"),
    ] {
        let shop = shop(&url);
        let _guard = shop.start("guard");
        shop.press();
        wait_until("a reason is given", || shop.status().is_some_and(|status| status["reason"].is_string()));
        let reason = shop.status().unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(said), "{url}: {reason}");
        assert!(!reason.contains("key-of"), "{reason}");
    }
}

#[test]
fn each_encoder_in_software_gives_the_same_stream_and_says_why_it_was_chosen() {
    for (encoder, said) in [("auto", "x264enc: no hardware encoder"), ("openh264enc", "openh264enc: configured")] {
        let nginx = Nginx::new();
        let plan = BoxConfig { ingest: nginx.url(), ..BoxConfig::default() };
        let shop = TestBox::new(&BoxConfig { video: format!("{}encoder = \"{encoder}\"\n", plan.video), ..plan });
        let _guard = shop.start("guard");
        shop.press();
        shop.wait_for_phase("live");
        let status = shop.status().unwrap();
        assert!(status["encoder"].as_str().unwrap().starts_with(said), "{status}");
        wait_until("the stream arrives", || nginx.recordings().first().is_some_and(|file| size(file) > 500_000));
        shop.press();
        shop.wait_for_phase("idle");
        let file = &nginx.recordings()[0];
        assert_eq!(streams(file).lines().next(), Some("h264,320,180"));
        let video = packets(file, "v");
        keyframes_every_two_seconds(&video);
        runs_on(&video, 1.0 / 30.0);
    }
}

#[test]
fn a_media_file_that_is_none_is_said_to_be_none() {
    let file = std::env::temp_dir().join(format!("tallybox-test-{}.mp4", std::process::id()));
    std::fs::write(&file, "this is not a film").unwrap();
    let video = format!("source = \"file\"\ndevice = \"{}\"\n", file.display());
    let shop = TestBox::new(&BoxConfig { video, audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() });
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("idle");
    let status = shop.status().unwrap();
    assert_eq!(status["reason"], "capture-failed");
    assert!(status["message"].as_str().unwrap().contains("not a media file"), "{status}");
    std::fs::remove_file(file).unwrap();
    assert!(footage().exists());
}
