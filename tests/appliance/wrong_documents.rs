//! Desired configurations and policies that do not count: none takes effect, over kills, clock steps and a restored
//! disk, and a good one takes effect once. Releases: `judges::updates::tests::replays`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use notes::{Note, Role, SignerKey};
use serde_json::{Value, json};

use crate::ledger::ControlSocket;
use crate::rig::trust;
use crate::support::clock::WrongClock;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

/// Wrong documents in one run; twelve times that in the long form.
const WRONG: usize = 1000;
/// Calls that wait for their answers at once.
const AT_ONCE: usize = 8;

fn key(name: &str) -> SignerKey {
    let seed = name.bytes().fold(3_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    SignerKey::new(&format!("operator.example/{name}"), &[seed; 32]).unwrap()
}

/// Two may sign both, and policies need both of them; one may sign everything else.
fn shop() -> TestBox {
    let both = [Role::Desired, Role::Policy];
    let more =
        trust(&key("one"), &both) + &trust(&key("two"), &both) + &trust(&key("other"), &[Role::Release, Role::Erase]);
    let more = more + "[trust-thresholds]\npolicy = 2\n";
    TestBox::new(&BoxConfig { more, ..BoxConfig::default() })
}

/// A kind of document.
struct Kind {
    name: &'static str,
    /// The JSON of a version; `change` makes another text of the same version.
    json: fn(version: u64, change: bool) -> Value,
    signers: &'static [&'static str],
    fact: &'static str,
    version: fn(&Value) -> u64,
}

const DESIRED: Kind = Kind {
    name: "desired",
    json: |version, change| {
        let interval = format!("{}ms", 1000 + version + u64::from(change));
        json!({ "box": "test-box", "version": version, "values": { "video.keyframe-interval": interval } })
    },
    signers: &["one"],
    fact: "desired-applied",
    version: |fact| fact["version"].as_u64().unwrap(),
};

const POLICY: Kind = Kind {
    name: "policy",
    json: |version, change| {
        json!({ "version": format!("20{:02}-01-01", 30 + version), "material": false,
            "answer-days": 30 + u64::from(change) })
    },
    signers: &["one", "two"],
    fact: "policy-updated",
    version: |fact| fact["policy-version"].as_str().unwrap()[2..4].parse::<u64>().unwrap() - 30,
};

fn sign(kind: &str, json: &Value, by: &[&str]) -> String {
    let keys: Vec<_> = by.iter().map(|name| key(name)).collect();
    Note::sign(&format!("tallybox/{kind}/v1\n{json}\n"), &keys.iter().collect::<Vec<_>>()).unwrap().to_string()
}

impl Kind {
    fn note(&self, version: u64) -> String {
        sign(self.name, &(self.json)(version, false), self.signers)
    }

    /// What somebody can send who has heard all versions up to `seen`, the next one on its way too, and who has a key
    /// for something else.
    fn wrong(&self, number: usize, seen: u64) -> (&'static str, String) {
        const CLASSES: usize = 11;
        let (next, at) = (seen + 1, number * 7919);
        let json = (self.json)(next, false);
        let good = sign(self.name, &json, self.signers);
        match number % CLASSES {
            0 => ("replayed", self.note(1 + (number / CLASSES) as u64 % seen.saturating_sub(1).max(1))),
            1 => ("reordered: another text of the version", sign(self.name, &(self.json)(seen, true), self.signers)),
            2 => ("truncated", good.chars().take(at % good.chars().count()).collect()),
            3 | 4 => {
                let mut bytes = good.clone().into_bytes();
                let at = at % bytes.len();
                bytes[at] ^= 1 << (number % 7);
                ("bit flipped", String::from_utf8(bytes).unwrap_or_else(|_| good[1..].to_owned()))
            }
            5 => {
                let mut other = json;
                other["box"] = "another-box".into();
                ("misaddressed", sign(self.name, &other, self.signers))
            }
            6 => ("wrongly signed", sign(self.name, &json, &["stranger", "nobody"])),
            7 => ("role exceeded", sign(self.name, &json, &["other"])),
            8 => {
                let by = sign(self.name, &json, &["other", "one"]);
                // One line of a key's twice: it counts once. A desired configuration needs one: its line is damaged.
                let line = by.lines().last().unwrap().to_owned();
                let text = &by[..by.find("\n\n").unwrap() + 2];
                let line = if self.signers.len() > 1 { line } else { line.replacen("= ", "", 1)[..40].to_owned() };
                let class = if self.signers.len() > 1 { "duplicate signatures" } else { "damaged signatures" };
                (class, format!("{text}{line}\n{line}\n"))
            }
            9 if self.signers.len() > 1 => ("wrong threshold", sign(self.name, &json, &self.signers[..1])),
            _ => ("other document type", sign("command", &json, self.signers)),
        }
    }

    fn in_force(&self, shop: &TestBox) -> Vec<u64> {
        shop.ledger().iter().filter(|fact| fact["kind"] == self.fact).map(self.version).collect()
    }

    fn send(&self, socket: &mut ControlSocket, note: &str) {
        socket.send(1, &json!({ "ask": self.name, "note": note }));
    }

    /// Sends the next good version, twice: it takes effect once.
    fn take(&self, shop: &TestBox, socket: &mut ControlSocket, version: u64) {
        for _ in 0..2 {
            self.send(socket, &self.note(version));
            let answer = socket.receive()["answer"].take();
            assert!(answer == "done" || answer == "unwritten", "{} {version}: {answer}", self.name);
        }
        wait_until("it is in force", || self.in_force(shop).last() == Some(&version));
        assert_eq!(self.in_force(shop).iter().filter(|known| **known == version).count(), 1, "{}", self.name);
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

struct Run<'a> {
    kind: &'a Kind,
    shop: TestBox,
    clock: WrongClock,
    guard: Program,
}

impl Run<'_> {
    fn prepare(&mut self, part: &str) {
        let image = self.shop.path("image");
        match part {
            "kill" => {
                self.guard.kill();
                self.guard = self.clock.guard(&self.shop, "one");
            }
            "clock" => self.clock.set(-400 * 86_400, false),
            "restored" => {
                self.guard.kill();
                std::fs::remove_dir_all(self.shop.path("data")).unwrap();
                copy(&image, &self.shop.path("data"));
                self.guard = self.clock.guard(&self.shop, "two");
            }
            _ => copy(&self.shop.path("data"), &image),
        }
    }

    /// One part: wrong ones, then a good one.
    fn part(&mut self, part: &str, count: usize, seen: &mut u64, sent: &mut BTreeMap<&'static str, usize>) {
        let mut socket = ControlSocket::new(&self.shop);
        let before = self.kind.in_force(&self.shop);
        let mut waiting = 0;
        for number in 0..count {
            let (class, note) = self.kind.wrong(number, *seen);
            if note == self.kind.note(*seen) {
                // The one in force again: a repetition, which is answered and changes nothing.
                continue;
            }
            self.kind.send(&mut socket, &note);
            *sent.entry(class).or_default() += 1;
            waiting += 1;
            if waiting == AT_ONCE || number + 1 == count {
                (0..std::mem::take(&mut waiting)).for_each(|_| {
                    let answer = socket.receive()["answer"].take();
                    assert!(answer["refused"]["code"].is_string(), "{} {part}: {answer} {note}", self.kind.name);
                });
            }
        }
        (0..waiting).for_each(|_| drop(socket.receive()));
        assert_eq!(self.kind.in_force(&self.shop), before, "{} {part}", self.kind.name);
        *seen += 1;
        self.kind.take(&self.shop, &mut socket, *seen);
    }
}

fn run(kind: &Kind) {
    let total = if std::env::var_os("TALLYBOX_LONG").is_some() { 12 * WRONG } else { WRONG };
    let shop = shop();
    let clock = WrongClock::new(shop.dir.path(), 0, true);
    let guard = clock.guard(&shop, "one");
    let mut run = Run { kind, shop, clock, guard };
    let (mut seen, mut sent) = (0, BTreeMap::new());
    for _ in 0..2 {
        seen += 1;
        kind.take(&run.shop, &mut ControlSocket::new(&run.shop), seen);
    }
    for part in ["start", "kill", "clock", "restored"] {
        run.prepare(part);
        if part == "restored" {
            // The image knows nothing of the versions since: the newest, which the broker has, is what counts.
            kind.take(&run.shop, &mut ControlSocket::new(&run.shop), seen);
        }
        run.part(part, total / 4, &mut seen, &mut sent);
    }
    let all: usize = sent.values().sum();
    println!("{}: {all} wrong ones, of which none took effect: {sent:?}; {seen} good ones, each once", kind.name);
    assert!(total < 10_000 || all >= 10_000, "{all}");
    run.shop.verify();
}

#[test]
fn no_wrong_desired_configuration_takes_effect() {
    run(&DESIRED);
}

#[test]
fn no_wrong_policy_takes_effect() {
    run(&POLICY);
}
