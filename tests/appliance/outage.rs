//! What becomes of frames while the ingest server is away.

use std::os::unix::fs::FileExt;

use crate::ingest::{Packet, ffmpeg_listener, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{free_port, wait_until};

/// Two recordings of one session with the server away in between for `away` in the stream's time; whether the second
/// goes on where the first ended, in seconds.
fn gap(shop: &TestBox, port: u16, away: f64) -> f64 {
    let mut guard = shop.start("guard");
    let files = [shop.path("first.flv"), shop.path("second.flv")];
    let mut listener = ffmpeg_listener(port, &files[0]);
    shop.press();
    let arrived = |file: &std::path::Path| std::fs::metadata(file).map_or(0, |data| data.len()) > 100_000;
    wait_until("the stream arrives", || arrived(&files[0]));
    let capture = shop.captures();
    listener.kill();
    shop.wait_for_phase("reconnecting");
    let since: jiff::Timestamp = shop.status().unwrap()["since"].as_str().unwrap().parse().unwrap();
    wait_until("it has been away", || jiff::Timestamp::now().duration_since(since).as_secs_f64() > away);
    let mut listener = ffmpeg_listener(port, &files[1]);
    shop.wait_for_phase("live");
    wait_until("the stream arrives again", || arrived(&files[1]));
    assert_eq!(shop.captures(), capture, "capture went on");
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the listener ends", || !listener.is_running());
    guard.finish();
    let [first, second] = files.map(|file| packets(&file, "v"));
    assert!(second[0].key, "it goes on with a keyframe");
    for part in [&first, &second] {
        // Time never jumps back; a frame that was given twice would be seen here too.
        assert!(part.windows(2).all(|pair: &[Packet]| pair[1].pts > pair[0].pts));
    }
    second[0].pts - first.last().unwrap().pts
}

fn shop(port: u16, more: &str) -> TestBox {
    let ingest = format!("rtmp://127.0.0.1:{port}/live/key-of-the-stream\"\n{more}\n#\"");
    TestBox::new(&BoxConfig { ingest, ..BoxConfig::default() })
}

#[test]
fn a_short_one_is_bridged_and_after_a_long_one_the_stream_goes_on_live() {
    let port = free_port();
    // What was on its way when the server died is lost, and the pictures until the encoder made a keyframe.
    let bridged = gap(&shop(port, ""), port, 4.0);
    assert!((0.0..0.5).contains(&bridged), "{bridged}");
    let live = gap(&shop(port, "catch-up = \"1s\""), port, 4.0);
    // The last keyframe may be two seconds old.
    assert!((1.9..10.0).contains(&live), "{live}");
}

#[test]
fn what_waits_on_disk_has_no_name_cannot_be_read_and_is_gone_with_the_process() {
    let plan =
        BoxConfig { ingest: "srt://127.0.0.1:9\"\noutage-buffer = \"disk\"\n#\"".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let _guard = shop.start("guard");
    shop.press();
    let data = shop.path("data");
    let vault = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", shop.captures().first()?)).ok()?;
        fds.flatten().map(|fd| fd.path()).find(|fd| {
            std::fs::read_link(fd)
                .is_ok_and(|target| target.starts_with(&data) && target.to_string_lossy().ends_with("(deleted)"))
        })
    };
    let size = || std::fs::metadata(vault()?).ok().map(|data| data.len());
    // Some eight seconds at 530 kbit/s.
    wait_until("frames are on disk", || size().is_some_and(|size| size > 400_000));
    let file = std::fs::File::open(vault().unwrap()).unwrap();
    let mut bytes = vec![0; 400_000];
    file.read_exact_at(&mut bytes, 0).unwrap();
    drop(file);
    let start_codes = bytes.windows(4).filter(|part| *part == [0, 0, 0, 1]).count();
    assert_eq!(start_codes, 0, "the pictures are readable");
    // Noise: each byte as often as any other, within six standard deviations of about 40.
    let mut counts = [0_i32; 256];
    for byte in &bytes {
        counts[usize::from(*byte)] += 1;
    }
    assert!(counts.iter().all(|count| (count - 1562).abs() < 240), "{counts:?}");
    let named = || {
        let entries = std::fs::read_dir(&data).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        entries.filter(|name| !name.starts_with("ledger") && name != "credentials").collect::<Vec<_>>()
    };
    assert_eq!(named(), Vec::<String>::new());
    let capture = rustix::process::Pid::from_raw(shop.captures()[0]).unwrap();
    rustix::process::kill_process(capture, rustix::process::Signal::KILL).unwrap();
    shop.wait_for_phase("idle");
    assert_eq!(named(), Vec::<String>::new());
    assert!(vault().is_none());
}

#[test]
fn a_folder_that_cannot_hold_it_costs_the_disk_and_not_the_stream() {
    let port = free_port();
    let shop = shop(port, "outage-buffer = \"disk\"");
    let mut guard = shop.start_with("guard", "CACHE_DIRECTORY", "/proc");
    let file = shop.path("out.flv");
    let _listener = ffmpeg_listener(port, &file);
    shop.press();
    shop.wait_for_phase("live");
    assert!(shop.log().contains("frames wait in memory instead"), "{}", shop.log());
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
}
