//! What of kept footage has to go, and when.

use jiff::Timestamp;

use super::*;

const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const PLENTY: u64 = 1 << 40;

fn config(more: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    let text = format!(
        "[ingest]\nurl = \"rtmps://a.cn/live/k\"\noutage-buffer = \"disk\"\noutage-buffer-mib = 16\n[privacy]\n{more}\n"
    );
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

fn keeping() -> Config {
    config(&format!("footage-recipient = \"{RECIPIENT}\""))
}

fn reading(monotonic_s: u64) -> ClockReading {
    let utc = Timestamp::from_second(1_782_864_000).unwrap();
    ClockReading { utc, synchronised: true, boot: "a".into(), monotonic_ms: monotonic_s * 1000 }
}

/// Two sessions of two files each, kept at 100 s and 200 s.
fn stored(dir: &Path) -> (StoredFootage, FootageMarks) {
    std::fs::create_dir(dir.join("footage")).unwrap();
    for (name, length) in [("9-1.age", 1000), ("9-2.age", 500), ("10-1.age", 10), ("10-2.age", 1)] {
        std::fs::write(dir.join("footage").join(name), vec![0; length]).unwrap();
    }
    let mut marks = FootageMarks::default();
    marks.keep(9, 1500, Some(reading(100)));
    marks.keep(10, 11, Some(reading(200)));
    (StoredFootage::find(dir).unwrap(), marks)
}

fn judged(stored: &StoredFootage, marks: &FootageMarks, config: &Config, free: u64, at: u64) -> Vec<(u64, FootageEnd)> {
    let overdue = stored.overdue(marks, None, config, free, &reading(at));
    overdue.into_iter().map(|one| (one.session, one.why)).collect()
}

#[test]
fn it_goes_at_its_time_and_oldest_first_where_room_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let (stored, marks) = stored(dir.path());
    assert_eq!(stored.status(), Some(FootageStatus { files: 4, bytes: 1511 }));
    let config = keeping();
    assert_eq!(judged(&stored, &marks, &config, PLENTY, 300), []);
    assert_eq!(judged(&stored, &marks, &config, PLENTY, 100 + 86_400), [(9, FootageEnd::Retention)]);
    // Room for what stays comes from the oldest, and no more of it than is needed.
    assert_eq!(judged(&stored, &marks, &config, MIN_FREE - 1500, 300), [(9, FootageEnd::Space)]);
    assert_eq!(judged(&stored, &marks, &config, MIN_FREE - 1501, 300).len(), 2);
    // Too much of it, and a disk that cannot be asked.
    let (mut much, mut known) = (stored.clone(), marks.clone());
    much.sessions.get_mut(&9).unwrap().bytes = 17 << 20;
    known.keep(9, 17 << 20, Some(reading(100)));
    assert_eq!(judged(&much, &known, &config, PLENTY, 300), [(9, FootageEnd::Space)]);
    assert_eq!(judged(&stored, &marks, &config, 0, 300).len(), 2);
}

#[test]
fn what_nobody_wrote_down_or_allows_goes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stored, marks) = stored(dir.path());
    for name in ["x", "11-1.age.new", "-1.age", "+3-1.age", "99999999999999999999-1.age"] {
        std::fs::write(dir.path().join("footage").join(name), "x").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("footage/12-1.age")).unwrap();
    std::fs::create_dir(dir.path().join("footage/13-1.age")).unwrap();
    std::fs::write(dir.path().join("footage/14-1.age"), "x").unwrap();
    stored = StoredFootage::find(dir.path()).map(|found| StoredFootage { ..found }).unwrap_or(stored);
    let overdue = stored.overdue(&marks, None, &keeping(), PLENTY, &reading(300));
    assert_eq!((overdue[0].names.len(), overdue[0].why, overdue[1].session), (7, FootageEnd::Doubt, 14));
    // The session that is on is not judged; footage of one without an entry is not kept.
    assert_eq!(stored.overdue(&marks, Some(14), &keeping(), PLENTY, &reading(300)).len(), 1);
    // The operator's key was taken out of the configuration, or nothing is to be written.
    for more in ["", "footage-retention = \"1s\""] {
        assert_eq!(judged(&stored, &marks, &config(more), PLENTY, 300).len(), 4, "{more}");
    }
    let files = super::super::erasure::erase_files(dir.path(), &overdue[0].names).unwrap();
    assert_eq!((files, StoredFootage::find(dir.path()).unwrap().foreign.len()), (6, 0), "a folder is no file");
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn no_folder_is_no_footage() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(StoredFootage::find(dir.path()).unwrap(), StoredFootage::default());
}

/// After a power cut a file may be shorter, or have no name at all. One whose end became zeros is as long as before:
/// its chunks do not open any more, see the tests of what is written.
#[test]
fn what_a_power_cut_tore_goes_and_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let (_, marks) = stored(dir.path());
    let look = |file: &str, length: Option<u64>| {
        let path = dir.path().join("footage").join(file);
        let whole = std::fs::read(&path).unwrap();
        match length {
            Some(length) => std::fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let stored = StoredFootage::find(dir.path()).unwrap();
        let found = judged(&stored, &marks, &keeping(), PLENTY, 300);
        std::fs::write(&path, whole).unwrap();
        found
    };
    for length in (0..1000).step_by(37).map(Some).chain([None, Some(999), Some(1001)]) {
        assert_eq!(look("9-1.age", length), [(9, FootageEnd::Doubt)], "{length:?}");
    }
    assert_eq!(look("9-1.age", Some(1000)), []);
    std::fs::remove_dir_all(dir.path().join("footage")).unwrap();
    let stored = StoredFootage::find(dir.path()).unwrap();
    let found = judged(&stored, &marks, &keeping(), PLENTY, 300);
    assert_eq!(found, [(9, FootageEnd::Doubt), (10, FootageEnd::Doubt)]);
    assert_eq!(stored.overdue(&marks, Some(10), &keeping(), PLENTY, &reading(300)).len(), 1, "that is still written");
    assert_eq!(super::super::erasure::erase_files(dir.path(), &[]).unwrap(), 0);
}
