//! RTMP servers as they are in the field: each behaves in its own way, and the box says what it makes of it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::ingest::{Nginx, ffmpeg_listener_on, packets, streams};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, timed, wait_until};

/// `rtmp_server.py` in one of its modes.
pub(crate) struct Server {
    pub(crate) port: u16,
    log: PathBuf,
    program: Program,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn new(mode: &str, argument: &str) -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let log = dir.path().join("log");
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/appliance/rtmp_server.py"));
        command.args(["127.0.0.1", &port.to_string(), mode, argument]).stdin(Stdio::null());
        let program = Program::start(command.stdout(std::fs::File::create(&log).unwrap()));
        let this = Self { port, log, program, _dir: dir };
        wait_until("the server listens", || this.said("listening") == 1);
        this
    }

    fn url(&self, who: &str) -> String {
        format!("rtmp://{who}127.0.0.1:{}/live/key-of-the-stream", self.port)
    }

    /// How many of its lines begin with `what`.
    pub(crate) fn said(&self, what: &str) -> usize {
        self.text().lines().filter(|line| line.starts_with(what)).count()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

fn shop(ingest: &str) -> TestBox {
    TestBox::new(&BoxConfig { ingest: ingest.to_owned(), ..BoxConfig::default() })
}

/// What the box says once it has a reason.
#[track_caller]
fn reason(shop: &TestBox) -> String {
    wait_until("a reason is given", || shop.status().is_some_and(|status| status["reason"].is_string()));
    let reason = shop.status().unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(!reason.contains("key-of"), "{reason}");
    reason
}

#[track_caller]
fn goes_live(shop: &TestBox) {
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn two_servers_on_one_port_do_not_share_their_fate() {
    let port = free_port();
    let shop = shop(&format!(
        "rtmp://127.0.0.1:{port}/live/key-of-the-stream\"\n[ingest.second]\nurl = \"rtmp://127.0.0.2:{port}/live/key-of-the-stream"
    ));
    let files = ["first.flv", "second.flv", "again.flv"].map(|name| shop.path(name));
    let mut first = ffmpeg_listener_on("127.0.0.1", port, &files[0]);
    let mut second = ffmpeg_listener_on("127.0.0.2", port, &files[1]);
    let guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    wait_until("the second has the stream", || packets(&files[1], "v").len() > 30);
    // The first comes back while the second's connection, to the same port, is there.
    first.kill();
    shop.wait_for_phase("reconnecting");
    let _first = ffmpeg_listener_on("127.0.0.1", port, &files[2]);
    shop.wait_for_phase("live");
    second.kill();
    wait_until("the second is missed", || shop.status().unwrap()["second"]["on-air"] == false);
    let before = packets(&files[2], "v").len();
    // Figures come each second, the phase at once: two seconds on, they are those of this connection.
    wait_until("the first is on air again", || packets(&files[2], "v").len() > before + 60);
    let reconnects = shop.status().unwrap()["stream"]["reconnects"].clone();
    // Twelve seconds of it: a server that takes nothing is given up after eight.
    wait_until("the first goes on", || {
        assert_eq!(shop.phase(), "live", "{}", shop.log());
        packets(&files[2], "v").len() > before + 300
    });
    assert_eq!(shop.status().unwrap()["stream"]["reconnects"], reconnects);
    drop(guard);
}

#[test]
fn a_redirect_is_followed_to_an_allowed_host_and_nowhere_else() {
    for mode in ["redirect", "redirect-publish"] {
        let nginx = Nginx::new();
        let server = Server::new(mode, &format!("rtmp://127.0.0.1:{}/live", nginx.port));
        goes_live(&shop(&server.url("")));
        assert_eq!(server.said("connect app=live"), 1, "{}", server.text());
        assert_eq!(streams(&nginx.recordings()[0]).lines().collect::<Vec<_>>(), ["h264,320,180", "aac"]);
    }
    let nginx = Nginx::new();
    let server = Server::new("redirect", &format!("rtmp://localhost:{}/live", nginx.port));
    let shop = shop(&server.url(""));
    let _guard = shop.start("guard");
    shop.press();
    let reason = reason(&shop);
    assert!(reason.contains("not one of [privacy] allowed-ingest-hosts"), "{reason}");
    assert!(nginx.recordings().is_empty());
}

#[test]
fn a_redirect_in_circles_is_said_to_be_one() {
    let port = free_port();
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/appliance/rtmp_server.py"));
    let url = format!("rtmp://127.0.0.1:{port}/live");
    let _server =
        Program::start(command.args(["127.0.0.1", &port.to_string(), "redirect", &url]).stdout(Stdio::null()));
    let shop = shop(&format!("{url}/key-of-the-stream"));
    wait_until("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let _guard = shop.start("guard");
    shop.press();
    assert!(reason(&shop).contains("in circles"), "{}", reason(&shop));
}

#[test]
fn user_and_password_are_proved_as_adobe_and_limelight_want_it() {
    for mode in ["adobe", "llnw"] {
        let server = Server::new(mode, "shop:p@ss");
        goes_live(&shop(&server.url("shop:p%40ss@")));
        assert_eq!(server.said("right proof"), 1, "{}", server.text());
        let wrong = shop(&server.url("shop:other@"));
        let _guard = wrong.start("guard");
        wrong.press();
        assert!(reason(&wrong).contains("does not take user name and password"), "{}", reason(&wrong));
    }
}

#[test]
fn what_is_no_rtmp_server_or_says_no_without_a_word_is_told() {
    for (mode, words) in [
        ("http", "a web server answers there"),
        ("close", "refuses the stream: see the stream key"),
        ("mute", "no answer in time"),
    ] {
        let server = Server::new(mode, "");
        let shop = shop(&server.url(""));
        let _guard = shop.start("guard");
        shop.press();
        assert!(reason(&shop).contains(words), "{mode}: {}", reason(&shop));
    }
}

#[test]
fn both_codecs_are_described_before_the_first_frame_and_the_end_is_said() {
    let server = Server::new("accept", "");
    let shop = shop(&server.url(""));
    let mut guard = shop.start("guard");
    shop.press();
    wait_until("media arrive", || server.said("100 media") == 1);
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the connection is closed", || server.said("closed") == 1);
    assert_eq!(guard.finish(), Some(0));
    let text = server.text();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("media") || line.starts_with("command")).collect();
    // Metadata, H.264's configuration, AAC's, and a keyframe.
    let media = ["media 18 ['@setDataFrame', 'onMetaData']", "media 9 1700", "media 8 af00", "media 9 1701"];
    let (asked, rest) = lines.split_at(2);
    assert_eq!(asked, ["command releaseStream", "command FCPublish"], "{text}");
    assert_eq!(rest[..4], media, "{text}");
    assert_eq!(rest[4..], ["command FCUnpublish", "command deleteStream"], "{text}");
}

#[test]
fn a_server_that_reads_nothing_and_asks_without_end_does_not_hold_up_the_stop() {
    let server = Server::new("flood", "");
    let shop = shop(&server.url(""));
    let _guard = shop.start("guard");
    shop.press();
    wait_until("the stream is missed, and begun anew", || server.said("on air") >= 2);
    let capture = shop.captures()[0];
    server.program.signal(Signal::STOP);
    let ((), took) = timed(|| {
        shop.press();
        wait_until("capture is gone", || !shop.captures().contains(&capture));
    });
    assert!(took < Duration::from_secs(3), "{took:?}");
    server.program.signal(Signal::CONT);
    shop.wait_for_phase("idle");
}

#[test]
fn a_private_authority_is_trusted_by_its_file_for_each_destination() {
    let authority = Authority::new();
    let (port, nginx) = Nginx::with_tls(&authority);
    let (ca, stranger) = (authority.file("ca.pem"), authority.file("stranger.pem"));
    let url = |host: &str| format!("rtmps://{host}:{port}/live/key-of-the-stream");
    let with = |host: &str, ca: &str| shop(&format!("{}\"\nca-file = \"{ca}", url(host)));
    for (host, file, wrong) in [
        ("localhost", &stranger, "from an authority that is not trusted: set [ingest] ca-file"),
        ("127.0.0.1", &ca, "is for another name"),
        ("localhost", &authority.file("server.key"), "no certificate in PEM form"),
    ] {
        let shop = with(host, file);
        let _guard = shop.start("guard");
        shop.press();
        let reason = reason(&shop);
        assert!(reason.contains(wrong), "{reason}");
    }
    let both = shop(&format!(
        "{}\"\nca-file = \"{ca}\"\n[ingest.second]\nca-file = \"{ca}\"\nurl = \"{}2",
        url("localhost"),
        url("localhost")
    ));
    let _guard = both.start("guard");
    both.press();
    both.wait_for_phase("live");
    wait_until("the second is on air", || both.status().unwrap()["second"]["on-air"] == true);
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |data| data.len());
    wait_until("both streams arrive", || nginx.recordings().iter().filter(|file| size(file) > 150_000).count() == 2);
    both.press();
    both.wait_for_phase("idle");
    for file in nginx.recordings() {
        assert_eq!(streams(&file).lines().collect::<Vec<_>>(), ["h264,320,180", "aac"]);
    }
}
