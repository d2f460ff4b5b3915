//! A real broker and simulated boxes, for tests of the program as operators run it. All of it ends with its value.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tallybox::clock::Clock;
use tempfile::TempDir;

use crate::dates::days_from_now;
use crate::ports::free_port;

/// The program under test.
pub(crate) const FLEET: &str = env!("CARGO_BIN_EXE_tallybox-fleet");

/// Waits for a condition: at most a minute, which a machine under load may need.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is() {
        assert!(clock.now() < at(60), "not in time: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn at(seconds: u64) -> monotonic::Monotonic {
    monotonic::Monotonic::from_start(Duration::from_secs(seconds))
}

/// A child that is killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// The next line of its standard output. What comes behind it stays for [`Running::finish`].
    pub(crate) fn line(&mut self) -> String {
        next_line(self.0.stdout.as_mut().unwrap())
    }

    /// The next line of its standard error.
    pub(crate) fn said_line(&mut self) -> String {
        next_line(self.0.stderr.as_mut().unwrap())
    }

    /// Asks it to end as Ctrl-C does, and returns what it printed.
    pub(crate) fn interrupt(self) -> Output {
        // One that has ended by itself is there until it is waited for.
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::INT).unwrap();
        self.finish()
    }

    /// What it printed, once it has ended.
    pub(crate) fn finish(mut self) -> Output {
        let (out, err) = (self.0.stdout.take(), self.0.stderr.take());
        let read = |mut pipe: Box<dyn Read>| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let stdout = out.map_or_else(Vec::new, |pipe| read(Box::new(pipe)));
        let stderr = err.map_or_else(Vec::new, |pipe| read(Box::new(pipe)));
        Output { status: self.0.wait().unwrap(), stdout, stderr }
    }
}

/// Reads no byte more than the line: a buffer of its own would take what follows away from the next reader.
fn next_line(pipe: &mut impl Read) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while pipe.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// mosquitto on a port of its own.
pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    running: Option<Running>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let dir = tempfile::tempdir().unwrap();
        // What an operator of many boxes sets, as docs/fleet.md says: without it retained messages are dropped.
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\npersistence true\n\
             persistence_location {}/\nuser root\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { port, dir, running: None };
        broker.resume();
        broker
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("mosquitto.conf")
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(crate) fn resume(&mut self) {
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(self.config()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Running(command.spawn().unwrap()));
        let port = self.port;
        wait_until("mosquitto listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// Ends it; it writes down what it has to keep.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let child = rustix::process::Pid::from_child(&running.0);
            rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
            let mut running = running;
            running.0.wait().unwrap();
        }
    }

    /// Publishes a retained message.
    pub(crate) fn retain(&self, topic: &str, payload: &str) {
        let port = self.port.to_string();
        let arguments = ["-V", "5", "-p", &port, "-q", "1", "-r", "-t", topic, "-s"];
        let mut child = Command::new("mosquitto_pub").args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// What comes on a topic, until there are so many messages or it is interrupted.
    pub(crate) fn subscribe(&self, topic: &str, messages: Option<u32>) -> Running {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-V", "5", "-p", &self.port.to_string(), "-q", "1", "-W", "60", "-t", topic]);
        command.args(messages.iter().flat_map(|count| ["-C".to_owned(), count.to_string()]));
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The retained message of a topic.
    pub(crate) fn retained(&self, topic: &str) -> Value {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-V", "5", "-p", &self.port.to_string(), "-C", "1", "-W", "10", "-t", topic]);
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("nothing is retained on {topic}"))
    }

    /// The program's command line, with this broker.
    pub(crate) fn fleet(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(FLEET);
        command.args(arguments).env("TALLYBOX_FLEET_BROKER", self.url());
        command.env_remove("TALLYBOX_FLEET_KEY").env_remove("TALLYBOX_LOG");
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.fleet(arguments).output().unwrap()
    }

    /// Starts it, and goes on.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = self.fleet(arguments);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Simulated boxes on which nobody presses, unless `more`, arguments of `sim`, has `--idle`. Waits until all are
    /// online.
    pub(crate) fn simulate(&self, boxes: u32, more: &[&str]) -> Running {
        let (count, url) = (boxes.to_string(), self.url());
        let arguments = ["sim", "--boxes", &count, "--broker", &url, "--json", "--ramp", "1s"];
        let idle = if more.contains(&"--idle") { &[][..] } else { &["--idle", "0s"] };
        let running = self.spawn(&[&arguments[..], idle, more].concat());
        wait_until("all boxes are online", || online(&self.run(&["list", "--json", "--wait", "500ms"])) == boxes);
        running
    }
}

/// Keys that sign, and a configuration that trusts them.
pub(crate) struct Keys {
    dir: PathBuf,
    trust: String,
}

impl Keys {
    pub(crate) fn new(broker: &Broker) -> Self {
        Self { dir: broker.dir.path().to_owned(), trust: String::new() }
    }

    /// Makes a key that boxes with [`Keys::config`] trust with these roles; none: no box knows it. Returns its file.
    pub(crate) fn add(&mut self, broker: &Broker, name: &str, may: &[&str]) -> String {
        let file = self.dir.join(format!("{name}.key")).to_str().unwrap().to_owned();
        let made = broker.run(&["key", "new", "--name", &format!("operator.example.cn/{name}"), &file]);
        assert!(made.status.success(), "{}", said(&made));
        if !may.is_empty() {
            let key = String::from_utf8(made.stdout).unwrap();
            writeln!(self.trust, "[[trust]]\nkey = {:?}\nmay = {may:?}", key.trim()).unwrap();
        }
        file
    }

    /// The file for `sim --config`, with `more` before the trust.
    pub(crate) fn config(&self, more: &str) -> String {
        write(&self.dir, "trust.toml", &format!("{more}\n{}", self.trust)).to_str().unwrap().to_owned()
    }
}

fn online(listed: &Output) -> u32 {
    let rows = lines(listed);
    u32::try_from(rows.iter().filter(|row| row["availability"] == "online" && row["phase"] != Value::Null).count())
        .unwrap()
}

/// Standard output's lines of JSON.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// The names in an object, in order.
pub(crate) fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What a program said on standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The number that a simulation counted at its end.
pub(crate) fn summary(output: &Output) -> Value {
    lines(output).pop().unwrap_or_else(|| panic!("no summary: {}", said(output)))
}

/// A release whose wave began long ago, and whose deadline has passed.
pub(crate) fn release() -> String {
    json!({
        "version": "0.2.0-1", "channel": "stable", "not-after": days_from_now(180), "security": true,
        "files": {"arm64": {
            "url": "https://updates.example.cn/tallybox_0.2.0-1_arm64.deb", "size": 1000, "sha256": "0f".repeat(32),
        }},
        "wave": {
            "start": days_from_now(-20), "stages": [{"permille": 1000}], "deadline-s": 600, "minimum-sample": 10,
            "abort": [{"on": "any", "minimum": 3, "permille": 200}],
        },
    })
    .to_string()
}

/// Writes a file in `dir`.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
