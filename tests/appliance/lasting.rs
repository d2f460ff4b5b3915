//! The two verbs that need more than an operator, killed anywhere: an update, which is downloaded first, and an
//! unbinding, which staff confirm. Each happens once.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::erasure::{count, receipt};
use crate::exactly_once::{VerbCase, round, rounds};
use crate::ledger::ControlSocket;
use crate::rig::{Rig, VICTIMS, signed};
use crate::support::clock::WrongClock;
use crate::support::dates::days_from_now;
use crate::support::test_box::TestBox;
use crate::support::test_ca::Authority;
use crate::support::{Program, free_port, wait_until};

const PACKAGE: &str = "a package";
/// Its SHA-256.
const SHA256: &str = "c0cd5ccfdb563a59366e33e73001b78fdb8cca5a6c48e2f90fffcde44b81f1f6";
/// What serves the package.
const SERVER: &str = "import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()";

/// A machine on which tallybox 0.1.0-1 was installed as a package, whose clock is right.
fn machine(shop: &TestBox, authority: &Authority) -> String {
    let paragraph = ["amd64", "arm64", "armhf"].iter().find(|name| {
        let machine = std::env::consts::ARCH;
        matches!((**name, machine), ("amd64", "x86_64") | ("arm64", "aarch64") | ("armhf", "arm"))
    });
    let status = format!(
        "Package: tallybox\nStatus: install ok installed\nArchitecture: {}\nVersion: 0.1.0-1\n",
        paragraph.unwrap()
    );
    std::fs::write(shop.path("dpkg"), status).unwrap();
    let dir = shop.dir.path();
    WrongClock::new(dir, 0, true);
    let (ca, dir) = (authority.file("ca.pem"), dir.display());
    format!(
        "mount --bind {dir}/dpkg /var/lib/dpkg/status; mount --bind {ca} /etc/ssl/certs/ca-certificates.crt
        export LD_PRELOAD={dir}/clock.so FAKE_CLOCK={dir}/clock"
    )
}

fn version(number: u64) -> String {
    format!("9.0.{number}-1")
}

/// The attempt of before is over, and the next version is offered.
fn offer(rig: &mut Rig, number: u64) {
    if let Some(last) = rig.facts("update-started").last() {
        let outcome = json!({ "ask": "update-ended", "attempt": last["attempt"], "version": last["version"],
            "error": "not well within 60 s", "again": false });
        let mut socket = ControlSocket::new(&rig.shop);
        socket.send(1, &outcome);
        assert_eq!(socket.receive()["answer"], "done");
    }
    let port = rig.port;
    let file = json!({ "url": format!("https://localhost:{port}/package"), "size": PACKAGE.len(), "sha256": SHA256 });
    let files = json!({ "amd64": file, "arm64": file, "armhf": file });
    let wave = json!({ "start": days_from_now(-30), "stages": [{ "permille": 1000 }] });
    let release = json!({ "version": version(number), "serial": number, "channel": "stable", "files": files,
        "not-after": days_from_now(300), "security": true, "wave": wave });
    rig.retain("release/stable", &signed("release", &release));
    wait_until("it is offered", || rig.facts("update-offered").last().is_some_and(|fact| fact["serial"] == number));
}

const UPDATE: VerbCase = VerbCase {
    verb: "update",
    prepare: offer,
    fields: |number| json!({ "version": version(number) }),
    effect: Some(|fact| fact["kind"] == "update-started"),
    in_force: |rig, number| {
        let update = rig.shop.status().unwrap()["update"].take();
        update["state"] == "installing" && update["version"] == version(number)
    },
    is_lasting: true,
    needs_session: false,
};

#[test]
fn an_update_that_is_asked_for_is_started_once_whoever_is_killed() {
    if !rustix::process::getuid().is_root() {
        println!("not as root: dpkg's file cannot be replaced");
        return;
    }
    let authority = Authority::new();
    let mut rig = Rig::new("[update]\nautomatic = false\n", |shop| machine(shop, &authority));
    std::fs::write(rig.shop.path("package"), PACKAGE).unwrap();
    rig.port = free_port();
    let mut server = Command::new("python3");
    server.args(["-c", SERVER, &rig.port.to_string(), &authority.file("server.pem"), &authority.file("server.key")]);
    let log = std::fs::File::create(rig.shop.path("server.log")).unwrap();
    let _server = Program::start(server.current_dir(rig.shop.dir.path()).stdin(Stdio::null()).stderr(log));
    let mut random = fastrand::Rng::with_seed(19);
    for number in 1..=rounds() {
        let victim = VICTIMS[usize::try_from(number % 4).unwrap()];
        round(&mut rig, &UPDATE, number, victim, Duration::from_micros(random.u64(0..60_000)));
    }
    let started: Vec<Value> = rig.facts("update-started").iter().map(|fact| fact["version"].clone()).collect();
    assert_eq!(started, (1..=rounds()).map(|number| version(number).into()).collect::<Vec<Value>>());
    rig.shop.verify();
}

/// Somebody claims the box: it has another configuration.
fn claim(rig: &mut Rig, number: u64) {
    rig.plan.more = format!("{}# shop {number}\n", rig.plan.more);
    rig.shop.configure(&rig.plan);
    rig.restart(crate::rig::Victim::Both);
    assert_eq!(rig.shop.status().unwrap()["unbound"], false);
}

fn is_unbound(rig: &Rig) -> bool {
    rig.shop.status().unwrap()["unbound"] == true
}

#[test]
fn an_unbinding_that_staff_confirm_happens_once_whoever_is_killed() {
    let mut rig = Rig::new("", |_| String::new());
    let mut random = fastrand::Rng::with_seed(20);
    for number in 1..=rounds().div_ceil(2) {
        if number > 1 {
            claim(&mut rig, number);
        }
        let victim = VICTIMS[usize::try_from(number % 4).unwrap()];
        let pause = Duration::from_millis(random.u64(0..3000));
        let (first, _) = rig.command("unbind", &json!({}));
        rig.publish("unbind", &first);
        wait_until("the lamp asks", || rig.shop.lamp() == "unbind-request");
        let key = rig.shop.status().unwrap()["identity"]["verifier-key"].clone();
        let finger = Program::start(&mut rig.shop.command(&["press", "--hold", "2.6"]));
        std::thread::sleep(pause);
        rig.kill(victim);
        drop(finger);
        rig.resume();
        let (mut notes, mut waiting) = (vec![first], Vec::new());
        let what = format!("round {number}, {victim:?} after {pause:?}");
        let mut declined = 0;
        // Whoever asked does not know what became of it, and asks again while the box is bound.
        wait_until(&format!("{what}: it is unbound"), || {
            if is_unbound(&rig) {
                return true;
            }
            if rig.shop.phase() == "idle" {
                // The finger was lifted too early, which declines: nobody is asked again until something changes.
                if count(&rig.shop, "agreement-refused") > declined {
                    declined = count(&rig.shop, "agreement-refused");
                    rig.plan.more = format!("{}# again\n", rig.plan.more);
                    rig.shop.configure(&rig.plan);
                    rig.restart(crate::rig::Victim::Both);
                }
                let (again, _) = rig.command("unbind", &json!({}));
                waiting.push(rig.direct("unbind", &again));
                notes.push(again);
            }
            if rig.shop.lamp() == "unbind-request" {
                rig.shop.call(&["press", "--hold", "2.6"]);
            }
            false
        });
        for note in &notes {
            rig.direct("unbind", note).receive();
        }
        wait_until("it has another key", || rig.shop.status().unwrap()["identity"]["verifier-key"] != key);
        let all = usize::try_from(number).unwrap();
        assert_eq!((count(&rig.shop, "erasure-started"), count(&rig.shop, "unbound")), (all, all), "{what}");
        let status = rig.shop.status().unwrap();
        assert_eq!(receipt(&status["receipt"], &key)["what"], "unbind", "{what}");
        assert_ne!(rig.shop.lamp(), "unbind-request", "{what}");
    }
    rig.shop.verify();
}
