//! Garbage on both sockets is an error, and changes nothing.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use crate::played::frame;
use crate::support::test_box::{BoxConfig, TestBox, openers};
use crate::support::{Program, footage, timed, wait_for, wait_until};

fn garbage() -> Vec<Vec<u8>> {
    let mut all = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100],
        vec![0, 0, 0, 0],
        (128 * 1024 + 1u32).to_be_bytes().to_vec(),
        frame("{}"),
        frame("null"),
        frame(r#"{"call":1,"request":{"ask":"start"}}"#),
        frame(r#"{"call":1,"request":{"ask":"stop","force":true}}"#),
        frame(r#"{"call":-1,"request":{"ask":"stop"}}"#),
        frame(r#"{"do":"start","session":1}"#),
        frame(r#"{"do":"start","session":1,"sound":true,"now":true}"#),
        frame(r#"{"do":"renew"}"#),
        frame(&"[".repeat(10_000)),
    ];
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for length in 1..60 {
        let mut noise = Vec::new();
        for _ in 0..length {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            noise.push(seed.to_be_bytes()[3]);
        }
        all.push(noise);
    }
    all
}

#[test]
fn garbage_at_the_guards_socket_changes_nothing() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    for bytes in garbage() {
        let mut stream = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.read_to_end(&mut answer);
    }
    assert!(guard.is_running());
    assert_eq!(shop.phase(), "idle");
    assert!(shop.captures().is_empty());
    assert!(!shop.log().contains("panicked"), "{}", shop.log());
    let kinds = shop.kinds();
    let refused = kinds.iter().filter(|kind| *kind == "door-refused").count();
    assert!((1..=10).contains(&refused), "what strangers can make it write is limited: {kinds:?}");
    shop.verify();
}

#[test]
fn who_connects_and_says_nothing_holds_nobody_up() {
    let shop = TestBox::new(&BoxConfig::default());
    let _guard = shop.start("guard");
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(shop.path("run/guard.sock")).unwrap()).collect();
    drop(silent);
    wait_until("the guard answers", || shop.status().is_some());
    shop.press();
    shop.wait_for_phase("connecting");
}

/// A capture whose guard is the test, at the capture socket.
pub(crate) struct Capture {
    pub(crate) process: Program,
    pub(crate) socket: UnixStream,
}

impl Capture {
    pub(crate) fn start(shop: &TestBox) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
        let process = Program::start(shop.command(&["capture"]).stdin(Stdio::from(OwnedFd::from(theirs))).stderr(log));
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut this = Self { process, socket };
        assert!(this.hear().contains("hello"));
        this
    }

    fn hear(&mut self) -> String {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).unwrap();
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    pub(crate) fn begin(&mut self, shop: &TestBox, sound: bool) {
        let hash = tallybox::config::Config::load(&shop.config).unwrap().hash;
        self.say(&format!(
            r#"{{"do":"start","session":1,"sound":{sound},"purpose":"on-air","configuration":"{hash}","values":{{}},"commands":{{"video":{{}},"ingest":null}},"wanted":{{"revision":0,"muted":false,"bitrate-kbps":400}}}}"#
        ));
    }

    pub(crate) fn say(&mut self, json: &str) {
        self.socket.write_all(&frame(json)).unwrap();
    }

    fn has_the_camera(&self) -> bool {
        openers(&footage()).contains(&self.process.pid().to_string())
    }

    #[track_caller]
    fn ends(&mut self) -> Duration {
        timed(|| wait_for("capture ends", Duration::from_secs(20), || (!self.process.is_running()).then_some(()))).1
    }
}

#[test]
fn garbage_at_the_capture_socket_ends_it_before_anything_is_opened() {
    let shop = TestBox::new(&BoxConfig::default());
    for bytes in garbage().into_iter().take(14) {
        let mut capture = Capture::start(&shop);
        assert!(!capture.has_the_camera());
        let _ = capture.socket.write_all(&bytes);
        let _ = capture.socket.shutdown(std::net::Shutdown::Write);
        capture.ends();
    }
    assert!(!shop.log().contains("panicked"), "{}", shop.log());
}

#[test]
fn a_silent_guard_makes_capture_go_dark_by_itself() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut capture = Capture::start(&shop);
    capture.begin(&shop, true);
    wait_until("the camera's file is open", || capture.has_the_camera());
    capture.say(r#"{"do":"renew","wanted":{"revision":0,"muted":false,"bitrate-kbps":400}}"#);
    let took = capture.ends();
    assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(4), "{took:?}");
    assert!(shop.log().contains("the guard is silent"));
}

#[test]
fn a_closed_socket_ends_capture_within_half_a_second() {
    let mut seen = Vec::new();
    // Other work on the machine only adds to the time: one that is quick enough shows it.
    for _ in 0..5 {
        let shop = TestBox::new(&BoxConfig::default());
        let mut capture = Capture::start(&shop);
        capture.begin(&shop, true);
        wait_until("the camera's file is open", || capture.has_the_camera());
        capture.socket.shutdown(std::net::Shutdown::Both).unwrap();
        let took = capture.ends();
        if took < Duration::from_millis(500) {
            return;
        }
        seen.push(took);
    }
    panic!("{seen:?}");
}

#[test]
fn capture_cannot_be_started_by_hand() {
    let shop = TestBox::new(&BoxConfig::default());
    let output = shop.command(&["capture"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("press the button"));
}

#[test]
fn what_cannot_work_is_said_with_advice() {
    let camera = "source = \"v4l2\"\ndevice = \"/dev/video77\"\n".to_owned();
    let shop = TestBox::new(&BoxConfig { video: camera, ..BoxConfig::default() });
    let mut capture = Capture::start(&shop);
    capture.begin(&shop, false);
    let said = std::iter::from_fn(|| Some(capture.hear())).find(|said| said.contains("failed")).unwrap();
    assert!(said.contains("there is no camera at /dev/video77: plug it in"), "{said}");
    capture.ends();
}

#[test]
fn a_configuration_that_the_guard_does_not_know_opens_nothing() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut guard = shop.start("guard");
    shop.configure(&BoxConfig { ingest: "rtmp://127.0.0.2:9/live/k".to_owned(), ..BoxConfig::default() });
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the reason is told", || {
        shop.status().unwrap()["message"].as_str().is_some_and(|why| why.contains("restart guard and agent"))
    });
    assert_eq!(shop.kinds().last().unwrap(), "session-stopped");
    assert!(shop.captures().is_empty());
    guard.finish();
    let _guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("connecting");
}

/// A capture that fails reports it and ends with unread renewals: the kernel then resets the connection.
#[test]
fn the_last_words_of_a_capture_count_however_its_connection_ends() {
    let shop = TestBox::new(&BoxConfig::default());
    let socket = shop.path("capture.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut guard = shop.command(&["guard", &format!("--capture-socket={}", socket.display())]);
    let _guard = Program::start(guard.stderr(Stdio::null()));
    wait_until("the guard answers", || shop.status().is_some());
    shop.press();
    let (mut stream, _) = listener.accept().unwrap();
    // A process in place of capture.
    let mut process = Program::start(std::process::Command::new("sleep").arg("1000"));
    stream.write_all(&frame(&format!(r#"{{"tell":"hello","pid":{}}}"#, process.pid()))).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut start = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut start).unwrap();
    assert!(String::from_utf8(start).unwrap().contains("start"));
    stream.write_all(&frame(r#"{"tell":"failed","kind":"source","message":"it was unplugged"}"#)).unwrap();
    // The first renewal, which is never read.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut one = [0; 1];
    rustix::net::recv(&stream, &mut one, rustix::net::RecvFlags::PEEK).unwrap();
    drop(stream);
    process.kill();
    shop.wait_for_phase("idle");
    let status = shop.status().unwrap();
    assert_eq!((&status["reason"], &status["message"]), (&"capture-failed".into(), &"it was unplugged".into()));
}
