//! The disk itself: what it forgets, and what it does not.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::*;
use crate::disk::{self, File};

fn at(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}

fn on_new(capacity: u64) -> (SimulatedDisk, Installed) {
    let disk = SimulatedDisk::new(capacity);
    let installed = disk.install();
    disk::create_dir(Path::new("/data"), 0o755).unwrap();
    disk::Dir::open(Path::new("/")).unwrap().sync().unwrap();
    (disk, installed)
}

fn found(disk: &SimulatedDisk, loss: Loss, name: &str) -> Option<String> {
    let _installed = disk.after_cut(loss).install();
    disk::read_to_string(&at(name)).ok()
}

#[test]
fn names_and_contents_are_durable_apart() {
    let (disk, _installed) = on_new(1 << 20);
    let file = File::create_new(&at("a"), 0o600).unwrap();
    file.write_all(b"one").unwrap();
    assert_eq!(found(&disk, Loss::Nothing, "a").as_deref(), Some("one"));
    assert_eq!(found(&disk, Loss::Everything, "a"), None);
    file.sync_all().unwrap();
    assert_eq!(found(&disk, Loss::Everything, "a"), None, "its name is not on the disk");
    disk::Dir::open(Path::new("/data")).unwrap().sync().unwrap();
    assert_eq!(found(&disk, Loss::Everything, "a").as_deref(), Some("one"));
    file.write_all(b", two").unwrap();
    assert_eq!(found(&disk, Loss::Contents, "a").as_deref(), Some("one"));
    disk::rename(&at("a"), &at("b")).unwrap();
    assert_eq!(found(&disk, Loss::Contents, "b").as_deref(), Some("one"));
    assert_eq!(found(&disk, Loss::Names, "a").as_deref(), Some("one, two"));
    assert_eq!(found(&disk, Loss::Names, "b"), None);
}

#[test]
fn a_torn_write_keeps_whole_sectors() {
    let (disk, _installed) = on_new(1 << 20);
    let file = File::create_new(&at("a"), 0o600).unwrap();
    disk::Dir::open(Path::new("/data")).unwrap().sync().unwrap();
    file.write_all(&[b'x'; 2000]).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let text = found(&disk, Loss::Torn(seed), "a").unwrap();
        assert!(text.as_bytes().chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        seen.insert(text);
    }
    assert!(seen.len() > 8, "{} outcomes", seen.len());
}

#[test]
fn it_is_full_faulty_and_cut_when_it_is_told_to() {
    let (disk, _installed) = on_new(100);
    let file = File::create_new(&at("a"), 0o600).unwrap();
    assert_eq!(file.write_all(&[0; 101]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    file.write_all(&[1; 60]).unwrap();
    assert_eq!(disk::free_bytes(Path::new("/data")).unwrap(), 40);
    disk.fail(Some((disk.changes()..u64::MAX, Errno::IO)));
    assert!(file.write_all(&[1; 10]).is_err() && file.sync_all().is_err());
    disk.fail(None);
    file.write_all(&[1; 10]).unwrap();
    disk::remove_file(&at("a")).unwrap();
    assert_eq!(disk::free_bytes(Path::new("/data")).unwrap(), 100);
    // Whoever has it open reads it still.
    assert_eq!(file.metadata().unwrap().len, 70);
    disk.cut_before(disk.changes() + 1);
    disk::create_dir(&at("b"), 0o755).unwrap();
    assert!(disk::create_dir(&at("c"), 0o755).is_err());
    assert_eq!(disk.cut_at().as_deref(), Some("mkdir /data/c"));
    assert!(disk::read(&at("a")).is_err(), "nothing works any more");
}

#[test]
fn it_leaves_all_waiting_until_it_answers() {
    let (disk, _installed) = on_new(1 << 20);
    disk.set_hanging(true);
    let other = disk.clone();
    let waiting = std::thread::spawn(move || {
        let _installed = other.install();
        disk::create_dir(&at("b"), 0o755)
    });
    assert!(disk.is_hanging() && !waiting.is_finished());
    disk.set_hanging(false);
    waiting.join().unwrap().unwrap();
    assert!(disk::is_dir(&at("b")));
}

/// Whether the harness notices that this work acknowledges what it has not synced.
fn is_noticed(work: &dyn Fn(&mut power::Run<u64>), found: &dyn Fn() -> u64) -> bool {
    let judge = |told: &u64| assert!(found() >= *told);
    let scenario =
        power::Scenario { name: "faulty", capacity: None, prepare: &|| {}, work, recover: &|_| {}, judge: &judge };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario.try_all(1))).is_err()
}

#[test]
fn what_is_acknowledged_and_not_synced_is_noticed() {
    use crate::atomic_file::{Durability, PRIVATE, replace};
    let (path, found) =
        (at("a"), || disk::read_to_string(&at("a")).ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    for (durability, expected) in [(Durability::Unsynced, true), (Durability::Synced, false)] {
        let work = |run: &mut power::Run<u64>| {
            for number in 1..4_u64 {
                if replace(&path, number.to_string().as_bytes(), PRIVATE, durability).is_ok() {
                    run.note(|told| *told = number);
                }
            }
        };
        assert_eq!(is_noticed(&work, &found), expected, "{durability:?}");
    }
}

#[test]
fn a_database_that_does_not_sync_is_noticed() {
    let open = || disk::open_database(&at("db"), rusqlite::OpenFlags::default());
    let found = || open().unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u64>(0)).unwrap_or(0);
    for (synchronous, expected) in [("OFF", true), ("NORMAL", true), ("FULL", false)] {
        let work = |run: &mut power::Run<u64>| {
            let Ok(store) = open() else { return };
            drop(store.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};")));
            drop(store.execute_batch("CREATE TABLE t (x INTEGER)"));
            for number in 1..4_u64 {
                if store.execute("INSERT INTO t VALUES (1)", []).is_ok() {
                    run.note(|told| *told = number);
                }
            }
        };
        assert_eq!(is_noticed(&work, &found), expected, "synchronous = {synchronous}");
    }
}

/// What the facade does with the machine's files it does with these.
#[test]
fn files_are_as_on_the_machine() {
    let real = tempfile::tempdir().unwrap();
    let tell = |root: &Path| {
        let at = |name: &str| root.join(name);
        let mut told = Vec::new();
        let mut note = |what: std::io::Result<String>| told.push(what.map_err(|error| error.kind()));
        let shown = |()| String::new();
        note(disk::create_dir(&at("d"), 0o755).map(shown));
        note(disk::create_dir(&at("d"), 0o755).map(shown));
        note(File::create_new(&at("d/f"), 0o600).and_then(|file| file.write_all(b"text")).map(shown));
        note(File::create_new(&at("d/f"), 0o600).map(|_| String::new()));
        note(disk::read_to_string(&at("d/f")));
        note(disk::read_to_string(&at("d/g")));
        note(disk::read_to_string(&at("d")).map(|_| String::new()));
        note(disk::read_to_string(&at("d/f/g")));
        note(disk::hard_link(&at("d/f"), &at("d/g")).map(shown));
        note(disk::hard_link(&at("d/f"), &at("d/g")).map(shown));
        note(disk::metadata(&at("d/f")).map(|found| format!("{} {} {:o}", found.len, found.links, found.mode)));
        note(disk::rename(&at("d/f"), &at("d/h")).map(shown));
        note(disk::remove_file(&at("d")).map(shown).map_err(|_| std::io::ErrorKind::Other.into()));
        note(disk::remove_file(&at("d/f")).map(shown));
        note(File::append(&at("d/h"), 0o600).and_then(|mut file| {
            file.write_all(b", more")?;
            file.set_len(8)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(format!("{} {}", text.len() <= 8, file.metadata()?.len))
        }));
        note(File::create(&at("d/h"), 0o600).and_then(|file| file.sync_all()).map(shown));
        note(disk::read_to_string(&at("d/h")));
        let dir = disk::Dir::open(root).unwrap();
        let mut names: Vec<_> = dir.open_dir("d".as_ref()).unwrap().names().unwrap().map(Result::unwrap).collect();
        names.sort();
        note(Ok(format!("{names:?}")));
        note(dir.remove_file("d".as_ref()).map(shown).map_err(Into::into));
        note(dir.remove_dir("d".as_ref()).map(shown).map_err(Into::into));
        told
    };
    let expected = tell(real.path());
    let (_disk, _installed) = on_new(1 << 20);
    assert_eq!(tell(Path::new("/data")), expected);
}

#[test]
fn a_judge_meets_no_failures_and_uses_none_up() {
    let (disk, _installed) = on_new(1 << 20);
    let first = disk.changes();
    disk.fail(Some((first..first + 2, Errno::IO)));
    let look = || {
        let file = File::create_new(&at("seen"), 0o600)?;
        file.write_all(b"what there is")
    };
    disk.without_failures(look).unwrap();
    assert_eq!(disk.changes(), first + 2);
    // Both are still to come, and no more than both.
    assert!(disk::create_dir(&at("a"), 0o755).is_err() && disk::create_dir(&at("a"), 0o755).is_err());
    disk::create_dir(&at("a"), 0o755).unwrap();
    disk.without_failures(|| disk::create_dir(&at("b"), 0o755)).unwrap();
    disk::create_dir(&at("c"), 0o755).unwrap();
}
