//! Several files, changed all or not at all. A journal says what was there before; while it exists the change is not
//! done, and `undo` takes it back: at once where a step fails, at the next setup or start of the box where the process
//! was killed or the power went. Renamed, it says that the change is done, and which former secrets are still to be
//! removed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::cli::backed_up_file::{BackedUpFile, Rights, make_dir};
use crate::disk;

/// One file that is to be.
#[derive(Clone, Debug)]
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
    pub(super) rights: Rights,
    /// Rights of its folder, where that has to be made.
    pub(super) folder: Rights,
    /// It holds a secret: what was there before is not kept once the change is done.
    pub(super) secret: bool,
}

impl NewFile {
    /// Whether the disk has it so already.
    pub(super) fn is_there(&self) -> bool {
        let same = disk::read(&self.path).is_ok_and(|known| known == self.content);
        same && Rights::of(&self.path).is_ok_and(|rights| rights == self.rights)
    }
}

/// What stood where before the change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    path: PathBuf,
    /// Whether `.bak` is what was there; else nothing was.
    former: bool,
    /// The former content goes once the change is done. Missing in journals of older versions.
    #[serde(default)]
    secret: bool,
}

/// The journal's name once the change is done.
fn done(journal: &Path) -> PathBuf {
    atomic_file::beside(journal, ".done")
}

/// Writes all of `files` in their order. A failure leaves everything as it was.
pub(super) fn apply(journal: &Path, files: &[NewFile]) -> io::Result<()> {
    let done = steps(journal, files, &mut || Ok(()));
    if done.is_err() {
        undo(journal)?;
        for file in files {
            BackedUpFile::new(&file.path).discard()?;
        }
    }
    done
}

/// The steps; `before` is called in front of each change of the disk, and ends it where it fails.
fn steps(journal: &Path, files: &[NewFile], before: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
    let places: Vec<BackedUpFile> = files.iter().map(|file| BackedUpFile::new(&file.path)).collect();
    for (file, place) in files.iter().zip(&places) {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.path.display()));
        before()?;
        if let Some(dir) = file.path.parent() {
            make_dir(dir, file.folder).map_err(named)?;
        }
        before()?;
        place.stage(&file.content, file.rights).map_err(named)?;
    }
    let mut entries = Vec::new();
    for (file, place) in files.iter().zip(&places) {
        before()?;
        let former = place.back_up()?;
        place.sync()?;
        entries.push(Entry { path: place.file().to_owned(), former, secret: file.secret });
    }
    before()?;
    let text = serde_json::to_vec(&entries).map_err(io::Error::other)?;
    let list = BackedUpFile::new(journal);
    list.stage(&text, Rights { mode: 0o600, ..Rights::of(journal.parent().unwrap_or(Path::new("/")))? })?;
    before()?;
    list.commit()?;
    for place in &places {
        before()?;
        place.commit()?;
    }
    before()?;
    disk::rename(journal, &done(journal))?;
    list.sync()?;
    finish(journal, &entries, before)
}

/// Removes former secrets, for good, of a change that is done.
fn finish(journal: &Path, entries: &[Entry], before: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
    for entry in entries.iter().filter(|entry| entry.secret) {
        before()?;
        atomic_file::remove(&BackedUpFile::new(&entry.path).backup())?;
    }
    before()?;
    atomic_file::remove(&done(journal))
}

fn read(journal: &Path) -> io::Result<Option<Vec<Entry>>> {
    match disk::read(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => serde_json::from_slice(&read?).map(Some).map_err(io::Error::other),
    }
}

/// Takes back a change that broke off. Returns whether there was one.
pub(super) fn undo(journal: &Path) -> io::Result<bool> {
    undo_steps(journal, &mut || Ok(()))
}

fn undo_steps(journal: &Path, before: &mut dyn FnMut() -> io::Result<()>) -> io::Result<bool> {
    if let Some(entries) = read(&done(journal))? {
        finish(journal, &entries, before)?;
    }
    let Some(entries) = read(journal)? else { return Ok(false) };
    // The last first: the configuration, which names all the others.
    for entry in entries.iter().rev() {
        let place = BackedUpFile::new(&entry.path);
        before()?;
        place.discard()?;
        before()?;
        // It syncs the folder.
        place.roll_back(entry.former)?;
    }
    before()?;
    atomic_file::remove(journal)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic_file::Durability;
    use crate::disk::simulated::power::{HOME, Run, Scenario};
    use std::collections::BTreeMap;

    struct Workspace(tempfile::TempDir);

    impl Workspace {
        /// Two files that are there, one with an older `.bak`, and two that are to be new, one in a folder to be made.
        fn new() -> Self {
            let workspace = Self(tempfile::tempdir().unwrap());
            for (name, text) in [("key", "old key"), ("key.bak", "older key"), ("conf", "old conf")] {
                std::fs::write(workspace.0.path().join(name), text).unwrap();
            }
            workspace
        }

        fn journal(&self) -> PathBuf {
            self.0.path().join("setup.journal")
        }

        fn files(&self) -> Vec<NewFile> {
            let rights = Rights { mode: 0o600, ..Rights::of(self.0.path()).unwrap() };
            let new = |name: &str, secret| NewFile {
                path: self.0.path().join(name),
                content: format!("new {name}").into_bytes(),
                rights,
                folder: Rights { mode: 0o755, ..rights },
                secret,
            };
            vec![new("key", true), new("cert", false), new("drop/in", false), new("conf", false)]
        }

        /// The content of the files, without what is kept beside them.
        fn content(&self) -> BTreeMap<String, String> {
            let mut all = BTreeMap::new();
            for name in ["key", "cert", "drop/in", "conf"] {
                if let Ok(text) = std::fs::read_to_string(self.0.path().join(name)) {
                    all.insert(name.to_owned(), text);
                }
            }
            all
        }

        fn left(&self, ending: &str) -> Vec<String> {
            let dirs = [self.0.path().to_owned(), self.0.path().join("drop")];
            let entries = dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.ends_with(ending)).collect()
        }
    }

    /// Ends whatever calls it at its `last`th step, as a kill does.
    fn killed_at(last: usize) -> impl FnMut() -> io::Result<()> {
        let mut step = 0;
        move || {
            step += 1;
            if step > last { Err(io::Error::other("killed")) } else { Ok(()) }
        }
    }

    #[test]
    fn all_or_nothing_wherever_it_is_killed() {
        let old = Workspace::new().content();
        for step in 0.. {
            let workspace = Workspace::new();
            let done = steps(&workspace.journal(), &workspace.files(), &mut killed_at(step));
            let pending = workspace.journal().exists();
            // The power goes while it is taken back, too.
            for again in 0.. {
                if undo_steps(&workspace.journal(), &mut killed_at(again)).is_ok() {
                    break;
                }
            }
            let content = workspace.content();
            if done.is_ok() {
                assert_eq!(content.len(), 4);
                assert!(content.iter().all(|(name, text)| *text == format!("new {name}")), "{content:?}");
                assert_eq!(std::fs::read_to_string(workspace.0.path().join("conf.bak")).unwrap(), "old conf");
                assert!(!workspace.0.path().join("key.bak").exists(), "no former secret lies about");
                assert!(step > 15, "each change of the disk is a step");
                return;
            }
            let whole = content.iter().all(|(name, text)| *text == format!("new {name}")) && content.len() == 4;
            assert!(content == old || (whole && !pending), "step {step}: {content:?}");
            assert!(!pending || content == old, "step {step}: {content:?}");
        }
    }

    /// All files and what is beside them, on a simulated disk.
    fn found() -> BTreeMap<String, String> {
        let names = ["key", "cert", "drop/in", "conf", "key.bak", "setup.journal"];
        let read = |name: &str| disk::read_to_string(&Path::new(HOME).join(name)).ok();
        names.into_iter().filter_map(|name| Some((name.to_owned(), read(name)?))).collect()
    }

    /// Regression: where the power went behind the change, the former secret stayed beside the new one for good.
    #[test]
    fn all_or_nothing_wherever_the_power_is_cut() {
        let home = Path::new(HOME);
        let (rights, folder) = (Rights { uid: 0, gid: 0, mode: 0o600 }, Rights { uid: 0, gid: 0, mode: 0o755 });
        let new = |name: &str, secret| NewFile {
            path: home.join(name),
            content: format!("new {name}{}", "x".repeat(600)).into_bytes(),
            rights,
            folder,
            secret,
        };
        let files = vec![new("key", true), new("cert", false), new("drop/in", false), new("conf", false)];
        let prepare = || {
            for name in ["key", "conf"] {
                let content = format!("old {name}");
                atomic_file::replace(&home.join(name), content.as_bytes(), 0o600, Durability::Synced).unwrap();
            }
        };
        let journal = home.join("setup.journal");
        let recover = |_: &_| drop(undo(&journal));
        let judge = |is_done: &bool| {
            undo(&journal).unwrap();
            let found = found();
            let is_new = |name: &str| found.get(name).is_some_and(|text| text.starts_with("new"));
            let is_old = found.get("key").is_some_and(|text| text == "old key")
                && found.get("conf").is_some_and(|text| text == "old conf")
                && !found.contains_key("cert")
                && !found.contains_key("drop/in");
            let is_whole = files.iter().all(|file| disk::read(&file.path).is_ok_and(|text| text == file.content));
            assert!(is_whole || (is_old && !is_done), "{found:?}");
            assert!(!is_new("key") || !found.contains_key("key.bak"), "the former secret lies beside the new one");
            assert!(!found.contains_key("setup.journal"));
            apply(&journal, &files).unwrap();
        };
        let work = |run: &mut Run<bool>| {
            if apply(&journal, &files).is_ok() {
                run.note(|is_done| *is_done = true);
            }
        };
        let scenario = Scenario {
            name: "setup",
            capacity: None,
            prepare: &prepare,
            work: &work,
            recover: &recover,
            judge: &judge,
        };
        assert!(scenario.try_all(1) > 30);
        scenario.fail_all(1);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let workspace = Workspace::new();
        let old = workspace.content();
        let mut files = workspace.files();
        // A folder that cannot be made, behind two that can.
        std::fs::write(workspace.0.path().join("drop"), "a file").unwrap();
        assert!(apply(&workspace.journal(), &files).is_err());
        assert_eq!((workspace.content(), workspace.left(".new")), (old.clone(), Vec::new()));
        // The same where a rename fails: a folder stands in the last file's place.
        files.truncate(2);
        std::fs::create_dir_all(workspace.0.path().join("cert/full")).unwrap();
        assert!(apply(&workspace.journal(), &files).is_err());
        assert_eq!((workspace.content(), workspace.left(".new")), (old, Vec::new()));
        assert!(!workspace.journal().exists());
    }

    #[test]
    fn what_is_there_already_is_known() {
        let workspace = Workspace::new();
        apply(&workspace.journal(), &workspace.files()).unwrap();
        assert!(workspace.files().iter().all(NewFile::is_there));
        let mut other = workspace.files().remove(0);
        other.rights.mode = 0o640;
        assert!(!other.is_there(), "rights count too");
        assert!(!undo(&workspace.journal()).unwrap(), "there is nothing to take back");
    }
}
