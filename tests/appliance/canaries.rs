//! Secrets that are planted are found nowhere but where they were put: full runs of the real roles, with a log that
//! says all it can and servers that repeat what they are told, and then all that the box wrote, said and sent, and what
//! other processes could see of it.

mod search;

use std::path::Path;
use std::process::{Command, Stdio};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;

use crate::broker::{Broker, Operator};
use crate::ingest::srt_listener;
use crate::odd_broker::{OddBroker, connack};
use crate::rtmp;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, wait_until};
use crate::whip::WhipServer;
use search::{Secret, canary, found};

/// What the box is given, by its names.
const NAMES: [&str; 7] =
    ["STREAM_KEY", "LOGIN_PASSWORD", "PASSPHRASE", "STREAM_ID", "WHIP_TOKEN", "WHIP_PATH", "MQTT_PASSWORD"];
/// Where a secret may lie in the box's own folder.
const OWN_PLACE: &str = "data/credentials/identity";

/// Files below `dir` that hold a secret, but for those in their own place.
fn leaks(secrets: &[Secret], root: &Path, dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(leaks(secrets, root, &path));
        } else if let Ok(content) = std::fs::read(&path)
            && path != root.join(OWN_PLACE)
        {
            all.extend(found(secrets, &content).into_iter().map(|name| format!("{name} in {}", path.display())));
        }
    }
    all
}

/// Which secrets stand in the arguments or the environment of a process.
fn visible_in_proc(secrets: &[Secret]) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    ["cmdline", "environ"]
        .into_iter()
        .zip(std::iter::repeat(all.map(|entry| entry.path()).collect::<Vec<_>>()))
        .flat_map(|(file, processes)| {
            let texts = processes.iter().filter_map(|process| std::fs::read(process.join(file)).ok());
            let text = texts.collect::<Vec<_>>().join(&b'\n');
            found(secrets, &text).into_iter().map(move |name| format!("{name} in {file}")).collect::<Vec<_>>()
        })
        .collect()
}

/// A box that was given the secrets.
struct Run {
    shop: TestBox,
    given: tempfile::TempDir,
    secrets: Vec<Secret>,
    roles: Program,
}

impl Run {
    /// Guard, agent and, after a press, capture; all of them log as much as they can.
    fn begin(authority: &Authority, plan: &BoxConfig) -> Self {
        let given = tempfile::tempdir().unwrap();
        let mut secrets = Vec::new();
        for name in NAMES {
            std::fs::write(given.path().join(name), canary(name) + "\n").unwrap();
            secrets.push(Secret::text(name, &canary(name)));
        }
        let pem = std::fs::read_to_string(authority.file("client.key")).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        secrets.push(Secret::text("MQTT_KEY", &body[100..200]));
        std::fs::write(given.path().join("MQTT_KEY"), pem).unwrap();
        let shop = TestBox::new(plan);
        let log = std::fs::File::create(shop.path("log")).unwrap();
        let mut command = shop.command(&["run"]);
        // All of it makes 10 MB a second.
        let is_long = std::env::var_os("TALLYBOX_LONG").is_some();
        let gstreamer = if is_long { "5" } else { "3,srt*:9,appsrc:5,mpegts*:5" };
        command.env("TALLYBOX_LOG", "trace").env("GST_DEBUG", gstreamer).env("CREDENTIALS_DIRECTORY", given.path());
        let roles = Program::start(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log));
        wait_until("the guard answers", || shop.status().is_some());
        // The public half follows it.
        let file = std::fs::read_to_string(shop.path(OWN_PLACE)).unwrap();
        let (key, _) = file.split_once("-----BEGIN PUBLIC").unwrap();
        secrets.push(Secret::key("identity", SigningKey::from_pkcs8_pem(key).unwrap().as_bytes()));
        Self { shop, given, secrets, roles }
    }

    /// What a command says is a file of the box's folder.
    fn call(&self, name: &str, arguments: &[&str]) {
        let output = self.shop.command(arguments).env("CREDENTIALS_DIRECTORY", self.given.path()).output().unwrap();
        std::fs::write(self.shop.path(name), [output.stdout, output.stderr].concat()).unwrap();
    }

    /// All that can be asked, and what is seen meanwhile. SQLite's files are there as they are while it runs.
    #[track_caller]
    fn look(&self) {
        assert_eq!(visible_in_proc(&self.secrets), [""; 0]);
        let export = self.shop.path("export.tar");
        let config = self.shop.config.to_str().unwrap();
        for (number, arguments) in [
            &["privacy", "export", export.to_str().unwrap()][..],
            &["status"],
            &["status", "--json"],
            &["doctor"],
            &["doctor", "--json"],
            &["privacy", "report"],
            &["privacy", "report", "--format", "json"],
            &["privacy", "notice", "--format", "svg", "--card", "public", "--language", "en"],
            &["check-config", config],
            &["ledger", "export"],
            &["ledger", "show"],
            &["ledger", "checkpoint"],
        ]
        .iter()
        .enumerate()
        {
            self.call(&format!("said-{number}"), arguments);
        }
        assert!(export.exists(), "{}", std::fs::read_to_string(self.shop.path("said-0")).unwrap());
        assert!(self.shop.path("data/ledger.db-wal").exists());
        assert_eq!(leaks(&self.secrets, self.shop.dir.path(), self.shop.dir.path()), [""; 0]);
    }

    /// The session ends, the roles end; what is left then.
    #[track_caller]
    fn end(mut self) {
        self.shop.press();
        self.shop.wait_for_phase("idle");
        self.roles.finish();
        let log = self.shop.log();
        assert!(log.contains("DEBUG") && log.contains("ledger: ") && log.contains("gst_"), "the log says all it can");
        assert_eq!(leaks(&self.secrets, self.shop.dir.path(), self.shop.dir.path()), [""; 0]);
        println!("0 of {} secrets in {} bytes of log and all the rest", self.secrets.len(), log.len());
    }
}

/// RTMP and SRT servers that refuse the stream, one of which repeats the key; a broker that lets the box in by its
/// password and its certificate's key.
#[test]
fn planted_secrets_are_nowhere_else() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let (tls, srt) = (free_port(), free_port());
    let own = ["ca.pem", "server.pem", "server.key"].map(|name| authority.file(name));
    let broker = Broker::new(&format!(
        "listener {tls} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        own[0], own[1], own[2]
    ));
    let server = rtmp::Server::new("echo", "");
    let _srt = srt_listener(srt, "&passphrase=another-passphrase&pbkeylen=16", &dir.path().join("received"));
    let run = Run::begin(
        &authority,
        &BoxConfig {
            ingest: format!(
                "rtmp://127.0.0.1:{}/live/${{STREAM_KEY}}\"\noutage-buffer = \"disk\"\n[ingest.second]\n\
                 url = \"srt://127.0.0.1:{srt}\"\nstreamid = \"publish:${{STREAM_ID}}\"\npassphrase = \"${{PASSPHRASE}}",
                server.port
            ),
            mqtt: format!(
                "url = \"mqtts://localhost:{tls}\"\nuser = \"shop\"\npassword = \"${{MQTT_PASSWORD}}\"\n\
                 ca-file = \"{}\"\nclient-cert = \"{}\"\nclient-key = \"${{MQTT_KEY}}\"",
                own[0],
                authority.file("client.pem")
            ),
            ..BoxConfig::default()
        },
    );
    let mut listener = Command::new("mosquitto_sub");
    let heard = std::fs::File::create(run.shop.path("heard")).unwrap();
    listener.args(["-V", "5", "-p", &broker.port.to_string(), "-v", "-t", "#"]);
    let _listener = Program::start(listener.stdin(Stdio::null()).stdout(heard));
    let heard = |part: &str| {
        std::fs::read(run.shop.path("heard")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(part))
    };
    let mut operator = Operator::connect(broker.port);
    operator.wait("the agent is online", |message| message["topic"] == "telemetry");
    run.shop.press();
    run.shop.wait_for_phase("connecting");
    wait_until("the server refuses", || server.said("publish") > 1);
    wait_until("that is told", || run.shop.log().contains("the server refuses the stream"));
    wait_until("and of SRT", || run.shop.log().contains("srt"));
    assert_eq!(operator.ask("diagnose")["ok"], true);
    wait_until("telemetry, events and replies are heard", || {
        heard("test-box/telemetry") && heard("session-started") && heard("\"diagnosis\"")
    });
    run.look();
    run.end();
}

/// A WHIP server that repeats path and token, an RTMP server that does not take the password, and a broker that repeats
/// what it was told in its refusal.
#[test]
fn what_servers_repeat_goes_no_further() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let whip = WhipServer::new(&dir.path().join("whip"), None);
    let server = rtmp::Server::new("adobe", "shop:another");
    let said = format!("{} is no password", canary("MQTT_PASSWORD"));
    let elsewhere = format!("{}:1883", canary("MQTT_PASSWORD"));
    let property = |kind: u8, text: &str| [&[kind, 0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let refusal = connack(0x9d, &[property(0x1f, &said), property(0x1c, &elsewhere)].concat());
    let broker = OddBroker::with(|rules| rules.greeting = refusal);
    let run = Run::begin(
        &authority,
        &BoxConfig {
            ingest: format!(
                "http://127.0.0.1:{}/whip/echo/${{WHIP_PATH}}\"\ntoken = \"${{WHIP_TOKEN}}\"\n[ingest.second]\n\
                 url = \"rtmp://shop:${{LOGIN_PASSWORD}}@127.0.0.1:{}/live/${{STREAM_KEY}}",
                whip.port, server.port
            ),
            mqtt: format!("{}\nuser = \"shop\"\npassword = \"${{MQTT_PASSWORD}}\"", broker.url()),
            ..BoxConfig::default()
        },
    );
    run.shop.press();
    run.shop.wait_for_phase("connecting");
    wait_until("the WHIP server repeats it", || whip.lines("asked").len() > 1);
    wait_until("the RTMP server refuses", || server.said("wrong proof") > 0);
    wait_until("the refusals are told", || {
        let log = run.shop.log();
        log.contains("refuses the token") && log.contains("the broker has moved")
    });
    run.look();
    run.end();
}

/// What other processes have is found too.
#[test]
fn a_leak_to_another_process_or_file_is_found() {
    let secrets = [Secret::text("planted", &canary("PLANTED"))];
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("deeper")).unwrap();
    std::fs::write(dir.path().join("deeper/x.db-wal"), format!("SQLite\0{}\0", canary("PLANTED"))).unwrap();
    assert_eq!(leaks(&secrets, dir.path(), dir.path()).len(), 1);
    let sees = |file: &str| visible_in_proc(&secrets).iter().any(|leak| leak.ends_with(file));
    let given = Program::start(Command::new("sleep").arg("60").env("LEAKED", canary("PLANTED")));
    wait_until("the environment is seen", || sees("environ"));
    drop(given);
    let _named = Program::start(Command::new("bash").args(["-c", "sleep 60; true", &canary("PLANTED")]));
    wait_until("arguments are seen", || sees("cmdline"));
}
