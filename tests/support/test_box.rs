//! A box of the test's own: its files in a temporary directory, the simulated panel, and real processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{Program, TALLYBOX, footage, wait_until};

pub struct TestBox {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
}

/// What a test's box is like. Small pictures: the tests are about what happens, not about pixels.
#[derive(Clone, Debug)]
pub struct BoxConfig {
    pub ingest: String,
    pub mqtt: String,
    pub video: String,
    pub audio: String,
    pub more: String,
}

impl Default for BoxConfig {
    fn default() -> Self {
        let file = footage().display().to_string();
        Self {
            // Nobody listens on the discard port: the box connects for as long as it is let.
            ingest: "rtmp://127.0.0.1:9/live/key-of-the-stream".to_owned(),
            mqtt: String::new(),
            // On a busy machine a server of the tests reads late, and the encoder would be asked for less.
            video: format!(
                "source = \"file\"\ndevice = \"{file}\"\nwidth = 320\nheight = 180\nbitrate-kbps = 400\nadaptive = false\n"
            ),
            audio: format!("source = \"file\"\ndevice = \"{file}\"\n"),
            more: String::new(),
        }
    }
}

impl TestBox {
    pub fn new(plan: &BoxConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = Self { config: dir.path().join("tallybox.toml"), dir };
        shop.configure(plan);
        shop
    }

    pub fn configure(&self, plan: &BoxConfig) {
        let dir = self.dir.path().display();
        let BoxConfig { ingest, mqtt, video, audio, more } = plan;
        let mqtt =
            if mqtt.is_empty() { String::new() } else { format!("[mqtt]\ntelemetry-interval = \"1s\"\n{mqtt}\n") };
        let text = format!(
            "[device]\nid = \"test-box\"\ndata-dir = \"{dir}/data\"\nruntime-dir = \"{dir}/run\"\n[panel]\nbackend = \"sim\"\n\
             [video]\n{video}\n[audio]\n{audio}\n[ingest]\nurl = \"{ingest}\"\n{mqtt}{more}\n"
        );
        std::fs::write(&self.config, text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TALLYBOX);
        command.args(arguments).arg("--config").arg(&self.config).env("TALLYBOX_LOG", "info");
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a role, and waits until the guard answers.
    pub fn start(&self, role: &str) -> Program {
        self.start_with(role, "TALLYBOX_LOG", "info")
    }

    /// The same, with a variable of the environment.
    pub fn start_with(&self, role: &str, name: &str, value: &str) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let program = Program::start(self.command(&[role]).env(name, value).stdin(Stdio::null()).stderr(log));
        if role != "agent" {
            wait_until("the guard answers", || self.status().is_some());
        }
        program
    }

    /// Starts the guard with file systems of its own, which `mounts` (shell) changes first.
    pub fn start_guard_with(&self, mounts: &str) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-ec", &format!("{mounts}; exec \"$@\""), "sh"]);
        command.arg(TALLYBOX).args(["guard", "--config"]).arg(&self.config);
        let program = Program::start(command.stdin(Stdio::null()).stderr(log));
        wait_until("the guard answers", || self.status().is_some());
        program
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn status(&self) -> Option<Value> {
        let output = self.call(&["status", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    pub fn phase(&self) -> String {
        self.status().map_or_else(String::new, |status| status["phase"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub fn wait_for_phase(&self, phase: &str) {
        let seen = super::poll(std::time::Duration::from_secs(60), || (self.phase() == phase).then_some(()));
        assert!(seen.is_some(), "phase {phase} did not come, but {:?}\n{}", self.status(), self.log());
    }

    #[track_caller]
    pub fn press(&self) {
        self.hold("0.15");
    }

    #[track_caller]
    pub fn hold(&self, seconds: &str) {
        let pressed = self.call(&["press", "--hold", seconds]);
        assert!(pressed.status.success(), "{pressed:?}");
    }

    pub fn lamp(&self) -> String {
        std::fs::read_to_string(self.path("run/lamp")).unwrap_or_default()
    }

    /// Whether the lamp says that the box may be capturing.
    pub fn lamp_says_capturing(&self) -> bool {
        ["fast-blink", "solid", "solid-notched", "double-blink"].contains(&self.lamp().as_str())
    }

    /// The facts in the ledger, in order.
    pub fn ledger(&self) -> Vec<Value> {
        let output = self.call(&["ledger", "export"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fact"].take()).collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.ledger().iter().map(|fact| fact["kind"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub fn verify(&self) {
        let output = self.call(&["ledger", "verify"]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Capture processes of this box, from /proc and not from our own word.
    pub fn captures(&self) -> Vec<i32> {
        self.processes("capture")
    }

    /// Processes of this box in a role.
    pub fn processes(&self, role: &str) -> Vec<i32> {
        let config = self.config.to_str().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // A process that is gone but not yet reaped has no command line, and no open files.
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = line.split(|byte| *byte == 0);
            let mine = words.next()?.ends_with(b"tallybox") && words.next()? == role.as_bytes();
            (mine && words.any(|word| word == config.as_bytes())).then_some(pid)
        })
        .collect()
    }
}

/// Processes that have `file` open.
pub fn openers(file: &Path) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let open = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|target| target == file)
    })
    .map(|entry| entry.file_name().to_string_lossy().into_owned())
    .collect()
}
