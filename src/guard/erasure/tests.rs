//! What is erased is gone and counted, and nothing else is touched, whatever another process writes meanwhile.

mod power;

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::guard::identity::KeySealer;
use crate::ipc::CredentialLeft;
use monotonic::Monotonic;

static PLAIN: std::sync::LazyLock<KeySealer> = std::sync::LazyLock::new(KeySealer::default);

fn context() -> ReceiptContext<'static> {
    let ledger_retention = std::time::Duration::from_hours(184 * 24);
    ReceiptContext {
        id: Some("shop-1"),
        name: "shop-1",
        ledger_retention,
        at: "2026-11-29T10:00:00.5Z".parse().unwrap(),
        configuration: "",
        has_helper: false,
        now: Monotonic::default(),
        sealer: &PLAIN,
    }
}

/// The binding alone, without its receipt.
fn erase(dir: &Path) -> io::Result<u64> {
    let mut due = PendingErasure { erasure: Some(Erasure::Unbind), ..PendingErasure::default() };
    match due.erase_binding(dir, &context(), Erasure::Unbind)? {
        Some(Fact::Unbound { files, .. }) => Ok(files),
        other => panic!("{other:?}"),
    }
}

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
    assert_eq!(erase(path).unwrap(), 0);
    std::fs::create_dir_all(path.join("footage/old")).unwrap();
    std::fs::create_dir(path.join("agent")).unwrap();
    for name in ["footage/a", "footage/old/b", "agent/outbox-cursor", "agent/outbox-cursor.new", "agent/x", "ledger.db"]
    {
        std::fs::write(path.join(name), "x").unwrap();
    }
    let mut due = PendingErasure {
        footage: true,
        erasure: Some(Erasure::Unbind),
        announced: Some(1),
        ..PendingErasure::default()
    };
    let Erased { facts, error } = due.run(path, &context(), false);
    assert_eq!(
        (facts, error),
        (vec![Fact::FootageDestroyed { files: 2, why: Some(FootageEnd::Lock), session: None }], None)
    );
    assert!(path.join("agent/x").exists(), "nothing is deleted before the ledger has the announcement");
    let Erased { facts, error } = due.run(path, &context(), true);
    assert_eq!(facts, [Fact::Unbound { files: 3, receipt: None }], "without a key there is no receipt");
    assert_eq!((error, due.footage, due.due()), (None, false, None));
    assert_eq!(
        names(path),
        ["agent", "footage", "ledger.db"],
        "the ledger is left, and the folders of other users, which are not ours to make"
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
    assert_eq!(erase(path).unwrap(), 3);
    assert_eq!(
        (names(path), names(other.path())),
        (vec!["agent".to_owned(), "footage".to_owned()], vec!["kept".to_owned()])
    );
    // The agent's whole folder is a link: an error, and its target is not touched.
    std::fs::remove_dir(path.join("agent")).unwrap();
    std::fs::write(other.path().join("outbox-cursor"), "x").unwrap();
    symlink(other.path(), path.join("agent")).unwrap();
    let mut due = PendingErasure { erasure: Some(Erasure::Unbind), announced: Some(1), ..PendingErasure::default() };
    let Erased { facts, error } = due.run(path, &context(), true);
    assert!(facts.is_empty() && due.due().is_some() && error.is_some(), "{facts:?} {error:?}");
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
    assert!(erase(path).is_err());
    assert_eq!(names(path), ["agent", "credentials", "footage"]);
    assert_eq!((names(&path.join("agent")).len(), names(&path.join("credentials")).len()), (0, 0));
    std::fs::remove_dir_all(path.join("footage")).unwrap();
    // Each attempt is bounded, and the next one continues.
    for file in 0..=MOST {
        std::fs::write(path.join(format!("agent/{file}")), "").unwrap();
    }
    assert!(erase(path).unwrap_err().to_string().contains("too many for one attempt"));
    assert_eq!(erase(path).unwrap(), 1);
}

#[test]
fn folders_too_deep_are_told_and_cost_no_stack() {
    let dir = tempfile::tempdir().unwrap();
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 40).collect();
    std::fs::create_dir_all(dir.path().join("agent/outbox-cursor").join(deep)).unwrap();
    assert!(erase(dir.path()).unwrap_err().to_string().contains("too deep"));
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
            let _ = erase(dir.path());
            usize::from(attacker.join().unwrap())
        });
        assert_eq!(count(&victim), FILES, "after {exchanged} exchanges");
        let _ = std::fs::remove_dir_all(&aside);
        erase(dir.path()).unwrap();
        if exchanged == 10 {
            return;
        }
    }
    panic!("only {exchanged} folders were exchanged in time: the test was idle");
}

/// A box with a key, footage, a signed policy and the agent's files.
fn bound() -> (tempfile::TempDir, crate::ipc::BoxIdentity) {
    let dir = tempfile::tempdir().unwrap();
    let identity = identity::read_or_make(dir.path(), Some("shop-1"), &PLAIN).unwrap();
    for folder in ["footage", "agent"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        std::fs::write(dir.path().join(folder).join("a"), "x").unwrap();
    }
    for name in ["credentials/broker", POLICY_NOTE, "ledger.db"] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    (dir, identity)
}

fn run(dir: &Path, what: Erasure) -> Vec<Fact> {
    let mut due =
        PendingErasure { erasure: Some(what), announced: Some(1), has_receipt: true, ..PendingErasure::default() };
    due.run(dir, &context(), true).facts
}

/// The JSON of a receipt that verifies with the box's key.
fn verified(receipt: Option<&String>, identity: &crate::ipc::BoxIdentity) -> serde_json::Value {
    let note = notes::Note::parse(receipt.expect("a receipt").as_bytes()).unwrap();
    assert_eq!(note.is_signed_by(&identity.verifier_key.parse().unwrap()), Some(true));
    let document = notes::document(note.text()).unwrap();
    assert_eq!(document.kind, notes::DocumentType::Receipt);
    serde_json::from_str(document.json).unwrap()
}

#[test]
fn an_erasure_leaves_the_binding_and_says_so() {
    let (dir, identity) = bound();
    let facts = run(dir.path(), Erasure::Erase);
    let [Fact::Erased { files: 1, receipt }] = &facts[..] else { panic!("{facts:?}") };
    let told = verified(receipt.as_ref(), &identity);
    let kept = serde_json::json!([{ "what": "ledger", "until": "2027-06-01", "why": receipt::LEDGER_BY_LAW }, { "what": "binding", "until": "unbind" }]);
    let wanted =
        serde_json::json!({ "box": "shop-1", "what": "erase", "at": "2026-11-29T10:00:01Z", "files": 1, "kept": kept });
    assert!(told == wanted || told["at"] == "2026-11-29T10:00:00Z", "{told}");
    assert_eq!(names(dir.path()), ["agent", "credentials", "footage", "ledger.db", POLICY_NOTE]);
    assert_eq!(identity::read(dir.path(), Some("shop-1")).unwrap(), Some(identity));
}

#[test]
fn an_unbinding_is_signed_with_the_key_that_it_destroys() {
    let (dir, identity) = bound();
    let facts = run(dir.path(), Erasure::Unbind);
    let [Fact::Unbound { files: 5, receipt }] = &facts[..] else { panic!("{facts:?}") };
    let told = verified(receipt.as_ref(), &identity);
    assert_eq!((&told["what"], &told["files"]), (&"unbind".into(), &5.into()));
    assert_eq!((&told["kept"][0]["what"], &told["kept"][0]["until"]), (&"ledger".into(), &"2027-06-01".into()));
    assert_eq!(
        names(dir.path()),
        ["agent", "footage", "ledger.db", receipt::STAGED],
        "the receipt waits for the ledger"
    );
    assert!(receipt.as_ref().unwrap().len() < 900, "an event with it has to fit a message");
}

/// The power is cut between any two steps: the next attempt ends with the same receipt, or with one of its own.
#[test]
fn a_cut_unbinding_ends_with_one_receipt() {
    // The receipt is staged, and the key is still there.
    let (dir, identity) = bound();
    let destroyed = Destroyed { what: Erasure::Unbind, reason: None, files: 9, credentials: None };
    let first = PendingErasure::default().stage_receipt(dir.path(), &context(), &destroyed).unwrap();
    let facts = run(dir.path(), Erasure::Unbind);
    let [Fact::Unbound { receipt, .. }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(receipt.as_ref(), Some(&first));
    assert!(!dir.path().join(CREDENTIALS).exists());
    // The key is gone, and the ledger has no entry yet.
    let facts = run(dir.path(), Erasure::Unbind);
    let [Fact::Unbound { files: 0, receipt }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(verified(receipt.as_ref(), &identity)["files"], 9);
    // Only a part of the files was deleted: no receipt yet, so that one is made.
    let (dir, identity) = bound();
    std::fs::remove_file(dir.path().join("footage/a")).unwrap();
    let facts = run(dir.path(), Erasure::Unbind);
    let [Fact::Unbound { files: 4, receipt }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(verified(receipt.as_ref(), &identity)["files"], 4);
}

/// Where the disk did not let go of a receipt that was left over, the next erasure still asks the helper, and has one
/// of its own.
#[test]
fn a_receipt_that_was_left_over_is_not_the_next_ones() {
    let (dir, identity) = bound();
    receipt::stage(dir.path(), "another shop's").unwrap();
    let mut due = PendingErasure::default();
    due.add(Erasure::Unbind, None);
    due.set_announced(1);
    let facts = due.run(dir.path(), &context(), true).facts;
    let [Fact::Unbound { receipt, .. }] = &facts[..] else { panic!("{facts:?}") };
    verified(receipt.as_ref(), &identity);
}

/// Staff unbind the box, and the platform asks for an erasure meanwhile, or the other way round.
#[test]
fn what_destroys_no_more_is_announced_with_the_one_under_way() {
    for (first, second, is_announced) in [
        (Erasure::Unbind, Erasure::Erase, true),
        (Erasure::Erase, Erasure::Erase, true),
        (Erasure::Erase, Erasure::Unbind, false),
    ] {
        let mut due = PendingErasure::default();
        due.add(first, None);
        due.set_announced(1);
        due.add(second, None);
        assert_eq!(due.due(), Some((first.max(second), is_announced.then_some(1))), "{first:?} {second:?}");
    }
}

#[test]
fn what_fails_gives_no_receipt() {
    let (dir, _) = bound();
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 40).collect();
    std::fs::create_dir_all(dir.path().join("footage").join(deep)).unwrap();
    assert!(run(dir.path(), Erasure::Unbind).is_empty() && run(dir.path(), Erasure::Erase).is_empty());
    assert!(!dir.path().join(receipt::STAGED).exists());
    assert!(identity::read(dir.path(), None).unwrap().is_some(), "the key stays to sign it");
}

/// The JSON of the receipt that came with an unbinding.
fn receipt_of(fact: &Fact) -> serde_json::Value {
    let Fact::Unbound { receipt: Some(receipt), .. } = fact else { panic!("{fact:?}") };
    serde_json::from_str(receipt.lines().nth(1).unwrap()).unwrap()
}

/// A data-dir with a key, and an unbinding that is announced.
fn to_unbind() -> (tempfile::TempDir, PendingErasure) {
    let dir = tempfile::tempdir().unwrap();
    identity::read_or_make(dir.path(), Some("shop-1"), &PLAIN).unwrap();
    let due = PendingErasure { erasure: Some(Erasure::Unbind), announced: Some(1), ..PendingErasure::default() };
    (dir, due)
}

#[test]
fn the_receipt_waits_for_the_helper_and_says_what_it_left() {
    let (dir, mut due) = to_unbind();
    let configuration = "ab".repeat(32);
    let context = ReceiptContext { configuration: &configuration, has_helper: true, ..context() };
    let Erased { facts, error } = due.run(dir.path(), &context, true);
    assert!(facts.is_empty() && error.is_none() && due.due().is_some(), "{facts:?} {error:?}");
    assert!(identity::read(dir.path(), None).unwrap().is_some(), "its key has to sign the receipt");
    let text = std::fs::read_to_string(dir.path().join(crate::erasure_files::REQUEST)).unwrap();
    let request = crate::erasure_files::ErasureRequest::parse(&text).unwrap();
    assert_eq!(request.configuration, configuration);
    let report = |attempt: &str| CredentialsReport {
        attempt: attempt.to_owned(),
        removed: 3,
        left: vec![CredentialLeft { what: "/srv/other".to_owned(), why: "it is elsewhere".to_owned() }; 8],
    };
    assert!(!due.confirm_credentials(report("0000000000000000")), "somebody else's answer");
    assert!(due.confirm_credentials(report(&request.attempt)));
    let Erased { facts, .. } = due.run(dir.path(), &context, true);
    let told = receipt_of(&facts[0]);
    assert_eq!(told["files"], 4, "{told}");
    let kept: Vec<&str> = told["kept"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(kept, ["ledger", "/srv/other", "/srv/other", "/srv/other", "5 more"]);
    assert!(told["kept"][0]["why"].as_str().unwrap().contains("by law"));
    assert_eq!(names(dir.path()), ["receipt.note"], "the request is withdrawn");
}

#[test]
fn without_an_answer_the_receipt_says_that_root_has_to_delete_them() {
    let (dir, mut due) = to_unbind();
    let context = ReceiptContext { has_helper: true, ..context() };
    assert!(due.run(dir.path(), &context, true).facts.is_empty());
    let later =
        ReceiptContext { now: Monotonic::default().saturating_add(std::time::Duration::from_mins(1)), ..context };
    let told = receipt_of(&due.run(dir.path(), &later, true).facts[0]);
    assert!(told["kept"][1]["until"].as_str().unwrap().contains("root deletes it"), "{told}");
    assert!(!dir.path().join(crate::erasure_files::REQUEST).exists(), "a helper that comes later deletes nothing");
    // The same where there is none: at once.
    let (dir, mut due) = to_unbind();
    due.reason = Some(ErasureReason::AccountClosed);
    let told = receipt_of(&due.run(dir.path(), &self::context(), true).facts[0]);
    assert_eq!((&told["kept"][1]["until"], &told["reason"]), (&"root deletes it".into(), &"account-closed".into()));
}

/// A disk image would show what only an unlinked name hides.
#[test]
fn keys_are_overwritten_and_folders_of_others_cannot_use_that_up() {
    let (dir, _) = to_unbind();
    std::fs::create_dir(dir.path().join("agent")).unwrap();
    for number in 0..50 {
        std::fs::write(dir.path().join(format!("agent/{number}")), "x").unwrap();
    }
    let open = std::fs::File::open(dir.path().join("credentials/identity")).unwrap();
    erase(dir.path()).unwrap();
    assert!(std::io::read_to_string(open).unwrap().bytes().all(|byte| byte == 0));
}
