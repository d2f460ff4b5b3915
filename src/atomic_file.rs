//! Files that are replaced in one step: written beside the old one, then renamed over it. Whoever reads meanwhile, or
//! comes after a process that was killed, finds the old file or the new one, never a part.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{self, Dir, File};

/// Permission bits of a file that only its owner may read.
pub(crate) const PRIVATE: u32 = 0o600;
/// Permission bits that leave it to the process's umask who may read a file.
pub(crate) const BY_UMASK: u32 = 0o666;

/// Whether a replacement has to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Content and name are on the disk when the call returns.
    Synced,
    /// The file is lost with the machine's memory, or its loss costs nothing.
    Unsynced,
}

/// Makes `content` the file at `path`, with `mode` (less the umask). Leaves the old file where it fails.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let file = stage(path, content, mode)?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    commit(path, durability)
}

/// Writes `content` beside `path`, for [`commit`]. Returns the open file, for whoever sets its owner; nothing is synced
/// yet.
pub(crate) fn stage(path: &Path, content: &[u8], mode: u32) -> io::Result<File> {
    discard(path)?;
    let file = File::create_new(&staged(path), mode)?;
    file.write_all(content)?;
    Ok(file)
}

/// The staged content takes the place of `path`.
pub(crate) fn commit(path: &Path, durability: Durability) -> io::Result<()> {
    disk::rename(&staged(path), path)?;
    match durability {
        Durability::Synced => sync_parent(path),
        Durability::Unsynced => Ok(()),
    }
}

/// Removes a staged content that will not be used.
pub(crate) fn discard(path: &Path) -> io::Result<()> {
    ignore_missing(disk::remove_file(&staged(path)))
}

/// Removes a file for good: a power cut does not bring it back. One that is missing already is synced all the same: it
/// may have been removed just now, by a process that did not get to the sync.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    ignore_missing(disk::remove_file(path))?;
    sync_parent(path)
}

fn staged(path: &Path) -> PathBuf {
    beside(path, ".new")
}

/// `path` with `suffix` at the end of its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Syncs the folder of `path`, so that names in it are on the disk too. A folder that is missing has none.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent() else { return Ok(()) };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match Dir::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => Ok(opened?.sync()?),
    }
}

/// Success for what is missing already.
pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::disk::simulated::power::{Possible, Run, Scenario};

    #[test]
    fn a_file_is_replaced_whole_whatever_an_interrupted_attempt_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers");
        std::fs::write(&path, "old").unwrap();
        std::fs::write(dir.path().join("answers.new"), "a longer part of an att").unwrap();
        for durability in [Durability::Synced, Durability::Unsynced] {
            replace(&path, b"new", PRIVATE, durability).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
        }
    }

    /// What was replaced or removed durably stays so.
    #[test]
    fn a_power_cut_leaves_one_content_whole() {
        let path = Path::new("/data/file");
        let content = |number: u8| (number > 0).then(|| vec![number; 700 * usize::from(number)]);
        let read = || disk::read(path).ok();
        let work = |run: &mut Run<Possible<Option<Vec<u8>>>>| {
            for number in [1, 2, 0, 3, 4, 0] {
                run.note(|known| known.attempt(content(number)));
                let done = match content(number) {
                    Some(content) => replace(path, &content, PRIVATE, Durability::Synced),
                    None => remove(path),
                };
                if done.is_ok() {
                    run.note(Possible::settle);
                }
            }
        };
        let scenario = Scenario {
            name: "one file",
            capacity: None,
            prepare: &|| {},
            work: &work,
            recover: &|_| drop(replace(Path::new("/data/other"), b"x", PRIVATE, Durability::Synced)),
            judge: &|known: &Possible<_>| known.admit(&read()),
        };
        assert!(scenario.try_all(1) > 20);
        scenario.fail_all(1);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers");
        std::fs::write(&path, "old").unwrap();
        // Nothing can be written where a folder is in the way.
        std::fs::create_dir_all(dir.path().join("answers.new/x")).unwrap();
        assert!(replace(&path, b"new", BY_UMASK, Durability::Unsynced).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
}
