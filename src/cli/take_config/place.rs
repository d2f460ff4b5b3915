//! Where a configuration that somebody brought is put: a file of its own in `conf.d`, so that the main file stays as
//! the package and the integrator left it.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::config::STICK_FILE as NAME;
use crate::exit::Exit;

pub(super) struct Place {
    main: PathBuf,
    dir: PathBuf,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file().display().fmt(f)
    }
}

impl Place {
    pub(super) fn beside(main: &Path) -> Self {
        Self { main: main.to_owned(), dir: main.parent().unwrap_or(Path::new(".")).join("conf.d") }
    }

    fn file(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Holds others off until the file is dropped: what is judged is judged against what is there.
    pub(super) fn lock(&self) -> Result<File, Exit> {
        let dir = self.main.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = File::open(dir).map_err(|error| Exit::io(format!("{}: {error}", dir.display())))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(Exit::temporary("another configuration is being taken; try again when it is done"))
            }
            Err(error) => Err(Exit::io(format!("{}: {error}", dir.display()))),
        }
    }

    /// What was there before; not read, because its name does not end in `.toml`.
    fn former(&self) -> PathBuf {
        self.dir.join(format!("{NAME}.bak"))
    }

    /// Whether `text` is there already.
    pub(super) fn holds(&self, text: &str) -> bool {
        std::fs::read(self.file()).is_ok_and(|known| known == text.as_bytes())
    }

    /// Puts `text` there in one step, with the owner and mode of the main file: it may hold keys as that one may.
    pub(super) fn put(&self, text: &str) -> io::Result<()> {
        let main = std::fs::metadata(&self.main)?;
        match std::fs::create_dir(&self.dir) {
            // As open as the directory above, whatever this process's mask is: the roles have to look into it.
            Ok(()) => {
                let above = std::fs::metadata(self.dir.parent().unwrap_or(Path::new(".")))?;
                std::os::unix::fs::chown(&self.dir, Some(above.uid()), Some(above.gid()))?;
                // Its unit may set no other bits.
                std::fs::set_permissions(&self.dir, Permissions::from_mode(above.mode() & 0o777))?;
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        let new = self.dir.join(format!("{NAME}.new"));
        gone(std::fs::remove_file(&new))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        std::os::unix::fs::fchown(&file, Some(main.uid()), Some(main.gid()))?;
        file.set_permissions(main.permissions())?;
        file.sync_all()?;
        gone(std::fs::remove_file(self.former()))?;
        gone(std::fs::hard_link(self.file(), self.former()))?;
        std::fs::rename(&new, self.file())?;
        self.sync()
    }

    /// Puts back what was there before, if anything was.
    pub(super) fn take_back(&self) -> io::Result<()> {
        match std::fs::rename(self.former(), self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::remove_file(self.file())?,
            moved => moved?,
        }
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// What is not there is as good as gone.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_can_read_what_was_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("tallybox.toml");
        std::fs::write(&main, "").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o751)).unwrap();
        std::fs::set_permissions(&main, std::fs::Permissions::from_mode(0o640)).unwrap();
        let place = Place::beside(&main);
        place.put("[video]\nfps = 10\n").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place.dir), mode(&place.file())), (0o751, 0o640));
    }
}
