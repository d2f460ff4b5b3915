//! A box in a network where every address answers, and where name server, broker, redirects and WebRTC want it to go
//! elsewhere: it goes nowhere but to what the configuration lists.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_for, wait_until};

/// The network namespace, with everything hostile in it.
struct World {
    process: Child,
    shop: TestBox,
}

impl Drop for World {
    fn drop(&mut self) {
        // Its servers are in its process group.
        let group = rustix::process::Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

impl World {
    /// `None`, with a word why: this machine has no network namespaces for us.
    fn new() -> Option<Self> {
        use std::os::unix::process::CommandExt;
        let may = Command::new("unshare").args(["--net", "--mount", "true"]).output();
        if !may.is_ok_and(|tried| tried.status.success()) {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let shop = TestBox::new(&BoxConfig::default());
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance");
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "python3"]);
        command.arg(servers.join("unlisted.py")).arg(&servers).arg(shop.path("seen"));
        let mut process = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Some(Self { process, shop })
    }

    /// A role of the box, in that network.
    fn start(&self, role: &str) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.shop.path("log")).unwrap();
        let plain = self.shop.command(&[role]);
        let mut inside = Command::new("nsenter");
        inside.args(["--net", "--mount", "--target", &self.process.id().to_string()]);
        inside.arg(plain.get_program()).args(plain.get_args()).env("TALLYBOX_LOG", "info");
        Program::start(inside.stdin(Stdio::null()).stderr(log))
    }

    fn configure(&self, ingest: &str, more: &str) {
        let listed = "[privacy]\nallowed-ingest-hosts = [\"push.example.cn\", \"edge.example.cn\", \
                      \"rebind-1.example.cn\", \"rebind-2.example.cn\", \"127.0.0.1\"]\n";
        let ranges = "[residency]\nallowed-addresses = [\"10.0.0.0/8\"]\n";
        self.shop.configure(&BoxConfig {
            ingest: ingest.to_owned(),
            mqtt: "url = \"mqtt://broker.example.cn\"\nallow-plain = true".to_owned(),
            more: format!("{more}{listed}{ranges}"),
            ..BoxConfig::default()
        });
    }

    /// Hosts that the ledger has as refused.
    fn refused(&self) -> Vec<String> {
        let facts = self.shop.ledger();
        let refused = facts.iter().filter(|fact| fact["kind"] == "destination-refused");
        refused.map(|fact| fact["host"].as_str().unwrap().to_owned()).collect()
    }

    fn wait_for_refusal(&self, host: &str) {
        // The agent's attempts may be minutes apart, where the first ones failed on a busy machine.
        let limit = Duration::from_mins(5);
        wait_for(&format!("{host} is refused"), limit, || {
            self.refused().iter().any(|refused| refused == host).then_some(())
        });
    }

    /// A session that is sent to `host`, and does not go there.
    fn session(&self, ingest: &str, more: &str, host: &str) {
        self.configure(ingest, more);
        let guard = self.start("guard");
        wait_until("the guard answers", || self.shop.status().is_some());
        self.shop.press();
        self.wait_for_refusal(host);
        self.shop.press();
        self.shop.wait_for_phase("idle");
        drop(guard);
    }

    fn seen(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.shop.path("seen")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn is_listed(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["asked", name] => name.ends_with(".example.cn"),
        ["tcp", "10.1.0.5", "1883"]
        | ["tcp", "10.1.0.6", "1935" | "1936"]
        | ["tcp", "10.1.0.7", "1935"]
        | ["tcp", "127.0.0.1", "8080"]
        | ["udp", _, "10.53.0.1", "53"] => true,
        // Loopback, among the box's own candidates.
        ["udp", _, target, _] => target == "127.0.0.1" || target == "::1",
        _ => false,
    }
}

#[test]
fn whoever_wants_the_box_elsewhere_does_not_get_it_there() {
    let Some(world) = World::new() else { return };
    world.configure("rtmp://push.example.cn/live/key-of-the-stream", "");
    let agent = world.start("agent");
    world.session("rtmp://push.example.cn/live/key-of-the-stream", "", "edge.evil.example");
    world.session("rtmp://push.example.cn:1936/live/key-of-the-stream", "", "edge.example.cn");
    // Names whose addresses change: between two attempts, and between the sockets for media and the offer.
    world.session("rtmp://rebind-1.example.cn/live/key-of-the-stream", "", "rebind-1.example.cn");
    world.session("http://rebind-2.example.cn:8080/whip/live", "", "rebind-2.example.cn");
    let whip = |path: &str| format!("http://127.0.0.1:8080/whip/{path}\"\ntoken = \"token");
    world.session(&whip("away"), "", "elsewhere.invalid");
    world.session(&whip("live"), "", "203.0.113.77");
    // The broker's word and the name server's first answer, as the agent told them while a guard was there.
    let guard = world.start("guard");
    wait_until("the guard answers", || world.shop.status().is_some());
    world.wait_for_refusal("evil.example.net:1883");
    world.wait_for_refusal("broker.example.cn");
    let kinds: Vec<Value> = world.shop.ledger().into_iter().map(|fact| fact["kind"].clone()).collect();
    for kind in ["broker-connected", "broker-lost"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    drop((agent, guard));

    let seen = world.seen();
    let unlisted: Vec<_> = seen.iter().filter(|line| !is_listed(line)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?} of {seen:?}");
    let offers = std::fs::read_to_string(world.shop.path("seen.whip")).unwrap();
    let candidates: Vec<&str> = offers.lines().filter_map(|line| line.strip_prefix("candidate ")).collect();
    assert!(!candidates.is_empty() && candidates.iter().all(|address| *address == "127.0.0.1"), "{candidates:?}");
    // Everything that is listed was there to be found, and whoever looks would find the rest.
    for line in
        ["tcp 10.1.0.5 1883", "tcp 10.1.0.6 1935", "tcp 10.1.0.6 1936", "tcp 10.1.0.7 1935", "tcp 127.0.0.1 8080"]
    {
        assert!(seen.iter().any(|known| known == line), "{line}: {seen:?}");
    }
    let dial = "import socket; socket.socket().connect_ex(('198.51.100.1', 7))";
    let mut inside = Command::new("nsenter");
    inside.args(["--net", "--target", &world.process.id().to_string(), "python3", "-c", dial]);
    assert!(inside.status().unwrap().success());
    wait_until("a stranger is seen", || world.seen().contains(&"tcp 198.51.100.1 7".to_owned()));
}
