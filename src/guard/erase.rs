//! Really deletes: files are unlinked, and the directory is synced before the ledger says so.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::ipc::Fact;

/// Unsent footage, in data-dir.
const FOOTAGE: &str = "footage";
/// Keys and credentials, in data-dir; the guard's alone.
pub(super) const CREDENTIALS: &str = "credentials";
/// What binds the box to a shop: keys, credentials, and how far the platform has read the ledger.
const BINDING: [&str; 2] = [CREDENTIALS, "agent/outbox-cursor"];

/// Deletions that are due. One that fails stays due, and is tried again until it is done.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Unsent footage.
    pub(super) footage: bool,
    /// Footage, keys and credentials.
    pub(super) binding: bool,
}

impl Due {
    /// Carries out what is due: what was done, and what went wrong.
    pub(super) fn carry_out(&mut self, data_dir: &Path) -> (Vec<Fact>, Option<String>) {
        let (mut done, mut wrong) = (Vec::new(), None);
        let mut settle = |due: &mut bool, result: io::Result<u64>, fact: fn(u64) -> Fact| match result {
            Ok(files) => {
                *due = false;
                done.push(fact(files));
            }
            Err(error) => {
                wrong = Some(format!("files in {} cannot be deleted: {error}; it is tried again", data_dir.display()));
            }
        };
        if self.footage {
            settle(&mut self.footage, footage(data_dir), |files| Fact::FootageDestroyed { files });
        }
        if self.binding {
            settle(&mut self.binding, binding(data_dir), |files| Fact::Unbound { files });
        }
        (done, wrong)
    }
}

/// Destroys unsent footage. Returns how many files there were.
fn footage(data_dir: &Path) -> io::Result<u64> {
    let files = remove(&data_dir.join(FOOTAGE))?;
    sync(data_dir)?;
    Ok(files)
}

/// Destroys footage, keys and credentials. Returns how many files there were.
fn binding(data_dir: &Path) -> io::Result<u64> {
    let mut files = footage(data_dir)?;
    for name in BINDING {
        files += remove(&data_dir.join(name))?;
    }
    sync(data_dir)?;
    Ok(files)
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn remove(path: &Path) -> io::Result<u64> {
    let Some(kind) = found(path.symlink_metadata())? else { return Ok(0) };
    if !kind.is_dir() {
        return found(std::fs::remove_file(path)).map(|removed| u64::from(removed.is_some()));
    }
    let mut files = 0;
    for entry in std::fs::read_dir(path)? {
        files += remove(&entry?.path())?;
    }
    found(std::fs::remove_dir(path))?;
    Ok(files)
}

/// What is gone already is as good as deleted.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use crate::ipc::Fact;

    #[test]
    fn what_is_erased_is_gone_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert_eq!(super::binding(path).unwrap(), 0);
        std::fs::create_dir_all(path.join("footage/old")).unwrap();
        std::fs::create_dir(path.join("agent")).unwrap();
        for name in ["footage/a", "footage/old/b", "agent/outbox-cursor", "ledger.db"] {
            std::fs::write(path.join(name), "x").unwrap();
        }
        let mut due = super::Due { footage: true, binding: true };
        let (done, wrong) = due.carry_out(path);
        assert_eq!(done, [Fact::FootageDestroyed { files: 2 }, Fact::Unbound { files: 1 }]);
        assert_eq!((wrong, due.footage, due.binding), (None, false, false));
        let mut left: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(
            left,
            ["agent", "ledger.db"],
            "only the ledger is left, and the agent's folder, which is not ours to make"
        );
        assert_eq!(std::fs::read_dir(path.join("agent")).unwrap().count(), 0);
    }
}
