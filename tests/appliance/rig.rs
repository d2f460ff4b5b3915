//! A box that trusts one key for everything, at a broker of its own, with an operator who has that key; its guard,
//! agent and capture are killed and started anew.

use std::process::{Command, Stdio};

use notes::{Note, Role, SignerKey};
use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::ledger::ControlSocket;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

/// Whom a rig kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Guard,
    Agent,
    /// Where there is one.
    Capture,
    Both,
}

pub(crate) const VICTIMS: [Victim; 4] = [Victim::Guard, Victim::Agent, Victim::Capture, Victim::Both];

pub(crate) fn signer() -> SignerKey {
    SignerKey::new("operator.example/fleet", &[9; 32]).unwrap()
}

/// A note of this type by the operator's key.
pub(crate) fn signed(kind: &str, json: &Value) -> String {
    Note::sign(&format!("tallybox/{kind}/v1\n{json}\n"), &[&signer()]).unwrap().to_string()
}

/// Trust in `key` for `roles`, as a configuration says it.
pub(crate) fn trust(key: &SignerKey, roles: &[Role]) -> String {
    let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    format!("[[trust]]\nkey = \"{}\"\nmay = {roles:?}\n", key.verifier_key())
}

pub(crate) const ALL_ROLES: [Role; 12] = [
    Role::RequestStart,
    Role::Unmute,
    Role::SetVideo,
    Role::SetIngest,
    Role::SetPolicy,
    Role::Policy,
    Role::Update,
    Role::Release,
    Role::Diagnose,
    Role::Desired,
    Role::Erase,
    Role::Unbind,
];

pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) operator: Operator,
    pub(crate) shop: TestBox,
    pub(crate) plan: BoxConfig,
    /// Shell commands that change the file systems of the box's processes.
    mounts: String,
    guard: Option<Program>,
    agent: Option<Program>,
    seq: u64,
    online: usize,
    /// Of a server that belongs to the test.
    pub(crate) port: u16,
    _kept: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new(more: &str, mounts: impl FnOnce(&TestBox) -> String) -> Self {
        Self::with(more, mounts, |_| ())
    }

    /// The same with another plan: `change` finds the broker's address in it.
    pub(crate) fn with(
        more: &str,
        mounts: impl FnOnce(&TestBox) -> String,
        change: impl FnOnce(&mut BoxConfig),
    ) -> Self {
        // What is retained outlives the broker.
        let kept = tempfile::tempdir().unwrap();
        let broker = Broker::new(&format!(
            "persistence true\npersistence_location {}/\nautosave_on_changes true\nautosave_interval 1",
            kept.path().display()
        ));
        let operator = Operator::connect(broker.port);
        let more = format!("{}{more}", trust(&signer(), &ALL_ROLES));
        let mut plan = BoxConfig { mqtt: broker.url(), more, ..BoxConfig::default() };
        change(&mut plan);
        let shop = TestBox::new(&plan);
        let mounts = mounts(&shop);
        let mut rig = Self {
            broker,
            operator,
            shop,
            plan,
            mounts,
            guard: None,
            agent: None,
            seq: 0,
            online: 0,
            port: 0,
            _kept: kept,
        };
        rig.start();
        rig
    }

    /// Starts what does not run, and waits until the box is online.
    pub(crate) fn start(&mut self) {
        if self.resume() {
            self.wait_online();
        }
    }

    /// Starts what does not run; whether that was the agent.
    pub(crate) fn resume(&mut self) -> bool {
        if self.guard.is_none() {
            self.guard = Some(self.role("guard"));
            wait_until("the guard answers", || self.shop.status().is_some());
        }
        let is_away = self.agent.is_none();
        if is_away {
            self.agent = Some(self.role("agent"));
        }
        is_away
    }

    /// Waits for the next connection of the box.
    pub(crate) fn wait_online(&mut self) {
        self.online += 1;
        let wanted = self.online;
        let online = |log: &[Value]| {
            let is_online = |message: &&Value| message["topic"] == "availability" && message["payload"] == "online";
            log.iter().filter(is_online).count()
        };
        while online(&self.operator.log) < wanted {
            self.operator.wait("the box is online", |message| message["topic"] == "availability");
        }
        self.online = online(&self.operator.log);
    }

    fn role(&self, role: &str) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.shop.path("log")).unwrap();
        let mut command = self.shop.command(&[role]);
        if !self.mounts.is_empty() {
            let mut apart = Command::new("unshare");
            apart.args(["--mount", "sh", "-ec", &format!("{}; exec \"$@\"", self.mounts), "sh"]);
            apart.arg(command.get_program()).args(command.get_args()).env("TALLYBOX_LOG", "info");
            command = apart;
        }
        Program::start(command.stdin(Stdio::null()).stderr(log))
    }

    /// Kills, without a warning.
    pub(crate) fn kill(&mut self, victim: Victim) {
        if matches!(victim, Victim::Guard | Victim::Both)
            && let Some(mut guard) = self.guard.take()
        {
            guard.kill();
        }
        if matches!(victim, Victim::Agent | Victim::Both)
            && let Some(mut agent) = self.agent.take()
        {
            agent.kill();
        }
        if victim == Victim::Capture {
            for pid in self.shop.captures() {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    pub(crate) fn restart(&mut self, victim: Victim) {
        self.kill(victim);
        self.start();
    }

    /// A fresh command for the box as it is now, and its id.
    pub(crate) fn command(&mut self, verb: &str, fields: &Value) -> (String, String) {
        self.seq += 1;
        let status = self.shop.status().unwrap();
        let id = format!("{verb}-{}", self.seq);
        let mut command = json!({
            "box": "test-box", "verb": verb, "id": id, "epoch": status["epoch"], "seq": self.seq,
            "deadline-s": status["uptime-s"].as_u64().unwrap() + 200,
        });
        command.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        (signed("command", &command), id)
    }

    /// Publishes a command; its answer has the correlation that this returns.
    pub(crate) fn publish(&mut self, verb: &str, payload: &str) -> String {
        self.seq += 1;
        let correlation = format!("n{}", self.seq);
        self.operator
            .publish(&json!({ "verb": verb, "payload": payload, "response": "answers/1", "correlation": correlation }));
        correlation
    }

    /// Sends a command past the broker; its answer comes on what this returns.
    pub(crate) fn direct(&self, verb: &str, payload: &str) -> ControlSocket {
        let mut socket = ControlSocket::new(&self.shop);
        socket.send(1, &json!({ "ask": "command", "verb": verb, "payload": payload }));
        socket
    }

    /// Starts the broker anew, and waits until box and operator are back.
    pub(crate) fn restart_broker(&mut self) {
        let connections = || self.shop.log().matches("connected to the broker").count();
        let before = connections();
        self.broker.kill();
        self.broker.start();
        wait_until("the box is back", || connections() > before);
        self.operator.wait("the operator is back", |message| message["topic"] == "connected");
    }

    /// The final answer to what was published; of an update, that it is being installed: nothing installs it here.
    #[track_caller]
    pub(crate) fn answer(&mut self, verb: &str, correlation: &str) -> Value {
        let is_final = |message: &Value| {
            let progress = &message["payload"]["progress"];
            message["correlation"] == correlation && (progress.is_null() || progress == "installing")
        };
        self.operator.wait(verb, is_final)["payload"].take()
    }

    /// Publishes a document, retained.
    pub(crate) fn retain(&mut self, topic: &str, payload: &str) {
        self.operator.publish(&json!({ "to": format!("tallybox/v1/{topic}"), "payload": payload, "retain": true }));
        self.operator.wait("it is published", |message| message["topic"] == "published");
    }

    /// Waits until all that was published before was handed to the guard: agent and guard answer a later command.
    pub(crate) fn settle(&mut self) {
        for _ in 0..2 {
            let (note, _) = self.command("diagnose", &json!({}));
            let correlation = self.publish("diagnose", &note);
            self.answer("diagnose", &correlation);
        }
    }

    /// Facts of a kind.
    pub(crate) fn facts(&self, kind: &str) -> Vec<Value> {
        self.shop.ledger().into_iter().filter(|fact| fact["kind"] == kind).collect()
    }
}
