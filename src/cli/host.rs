//! The machine as its files tell: `/proc`, `/sys`, `/etc`, `/run`, `/boot` below a root, which is `/` but in tests.

use std::path::{Path, PathBuf};

/// Where the machine's files are.
#[derive(Clone, Debug)]
pub(in crate::cli) struct HostFiles {
    root: PathBuf,
}

impl HostFiles {
    pub(in crate::cli) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether this is the machine that doctor runs on, so that programs may be asked too.
    pub(in crate::cli) fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where `path`, which is absolute, is found.
    pub(in crate::cli) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without what ends it: device trees end theirs with a zero, sysfs with a line feed.
    pub(in crate::cli) fn read(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n']).to_owned())
    }

    pub(in crate::cli) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// What is in a directory, in order of names.
    pub(in crate::cli) fn names(&self, dir: &str) -> Vec<String> {
        let found = std::fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> = found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
