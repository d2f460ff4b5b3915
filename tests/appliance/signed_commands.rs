//! Signed commands at real guards, agents and a real broker: what was not signed for this box, now, never runs,
//! whatever becomes of processes, clocks and disks; what was runs once.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use notes::{Note, SignerKey};
use serde_json::{Value, json};

use crate::broker::{Broker, Operator, payload};
use crate::played::{frame, hear};
use crate::support::clock::WrongClock;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

/// What the guard's socket is sent wrongly in one run; twelve times that in the long form.
pub(crate) const WRONG: usize = 1000;

fn signer(name: &str) -> SignerKey {
    let seed = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    SignerKey::new(name, &[seed; 32]).unwrap()
}

/// `ops` may unmute and identify, `admin` may erase.
fn trust() -> String {
    let table =
        |name: &str, may: &str| format!("[[trust]]\nkey = \"{}\"\nmay = [{may}]\n", signer(name).verifier_key());
    table("ops", "\"unmute\", \"identify\", \"diagnose\"") + &table("admin", "\"erase\"")
}

pub(crate) fn shop(mqtt: String) -> TestBox {
    TestBox::new(&BoxConfig { mqtt, more: trust(), ..BoxConfig::default() })
}

/// A command for this box as it is now.
#[derive(Clone)]
pub(crate) struct Draft {
    json: Value,
    by: &'static str,
}

impl Draft {
    pub(crate) fn new(shop: &TestBox, verb: &str, seq: u64) -> Self {
        let status = shop.status().unwrap();
        let deadline = status["uptime-s"].as_u64().unwrap() + 120;
        let json = json!({
            "box": "test-box", "verb": verb, "id": format!("s{seq}"), "epoch": status["epoch"], "seq": seq,
            "deadline-s": deadline
        });
        Self { json, by: "ops" }
    }

    pub(crate) fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut changed = self.clone();
        changed.json[name] = value.into();
        changed
    }

    pub(crate) fn note(&self) -> String {
        self.note_of("command")
    }

    fn note_of(&self, kind: &str) -> String {
        let text = format!("tallybox/{kind}/v1\n{}\n", self.json);
        Note::sign(&text, &[&signer(self.by)]).unwrap().to_string()
    }
}

/// Commands that the ledger says were accepted.
pub(crate) fn accepted(shop: &TestBox) -> Vec<String> {
    let commanded = shop.ledger().into_iter().filter(|fact| fact["kind"] == "commanded");
    commanded.map(|fact| fact["id"].as_str().unwrap().to_owned()).collect()
}

/// So many were, once the ledger's writer has come so far: a refusal is answered without waiting for it.
#[track_caller]
pub(crate) fn assert_accepted(shop: &TestBox, wanted: usize, part: &str) {
    wait_until("the ledger is written", || accepted(shop).len() >= wanted);
    assert_eq!(accepted(shop).len(), wanted, "{part}");
}

/// Sends a payload; returns the answer to it.
#[track_caller]
pub(crate) fn ask(operator: &mut Operator, number: &mut u32, verb: &str, payload: impl Into<Value>) -> Value {
    *number += 1;
    let correlation = format!("n{number}");
    let payload: Value = payload.into();
    operator.publish(&json!({ "verb": verb, "payload": payload, "response": "answers/1", "correlation": correlation }));
    operator.wait(verb, |message| message["correlation"] == correlation.as_str())["payload"].take()
}

#[test]
fn a_box_that_trusts_keys_obeys_signed_commands_once_and_stop_always() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(broker.url());
    let mut guard = shop.start("guard");
    let mut agent = shop.start("agent");
    let state = operator.wait_for_phase("idle")["payload"].clone();
    assert_eq!(state["epoch"].as_str().unwrap().len(), 32, "{state}");
    assert!(state["uptime-s"].is_u64(), "{state}");
    assert_eq!(state["signed-commands"], true, "{state}");
    let number = &mut 0;

    let unsigned = ask(&mut operator, number, "identify", payload("u1", 0, 60));
    assert_eq!((&unsigned["ok"], &unsigned["code"]), (&json!(false), &json!("unsigned")), "{unsigned}");
    let first = Draft::new(&shop, "identify", 1);
    let done = ask(&mut operator, number, "identify", first.note());
    assert_eq!((&done["ok"], &done["id"], &done["code"]), (&json!(true), &json!("s1"), &Value::Null), "{done}");
    assert_eq!((&done["epoch"], &done["state"]["phase"]), (&state["epoch"], &json!("idle")), "{done}");
    // Again, over a killed agent too: the same answer, and nothing is done.
    assert_eq!(ask(&mut operator, number, "identify", first.note())["ok"], true);
    agent.kill();
    agent = shop.start("agent");
    operator.wait_for_availability("online");
    assert_eq!(ask(&mut operator, number, "identify", first.note())["ok"], true);
    assert_eq!(accepted(&shop), ["s1"]);

    let good = Draft::new(&shop, "unmute", 2);
    for (code, verb, draft) in [
        ("misaddressed", "unmute", good.with("box", "other-box")),
        ("misaddressed", "identify", good.clone()),
        ("wrong-epoch", "unmute", good.with("epoch", "0".repeat(32))),
        ("replayed", "unmute", good.with("seq", 1)),
        ("expired", "unmute", good.with("deadline-s", 0)),
        ("too-far-ahead", "unmute", good.with("deadline-s", 1_000_000)),
        ("id-reused", "unmute", good.with("id", "s1")),
        ("malformed", "unmute", good.with("force", true)),
        ("not-allowed", "unmute", Draft { by: "admin", ..good.clone() }),
        ("bad-signature", "unmute", Draft { by: "outsider", ..good.clone() }),
    ] {
        let answer = ask(&mut operator, number, verb, draft.note());
        assert_eq!((&answer["ok"], &answer["code"]), (&json!(false), &json!(code)), "{answer}");
        assert!(answer.to_string().len() <= 1024, "{answer}");
    }
    let retained = json!({ "verb": "unmute", "payload": good.note(), "retain": true });
    operator.publish(&retained);
    operator.wait("it is refused", |message| message["topic"] == "reply" && message["payload"]["code"] == "retained");
    // Of a verb that is not carried out, for a reason of the box's, the number is used up all the same.
    let refused = ask(&mut operator, number, "unmute", good.note());
    assert_eq!((&refused["code"], &refused["state"]["phase"]), (&json!("refused"), &json!("idle")), "{refused}");
    assert_eq!(ask(&mut operator, number, "unmute", good.note())["code"], "refused");
    let diagnosis = ask(&mut operator, number, "diagnose", Draft::new(&shop, "diagnose", 3).note());
    assert_eq!(diagnosis["diagnosis"]["status"]["phase"], "idle", "{diagnosis}");
    assert_eq!(accepted(&shop), ["s1", "s2", "s3"]);

    assert_eq!((agent.finish(), guard.finish()), (Some(0), Some(0)));
    shop.verify();
}

#[test]
fn a_stop_gets_through_and_a_restart_of_the_guard_voids_what_was_signed_before() {
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(broker.url());
    let mut guard = shop.start("guard");
    let mut agent = shop.start("agent");
    operator.wait_for_phase("idle");
    let number = &mut 0;
    assert_eq!(ask(&mut operator, number, "identify", Draft::new(&shop, "identify", 1).note())["ok"], true);
    // Staff press; a stop gets through with a signature of nobody's, and one that was cut off.
    for payload in
        [Draft { by: "outsider", ..Draft::new(&shop, "stop", 1) }.note(), "tallybox/command/v1\n{\"id".into()]
    {
        shop.press();
        operator.wait_for_phase("connecting");
        assert_eq!(ask(&mut operator, number, "stop", payload)["ok"], true);
        assert_eq!(shop.phase(), "idle");
    }
    // The guard dies, and a command that nobody has seen yet is void.
    let unseen = Draft::new(&shop, "identify", 9);
    guard.kill();
    guard = shop.start("guard");
    wait_until("the agent has the new epoch", || {
        let answer = ask(&mut operator, number, "identify", unseen.note());
        answer["code"] == "wrong-epoch" && answer["epoch"] == shop.status().unwrap()["epoch"]
    });
    assert_eq!(ask(&mut operator, number, "identify", Draft::new(&shop, "identify", 1).note())["ok"], true);
    assert_eq!(accepted(&shop), ["s1", "s1"]);
    assert_eq!((agent.finish(), guard.finish()), (Some(0), Some(0)));
    shop.verify();
}

/// A client of the guard's socket.
struct Client {
    stream: UnixStream,
    calls: u64,
}

impl Client {
    fn connect(shop: &TestBox) -> Self {
        let stream = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, calls: 0 }
    }

    fn send(&mut self, verb: &str, payload: &str) {
        self.calls += 1;
        let request = json!({ "ask": "command", "verb": verb, "payload": payload });
        let message = json!({ "call": self.calls, "request": request }).to_string();
        self.stream.write_all(&frame(&message)).unwrap();
    }

    fn answer(&mut self) -> Value {
        hear(&mut self.stream).unwrap()["answer"].take()
    }

    fn ask(&mut self, verb: &str, payload: &str) -> Value {
        self.send(verb, payload);
        self.answer()
    }
}

/// Kinds of wrong commands.
pub(crate) const CLASSES: usize = 12;

/// What somebody who has seen all of `seen`, and owns the key of `outsider` and of `admin`, can send.
pub(crate) fn wrong(number: usize, fresh: &Draft, seen: &[String]) -> (&'static str, &'static str, String) {
    let old = &seen[(number / CLASSES) % seen.len()];
    let note = fresh.note();
    let at = (number * 7919) % note.len();
    match number % CLASSES {
        0 => ("replayed", "unmute", old.clone()),
        1 => ("stale", "unmute", fresh.with("deadline-s", 0).note()),
        2 => ("stale", "unmute", fresh.with("epoch", format!("{number:032x}")).note()),
        3 => ("reordered", "unmute", fresh.with("seq", 0).note()),
        4 => ("truncated", "unmute", note.chars().take((at % note.chars().count()).max(1)).collect()),
        5 => ("misaddressed", "unmute", fresh.with("box", "other").note()),
        6 => ("misaddressed", "erase", note),
        7 => ("wrongly signed", "unmute", Draft { by: "outsider", ..fresh.clone() }.note()),
        8 => ("role exceeded", "unmute", Draft { by: "admin", ..fresh.clone() }.note()),
        9 => ("role exceeded", "erase", fresh.with("verb", "erase").note()),
        10 => ("other type", "unmute", fresh.note_of("desired")),
        _ => {
            let mut bytes = note.into_bytes();
            bytes[at] ^= 1 << (number % 7);
            ("bit flipped", "unmute", String::from_utf8(bytes).unwrap_or_else(|_| old.clone()))
        }
    }
}

/// A copy of a data folder, as an image of the disk has it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).stdin(Stdio::null()).status().unwrap();
    assert!(done.success());
}

/// Kills the guard and puts the folder of before in the place of its own.
pub(crate) fn restore(shop: &TestBox, guard: &mut Program, image: &Path) {
    guard.kill();
    std::fs::remove_dir_all(shop.path("data")).unwrap();
    copy(image, &shop.path("data"));
}

#[test]
fn no_wrong_command_runs_over_kills_clock_steps_and_a_restored_disk() {
    let total = if std::env::var_os("TALLYBOX_LONG").is_some() { 12 * WRONG } else { WRONG };
    let shop = shop(String::new());
    let clock = WrongClock::new(shop.dir.path(), 0, true);
    let mut guard = clock.guard(&shop, "one");
    let image = shop.path("image");
    copy(&shop.path("data"), &image);
    let (mut seen, mut sent, mut ran) = (Vec::new(), BTreeMap::<_, usize>::new(), 0);
    for (round, part) in ["start", "kill", "clock", "restored"].into_iter().enumerate() {
        match part {
            "kill" => {
                guard.kill();
                guard = clock.guard(&shop, "one");
            }
            "clock" => clock.set(-400 * 86_400, false),
            "restored" => {
                restore(&shop, &mut guard, &image);
                guard = clock.guard(&shop, "two");
            }
            _ => {}
        }
        let before = accepted(&shop).len();
        let mut client = Client::connect(&shop);
        // What ran before, with numbers of before, and one that nobody has sent yet.
        let first = Draft::new(&shop, "unmute", 1 + 100 * round as u64);
        let answer = client.ask("unmute", &first.note());
        assert!(answer["refused"]["code"] == "refused", "it is judged, and there is nothing to unmute: {answer}");
        ran += 1;
        seen.push(first.note());
        let fresh = Draft::new(&shop, "unmute", 50 + 100 * round as u64);
        let mut wanted = 0;
        for number in 0..total / 4 {
            let (class, verb, payload) = wrong(number, &fresh, &seen);
            // Who says the same again gets the same answer.
            let is_again = verb == "unmute" && payload == first.note();
            client.send(verb, &payload);
            wanted += 1;
            if wanted == 8 {
                (0..wanted).for_each(|_| judged_wrong(&client.answer()));
                wanted = 0;
            }
            if !is_again {
                *sent.entry(class).or_default() += 1;
            }
        }
        (0..wanted).for_each(|_| judged_wrong(&client.answer()));
        assert_accepted(&shop, before + 1, part);
        // After all that the fresh one runs, once.
        let answer = client.ask("unmute", &fresh.note());
        assert_eq!(answer["refused"]["code"], "refused", "{answer}");
        assert_eq!(client.ask("unmute", &fresh.note()), answer);
        assert_accepted(&shop, before + 2, part);
        ran += 1;
        seen.push(fresh.note());
    }
    let all: usize = sent.values().sum();
    println!("{all} wrong commands, of which none ran: {sent:?}; {ran} fresh ones, each of which ran once");
    assert!(total < 10_000 || all >= 10_000, "{all}");
    assert_eq!(guard.finish(), Some(0));
    shop.verify();
}

/// Nothing was done; what ran before and comes again gets its own answer, which is that there was nothing to unmute.
#[track_caller]
fn judged_wrong(answer: &Value) {
    assert!(answer["refused"]["code"].is_string(), "{answer}");
}

/// Another user, as the agent's is: with trust it gets no further than its signatures.
#[test]
fn the_agents_user_gets_nothing_without_a_signature() {
    if !rustix::process::getuid().is_root() {
        println!("not as root: another user cannot be tried");
        return;
    }
    let shop = shop(String::new());
    let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
    let mut command = shop.command(&["guard", "--allow-user", "65534"]);
    let mut guard = Program::start(command.stdin(Stdio::null()).stderr(log));
    wait_until("the guard answers", || shop.status().is_some());
    for path in [shop.dir.path().to_owned(), shop.path("run"), shop.path("run/guard.sock")] {
        std::os::unix::fs::chown(&path, None, Some(65534)).unwrap();
        let mode = std::fs::metadata(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) | 0o070;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let program = "import json,socket,struct,sys\n\
        s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        for n,r in enumerate(json.loads(sys.argv[2])):\n\
        \x20m=json.dumps({'call':n,'request':r}).encode(); s.sendall(struct.pack('>I',len(m))+m)\n\
        \x20l,=struct.unpack('>I',s.recv(4,socket.MSG_WAITALL)); print(s.recv(l,socket.MSG_WAITALL).decode())\n";
    let good = Draft::new(&shop, "identify", 1);
    let asked = json!([
        { "ask": "request-start" }, { "ask": "unmute" }, { "ask": "identify" }, { "ask": "set-video", "fps": 25 },
        { "ask": "button", "down": true }, { "ask": "mute-button", "down": true }, { "ask": "probe" },
        { "ask": "stop" }, { "ask": "command", "verb": "identify", "payload": good.note() },
        { "ask": "command", "verb": "stop", "payload": "nonsense" }
    ]);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", program]);
    let said = setpriv.arg(shop.path("run/guard.sock")).arg(asked.to_string()).output().unwrap();
    let answers: Vec<Value> =
        String::from_utf8_lossy(&said.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 10, "{said:?}");
    for answer in &answers[..6] {
        assert_eq!(answer["answer"]["refused"]["code"], "unsigned", "{answer}");
    }
    assert_eq!(answers[6]["answer"]["refused"]["code"], "not-allowed", "{}", answers[6]);
    assert!(answers[7..].iter().all(|answer| answer["answer"] == "done"), "{answers:?}");
    assert_eq!((shop.phase().as_str(), accepted(&shop)), ("idle", vec!["s1".to_owned()]));
    assert!(shop.kinds().iter().any(|kind| kind == "command-refused"));
    // Root's own commands stay.
    let root = Client::connect(&shop);
    let mut root = root.stream;
    root.write_all(&frame(r#"{"call":1,"request":{"ask":"request-start"}}"#)).unwrap();
    assert_eq!(hear(&mut root).unwrap()["answer"], "done");
    assert_eq!(guard.finish(), Some(0));
}
