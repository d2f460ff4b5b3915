//! A real broker and simulated boxes, for tests of the program as operators run it. All of it ends with its value.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, unreachable_pub)] // each test file uses a part of it

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tallybox::clock::Clock;
use tempfile::TempDir;

/// The program under test.
pub const FLEET: &str = env!("CARGO_BIN_EXE_tallybox-fleet");

/// Waits for a condition: at most a minute, which a machine under load may need.
#[track_caller]
pub fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
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
pub struct Running(pub Child);

impl Running {
    /// Asks it to end as Ctrl-C does, and returns what it printed.
    pub fn interrupt(self) -> Output {
        // One that has ended by itself is there until it is waited for.
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::INT).unwrap();
        self.finish()
    }

    /// What it printed, once it has ended.
    pub fn finish(mut self) -> Output {
        let (out, err) = (self.0.stdout.take(), self.0.stderr.take());
        let read = |mut pipe: Box<dyn std::io::Read>| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let stdout = out.map_or_else(Vec::new, |pipe| read(Box::new(pipe)));
        let stderr = err.map_or_else(Vec::new, |pipe| read(Box::new(pipe)));
        Output { status: self.0.wait().unwrap(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// mosquitto on a port of its own.
pub struct Broker {
    pub port: u16,
    pub dir: TempDir,
    running: Option<Running>,
}

impl Broker {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("mosquitto.conf")
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn resume(&mut self) {
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(self.config()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Running(command.spawn().unwrap()));
        let port = self.port;
        wait_until("mosquitto listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// Ends it; it writes down what it has to keep.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let child = rustix::process::Pid::from_child(&running.0);
            rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
            let mut running = running;
            running.0.wait().unwrap();
        }
    }

    /// Publishes a retained message.
    pub fn retain(&self, topic: &str, payload: &str) {
        let port = self.port.to_string();
        let arguments = ["-V", "5", "-p", &port, "-q", "1", "-r", "-t", topic, "-s"];
        let mut child = Command::new("mosquitto_pub").args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The program's command line, with this broker.
    pub fn fleet(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(FLEET);
        command.args(arguments).env("TALLYBOX_FLEET_BROKER", self.url());
        command.env_remove("TALLYBOX_FLEET_KEY").env_remove("TALLYBOX_LOG");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.fleet(arguments).output().unwrap()
    }

    /// Starts it, and goes on.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = self.fleet(arguments);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Simulated boxes on which nobody presses; `more` are arguments of `sim`. Waits until all are online.
    pub fn simulate(&self, boxes: u32, more: &[&str]) -> Running {
        let (count, url) = (boxes.to_string(), self.url());
        let arguments = ["sim", "--boxes", &count, "--broker", &url, "--json", "--idle", "0s", "--ramp", "1s"];
        let running = self.spawn(&[&arguments[..], more].concat());
        wait_until("all boxes are online", || online(&self.run(&["list", "--json", "--wait", "500ms"])) == boxes);
        running
    }
}

fn online(listed: &Output) -> u32 {
    let rows = lines(listed);
    u32::try_from(rows.iter().filter(|row| row["availability"] == "online" && row["phase"] != Value::Null).count())
        .unwrap()
}

/// Standard output's lines of JSON.
pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// The names in an object, in order.
pub fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What a program said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The number that a simulation counted at its end.
pub fn summary(output: &Output) -> Value {
    lines(output).pop().unwrap_or_else(|| panic!("no summary: {}", said(output)))
}

/// Writes a file in `dir`.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
