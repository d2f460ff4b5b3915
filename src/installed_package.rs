//! The package that this box runs, as dpkg knows it: its version and architecture. Read from dpkg's own file, which
//! every role may read; dpkg itself could not be called by all of them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::SystemTime;

use rollout::Version;

use crate::disk::{self, File};

/// Where dpkg keeps what is installed.
pub(crate) const STATUS: &str = "var/lib/dpkg/status";

/// The installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstalledPackage {
    /// Its version.
    pub(crate) version: Version,
    /// Debian's name of its architecture.
    pub(crate) architecture: String,
}

/// The package on the machine whose files lie below `root`. `None`: tallybox was not installed as a package.
pub(crate) fn find(root: &Path) -> Option<InstalledPackage> {
    parse(BufReader::new(File::open(&root.join(STATUS)).ok()?))
}

/// When dpkg last wrote down what is installed: it does so at the end of its work, and not before it starts a service.
pub(crate) fn changed_at(root: &Path) -> Option<SystemTime> {
    disk::modified(&root.join(STATUS)).ok()
}

/// Its paragraph in dpkg's file (deb822(5)): an empty line ends each.
pub(crate) fn parse(mut status: impl BufRead) -> Option<InstalledPackage> {
    let (mut line, mut is_ours, mut is_installed) = (String::new(), false, false);
    let (mut version, mut architecture) = (None, None);
    while status.read_line(&mut line).is_ok_and(|length| length > 0) {
        match line.trim_end().split_once(": ") {
            Some(("Package", name)) => is_ours = name == "tallybox",
            Some(("Status", words)) if is_ours => is_installed = is_there(words),
            Some(("Version", text)) if is_ours => version = text.parse().ok(),
            Some(("Architecture", name)) if is_ours => architecture = Some(name.to_owned()),
            None if is_ours && line.trim_end().is_empty() => break,
            Some(_) | None => {}
        }
        line.clear();
    }
    is_installed.then_some(InstalledPackage { version: version?, architecture: architecture? })
}

/// Whether a package in this state (dpkg(1)) has its files in place: also while its scripts run.
fn is_there(words: &str) -> bool {
    let state = words.rsplit(' ').next().unwrap_or_default();
    ["installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"].contains(&state)
}

#[cfg(test)]
mod tests {
    use super::parse;

    const OTHERS: &str =
        "Package: tallybox-plugins\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.22\n\n";

    #[test]
    fn the_box_finds_its_own_package_and_no_other() {
        let ours =
            "Package: tallybox\nStatus: install ok installed\nArchitecture: arm64\nVersion: 0.1.0-1\nConffiles:\n";
        let found = parse(format!("{OTHERS}{ours}\nPackage: zlib\nVersion: 9\n\n").as_bytes()).unwrap();
        assert_eq!((found.version.as_str(), found.architecture.as_str()), ("0.1.0-1", "arm64"));
        assert_eq!(parse(ours.as_bytes()), Some(found), "at the end of the file");
    }

    #[test]
    fn what_is_removed_or_half_installed_is_not_there() {
        for state in ["deinstall ok config-files", "install reinstreq half-installed", "purge ok not-installed"] {
            let text = format!("Package: tallybox\nStatus: {state}\nArchitecture: arm64\nVersion: 0.1.0-1\n");
            assert_eq!(parse(text.as_bytes()), None, "{state}");
        }
        assert_eq!(parse(OTHERS.as_bytes()), None);
        assert_eq!(parse(&b"Package: tallybox\nStatus: install ok installed\nVersion: \xff\n"[..]), None);
    }
}
