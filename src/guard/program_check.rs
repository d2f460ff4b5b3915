//! Whether programs and units are those that the package installed: by the digests in a manifest that the package
//! brings, at the start and once a day. Without a package there is no manifest, and nothing is claimed.
//!
//! It finds what was changed beside the package, as by a hand or a broken disk. A guard that was itself replaced need
//! not tell.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::installed_package;
use crate::worker;
use monotonic::Monotonic;

/// Digests and paths below the root, as `sha256sum` writes them.
const MANIFEST: &str = "usr/share/tallybox/manifest";
/// Units of the administrator's, which take the place of the package's.
const OWN_UNITS: &str = "etc/systemd/system";
const UNITS: &str = "usr/lib/systemd/system/";
const INTERVAL: Duration = Duration::from_hours(24);
/// What differs is looked at again: an upgrade replaces one file after the other.
const CONFIRM_INTERVAL: Duration = Duration::from_mins(1);
/// So often the same has to differ.
const CONFIRMATIONS: u32 = 3;
/// The manifest has some 20 lines.
const MAX_MANIFEST: u64 = 64 * 1024;
/// Bytes per read.
const CHUNK: usize = 64 * 1024;

/// What differs from the manifest: paths, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    programs: Vec<String>,
    units: Vec<String>,
}

impl Differences {
    /// What is wrong with programs.
    pub(super) fn programs(&self) -> Option<String> {
        said(&self.programs, "is not the program that the package installed")
    }

    /// What is wrong with units.
    pub(super) fn units(&self) -> Option<String> {
        said(&self.units, "is not the unit that the package installed")
    }

    fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.units.is_empty()
    }
}

fn said(paths: &[String], what: &str) -> Option<String> {
    let (first, more) = paths.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
    Some(format!("/{first} {what}{more}"))
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    /// There is no package, or one that is just being installed: nothing can be said.
    Unknown,
    Found(Differences, Option<SystemTime>),
}

/// Looks after programs and units.
#[derive(Debug)]
pub(super) struct ProgramCheck {
    root: PathBuf,
    next: Monotonic,
    running: Option<Receiver<Look>>,
    /// What differed at the last look, and how often it did in a row.
    suspect: Option<(Look, u32)>,
}

impl ProgramCheck {
    /// `root` is `/` but in tests. The first look is due at once.
    pub(super) fn new(root: &Path, now: Monotonic) -> Self {
        Self { root: root.to_owned(), next: now, running: None, suspect: None }
    }

    /// Goes on without waiting for the disk; called each second. What is certain now, once it is.
    pub(super) fn poll(&mut self, now: Monotonic) -> Option<Differences> {
        let look = match self.running.as_ref().map(Receiver::try_recv) {
            None => {
                if now >= self.next {
                    self.next = now.saturating_add(INTERVAL);
                    self.begin();
                }
                return None;
            }
            Some(Err(TryRecvError::Empty)) => return None,
            Some(Err(TryRecvError::Disconnected)) => Look::Unknown,
            Some(Ok(look)) => look,
        };
        self.running = None;
        self.judge(now, look)
    }

    fn begin(&mut self) {
        let (tell, found) = channel();
        let root = self.root.clone();
        // Nobody may wait for it any more.
        if worker::detached("manifest", move || drop(tell.send(look(&root)))).is_ok() {
            self.running = Some(found);
        }
    }

    fn judge(&mut self, now: Monotonic, look: Look) -> Option<Differences> {
        let Look::Found(differences, _) = &look else {
            self.suspect = None;
            return None;
        };
        if differences.is_empty() {
            self.suspect = None;
            return Some(Differences::default());
        }
        self.next = now.saturating_add(CONFIRM_INTERVAL);
        let times = match &self.suspect {
            Some((known, times)) if *known == look => times.saturating_add(1),
            Some(_) | None => 1,
        };
        let found = differences.clone();
        self.suspect = Some((look, times));
        (times >= CONFIRMATIONS).then_some(found)
    }
}

fn look(root: &Path) -> Look {
    let before = installed_package::changed_at(root);
    let mut text = String::new();
    let read = File::open(root.join(MANIFEST)).and_then(|file| file.take(MAX_MANIFEST).read_to_string(&mut text));
    // Between the first and the last file of an upgrade dpkg says that the package is not installed.
    if read.is_err() || installed_package::find(root).is_none() {
        return Look::Unknown;
    }
    let mut differences = Differences::default();
    for line in text.lines() {
        let Some((digest, path)) = line.split_once("  ") else { continue };
        let unit = path.strip_prefix(UNITS);
        let is_same = digest_of(&root.join(path)).is_some_and(|found| found == digest);
        let replaced = unit.map(|unit| format!("{OWN_UNITS}/{unit}")).filter(|own| is_file(&root.join(own)));
        match (unit, replaced) {
            (Some(_), Some(own)) => differences.units.push(own),
            (Some(_), None) if !is_same => differences.units.push(path.to_owned()),
            (None, _) if !is_same => differences.programs.push(path.to_owned()),
            (Some(_) | None, None | Some(_)) => {}
        }
    }
    if installed_package::changed_at(root) != before {
        return Look::Unknown;
    }
    Look::Found(differences, before)
}

/// A file of its own: a unit that is masked or enabled is a link.
fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// SHA-256 in hex; `None`: it cannot be read.
fn digest_of(path: &Path) -> Option<String> {
    let (mut file, mut hash, mut chunk) = (File::open(path).ok()?, Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Some(crate::hex(&hash.finalize())),
            Ok(length) => hash.update(&chunk[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use super::*;

    struct Installed(tempfile::TempDir);

    impl Installed {
        /// Two programs and a unit, as a package brings them.
        fn new() -> Self {
            let this = Self(tempfile::tempdir().unwrap());
            this.upgrade("1.0.0-1", "installed");
            this
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn upgrade(&self, version: &str, state: &str) {
            let files =
                ["usr/bin/tallybox", "usr/libexec/tallybox-capture", "usr/lib/systemd/system/tallybox-a.service"];
            let mut manifest = String::new();
            for file in files {
                self.put(file, &format!("{file} of {version}"));
                let digest = digest_of(&self.0.path().join(file)).unwrap();
                writeln!(manifest, "{digest}  {file}").unwrap();
            }
            self.put(MANIFEST, &manifest);
            let status =
                format!("Package: tallybox\nStatus: install ok {state}\nArchitecture: amd64\nVersion: {version}\n\n");
            self.put("var/lib/dpkg/status", &status);
        }

        fn look(&self) -> Look {
            look(self.0.path())
        }
    }

    fn found(look: &Look) -> (Option<String>, Option<String>) {
        let Look::Found(differences, _) = look else { panic!("{look:?}") };
        (differences.programs(), differences.units())
    }

    #[test]
    fn what_the_package_installed_is_as_it_should_be_and_what_was_changed_is_named() {
        let disk = Installed::new();
        assert_eq!(found(&disk.look()), (None, None));
        disk.put("usr/libexec/tallybox-capture", "another");
        let (programs, units) = found(&disk.look());
        assert!(programs.unwrap().starts_with("/usr/libexec/tallybox-capture is not the program"));
        assert_eq!(units, None);
        fs::remove_file(disk.0.path().join("usr/bin/tallybox")).unwrap();
        assert!(found(&disk.look()).0.unwrap().ends_with("and 1 more"));
        disk.upgrade("1.0.1-1", "installed");
        assert_eq!(found(&disk.look()), (None, None), "an upgrade brings a manifest of its own");
        disk.put("etc/systemd/system/tallybox-a.service.d/10-own.conf", "[Service]\n");
        assert_eq!(found(&disk.look()), (None, None), "drop-ins are the administrator's");
        disk.put("etc/systemd/system/tallybox-a.service", "[Service]\n");
        assert!(found(&disk.look()).1.unwrap().starts_with("/etc/systemd/system/tallybox-a.service is not"));
    }

    #[test]
    fn nothing_is_said_without_a_package_or_while_one_is_being_installed() {
        let disk = Installed::new();
        disk.upgrade("1.0.1-1", "half-installed");
        disk.put("usr/bin/tallybox", "half of it");
        assert_eq!(disk.look(), Look::Unknown);
        assert_eq!(look(Path::new("/nowhere")), Look::Unknown);
    }

    #[test]
    fn a_difference_counts_once_it_is_found_three_times_in_a_row() {
        let at = |seconds| Monotonic::from_start(Duration::from_secs(seconds));
        let disk = Installed::new();
        disk.put("usr/bin/tallybox", "another");
        let (bad, mut check) = (disk.look(), ProgramCheck::new(disk.0.path(), at(0)));
        assert_eq!(check.judge(at(0), bad.clone()), None);
        assert_eq!(check.judge(at(60), Look::Unknown), None);
        assert_eq!((check.judge(at(120), bad.clone()), check.judge(at(180), bad.clone())), (None, None));
        assert!(check.judge(at(240), bad.clone()).unwrap().programs().is_some());
        assert!(check.judge(at(300), bad).unwrap().programs().is_some(), "it lasts");
        disk.upgrade("1.0.0-1", "installed");
        assert_eq!(check.judge(at(360), disk.look()), Some(Differences::default()));
    }

    /// The same through the thread that looks.
    #[test]
    fn a_look_does_not_wait_for_the_disk() {
        let at = |seconds| Monotonic::from_start(Duration::from_secs(seconds));
        let disk = Installed::new();
        let mut check = ProgramCheck::new(disk.0.path(), at(0));
        let first = (0..).find_map(|_| {
            std::thread::yield_now();
            check.poll(at(1))
        });
        assert_eq!(first, Some(Differences::default()));
        assert_eq!((check.poll(at(2)), check.running.is_none()), (None, true), "the next is due in a day");
    }
}
