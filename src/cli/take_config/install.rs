//! Where a configuration that somebody brought is put: a file of its own in `conf.d`, so that the main file stays as
//! the package and the integrator left it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::backed_up_file::{self, Rights};
use crate::config::STICK_FILE as NAME;
use crate::disk::{self, Dir};
use crate::exit::Exit;

pub(super) struct OverrideFile {
    main: PathBuf,
    dir: PathBuf,
    file: backed_up_file::BackedUpFile,
}

impl fmt::Display for OverrideFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.file().display().fmt(f)
    }
}

impl OverrideFile {
    pub(super) fn beside(main: &Path) -> Self {
        let dir = main.parent().unwrap_or(Path::new(".")).join("conf.d");
        Self { main: main.to_owned(), file: backed_up_file::BackedUpFile::new(dir.join(NAME)), dir }
    }

    /// Holds others off until the folder is dropped: what is judged is judged against what is there.
    pub(super) fn lock(&self) -> Result<Dir, Exit> {
        backed_up_file::lock(self.main.parent().unwrap_or(Path::new(".")))
    }

    /// Whether `text` is there already.
    pub(super) fn contains(&self, text: &str) -> bool {
        disk::read(self.file.file()).is_ok_and(|known| known == text.as_bytes())
    }

    /// Puts `text` there in one step, with the owner and mode of the main file: it may hold keys as that one may.
    pub(super) fn install(&self, text: &str) -> io::Result<()> {
        let rights = Rights::of(&self.main)?;
        backed_up_file::make_dir(&self.dir, Rights::of(self.dir.parent().unwrap_or(Path::new(".")))?)?;
        self.file.stage(text.as_bytes(), rights)?;
        self.file.back_up()?;
        self.file.commit()
    }

    /// Puts back what was there before, if anything was.
    pub(super) fn roll_back(&self) -> io::Result<()> {
        self.file.roll_back(disk::exists(&self.file.backup()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::atomic_file::{self, Durability};
    use crate::disk::simulated::power::{Possible, Run, Scenario};

    #[test]
    fn a_power_cut_leaves_one_configuration_whole() {
        let main = Path::new("/data/tallybox.toml");
        let text = |number: u32| Some(format!("# {number:0>1200}\n"));
        let work = |run: &mut Run<Possible<Option<String>>>| {
            let place = OverrideFile::beside(main);
            let mut step = |to: Option<String>, how: &dyn Fn() -> io::Result<()>| {
                run.note(|known| known.attempt(to));
                if how().is_ok() {
                    run.note(Possible::settle);
                }
            };
            for number in [1, 2, 3] {
                step(text(number), &|| place.install(&text(number).unwrap()));
            }
            step(text(2), &|| place.roll_back());
            step(text(4), &|| place.install(&text(4).unwrap()));
        };
        let scenario = Scenario {
            name: "configuration of a stick",
            capacity: None,
            prepare: &|| atomic_file::replace(main, b"", 0o640, Durability::Synced).unwrap(),
            work: &work,
            recover: &|_| drop(OverrideFile::beside(main).install("# other")),
            judge: &|known: &Possible<_>| {
                let found = disk::read_to_string(OverrideFile::beside(main).file.file()).ok();
                if found.as_deref() != Some("# other") {
                    known.admit(&found);
                }
            },
        };
        assert!(scenario.try_all(1) > 20);
        scenario.fail_all(1);
    }

    #[test]
    fn the_roles_can_read_what_was_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("tallybox.toml");
        std::fs::write(&main, "").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o751)).unwrap();
        std::fs::set_permissions(&main, std::fs::Permissions::from_mode(0o640)).unwrap();
        let place = OverrideFile::beside(&main);
        place.install("[video]\nfps = 10\n").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place.dir), mode(place.file.file())), (0o751, 0o640));
    }
}
