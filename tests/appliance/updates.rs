//! The command `update` over a real broker: what it waits for, and its answer, which other processes give than those
//! that took it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use notes::{Note, SignerKey};
use serde_json::{Value, json};

use crate::broker::{self, Broker};
use crate::ledger::ControlSocket;
use crate::support::clock::WrongClock;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::{Program, TALLYBOX, free_port, wait_for, wait_until};

/// What stands for a package here: nothing installs it.
const PACKAGE: &[u8] = &[7; 300_000];
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };

fn signer() -> SignerKey {
    SignerKey::new("operator.example/all", &[9; 32]).unwrap()
}

fn signed(kind: &str, document: &Value) -> String {
    Note::sign(&format!("tallybox/{kind}/v1\n{document}\n"), &[&signer()]).unwrap().to_string()
}

/// A box that takes updates by command only, on a machine on which tallybox is installed as a package.
struct Machine {
    shop: TestBox,
    authority: Authority,
    clock: WrongClock,
    server: u16,
    _nginx: Program,
}

impl Machine {
    fn new(broker: &Broker) -> Self {
        let trust = format!("[[trust]]\nkey = \"{}\"\nmay = [\"release\", \"update\"]\n", signer().verifier_key());
        let more = format!("{trust}[update]\nautomatic = false\n");
        let shop = TestBox::new(&BoxConfig { mqtt: broker.url(), more, ..BoxConfig::default() });
        let (authority, server) = (Authority::new(), free_port());
        let (dir, certificate) = (shop.dir.path().display(), authority.file("server"));
        std::fs::create_dir(shop.path("files")).unwrap();
        std::fs::write(shop.path("files/package"), PACKAGE).unwrap();
        let text = format!(
            "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; events {{}}
             http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
               uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
               server {{ listen 127.0.0.1:{server} ssl; root {dir}/files; limit_rate 100k;
                 ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key; }} }}"
        );
        std::fs::write(shop.path("nginx.conf"), text).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(shop.dir.path()).arg("-c").arg(shop.path("nginx.conf")).stderr(Stdio::null());
        let clock = WrongClock::new(shop.dir.path(), 0, true);
        let this = Self { shop, authority, clock, server, _nginx: Program::start(&mut nginx) };
        this.installed("0.1.0-1");
        wait_until("nginx answers", || std::net::TcpStream::connect(("127.0.0.1", server)).is_ok());
        this
    }

    /// dpkg has this version.
    fn installed(&self, version: &str) {
        let text = format!(
            "Package: tallybox\nStatus: install ok installed\nArchitecture: {ARCHITECTURE}\nVersion: {version}\n"
        );
        std::fs::write(self.shop.path("dpkg-status"), text).unwrap();
    }

    /// Starts a role that sees this machine's package and authority, and a clock that somebody keeps.
    fn start(&self, role: &str) -> Program {
        let (status, authority) = (self.shop.path("dpkg-status"), PathBuf::from(self.authority.file("ca.pem")));
        let mounts = format!(
            "mount --bind {} /var/lib/dpkg/status; mount --bind {} /etc/ssl/certs/ca-certificates.crt",
            status.display(),
            authority.display()
        );
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.shop.path("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-ec", &format!("{mounts}; exec \"$@\""), "sh", TALLYBOX]);
        command.args([role, "--config"]).arg(&self.shop.config).env("TALLYBOX_LOG", "info");
        let program = Program::start(self.clock.wear(&mut command).stdin(Stdio::null()).stderr(log));
        if role == "guard" {
            wait_until("the guard answers", || self.shop.status().is_some());
        }
        program
    }

    fn update(&self) -> Value {
        self.shop.status().map_or(Value::Null, |mut status| status["update"].take())
    }

    fn release(&self) -> String {
        let digest = rollout::Sha256Hex::of(PACKAGE);
        let url = format!("https://localhost:{}/package", self.server);
        let now = jiff::Timestamp::now();
        let at = |hours: i64| now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap().to_string();
        signed(
            "release",
            &json!({
                "version": "0.2.0-1", "serial": 7, "channel": "stable", "security": true, "not-after": at(24),
                "files": { ARCHITECTURE: { "url": url, "size": PACKAGE.len(), "sha256": digest.as_str() } },
                "wave": { "start": at(-1), "stages": [{ "permille": 1000 }] },
            }),
        )
    }

    fn command(&self, seq: u64) -> String {
        let status = self.shop.status().unwrap();
        let command = json!({
            "box": "test-box", "verb": "update", "id": format!("update-{seq}"), "epoch": status["epoch"], "seq": seq,
            "deadline-s": status["uptime-s"].as_u64().unwrap() + 200, "version": "0.2.0-1",
        });
        signed("command", &command)
    }

    /// Does what the updater does when it has ended.
    fn end(&self, attempt: &str, error: Option<&str>) {
        let mut socket = ControlSocket::new(&self.shop);
        let outcome = json!({
            "ask": "update-ended", "attempt": attempt, "version": "0.2.0-1", "error": error, "again": false,
        });
        socket.send(1, &outcome);
        while socket.receive()["tell"] != "answer" {}
    }
}

/// Waits for a reply with this progress; without: for the answer.
fn reply(platform: &mut broker::Operator, seq: u64, progress: Option<&str>) -> Value {
    let (id, wanted) = (format!("update-{seq}"), progress.map_or(Value::Null, Value::from));
    let fits = |message: &Value| {
        let payload = &message["payload"];
        payload["id"] == id.as_str() && payload["progress"] == wanted
    };
    let message = platform.wait(&format!("progress {progress:?}"), fits);
    assert_eq!((&message["topic"], &message["correlation"]), (&"answers/1".into(), &"data".into()), "{message}");
    message["payload"].clone()
}

#[test]
fn an_update_is_told_step_by_step_and_answered_by_whoever_runs_when_it_has_ended() {
    let broker = Broker::new("");
    let mut platform = broker::Operator::connect(broker.port);
    let shop = Machine::new(&broker);
    let (mut guard, mut agent) = (shop.start("guard"), shop.start("agent"));
    platform.wait_for_phase("idle");
    platform.publish(&json!({ "to": "tallybox/v1/release/stable", "payload": shop.release(), "retain": true }));
    wait_until("it is offered", || shop.update()["state"] == "offered");
    for (seq, error) in [(1, Some("not well within 60 s: guard")), (2, None)] {
        let payload = shop.command(seq);
        platform
            .publish(&json!({ "verb": "update", "payload": payload, "response": "answers/1", "correlation": "data" }));
        let told = reply(&mut platform, seq, Some("downloading"));
        assert_eq!((&told["ok"], &told["code"]), (&true.into(), &Value::Null), "{told}");
        reply(&mut platform, seq, Some("installing"));
        let request = shop.shop.path("data/update-request");
        let attempt = wait_for("the updater is asked", std::time::Duration::from_secs(60), || {
            std::fs::read_to_string(&request).ok()
        });
        // The guard tells the step too, and a real upgrade gives the agent seconds: it knows whom to answer.
        wait_until("whom to answer is kept", || shop.shop.path("data/agent/due-answers").exists());
        // What an upgrade does: both end, and others come up, with the new version or the former one.
        guard.kill();
        agent.kill();
        if error.is_none() {
            shop.installed("0.2.0-1");
        }
        std::fs::remove_file(&request).unwrap();
        (guard, agent) = (shop.start("guard"), shop.start("agent"));
        shop.end(attempt.trim_end(), error);
        let answer = reply(&mut platform, seq, None);
        let code = error.map_or(Value::Null, |_| "failed".into());
        assert_eq!((&answer["ok"], &answer["code"]), (&error.is_none().into(), &code), "{answer}");
        assert_eq!(answer["epoch"], shop.shop.status().unwrap()["epoch"], "{answer}");
        // The package that failed is not kept, nor is what has been answered.
        wait_until("nothing lies about", || {
            let left = std::fs::read_dir(shop.shop.path("data/agent")).unwrap().flatten();
            left.map(|entry| entry.file_name()).all(|name| {
                let name = name.to_string_lossy().into_owned();
                name != "due-answers" && !name.starts_with("update-")
            })
        });
        assert_eq!(shop.update()["state"], if error.is_some() { "failed" } else { "current" });
    }
    let steps = platform.log.iter().map(|message| (&message["payload"]["id"], &message["payload"]["progress"]));
    let told: std::collections::BTreeSet<String> =
        steps.filter(|(_, step)| step.is_string()).map(|told| format!("{told:?}")).collect();
    assert_eq!(told.len(), 4, "each step is told: {told:?}");
    drop((guard, agent));
    shop.shop.verify();
}
