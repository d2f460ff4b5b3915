//! All transports behave alike when their server goes away, and two destinations do not wait for each other.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::ingest::{Nginx, Packet, ffmpeg_listener, packets, srt_listener, tls_in_front_of};
use crate::relay::{Reads, Relay};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, timed, wait_until};
use crate::whip::WhipServer;

/// A server that can go away and come back; what it gets is kept apart for each time.
enum Server {
    /// ffmpeg, perhaps with TLS in front of it.
    Rtmp {
        port: u16,
        files: Vec<PathBuf>,
        program: Option<Program>,
    },
    Srt {
        port: u16,
        files: Vec<PathBuf>,
        program: Option<Program>,
    },
    Whip {
        server: WhipServer,
        times: u32,
    },
}

impl Server {
    fn begin(&mut self, shop: &TestBox) {
        match self {
            Self::Rtmp { port, files, program } => {
                files.push(shop.path(&format!("{}.flv", files.len())));
                *program = Some(ffmpeg_listener(*port, &files[files.len() - 1]));
            }
            Self::Srt { port, files, program } => {
                files.push(shop.path(&format!("{}.ts", files.len())));
                *program = Some(srt_listener(*port, "", &files[files.len() - 1]));
            }
            Self::Whip { server, times } => {
                *times += 1;
                if *times > 1 {
                    server.start();
                }
            }
        }
    }

    /// In order, so that its network hears of it.
    fn end(&mut self) {
        match self {
            Self::Rtmp { program, .. } | Self::Srt { program, .. } => drop(program.take()),
            Self::Whip { server, .. } => server.end(),
        }
    }

    /// Pictures of the time `number`, from 0.
    fn pictures(&self, number: usize) -> Vec<Packet> {
        match self {
            Self::Rtmp { files, .. } | Self::Srt { files, .. } => {
                files.get(number).map_or_else(Vec::new, |file| packets(file, "v"))
            }
            Self::Whip { server, .. } => {
                let all = server.decoded("v").into_iter().filter(|frame| frame.time == number);
                all.map(|frame| Packet { pts: frame.at, key: frame.key }).collect()
            }
        }
    }
}

/// Live, cut off for some seconds, live again: the same session, from a keyframe, and nothing missing but what was on
/// its way.
#[track_caller]
fn rides_out_a_restart(shop: &TestBox, mut server: Server, mounts: &str) {
    server.begin(shop);
    let mut guard = if mounts.is_empty() { shop.start("guard") } else { shop.start_guard_with(mounts) };
    shop.press();
    shop.wait_for_phase("live");
    wait_until("pictures arrive", || server.pictures(0).len() > 60);
    let capture = shop.captures();
    server.end();
    shop.wait_for_phase("reconnecting");
    let status = shop.status().unwrap();
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("127.0.0.1:") || reason.contains("localhost:"), "{reason}");
    let queued = || shop.status().unwrap()["stream"]["queue-ms"].as_u64();
    // Each attempt takes a while; what waits is told meanwhile.
    wait_until("frames wait", || queued().is_some_and(|queued| queued > 2500));
    server.begin(shop);
    shop.wait_for_phase("live");
    wait_until("pictures arrive again", || server.pictures(1).len() > 120);
    assert_eq!(shop.captures(), capture, "capture went on");
    shop.press();
    shop.wait_for_phase("idle");
    server.end();
    guard.finish();
    let [first, second] = [0, 1].map(|number| server.pictures(number));
    assert!(second[0].key, "it goes on with a keyframe");
    for part in [&first, &second] {
        assert!(part.windows(2).all(|pair| pair[1].pts > pair[0].pts), "time jumps back");
    }
    let gap = second[0].pts - first.last().unwrap().pts;
    println!("{reason}: {gap:.3} s");
    assert!((0.0..1.5).contains(&gap), "{gap}");
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "on-air").count(), 2);
}

fn shop(ingest: &str) -> TestBox {
    TestBox::new(&BoxConfig { ingest: ingest.to_owned(), ..BoxConfig::default() })
}

#[test]
fn rtmp_rides_out_a_restart() {
    let port = free_port();
    let server = Server::Rtmp { port, files: Vec::new(), program: None };
    rides_out_a_restart(&shop(&format!("rtmp://127.0.0.1:{port}/live/key-of-the-stream")), server, "");
}

#[test]
fn rtmps_rides_out_a_restart() {
    let authority = Authority::new();
    let (port, outside) = (free_port(), free_port());
    let dir = tempfile::tempdir().unwrap();
    let _tls = tls_in_front_of(port, outside, &authority, dir.path());
    let server = Server::Rtmp { port, files: Vec::new(), program: None };
    let trusted = format!("mount --bind {} /etc/ssl/certs/ca-certificates.crt", authority.file("ca.pem"));
    rides_out_a_restart(&shop(&format!("rtmps://localhost:{outside}/live/key-of-the-stream")), server, &trusted);
}

#[test]
fn rtmp_is_live_only_while_the_server_takes_the_stream() {
    let nginx = Nginx::new();
    let relay = Relay::new(nginx.port, Reads::UntilPublishing);
    let shop = shop(&format!("rtmp://127.0.0.1:{}/live/key-of-the-stream", relay.port));
    let mut guard = shop.start("guard");
    let misses =
        || shop.status().unwrap()["reason"].as_str().is_some_and(|said| said.contains("takes nothing any more"));
    shop.press();
    wait_until("the server is missed", misses);
    assert!(!shop.kinds().contains(&"on-air".to_owned()), "it took some headers, and no picture");
    relay.reads(Reads::All);
    shop.wait_for_phase("live");
    wait_until("pictures arrive", || nginx.recordings().iter().any(|file| packets(file, "v").len() > 60));
    wait_until("a round trip is measured", || shop.status().unwrap()["stream"]["round-trip-ms"].is_number());
    // What the kernel of the box takes would do for half a minute, and has arrived nowhere.
    relay.reads(Reads::Nothing);
    let ((), noticed) = timed(|| shop.wait_for_phase("reconnecting"));
    assert!(misses(), "{:?}", shop.status());
    println!("missed after {noticed:?}");
    assert!(noticed > Duration::from_secs(6) && noticed < Duration::from_secs(20), "{noticed:?}");
    relay.reads(Reads::All);
    shop.wait_for_phase("live");
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
}

#[test]
fn srt_rides_out_a_restart() {
    let port = free_port();
    let server = Server::Srt { port, files: Vec::new(), program: None };
    rides_out_a_restart(&shop(&format!("srt://127.0.0.1:{port}")), server, "");
}

#[test]
fn whip_rides_out_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    let shop = shop(&format!("http://127.0.0.1:{}/whip/live\"\ntoken = \"the-token\"\n#\"", server.port));
    rides_out_a_restart(&shop, Server::Whip { server, times: 0 }, "");
}

/// No frame is missing, none is there twice.
#[track_caller]
fn whole(pictures: &[Packet]) {
    assert!(pictures.len() > 100, "{}", pictures.len());
    for pair in pictures.windows(2) {
        let step = pair[1].pts - pair[0].pts;
        assert!((step - 1.0 / 30.0).abs() < 0.003, "from {} to {}", pair[0].pts, pair[1].pts);
    }
}

#[test]
fn one_destination_does_not_wait_for_the_other() {
    let [first, second] = [free_port(), free_port()];
    let ingest = format!(
        "rtmp://127.0.0.1:{first}/live/key-of-the-stream\"\n[ingest.second]\nurl = \"rtmp://127.0.0.1:{second}/live/key-of-the-stream"
    );
    // Enough to fill what the kernel takes for a reader that sleeps.
    let plan = BoxConfig::default();
    let shop = TestBox::new(&BoxConfig { ingest, video: plan.video.replace("kbps = 400", "kbps = 2500"), ..plan });
    let files = [shop.path("first.flv"), shop.path("second.flv")];
    let mut guard = shop.start("guard");
    let mut listeners = [ffmpeg_listener(first, &files[0]), ffmpeg_listener(second, &files[1])];
    shop.press();
    shop.wait_for_phase("live");
    let on_air = || shop.status().unwrap()["second"]["on-air"] == true;
    wait_until("both have the stream", on_air);
    // The second freezes, until what it does not take is dropped.
    listeners[1].signal(Signal::STOP);
    let dropped = || shop.status().unwrap()["second"]["dropped-frames"].as_u64().unwrap();
    wait_until("frames are dropped for the second", || dropped() > 0 || !on_air());
    let status = shop.status().unwrap();
    assert_eq!((status["phase"].as_str(), status["stream"]["dropped-frames"].as_u64()), (Some("live"), Some(0)));
    listeners[1].signal(Signal::CONT);
    listeners[1].kill();
    wait_until("the second is missed", || !on_air());
    let reason = shop.status().unwrap()["second"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with(&format!("127.0.0.1:{second}: ")) && !reason.contains("key-of"), "{reason}");
    assert_eq!(shop.phase(), "live");
    // Now the second is back, and the first goes away.
    let again = shop.path("again.flv");
    let mut listener = ffmpeg_listener(second, &again);
    wait_until("the second is back", on_air);
    wait_until("the first has enough to judge", || packets(&files[0], "v").len() > 120);
    listeners[0].kill();
    shop.wait_for_phase("reconnecting");
    let arrived = || packets(&again, "v").len();
    let before = arrived();
    wait_until("the second goes on", || arrived() > before + 120);
    assert!(on_air());
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the listener ends", || !listener.is_running());
    guard.finish();
    whole(&packets(&files[0], "v"));
    whole(&packets(&again, "v"));
    let facts = shop.ledger();
    let configured = facts.iter().find(|fact| fact["kind"] == "configured").unwrap();
    assert_eq!(configured["ingest-host"], "127.0.0.1, 127.0.0.1");
}

#[test]
fn two_protocols_get_the_same_pictures_and_each_its_own_sound() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    let port = free_port();
    let shop = shop(&format!(
        "srt://127.0.0.1:{port}\"\n[ingest.second]\ntoken = \"the-token\"\nurl = \"http://127.0.0.1:{}/whip/live",
        server.port
    ));
    let file = shop.path("out.ts");
    let mut listener = srt_listener(port, "", &file);
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    wait_until("WHIP gets sound and pictures", || server.decoded("a").len() > 50 && server.decoded("v").len() > 60);
    wait_until("SRT gets pictures", || packets(&file, "v").len() > 60);
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the session is deleted", || server.lines("deleted").len() == 1);
    guard.finish();
    listener.finish();
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-show_entries", "stream=codec_name,profile", "-of", "csv=p=0"]).arg(&file);
    let found = String::from_utf8(ffprobe.stderr(Stdio::null()).output().unwrap().stdout).unwrap();
    assert!(found.contains("h264,Constrained Baseline") && found.contains("aac"), "{found}");
}
