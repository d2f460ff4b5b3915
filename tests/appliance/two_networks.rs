//! A box with a cable and a mobile router: the one is gone while the stream is live, and comes back.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, poll, timed, wait_until};

/// Two networks, and a server behind both.
struct Networks {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    shop: TestBox,
    server: Server,
}

impl Drop for Networks {
    fn drop(&mut self) {
        // Its server is in its process group.
        let group = rustix::process::Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

/// What the shop streams to, as `two_networks.py` knows it.
#[derive(Clone, Copy, Debug)]
enum Server {
    Rtmp,
    /// The same by a name that has addresses of both families.
    RtmpByName,
    /// The same by IPv6 alone.
    RtmpOverIpv6,
    /// The same behind a tunnel.
    RtmpOverVpn,
    Srt,
    Whip,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Rtmp | Self::RtmpByName | Self::RtmpOverIpv6 => "rtmp",
            Self::RtmpOverVpn => "vpn",
            Self::Srt => "srt",
            Self::Whip => "whip",
        }
    }

    fn url(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp://10.99.0.1/live/key-of-the-stream",
            Self::RtmpByName => "rtmp://ingest.example/live/key-of-the-stream",
            Self::RtmpOverIpv6 => "rtmp://[fd00:99::1]/live/key-of-the-stream",
            Self::RtmpOverVpn => "rtmp://10.97.0.1/live/key-of-the-stream",
            Self::Srt => "srt://10.99.0.1:9000",
            Self::Whip => "http://10.99.0.1:8000/whip/live",
        }
    }
}

impl Networks {
    /// `None`, with a word why: this machine has no namespaces for us. `keys`: more of `[ingest]`.
    fn new(server: Server, keys: &str) -> Option<Self> {
        use std::os::unix::process::CommandExt;
        let may = Command::new("unshare").args(["--net", "--mount", "mount", "-t", "sysfs", "sysfs", "/sys"]).output();
        if !may.is_ok_and(|tried| tried.status.success()) {
            eprintln!("skipped: namespaces need root");
            return None;
        }
        let shop = TestBox::new(&BoxConfig {
            ingest: server.url().to_owned(),
            mqtt: String::new(),
            more: keys.to_owned(),
            ..BoxConfig::default()
        });
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "python3"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance/two_networks.py"));
        command.arg(shop.path("")).arg(server.name());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut this = Self { process, orders, answers, shop, server };
        this.hear("ready");
        Some(this)
    }

    fn hear(&mut self, word: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn order(&mut self, what: &str) {
        writeln!(self.orders, "{what}").unwrap();
        self.hear("done");
    }

    fn guard(&self) -> Program {
        let log = std::fs::File::create(self.shop.path("log")).unwrap();
        let plain = self.shop.command(&["guard"]);
        let mut inside = Command::new("nsenter");
        inside.args(["--net", "--mount", "--target", &self.process.id().to_string()]);
        inside.arg(plain.get_program()).args(plain.get_args()).env("TALLYBOX_LOG", "info");
        let guard = Program::start(inside.stdin(Stdio::null()).stderr(log));
        wait_until("the guard answers", || self.shop.status().is_some());
        guard
    }

    /// How many connections the server has pictures of, half a second of them each.
    fn streams(&self) -> usize {
        let kept = |end: &str| {
            let files = std::fs::read_dir(self.shop.path("")).unwrap().flatten();
            let videos = files.filter(|file| file.file_name().to_string_lossy().ends_with(end));
            videos.filter(|file| file.metadata().unwrap().len() > 20_000).count()
        };
        match self.server {
            Server::Rtmp | Server::RtmpByName | Server::RtmpOverIpv6 | Server::RtmpOverVpn => kept(".flv"),
            Server::Srt => kept(".ts"),
            Server::Whip => {
                let log = std::fs::read_to_string(self.shop.path("whip.log")).unwrap_or_default();
                let of_session = |number: usize| log.matches(&format!("\nv {number} ")).count();
                (100..110).filter(|number| of_session(*number) > 10).count()
            }
        }
    }

    /// What the status tells of the stream.
    fn told(&self, field: &str) -> Value {
        self.shop.status().map(|status| status["stream"][field].clone()).unwrap_or_default()
    }

    fn reason(&self) -> String {
        self.shop.status().and_then(|status| status["reason"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    fn go_live(&self) {
        self.shop.press();
        self.shop.wait_for_phase("live");
        wait_until("the server has pictures", || self.streams() == 1);
    }

    /// The cable is pulled, put back, and pulled again: for how long the server had no stream each time.
    fn move_there_and_back(&mut self) -> Vec<Duration> {
        let orders = [("down cable", "mobile"), ("up cable", "ethernet"), ("down cable", "mobile")];
        let mut gaps = Vec::new();
        for (number, (order, link)) in orders.into_iter().enumerate() {
            await_another_second();
            self.order(order);
            let goes_on = || (self.streams() == number + 2).then_some(());
            let (found, away) = timed(|| poll(Duration::from_secs(20), goes_on));
            assert!(found.is_some(), "the stream does not go on: {}", self.shop.log());
            eprintln!("{:?}, {order}: the stream goes on after {away:?}", self.server);
            gaps.push(away);
            wait_until("the link is told", || self.told("link-kind") == link);
            assert_eq!(self.told("link-metered"), link == "mobile");
            let log = self.shop.log();
            let moved = |line: &&str| line.contains("WARN") && line.ends_with("the box has moved to another network");
            assert_eq!(log.lines().filter(moved).count(), number + 1, "{log}");
        }
        gaps
    }
}

/// nginx names recordings by the second in which they begin: one more in the same second would replace the last.
fn await_another_second() {
    #[allow(clippy::disallowed_methods)] // of names of files
    let second = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let begun = second();
    wait_until("another second begins", || second() > begun);
}

const REFUSE: &str = "metered-links = \"refuse\"\n";

fn moves(server: Server) {
    let Some(mut networks) = Networks::new(server, "") else { return };
    let _guard = networks.guard();
    networks.go_live();
    wait_until("the link is told", || networks.told("link-kind") == "ethernet");
    assert_eq!(networks.told("link-metered"), false);
    // Without a look at the route, TCP would go on for 8 s.
    for gap in networks.move_there_and_back() {
        assert!(gap < Duration::from_secs(2), "{gap:?}");
    }
    networks.shop.press();
    networks.shop.wait_for_phase("idle");
}

#[test]
fn a_stream_moves_to_the_network_that_is_left_and_back() {
    moves(Server::Rtmp);
}

#[test]
fn a_stream_moves_by_ipv6_alone() {
    moves(Server::RtmpOverIpv6);
}

#[test]
fn a_stream_moves_over_srt() {
    moves(Server::Srt);
}

#[test]
fn a_stream_moves_over_whip() {
    moves(Server::Whip);
}

/// The server has no more of the stream while only the metered link is left, and is sent it again once the cable is
/// back. Consent is not touched by it.
fn waits_for_another_link(server: Server) {
    let Some(mut networks) = Networks::new(server, REFUSE) else { return };
    let _guard = networks.guard();
    networks.go_live();
    let session = networks.shop.status().unwrap()["session"].clone();
    networks.order("down cable");
    networks.shop.wait_for_phase("reconnecting");
    wait_until("the reason is told", || networks.reason().contains("the way there is a metered link"));
    wait_until("the link is told", || networks.told("link-kind") == "mobile" && networks.told("link-metered") == true);
    assert_eq!(networks.shop.lamp(), "double-blink");
    // It goes on to say so: several attempts and reports later nothing has left.
    let reconnects = || networks.told("reconnects").as_u64().unwrap_or_default();
    let before = reconnects();
    wait_until("more attempts are made", || reconnects() >= before + 5);
    assert_eq!((networks.streams(), networks.told("bitrate-kbps")), (1, 0.into()));
    networks.order("up cable");
    let ((), away) = timed(|| wait_until("the stream goes on", || networks.streams() == 2));
    eprintln!("{server:?}: with another link the stream goes on after {away:?}");
    assert!(away < Duration::from_secs(2), "{away:?}");
    networks.shop.wait_for_phase("live");
    assert_eq!(networks.shop.status().unwrap()["session"], session);
    wait_until("the link is told", || networks.told("link-kind") == "ethernet");
    networks.shop.press();
    networks.shop.wait_for_phase("idle");
}

#[test]
fn a_stream_waits_while_the_only_link_is_metered() {
    waits_for_another_link(Server::Rtmp);
}

#[test]
fn a_stream_by_ipv6_waits_while_the_only_link_is_metered() {
    waits_for_another_link(Server::RtmpOverIpv6);
}

#[test]
fn a_stream_over_srt_waits_while_the_only_link_is_metered() {
    waits_for_another_link(Server::Srt);
}

/// The tunnel's own route and address stay the same when what carries it is another link.
#[test]
fn a_stream_through_a_vpn_waits_while_a_metered_link_carries_it() {
    waits_for_another_link(Server::RtmpOverVpn);
}

#[test]
fn a_press_while_the_only_link_is_metered_opens_nothing_and_says_why() {
    let Some(mut networks) = Networks::new(Server::RtmpByName, REFUSE) else { return };
    networks.order("down cable");
    let _guard = networks.guard();
    networks.shop.press();
    wait_until("the start is refused", || networks.reason() == "metered-link");
    networks.shop.wait_for_phase("idle");
    let status = networks.shop.status().unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("[ingest] metered-links refuses (mobile): connect the cable"), "{message}");
    assert_eq!((status["camera"].clone(), networks.shop.lamp().as_str()), (Value::Null, "dark"));
    // The next press is one like any other.
    networks.order("up cable");
    networks.go_live();
    networks.shop.press();
    networks.shop.wait_for_phase("idle");
}

/// What the kernel cannot know: here the cable leads to a mobile router.
#[test]
fn an_interface_that_the_configuration_calls_metered_is_refused_too() {
    let keys = format!("{REFUSE}metered-interfaces = [\"cable\"]\n");
    let Some(networks) = Networks::new(Server::Rtmp, &keys) else { return };
    let _guard = networks.guard();
    networks.shop.press();
    wait_until("the start is refused", || networks.reason() == "metered-link");
    let status = networks.shop.status().unwrap();
    assert!(status["message"].as_str().unwrap().contains("(ethernet)"), "{status}");
}
