//! What is erased is gone and counted, and nothing else is touched, whatever another process writes meanwhile.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_erased_is_gone_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    assert_eq!(erase_binding(path).unwrap(), 0);
    std::fs::create_dir_all(path.join("footage/old")).unwrap();
    std::fs::create_dir(path.join("agent")).unwrap();
    for name in ["footage/a", "footage/old/b", "agent/outbox-cursor", "agent/outbox-cursor.new", "agent/x", "ledger.db"]
    {
        std::fs::write(path.join(name), "x").unwrap();
    }
    let mut due = PendingErasure { footage: true, binding: true };
    let Erased { facts, error } = due.run(path);
    assert_eq!(facts, [Fact::FootageDestroyed { files: 2 }, Fact::Unbound { files: 3 }]);
    assert_eq!((error, due.footage, due.binding), (None, false, false));
    assert_eq!(
        names(path),
        ["agent", "ledger.db"],
        "the ledger is left, and the agent's folder, which is not ours to make"
    );
    assert_eq!(names(&path.join("agent")), [""; 0]);
}

#[test]
fn a_link_is_removed_and_not_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("kept"), "x").unwrap();
    std::fs::create_dir(path.join("agent")).unwrap();
    std::fs::create_dir(path.join("footage")).unwrap();
    for link in ["agent/outbox-cursor", "credentials", "footage/link"] {
        symlink(other.path(), path.join(link)).unwrap();
    }
    assert_eq!(erase_binding(path).unwrap(), 3);
    assert_eq!((names(path), names(other.path())), (vec!["agent".to_owned()], vec!["kept".to_owned()]));
    // The agent's whole folder is a link: an error, and its target is not touched.
    std::fs::remove_dir(path.join("agent")).unwrap();
    std::fs::write(other.path().join("outbox-cursor"), "x").unwrap();
    symlink(other.path(), path.join("agent")).unwrap();
    let mut due = PendingErasure { footage: false, binding: true };
    let Erased { facts, error } = due.run(path);
    assert!(facts.is_empty() && due.binding && error.is_some(), "{facts:?} {error:?}");
    assert_eq!(names(other.path()), ["kept", "outbox-cursor"]);
}

#[test]
fn what_cannot_be_deleted_keeps_nothing_else_and_nobody_keeps_the_guard_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 40).collect();
    std::fs::create_dir_all(path.join("footage").join(deep)).unwrap();
    for folder in ["credentials", "agent"] {
        std::fs::create_dir(path.join(folder)).unwrap();
        std::fs::write(path.join(folder).join("a"), "x").unwrap();
    }
    assert!(erase_binding(path).is_err());
    assert_eq!((names(path), names(&path.join("agent")).len()), (vec!["agent".to_owned(), "footage".to_owned()], 0));
    std::fs::remove_dir_all(path.join("footage")).unwrap();
    // Each attempt is bounded, and the next one continues.
    for file in 0..=MOST {
        std::fs::write(path.join(format!("agent/{file}")), "").unwrap();
    }
    assert!(erase_binding(path).unwrap_err().to_string().contains("too many for one attempt"));
    assert_eq!(erase_binding(path).unwrap(), 1);
}

#[test]
fn folders_too_deep_are_told_and_cost_no_stack() {
    let dir = tempfile::tempdir().unwrap();
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 40).collect();
    std::fs::create_dir_all(dir.path().join("agent/outbox-cursor").join(deep)).unwrap();
    assert!(erase_binding(dir.path()).unwrap_err().to_string().contains("too deep"));
}

/// An attacker puts a link to the ledger's folder in place of a folder that is being emptied.
#[test]
fn an_exchanged_folder_leads_nowhere() {
    const FILES: usize = 300;
    let fill = |dir: &Path| {
        std::fs::create_dir_all(dir).unwrap();
        (0..FILES).for_each(|file| std::fs::write(dir.join(format!("f{file}")), "x").unwrap());
    };
    let count = |dir: &Path| std::fs::read_dir(dir).map_or(0, Iterator::count);
    let dir = tempfile::tempdir().unwrap();
    let (agent, victim) = (dir.path().join("agent"), dir.path().join("victim"));
    let (cursor, aside) = (agent.join("outbox-cursor"), agent.join("aside"));
    fill(&victim);
    let mut exchanged = 0;
    for _ in 0..200 {
        fill(&cursor);
        exchanged += std::thread::scope(|scope| {
            let attacker = scope.spawn(|| {
                while count(&cursor) == FILES {}
                std::fs::rename(&cursor, &aside).is_ok() && symlink(&victim, &cursor).is_ok()
            });
            // It may fail; then it is tried again.
            let _ = erase_binding(dir.path());
            usize::from(attacker.join().unwrap())
        });
        assert_eq!(count(&victim), FILES, "after {exchanged} exchanges");
        let _ = std::fs::remove_dir_all(&aside);
        erase_binding(dir.path()).unwrap();
        if exchanged == 10 {
            return;
        }
    }
    panic!("only {exchanged} folders were exchanged in time: the test was idle");
}
