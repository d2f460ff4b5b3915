//! The box's key, sealed by a TPM: the real helper, systemd's own tool, and a TPM in software (swtpm).

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::erasure::{count, receipt};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

/// A machine's TPM, which runs as long as this lives.
struct Tpm {
    dir: PathBuf,
    _swtpm: Program,
}

impl Tpm {
    fn new(shop: &TestBox, name: &str) -> Self {
        let dir = shop.path(name);
        std::fs::create_dir(&dir).unwrap();
        let at = dir.join("socket");
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--flags", "startup-clear"]);
        swtpm.arg("--tpmstate").arg(format!("dir={}", dir.display()));
        swtpm.arg("--server").arg(format!("type=unixio,path={}", at.display()));
        swtpm.arg("--ctrl").arg(format!("type=unixio,path={}.ctrl", at.display()));
        let swtpm = Program::start(swtpm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        wait_until("the TPM is on", || at.exists());
        Self { dir, _swtpm: swtpm }
    }

    /// As the libraries of systemd and of the TPM's tools are told.
    fn device(&self) -> String {
        format!("swtpm:path={}", self.dir.join("socket").display())
    }

    /// Runs a command that uses the TPM. What it leaves in there the kernel clears on a real machine.
    fn serve(&self, command: &mut Command) -> std::process::Output {
        let output = command.env("SYSTEMD_TPM2_DEVICE", self.device()).output().unwrap();
        for what in ["--loaded-session", "--saved-session", "--transient-object"] {
            let cleared = Command::new("tpm2_flushcontext").args(["--tcti", &self.device(), what]).output().unwrap();
            assert!(cleared.status.success(), "{cleared:?}");
        }
        output
    }
}

/// Starts the helper for each connection, as systemd does; `None`: on a machine without a TPM.
struct Helper {
    socket: PathBuf,
    tpm: Arc<Mutex<Option<Tpm>>>,
    orders: Arc<AtomicU32>,
}

impl Helper {
    fn new(shop: &TestBox) -> Self {
        let socket = shop.path("sealing.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let tpm = Arc::new(Mutex::new(Some(Tpm::new(shop, "tpm"))));
        let orders = Arc::new(AtomicU32::new(0));
        let (own, counted) = (tpm.clone(), orders.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                Self::answer(own.lock().unwrap().as_ref(), stream);
            }
        });
        Self { socket, tpm, orders }
    }

    fn answer(tpm: Option<&Tpm>, stream: UnixStream) {
        let mut helper = Command::new(env!("CARGO_BIN_EXE_tallybox"));
        helper.args(["privacy", "seal-key"]).stdin(OwnedFd::from(stream));
        helper.env_remove("SYSTEMD_TPM2_DEVICE");
        match tpm {
            Some(tpm) => drop(tpm.serve(&mut helper)),
            None => drop(helper.output().unwrap()),
        }
    }

    fn guard(&self, shop: &TestBox) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
        let mut command = shop.command(&["guard", &format!("--sealing-socket={}", self.socket.display())]);
        let guard = Program::start(command.stdin(Stdio::null()).stderr(log));
        wait_until("the guard answers", || shop.status().is_some());
        guard
    }

    fn set(&self, tpm: Option<Tpm>) {
        *self.tpm.lock().unwrap() = tpm;
    }
}

impl Drop for Helper {
    /// Its thread outlives it, and would keep the TPM.
    fn drop(&mut self) {
        self.set(None);
    }
}

fn at_rest(shop: &TestBox) -> Value {
    shop.status().unwrap()["identity-at-rest"].clone()
}

/// Every file below a folder that has one of these in it.
fn files_with(dir: &Path, marks: &[&[u8]]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&path, marks));
        } else if let Ok(content) = std::fs::read(&path)
            && marks.iter().any(|mark| content.windows(mark.len()).any(|part| part == *mark))
        {
            found.push(path);
        }
    }
    found
}

fn sealed(shop: &TestBox) -> Vec<u8> {
    std::fs::read(shop.path("data/credentials/identity.sealed")).unwrap()
}

/// What the TPM has sealed: the key as a plain file has it.
fn opened(tpm: &Tpm, file: &[u8]) -> String {
    let text = std::str::from_utf8(file).unwrap();
    let blob = tpm.dir.join("blob");
    std::fs::write(&blob, &text[..text.find("-----BEGIN").unwrap()]).unwrap();
    let mut tool = Command::new("systemd-creds");
    let said = tpm.serve(tool.args(["decrypt", "--name=tallybox-identity"]).arg(&blob).arg("-"));
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn a_sealed_key_signs_is_on_no_disk_and_ends_with_the_binding() {
    let shop = TestBox::new(&BoxConfig::default());
    let helper = Helper::new(&shop);
    let mut guard = helper.guard(&shop);
    let before = shop.status().unwrap()["identity"].clone();
    assert_eq!(at_rest(&shop), "tpm");
    assert!(!shop.path("data/credentials/identity").exists());
    let said = String::from_utf8(shop.call(&["status"]).stdout).unwrap();
    assert!(said.contains("encrypted by this machine's TPM"), "{said}");
    let doctor: Value = serde_json::from_slice(&shop.call(&["doctor", "--json"]).stdout).unwrap();
    let row = doctor.as_array().unwrap().iter().find(|row| row["check"] == "identity-at-rest").unwrap();
    assert_eq!(row["verdict"], "ok");
    // What is sealed is this key, and neither its bytes nor its text are in any other file.
    let first = sealed(&shop);
    let pem = opened(helper.tpm.lock().unwrap().as_ref().unwrap(), &first);
    let line = pem.lines().nth(1).unwrap().to_owned();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && line.len() == 64, "it is a key");
    let marks: [&[u8]; 2] = [line.as_bytes(), b"BEGIN PRIVATE KEY"];
    assert_eq!(files_with(&shop.path("data"), &marks), Vec::<PathBuf>::new());
    assert_eq!(files_with(&shop.path("run"), &marks), Vec::<PathBuf>::new());
    // After a new start the TPM opens it, and it signs.
    guard.finish();
    let guard = helper.guard(&shop);
    assert_eq!(shop.status().unwrap()["identity"], before);
    wait_until("a new checkpoint is signed", || {
        let note = shop.status().unwrap()["checkpoint"].as_str().map(str::to_owned);
        note.is_some_and(|note| note.lines().nth(1).unwrap().parse::<usize>().unwrap() >= shop.ledger().len())
    });
    shop.hold("11");
    wait_until("it is unbound", || count(&shop, "unbound") == 1);
    let fact = shop.ledger().into_iter().find(|fact| fact["kind"] == "unbound").unwrap();
    receipt(&fact["receipt"], &before["verifier-key"]);
    wait_until("the next key is sealed too", || {
        at_rest(&shop) == "tpm" && shop.status().unwrap()["identity"] != before
    });
    assert_ne!(sealed(&shop), first);
    drop(guard);
    shop.verify();
}

/// The card is in another machine, or the TPM was cleared: the box says so, goes on, and is the same box.
#[test]
fn a_tpm_that_does_not_open_the_key_is_told_and_the_box_goes_on() {
    let shop = TestBox::new(&BoxConfig::default());
    let helper = Helper::new(&shop);
    helper.guard(&shop).finish();
    let before = sealed(&shop);
    for other in [Some(Tpm::new(&shop, "another")), None] {
        helper.set(other);
        let mut guard = helper.guard(&shop);
        wait_until("it says that the TPM fails", || at_rest(&shop) == "tpm-fails");
        let said = String::from_utf8(shop.call(&["status"]).stdout).unwrap();
        assert!(said.contains("does not open the box's key") && said.contains("claimed anew"), "{said}");
        assert_eq!((shop.phase(), sealed(&shop)), ("idle".to_owned(), before.clone()));
        assert!(guard.is_running());
        guard.finish();
    }
    assert_eq!(count(&shop, "identified"), 1, "it never was another box");
    let log = shop.log();
    assert!(log.contains("put the card back") && log.contains("this machine has no TPM"), "{log}");
}

/// Killed while the TPM seals or opens: there is one identity at the end, and the ledger saw no other.
#[test]
fn a_guard_that_is_killed_at_any_order_has_one_identity() {
    let shop = TestBox::new(&BoxConfig::default());
    let helper = Helper::new(&shop);
    // The first start seals and opens; each after it opens.
    for _ in 0..4 {
        let before = helper.orders.load(Ordering::SeqCst);
        let mut command = shop.command(&["guard", &format!("--sealing-socket={}", helper.socket.display())]);
        let mut guard = Program::start(command.stdin(Stdio::null()).stderr(Stdio::null()));
        wait_until("the helper is asked", || helper.orders.load(Ordering::SeqCst) > before);
        guard.kill();
    }
    let mut guard = helper.guard(&shop);
    assert_eq!(at_rest(&shop), "tpm");
    let names: Vec<_> =
        std::fs::read_dir(shop.path("data/credentials")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names, ["identity.sealed"]);
    guard.finish();
    assert_eq!(count(&shop, "identified"), 1);
}

#[test]
fn a_box_without_a_tpm_says_that_its_key_is_not_encrypted() {
    let shop = TestBox::new(&BoxConfig::default());
    let helper = Helper::new(&shop);
    helper.set(None);
    let _guard = helper.guard(&shop);
    assert_eq!(at_rest(&shop), "plain");
    assert!(shop.path("data/credentials/identity").exists());
    let said = String::from_utf8(shop.call(&["status"]).stdout).unwrap();
    assert!(said.contains("is not encrypted") && said.contains("who takes the card has it"), "{said}");
}
