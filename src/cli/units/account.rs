//! Who a role is to the kernel: its user, and the groups that the system and its unit give it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::host::HostFiles;

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Account {
    /// Its name.
    pub(in crate::cli) name: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Account {
    /// The user `name` as `/etc/passwd` and `/etc/group` know it (passwd(5), group(5)), with the groups that its unit
    /// adds. `None`: there is no such user.
    pub(super) fn find(machine: &HostFiles, name: &str, supplementary: &[String]) -> Option<Self> {
        let users = machine.read("/etc/passwd")?;
        let fields =
            users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line.first() == Some(&name))?;
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        let known = machine.read("/etc/group").unwrap_or_default();
        let mut groups = vec![gid];
        for line in known.lines().map(|line| line.split(':').collect::<Vec<_>>()) {
            let [group, _, number, members] = line[..] else { continue };
            let added = supplementary.iter().any(|wanted| wanted == group || wanted == number);
            if let Ok(number) = number.parse()
                && (added || members.split(',').any(|member| member == name))
                && !groups.contains(&number)
            {
                groups.push(number);
            }
        }
        Some(Self { name: name.to_owned(), uid, gid, groups })
    }

    /// Whether it may read `path`. Root has the kernel try it, as this user: access lists and security modules count
    /// too. Anybody else judges by owners and modes.
    pub(in crate::cli) fn may_read(&self, path: &Path) -> bool {
        self.tried("-r", path).unwrap_or_else(|| self.blocked_at(path).is_none())
    }

    /// Whether it may write into the folder `path`. `None`: nobody but root can tell.
    pub(in crate::cli) fn may_write(&self, path: &Path) -> Option<bool> {
        self.tried("-w", path)
    }

    /// `None`: it could not be tried. `test` is a question of test(1).
    fn tried(&self, test: &str, path: &Path) -> Option<bool> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let groups = self.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut tried = Command::new("setpriv");
        tried.args(["--reuid", &self.uid.to_string(), "--regid", &self.gid.to_string(), "--groups", &groups]);
        tried.args(["--inh-caps=-all", "--", "test", test]).arg(path);
        let ended = tried.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        // 127 and such: setpriv itself failed.
        match ended.code()? {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        }
    }

    /// The first of the folders on the way to `path`, or the file itself, that it may not enter or read, and why, for
    /// people; by owners and modes alone.
    pub(in crate::cli) fn blocked_at(&self, path: &Path) -> Option<(PathBuf, String)> {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut way: Vec<&Path> = whole.ancestors().collect();
        way.reverse();
        let last = way.len().saturating_sub(1);
        way.iter().enumerate().find_map(|(index, place)| {
            match std::fs::metadata(place) {
                // What is in a folder is listed, too.
                Ok(data) if index == last && data.is_dir() && self.is_let(&data, 4) && self.is_let(&data, 1) => None,
                Ok(data) if index == last && !data.is_dir() && self.is_let(&data, 4) => None,
                Ok(data) if index < last && self.is_let(&data, 1) => None,
                Ok(data) => {
                    let (mode, uid, gid) = (data.mode() & 0o7777, data.uid(), data.gid());
                    let why = format!("{} has mode {mode:04o} and belongs to {uid}:{gid}", place.display());
                    Some((place.to_path_buf(), why))
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                Err(error) => Some((place.to_path_buf(), format!("{}: {error}", place.display()))),
            }
        })
    }

    fn is_let(&self, data: &std::fs::Metadata, bit: u32) -> bool {
        let shift = if self.uid == 0 {
            return true;
        } else if data.uid() == self.uid {
            6
        } else if self.groups.contains(&data.gid()) {
            3
        } else {
            0
        };
        data.mode() >> shift & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::Account;
    use crate::cli::host::HostFiles;

    #[test]
    fn groups_come_from_the_system_and_from_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nbox:x:990:991::/:/bin/false\n").unwrap();
        std::fs::write(dir.path().join("etc/group"), "video:x:44:\nbox:x:991:\nown:x:80:a,box\nother:x:81:boxer\n")
            .unwrap();
        let machine = HostFiles::new(dir.path());
        let found = Account::find(&machine, "box", &["video".to_owned()]).unwrap();
        assert_eq!((found.uid, found.gid, found.groups), (990, 991, vec![991, 44, 80]));
        assert_eq!(Account::find(&machine, "bo", &[]), None);
    }

    #[test]
    fn folders_on_the_way_count() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, file) = (dir.path().join("inner"), dir.path().join("inner/file"));
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(&file, "x").unwrap();
        let mode = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(dir.path(), 0o755);
        let stranger = Account { name: "stranger".to_owned(), uid: 54321, gid: 54321, groups: vec![54321] };
        for (of_inner, of_file, may) in
            [(0o755, 0o644, true), (0o755, 0o640, false), (0o750, 0o644, false), (0o711, 0o604, true)]
        {
            mode(&inner, of_inner);
            mode(&file, of_file);
            assert_eq!(stranger.blocked_at(&file).is_none(), may, "{of_inner:o} {of_file:o}");
            assert_eq!(stranger.may_read(&file), may, "{of_inner:o} {of_file:o}");
        }
        assert!(!stranger.may_read(&dir.path().join("none")));
    }
}
