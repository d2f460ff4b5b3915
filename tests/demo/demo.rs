//! A demo of the test's own.
#![allow(unreachable_pub)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Program, TALLYBOX, wait_until};

pub struct Demo {
    pub program: Program,
    pub url: String,
    /// Holds the demo's own directory, and a camera.
    dir: tempfile::TempDir,
    /// One at a time: each encodes and shows a stream in real time.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Demo {
    pub fn start() -> Self {
        Self::start_with(|_, _| {})
    }

    fn start_with(prepare: impl FnOnce(&mut Command, &std::path::Path)) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(TALLYBOX);
        command.args(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", dir.path()).stdout(Stdio::piped());
        prepare(&mut command, dir.path());
        let mut program = Program::start(&mut command);
        let mut line = String::new();
        BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { program, url, dir, _alone: alone }
    }

    /// One whose camera is a V4L2 node, as far as capture can tell (tests/support/devices.c).
    pub fn with_camera() -> Self {
        let demo = Self::start_with(|command, dir| {
            let (source, made) =
                (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/devices.c"), dir.join("devices.so"));
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-o"]).arg(&made).arg(source).args(["-ldl", "-lpthread"]);
            let said = cc.output().unwrap();
            assert!(said.status.success(), "{said:?}");
            command.env("LD_PRELOAD", made).env("FAKE_CAMERA", dir.join("camera")).env("FAKE_FORMAT", "YU12");
        });
        demo.plug();
        let config = demo.config();
        let more = config.with_file_name("conf.d");
        std::fs::create_dir(&more).unwrap();
        let text = format!(
            "[video]\nsource = \"v4l2\"\ndevice = \"{}\"\nwidth = 320\nheight = 180\n[audio]\nsource = \"none\"\n",
            demo.camera().display()
        );
        std::fs::write(more.join("60-camera.toml"), text).unwrap();
        let mut before = Vec::new();
        wait_until("a guard runs", || {
            before = demo.pids("guard");
            !before.is_empty()
        });
        demo.signal("guard", Signal::TERM);
        wait_until("another guard runs", || {
            let now = demo.pids("guard");
            !now.is_empty() && now != before
        });
        demo
    }

    fn camera(&self) -> PathBuf {
        self.dir.path().join("camera")
    }

    pub fn plug(&self) {
        symlink("/dev/null", self.camera()).unwrap();
    }

    pub fn unplug(&self) {
        std::fs::remove_file(self.camera()).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.found_config().expect("the demo has said where it listens, so its directory is there")
    }

    fn found_config(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        entries.map(|path| path.join("tallybox.toml")).find(|file| file.exists())
    }

    /// The demo's processes that run as `role`.
    fn pids(&self, role: &str) -> Vec<i32> {
        let Some(config) = self.found_config() else { return Vec::new() };
        let words = [role.as_bytes(), config.to_str().unwrap().as_bytes()];
        let all =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        all.filter(|pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            line.get(1) == Some(&words[0]) && line.contains(&words[1])
        })
        .collect()
    }

    #[track_caller]
    pub fn signal(&self, role: &str, signal: Signal) {
        let pids = self.pids(role);
        assert!(!pids.is_empty(), "no {role} runs");
        for pid in pids {
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // What a test that failed left standing would not end.
        let _ = kill_process(Pid::from_raw(self.program.pid()).unwrap(), Signal::CONT);
        for role in ["run", "guard", "capture"] {
            for pid in self.pids(role) {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::CONT);
            }
        }
    }
}
