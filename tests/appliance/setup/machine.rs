//! A machine of the test's own for `tallybox setup`: its root, its units and what it is asked.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::TALLYBOX;

pub(super) const KEY: &str = "hush-hush-key";
pub(super) const ANSWERS: &str = "ingest-url = \"rtmps://push.example.cn/live\"\nstream-key-file = \"key\"\ningest-uses-ca = true\n\
    broker-url = \"mqtts://broker.example.cn:8883\"\nca-file = \"certs/ca.pem\"\n\
    client-cert-file = \"certs/shop-0042.pem\"\nclient-key-file = \"certs/shop-0042.key\"\n\
    panel = \"sim\"\ncamera = \"test\"\nmicrophone = \"none\"\n";

/// A machine below a folder, with the package's main file, and what an integrator brings.
pub(super) struct Machine {
    pub(super) root: tempfile::TempDir,
}

impl Machine {
    pub(super) fn new() -> Self {
        let this = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(this.path("etc/tallybox")).unwrap();
        std::fs::create_dir_all(this.path("etc/systemd/system")).unwrap();
        let dir = this.root.path().display();
        this.write(
            "etc/tallybox/tallybox.toml",
            &format!(
                "[device]\ndata-dir = \"{dir}/data\"\nruntime-dir = \"{dir}/run\"\n\
                 [ingest]\nurl = \"rtmps://ingest.invalid/live/${{STREAM_KEY}}\"\n"
            ),
        );
        for (kind, name) in [("server", "push.example.cn"), ("client", "shop-0042"), ("operator", "operator")] {
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/servers/certificates");
            let made = Command::new(program).arg(this.path("certs")).args([kind, name]).output().unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        this.write("key", &format!("{KEY}\n"));
        this.write("answers.toml", ANSWERS);
        this
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TALLYBOX);
        command.arg("setup").args(arguments).arg("--root").arg(self.root.path());
        command.arg("--config").arg(self.path("etc/tallybox/tallybox.toml")).stdin(Stdio::null());
        command
    }

    pub(super) fn answered(&self, answers: &str) -> Output {
        self.write("answers.toml", answers);
        self.command(&["--answers", self.path("answers.toml").to_str().unwrap()]).output().unwrap()
    }

    /// A person at a terminal answers; what the terminal showed, and how it ended.
    pub(super) fn at_terminal(&self, dialogue: &[(&str, &str)]) -> (String, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance/setup_terminal.py");
        let command = self.command(&[]);
        let mut person = Command::new("python3");
        person.arg(script).arg(serde_json::to_string(dialogue).unwrap()).arg(command.get_program());
        let output = person.args(command.get_args()).current_dir(self.root.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        let (shown, end) = said.trim_end().rsplit_once('\n').unwrap();
        (shown.to_owned(), end.to_owned())
    }

    /// Everything below `etc`: content, mode, and which file it is.
    pub(super) fn etc(&self) -> BTreeMap<String, (String, u32, u64)> {
        let mut all = BTreeMap::new();
        let mut dirs = vec![self.path("etc")];
        while let Some(dir) = dirs.pop() {
            for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let name = path.strip_prefix(self.root.path()).unwrap().display().to_string();
                let data = std::fs::metadata(&path).unwrap();
                all.insert(name, (std::fs::read_to_string(&path).unwrap(), data.mode() & 0o777, data.ino()));
            }
        }
        all
    }
}

pub(super) fn ends(name: &str, endings: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|found| endings.iter().any(|ending| found == *ending))
}

#[track_caller]
pub(super) fn ended(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains(KEY) && !said.contains("PRIVATE KEY"), "no secret is shown: {said}");
    said
}
