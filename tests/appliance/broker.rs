//! mosquitto, and an operator at it that is written with another library (paho-mqtt).

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Program, free_port, wait_until};

pub(crate) struct Broker {
    pub(crate) port: u16,
    config: PathBuf,
    process: Option<Program>,
    _dir: tempfile::TempDir,
}

impl Broker {
    pub(crate) fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, config) = (free_port(), dir.path().join("mosquitto.conf"));
        std::fs::write(&config, format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n{more}\n"))
            .unwrap();
        let mut this = Self { port, config, process: None, _dir: dir };
        this.start();
        this
    }

    pub(crate) fn start(&mut self) {
        let program =
            if std::path::Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let mut command = Command::new(program);
        let log = std::fs::File::create(self.config.with_extension("log")).unwrap();
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(log);
        self.process = Some(Program::start(&mut command));
        let port = self.port;
        wait_until("the broker answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("url = \"mqtt://127.0.0.1:{}\"", self.port)
    }
}

/// What is waited for: a name for messages, and whether a message is it.
type Wanted<'a> = (&'a str, &'a dyn Fn(&Value) -> bool);

/// What the operator hears: topic below the box, payload, and the rest.
pub(crate) struct Operator {
    process: Program,
    heard: Receiver<Value>,
    pub(crate) log: Vec<Value>,
    number: u32,
}

impl Operator {
    pub(crate) fn connect(port: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/appliance/mqtt_operator.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Program::start(&mut command);
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut this = Self { process, heard, log: Vec::new(), number: 0 };
        this.wait("connected", |message| message["topic"] == "connected");
        this
    }

    /// Waits for a message that fits; those before it are kept in `log` too.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let Self { heard, log, .. } = self;
        let found = crate::support::poll(Duration::from_secs(60), || {
            let message = heard.recv_timeout(Duration::from_millis(100)).ok()?;
            assert!(message["topic"] != "invalid", "not as docs/schemas promises: {message:#}");
            log.push(message.clone());
            fits(&message).then_some(message)
        });
        let last: Vec<&Value> = log.iter().rev().filter(|message| message["topic"] != "telemetry").take(6).collect();
        found.unwrap_or_else(|| panic!("{what}: not heard; last {last:?}"))
    }

    /// Waits for each of these, in whatever order they come.
    #[track_caller]
    pub(crate) fn wait_for_each(&mut self, wanted: &[Wanted<'_>]) {
        let begin = self.log.len();
        for (what, fits) in wanted {
            if !self.log[begin..].iter().any(fits) {
                self.wait(what, fits);
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait_for_phase(&mut self, phase: &str) -> Value {
        self.wait(phase, |message| message["topic"] == "state" && message["payload"]["phase"] == phase)
    }

    /// Waits until the broker says that the box is there. What it keeps of a box that ended says nothing of the next
    /// program: its state is that of before, and only `availability` tells that the new one took its place.
    #[track_caller]
    pub(crate) fn wait_for_availability(&mut self, word: &str) {
        self.wait(word, |message| message["topic"] == "availability" && message["payload"] == word);
    }

    pub(crate) fn publish(&mut self, message: &Value) {
        let stdin = self.process.0.stdin.as_mut().unwrap();
        writeln!(stdin, "{message}").unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a command; returns its id.
    pub(crate) fn command(&mut self, verb: &str) -> String {
        self.number += 1;
        let id = format!("c{}", self.number);
        self.publish(&json!({ "verb": verb, "payload": payload(&id, 0, 60) }));
        id
    }

    /// Sends a command and waits for its answer on `reply`.
    #[track_caller]
    pub(crate) fn ask(&mut self, verb: &str) -> Value {
        let id = self.command(verb);
        self.wait(verb, |message| message["topic"] == "reply" && message["payload"]["id"] == id)["payload"].take()
    }
}

/// A command's payload, issued and expiring so many seconds from now.
pub(crate) fn payload(id: &str, issued: i64, expires: i64) -> Value {
    let at =
        |seconds| jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap().to_string();
    json!({ "id": id, "issued-at": at(issued), "expires-at": at(expires) })
}
