//! An unbinding with the helper that runs as root, on its own `/etc`: guard and helper are killed before each of their
//! file operations, and whoever is started next finishes it. Under systemd the path unit starts the helper for as long
//! as the guard's request is there; here the test does.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::erasure::{count, receipt};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_for, wait_until};

/// What is done to files, and how the two talk. strace counts each kind by itself.
const OPERATIONS: [&str; 9] =
    ["unlink", "unlinkat", "rename", "fsync", "fdatasync", "write", "pwrite64", "connect", "sendto"];
/// Without `TALLYBOX_LONG`: one of each stage.
const SOME: [(&str, &str, u32); 6] = [
    ("helper", "unlinkat", 2),
    ("helper", "fdatasync", 3),
    ("helper", "connect", 1),
    ("guard", "rename", 1),
    ("guard", "unlinkat", 1),
    ("guard", "fsync", 6),
];

/// Whom a round kills, before which of its operations.
#[derive(Clone, Copy, Debug)]
struct Kill {
    role: &'static str,
    operation: &'static str,
    number: u32,
}

impl Kill {
    /// `command` under the eyes of whoever kills it.
    fn watch(self, command: &Command) -> Command {
        let Self { operation, number, .. } = self;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={operation}")]);
        strace.args(["-e", &format!("inject={operation}:signal=KILL:when={number}")]);
        strace.arg(command.get_program()).args(command.get_args());
        strace
    }
}

/// A box whose unbinding waits for the helper, as it was when the power failed.
struct Interrupted {
    shop: TestBox,
    before: Value,
}

impl Interrupted {
    fn new() -> Self {
        let mqtt = "url = \"mqtts://broker.example.cn\"\nclient-cert = \"/etc/tallybox/client.pem\"\n\
                    client-key = \"/etc/tallybox/client.key\"";
        let ingest = "rtmp://127.0.0.1:9/live/${STREAM_KEY}";
        let plan = BoxConfig { ingest: ingest.to_owned(), mqtt: mqtt.to_owned(), ..BoxConfig::default() };
        let this = Self { shop: TestBox::new(&plan), before: Value::Null };
        let mut guard = this.start(this.guard());
        wait_until("the guard answers", || this.shop.status().is_some());
        let before = this.shop.status().unwrap()["identity"].clone();
        this.shop.hold("10.5");
        wait_until("the guard asks", || this.request().exists());
        guard.kill();
        std::fs::rename(this.shop.path("data"), this.shop.path("interrupted")).unwrap();
        Self { before, ..this }
    }

    fn request(&self) -> std::path::PathBuf {
        self.shop.path("data/credentials-erasure")
    }

    fn guard(&self) -> Command {
        self.shop.command(&["guard", "--credentials-helper"])
    }

    /// The helper, in a file system whose `/etc` is the test's.
    fn helper(&self) -> Command {
        let etc = self.shop.path("etc");
        let mounts = format!(
            "mount --bind {} /etc; mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system; exec \"$@\"",
            etc.display()
        );
        let mut apart = Command::new("unshare");
        apart.args(["--mount", "sh", "-ec", &mounts, "sh"]);
        apart
    }

    fn start(&self, mut command: Command) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.shop.path("log")).unwrap();
        Program::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))
    }

    /// Files as they were, and credentials where units and configuration say that they are.
    fn restore(&self) {
        let at = |path: &str| self.shop.path(path);
        let _ = std::fs::remove_dir_all(at("data"));
        assert!(Command::new("cp").arg("-a").args([at("interrupted"), at("data")]).status().unwrap().success());
        let _ = std::fs::remove_dir_all(at("etc"));
        let drop_ins = "etc/systemd/system/tallybox-capture@.service.d";
        for folder in ["etc/tallybox/keys", drop_ins] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        for role in ["guard", "agent", "capture"] {
            let name = format!("tallybox-{role}{}.service", if role == "capture" { "@" } else { "" });
            let exec = format!("/usr/bin/tallybox {role}");
            let unit = std::fs::read_to_string(units.join(&name)).unwrap();
            let unit = unit.replace(&exec, &format!("{exec} --config={}", self.shop.config.display()));
            std::fs::write(at("etc/systemd/system").join(name), unit).unwrap();
        }
        let credential = "[Service]\nLoadCredential=STREAM_KEY:/etc/tallybox/keys/stream-key\n";
        std::fs::write(at(drop_ins).join("own.conf"), credential).unwrap();
        for name in ["client.pem", "client.key", "client.key.bak", "ca.pem", "keys/stream-key", "keys/stream-key.new"] {
            std::fs::write(at("etc/tallybox").join(name), "s3cret").unwrap();
        }
    }

    /// Files of credentials that are left under `/etc`.
    fn left(&self) -> Vec<String> {
        let etc = self.shop.path("etc/tallybox");
        let entries = [etc.clone(), etc.join("keys")].map(|dir| std::fs::read_dir(dir).unwrap());
        let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "ca.pem" && name != "keys").collect()
    }

    /// Runs the unbinding to its end, with one kill. Returns whether there was so late an operation.
    fn round(&self, kill: Kill) -> bool {
        self.restore();
        let watched = |role: &str, command: Command| if kill.role == role { kill.watch(&command) } else { command };
        let mut guard = self.start(watched("guard", self.guard()));
        let mut killed = false;
        wait_for(&format!("{kill:?}"), Duration::from_secs(60), || {
            if !guard.is_running() {
                killed = true;
                guard = self.start(self.guard());
            }
            if self.request().exists() {
                let is_watched = !killed && kill.role == "helper";
                let plain = self.shop.command(&["privacy", "erase-credentials"]);
                let command = if is_watched { kill.watch(&plain) } else { plain };
                let mut helper = self.helper();
                helper.arg(command.get_program()).args(command.get_args());
                let ended = self.start(helper).0.wait().unwrap();
                // Without a guard that answers it fails, and is started again.
                killed |= is_watched && ended.code().is_none();
            }
            self.shop.status().filter(|status| status["receipt"].is_string()).map(|_| ())
        });
        // What comes later is another round's to interrupt.
        self.kill_guard(&mut guard);
        guard = self.start(self.guard());
        wait_until("the guard answers", || self.shop.status().is_some());
        self.judge(kill);
        self.kill_guard(&mut guard);
        killed
    }

    /// Kills the guard itself: strace alone would let it go.
    fn kill_guard(&self, program: &mut Program) {
        for pid in self.shop.processes("guard") {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = program.0.wait();
    }

    /// It is done, once, with one receipt.
    #[track_caller]
    fn judge(&self, kill: Kill) {
        let shop = &self.shop;
        wait_until("it is written down", || count(shop, "unbound") == 1);
        assert_eq!((count(shop, "erasure-started"), count(shop, "unbound")), (1, 1), "{kill:?}: {:?}", shop.kinds());
        let status = shop.status().unwrap();
        assert_eq!((&status["unbound"], &status["phase"]), (&true.into(), &"locked".into()), "{kill:?}");
        assert_ne!(status["identity"], self.before, "{kill:?}");
        assert_eq!(receipt(&status["receipt"], &self.before["verifier-key"])["what"], "unbind", "{kill:?}");
        assert_eq!(self.left(), [""; 0], "{kill:?}");
        assert!(!self.request().exists() && !shop.path("data/receipt.note").exists(), "{kill:?}");
        shop.press();
        assert!(shop.captures().is_empty(), "{kill:?}");
        shop.verify();
    }
}

#[test]
fn an_unbinding_with_the_helper_is_finished_wherever_either_is_killed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let interrupted = Interrupted::new();
    let round = |role, operation, number| interrupted.round(Kill { role, operation, number });
    if std::env::var_os("TALLYBOX_LONG").is_none() {
        for (role, operation, number) in SOME {
            assert!(round(role, operation, number), "{role} was not killed before {operation} {number}");
        }
        return;
    }
    for role in ["helper", "guard"] {
        for operation in OPERATIONS {
            let kills = (1..1000).take_while(|number| round(role, operation, *number)).count();
            println!("{role} killed before each {operation}: {kills}");
        }
    }
}
