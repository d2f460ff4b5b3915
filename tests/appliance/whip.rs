//! WHIP against real WebRTC: aiortc decodes pictures and sound, and sees the token and the end.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, poll, wait_until};

/// `tests/appliance/whip_server.py`, which says what it does.
pub(crate) struct WhipServer {
    pub(crate) port: u16,
    log: PathBuf,
    program: Option<Program>,
    more: Vec<String>,
    starts: u32,
}

/// A frame that was decoded: since which start of the server, and when in the stream's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded {
    pub(crate) time: usize,
    pub(crate) at: f64,
    pub(crate) key: bool,
    pub(crate) size: (u32, u32),
}

impl WhipServer {
    pub(crate) fn new(log: &Path, authority: Option<&Authority>) -> Self {
        let more = authority.map(|authority| vec![authority.file("server.pem"), authority.file("server.key")]);
        Self::with(log, more.unwrap_or_default())
    }

    /// Behind a relay that loses a share of all datagrams.
    fn behind_loss(log: &Path, share: f64) -> Self {
        Self::with(log, vec!["--loss".to_owned(), share.to_string()])
    }

    /// Whose media go to one address only, wherever it is asked.
    fn with_media_at(log: &Path, address: &str) -> Self {
        Self::with(log, vec!["--media".to_owned(), address.to_owned()])
    }

    fn with(log: &Path, more: Vec<String>) -> Self {
        let mut this = Self { port: free_port(), log: log.to_owned(), program: None, more, starts: 0 };
        this.start();
        this
    }

    pub(crate) fn start(&mut self) {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance/whip_server.py"));
        self.starts += 1;
        command.arg(self.port.to_string()).arg(&self.log).arg(format!("{}00", self.starts)).arg("the-token");
        command.args(&self.more);
        self.program = Some(Program::start(command.stdin(Stdio::null()).stderr(Stdio::null())));
        let port = self.port;
        wait_until("the WHIP server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// Ends it in order.
    pub(crate) fn end(&mut self) {
        drop(self.program.take());
    }

    pub(crate) fn lines(&self, word: &str) -> Vec<Vec<String>> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|words| words[0] == word).collect()
    }

    /// Has it say something to the box; see `whip_server.py`.
    fn ask(&self, path: &str) {
        let request =
            format!("POST /ask/{path} HTTP/1.1\r\nAuthorization: Bearer the-token\r\nContent-Length: 0\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }

    /// What the relay counted last: lost, sent again, NACKs, keyframes asked for, estimates.
    fn relayed(&self) -> [u64; 5] {
        let last = self.lines("relay").pop().unwrap_or_default();
        std::array::from_fn(|at| last.get(at + 2).and_then(|word| word.parse().ok()).unwrap_or(0))
    }

    /// Pictures ("v") or sound ("a") that were decoded.
    pub(crate) fn decoded(&self, kind: &str) -> Vec<Decoded> {
        let number = |words: &[String], at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
        let frame = |words: Vec<String>| Decoded {
            time: (number(&words, 1) as usize / 100).saturating_sub(1),
            at: words[2].parse().unwrap(),
            key: number(&words, 3) == 1,
            size: (number(&words, 4), number(&words, 5)),
        };
        self.lines(kind).into_iter().filter(|words| words.len() > 2).map(frame).collect()
    }
}

fn shop(url: &str, token: &str) -> TestBox {
    TestBox::new(&BoxConfig { ingest: format!("{url}\"\ntoken = \"{token}\"\n#\""), ..BoxConfig::default() })
}

#[test]
fn pictures_and_sound_arrive_and_the_session_is_deleted_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = WhipServer::new(&dir.path().join("log"), Some(&authority));
    // Redirected on the way.
    let shop = shop(&format!("https://localhost:{}/whip/moved", server.port), "the-token");
    let trusted = format!("mount --bind {} /etc/ssl/certs/ca-certificates.crt", authority.file("ca.pem"));
    let mut guard = shop.start_guard_with(&trusted);
    shop.press();
    shop.wait_for_phase("live");
    wait_until("pictures are decoded", || server.decoded("v").len() > 90);
    wait_until("sound is decoded", || server.decoded("a").len() > 100);
    wait_until("a round trip is measured", || shop.status().unwrap()["stream"]["round-trip-ms"].is_number());
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the session is deleted", || server.lines("deleted").len() == 1);
    guard.finish();
    assert_eq!(server.lines("offer"), [["offer", "100", "42e00d"]], "constrained baseline, level 1.3");
    assert!(server.lines("foreign-candidate").is_empty());
    let (video, audio) = (server.decoded("v"), server.decoded("a"));
    assert!(video.iter().all(|frame| frame.size == (320, 180)) && video[0].key);
    // No picture is missing between the first and the last. Of the sound aiortc drops what it is too busy for; each
    // frame is at its time all the same.
    for frame in &audio {
        let steps = (frame.at - audio[0].at) / 0.02;
        assert!((steps - steps.round()).abs() < 0.01, "{frame:?}");
    }
    let (first, last) = (video[0].at, video[video.len() - 1].at);
    let found = f64::from(u32::try_from(video.len()).unwrap() - 1);
    assert!(((last - first) * 30.0 - found).abs() < 1.0, "{found} in {} s", last - first);
    let keys: Vec<f64> = video.iter().filter(|frame| frame.key).map(|frame| frame.at).collect();
    assert!(keys.len() >= 2, "{keys:?}");
    assert!(!shop.log().contains("the-token"), "{}", shop.log());
}

#[test]
fn what_is_lost_is_sent_again_a_keyframe_comes_when_asked_for_and_the_bitrate_follows_the_servers_estimate() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::behind_loss(&dir.path().join("log"), 0.05);
    let plan = BoxConfig::default();
    let video = plan.video.replace("kbps = 400\nadaptive = false", "kbps = 1500\nkeyframe-interval = \"10s\"");
    let ingest = format!("http://127.0.0.1:{}/whip/live\"\ntoken = \"the-token\"\n#\"", server.port);
    let shop = TestBox::new(&BoxConfig { ingest, video, ..plan });
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    wait_until("pictures are decoded", || server.decoded("v").len() > 450);
    let pictures = server.decoded("v");
    let [lost, again, nacks, ..] = server.relayed();
    let span = pictures[pictures.len() - 1].at - pictures[0].at;
    let (found, room) = (pictures.len(), (span * 30.0).round() + 1.0);
    println!("{found} of {room} pictures with {lost} datagrams lost; {nacks} NACKs, {again} sent again");
    assert!(lost > 20 && nacks > 10 && again > 10, "{:?}", server.relayed());
    #[allow(clippy::cast_precision_loss)] // some hundred
    let share = found as f64 / room;
    // aiortc asks but once for what is lost, and not at all for what it is too busy to. Without any repair a picture in
    // five would lack a datagram.
    assert!(share > 0.9, "{share}");

    // The encoder makes one each 10 s by itself.
    let keys = || server.decoded("v").iter().filter(|picture| picture.key).count();
    for _ in 0..3 {
        let (before, begun) = (keys(), server.decoded("v").last().unwrap().at);
        // The question itself may be lost.
        let asked = (0..10).any(|_| {
            server.ask("keyframe");
            poll(Duration::from_secs(1), || (keys() > before).then_some(())).is_some()
        });
        assert!(asked, "no keyframe came: {:?}", server.relayed());
        let key = server.decoded("v").into_iter().rfind(|picture| picture.key).unwrap();
        println!("a keyframe {:.2} s after the question", key.at - begun);
        assert!(key.at - begun < 5.0, "{begun} {key:?}");
    }

    let target = || shop.status().unwrap()["stream"]["target-kbps"].as_u64().unwrap();
    wait_until("the server's estimates come through", || server.relayed()[4] > 3);
    let before = target();
    server.ask("bitrate/500");
    wait_until("the encoder is asked for less", || target() <= 500);
    println!("{before} kbit/s, then {}", target());
    assert!(before > 500, "{before}");
    assert_eq!(shop.status().unwrap()["stream"]["reduced"], true);
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "on-air").count(), 1, "the connection held");
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
}

#[test]
fn what_a_whip_server_has_against_the_stream_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    for (path, token, said) in [
        ("live", "wrong-token", "refuses the token: see [ingest] token (HTTP 401)"),
        ("none", "the-token", "no such WHIP endpoint"),
        ("read", "the-token", "takes no offers"),
        ("busy", "the-token", "the stream is in use"),
        ("away", "the-token", "not one of [privacy] allowed-ingest-hosts"),
    ] {
        let shop = shop(&format!("http://127.0.0.1:{}/whip/{path}", server.port), token);
        let mut guard = shop.start("guard");
        shop.press();
        wait_until("a reason is given", || shop.status().is_some_and(|status| status["reason"].is_string()));
        let reason = shop.status().unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(said) && !reason.contains("-token"), "{path}: {reason}");
        assert!(reason.starts_with(&format!("127.0.0.1:{}: ", server.port)), "{reason}");
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
    }
    assert!(server.lines("offer").is_empty());
}

/// A name with addresses of both families, each of which takes the offer; media answer on one of them.
#[test]
fn media_go_on_either_family_whichever_the_servers_name_is_found_by() {
    for media in ["127.0.0.1", "::1"] {
        let dir = tempfile::tempdir().unwrap();
        let server = WhipServer::with_media_at(&dir.path().join("log"), media);
        let hosts = dir.path().join("hosts");
        std::fs::write(&hosts, "::1 localhost\n127.0.0.1 localhost\n").unwrap();
        let shop = shop(&format!("http://localhost:{}/whip/live", server.port), "the-token");
        let mut guard = shop.start_guard_with(&format!("mount --bind {} /etc/hosts", hosts.display()));
        shop.press();
        shop.wait_for_phase("live");
        wait_until("pictures are decoded", || server.decoded("v").len() > 30);
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
    }
}

/// What is no WHIP endpoint may still answer "OK". It is said once, in words that stay, however often it is asked.
#[test]
fn an_answer_that_is_no_sdp_is_refused_in_one_line_without_addresses_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    for (path, said) in [
        ("json", "there is no WHIP endpoint, it sends JSON where WHIP has SDP: see the path in [ingest] url"),
        ("page", "it sends a web page where WHIP has SDP"),
        ("long", "it sends more than an answer can hold where WHIP has SDP"),
        ("garbled", "the server's answer to the offer is SDP that cannot be read"),
    ] {
        let path = format!("/whip/{path}");
        let shop = shop(&format!("http://127.0.0.1:{}{path}", server.port), "the-token");
        let mut guard = shop.start("guard");
        shop.press();
        wait_until("it is asked again", || server.lines("asked").iter().filter(|words| words[1] == path).count() >= 2);
        let reason = shop.status().unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(said) && !reason.contains("0x"), "{path}: {reason}");
        assert!(reason.starts_with(&format!("127.0.0.1:{}: ", server.port)), "{reason}");
        let told = shop.log().matches("the ingest server is out of reach").count();
        assert_eq!(told, 1, "{path}: {}", shop.log());
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
    }
}

#[test]
fn what_was_opened_at_a_server_is_closed_or_the_log_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    let at = |path: &str| shop(&format!("http://127.0.0.1:{}/whip/{path}", server.port), "the-token");
    // The button is touched again while the server thinks.
    let slow = at("slow");
    let mut guard = slow.start("guard");
    slow.press();
    wait_until("the offer is there", || !server.lines("slow").is_empty());
    slow.press();
    slow.wait_for_phase("idle");
    // A machine under load: the guard waits no longer than it may, whatever capture still has to say.
    let said = ["capture ends before 1 WHIP session(s) are deleted", "it is killed, and a server keeps its session"];
    let told = || said.iter().any(|words| slow.log().contains(words));
    wait_until("it is closed or told", || told() || !server.lines("deleted").is_empty());
    guard.finish();
    // The server does not say what would have to be deleted, or names something of a host that is not allowed.
    for (path, said) in [("nameless", "names none"), ("lure", "names one where we may not go")] {
        let shop = at(path);
        let mut guard = shop.start("guard");
        shop.press();
        shop.wait_for_phase("live");
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
        let said = format!("cannot be deleted in the end: the server's answer {said}");
        assert!(shop.log().contains(&said), "{}", shop.log());
    }
}
