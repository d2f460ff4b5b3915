//! Where the files are that setup writes, and what they are called.

use std::path::{Path, PathBuf};

use crate::cli::units::Role;

/// Setup's own file in `conf.d`. Others come behind it and win: an integrator's, and the USB stick's.
pub(super) const CONFIG: &str = "10-setup.toml";
/// The stream key, beside the main file.
pub(super) const STREAM_KEY: &str = "stream-key";
/// SRT's passphrase.
pub(super) const SRT_PASSPHRASE: &str = "srt-passphrase";
/// The password at the broker.
pub(super) const PASSWORD: &str = "mqtt-password";
/// The client certificate's key.
pub(super) const KEY: &str = "client.key";
/// The client certificate.
pub(super) const CERT: &str = "client.pem";
/// The authority that signed the servers' certificates.
pub(super) const CA: &str = "ca.pem";
/// Setup's own drop-in of a unit.
const DROP_IN: &str = "10-setup.conf";

/// The unit that reaches the broker.
pub(super) const AGENT: &str = Role::Agent.unit();
/// The unit that reaches the ingest server.
pub(super) const CAPTURE: &str = Role::Capture.unit();

/// The folders.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// `/`, but in tests.
    pub(super) root: PathBuf,
    /// The main file.
    pub(super) main: PathBuf,
    /// The main file's folder.
    pub(super) etc: PathBuf,
}

impl Folders {
    /// For the main file `config`, which is below `root`.
    pub(super) fn new(config: &Path, root: &Path) -> Self {
        let main = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let etc = main.parent().unwrap_or(Path::new("/")).to_owned();
        Self { root: root.to_owned(), main, etc }
    }

    /// Whether this is the machine itself, so that systemd may be asked.
    pub(super) fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(super) fn conf_d(&self) -> PathBuf {
        self.etc.join("conf.d")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.conf_d().join(CONFIG)
    }

    /// What says that a change is under way.
    pub(super) fn journal(&self) -> PathBuf {
        self.etc.join("setup.journal")
    }

    pub(super) fn drop_in_dir(&self, unit: &str) -> PathBuf {
        self.root.join("etc/systemd/system").join(format!("{unit}.d"))
    }

    pub(super) fn drop_in(&self, unit: &str) -> PathBuf {
        self.drop_in_dir(unit).join(DROP_IN)
    }

    /// The files of `conf.d`, in the order in which they are read.
    pub(super) fn overrides(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.conf_d()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> =
            entries.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect();
        files.sort();
        files
    }

    /// How the box itself calls a path below the root.
    pub(super) fn seen(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        Path::new("/").join(below).display().to_string()
    }
}
