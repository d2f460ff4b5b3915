//! What is signed binds the ledger: whatever is put in its place.

use std::time::Duration;

use notes::SignerKey;
use rusqlite::Connection;
use tlog::{Checkpoint, SignedCheckpoint};

use super::*;
use crate::clock::ClockReading;
use crate::ipc::{Fact, StoredFact};
use crate::ledger::{Ledger, export_beginning, verify_export, verify_export_with};

fn on_day(day: i64) -> ClockReading {
    let utc = jiff::Timestamp::from_second(1_782_864_000 + day * 86_400).unwrap();
    let monotonic_ms = u64::try_from(day * 86_400_000).unwrap();
    ClockReading { utc, synchronised: true, boot: "a".into(), monotonic_ms }
}

const NAME: &str = "tallybox/shop-1/0011223344556677";

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(|tree| {
        let signer = SignerKey::new(NAME, &[1; 32]).unwrap();
        SignedCheckpoint::sign(Checkpoint::new(NAME, tree), &signer)
            .map(|signed| signed.to_string())
            .map_err(|error| error.to_string())
    })
}

fn verified(note: &str) -> Checkpoint {
    let key = SignerKey::new(NAME, &[1; 32]).unwrap().verifier_key();
    SignedCheckpoint::parse(note.as_bytes()).unwrap().verify(&key).unwrap().clone()
}

/// A folder with a ledger, open, that signs.
fn ledger(dir: &Path) -> Ledger {
    let mut ledger = Ledger::open(&dir.join("ledger.db")).unwrap();
    ledger.sign_with(signer());
    ledger
}

fn write(ledger: &mut Ledger, days: std::ops::Range<i64>, fact: &Fact) {
    for day in days {
        ledger.append(&[(on_day(day), fact.clone())]).unwrap();
    }
}

fn copy(from: &Path, to: &str) {
    let store = Connection::open(from.join("ledger.db")).unwrap();
    store.execute("VACUUM INTO ?1", [from.join(to).to_str().unwrap()]).unwrap();
}

/// The copy takes the ledger's place.
fn restore(dir: &Path, copy: &str) {
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("ledger.db{end}")));
    }
    std::fs::copy(dir.join(copy), dir.join("ledger.db")).unwrap();
}

fn export(ledger: &Ledger) -> String {
    let begin = ledger.pruned().unwrap().filter(|tree| tree.size() > 0).map(|tree| export_beginning(&tree) + "\n");
    let entries = ledger.entries_after(0, 100_000).unwrap();
    begin.into_iter().chain(entries.iter().map(|entry| entry.line() + "\n")).collect()
}

#[test]
fn an_older_ledger_a_fork_and_a_new_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = ledger(dir.path());
    write(&mut own, 0..5, &Fact::Locked {});
    copy(dir.path(), "backup.db");
    write(&mut own, 5..10, &Fact::Locked {});
    own.sign_checkpoint().unwrap();
    assert_eq!(verified(own.checkpoint().unwrap()).size, 10);
    drop(own);
    copy(dir.path(), "newest.db");
    let open = || Ledger::open(&dir.path().join("ledger.db"));
    restore(dir.path(), "backup.db");
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("it has 5 of them, as one from a backup has"), "{refused}");
    let read = Ledger::open_read_only(&dir.path().join("ledger.db")).unwrap().verify();
    assert!(matches!(read, Err(LedgerError::NotSigned { size: 10, .. })), "{read:?}");
    // The backup went on without what was signed: the same length, another ledger.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("backup.db"), elsewhere.path().join("ledger.db")).unwrap();
    write(&mut ledger(elsewhere.path()), 5..30, &Fact::Unlocked {});
    copy(elsewhere.path(), "fork.db");
    std::fs::copy(elsewhere.path().join("fork.db"), dir.path().join("fork.db")).unwrap();
    restore(dir.path(), "fork.db");
    assert!(open().unwrap_err().to_string().contains("its entries are others"));
    // None at all.
    std::fs::remove_file(dir.path().join("ledger.db")).unwrap();
    assert!(matches!(open(), Err(LedgerError::NotSigned { size: 10, .. })));
    // The right one is taken again, and goes on.
    restore(dir.path(), "newest.db");
    let mut own = ledger(dir.path());
    write(&mut own, 10..11, &Fact::Locked {});
    own.sign_checkpoint().unwrap();
    assert_eq!(verified(own.checkpoint().unwrap()).size, 11);
    drop(own);
    // What was signed last is damaged: it binds nothing any more, and is told.
    let file = dir.path().join(FILE);
    std::fs::write(&file, "damaged").unwrap();
    assert!(open().unwrap_err().to_string().contains("put it back from a backup"));
}

/// What a power cut leaves between the two files is good: the ledger is always ahead.
#[test]
fn a_ledger_that_is_ahead_of_its_checkpoint_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = ledger(dir.path());
    write(&mut own, 0..3, &Fact::Locked {});
    own.sign_checkpoint().unwrap();
    let before = own.checkpoint().unwrap().to_owned();
    own.sign_checkpoint().unwrap();
    assert_eq!(own.checkpoint(), Some(before.as_str()), "nothing new is nothing to sign");
    write(&mut own, 3..9, &Fact::Locked {});
    drop(own);
    let own = Ledger::open(&dir.path().join("ledger.db")).unwrap();
    assert_eq!((own.last(), own.checkpoint()), (9, Some(before.as_str())));
    own.verify().unwrap();
    // Without the disk nothing is handed out.
    let mut own = own;
    own.sign_with(signer());
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    std::fs::create_dir(dir.path().join(FILE)).unwrap();
    assert!(own.sign_checkpoint().unwrap_err().contains("cannot be written"));
    assert_eq!(own.checkpoint(), Some(before.as_str()));
}

/// The tree survives pruning and starts; what is left is provable, and each removal carries the box's word.
#[test]
fn a_pruned_ledger_is_still_provable() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = ledger(dir.path());
    write(&mut own, 0..300, &Fact::Locked {});
    let whole = export(&own);
    own.sign_checkpoint().unwrap();
    let first = verified(own.checkpoint().unwrap());
    for step in 0..3 {
        assert!(own.prune(Duration::from_hours(24 * 184), &on_day(600 + step)).unwrap() > 0);
        own = Ledger::open(&dir.path().join("ledger.db")).unwrap();
        own.sign_with(signer());
    }
    own.sign_checkpoint().unwrap();
    let (last, text) = (verified(own.checkpoint().unwrap()), export(&own));
    assert_eq!(last.size, own.last());
    let proof = verify_export_with(text.as_bytes(), &last).unwrap();
    assert!(proof.first > 100 && proof.tree.is_some(), "{proof:?}");
    verify_export_with(text.as_bytes(), &first).unwrap();
    assert_eq!(own.root_at(first.size).unwrap(), Some(first.root));
    // The same entries, from before they were pruned, are those that the box signed when they went.
    let pruned = own.entries_after(0, 10_000).unwrap().into_iter().filter_map(|entry| match entry.fact {
        StoredFact::Known(Fact::Pruned { last, checkpoint, .. }) => Some((last, checkpoint.unwrap())),
        StoredFact::Known(_) | StoredFact::Unknown(_) => None,
    });
    let pruned: Vec<_> = pruned.collect();
    assert_eq!(pruned.len(), 3);
    for (last, checkpoint) in &pruned {
        let checkpoint = verified(checkpoint);
        assert_eq!(checkpoint.size, *last);
        verify_export_with(whole.as_bytes(), &checkpoint).unwrap();
    }
    // A checkpoint from before what is left says nothing about it, and that is told.
    let early = verified(&pruned[0].1);
    let told = verify_export_with(text.as_bytes(), &early).unwrap_err().to_string();
    assert!(told.contains("take a newer checkpoint"), "{told}");
    // Without its first line an export is good as far as it goes, and fits no checkpoint.
    let rest = text.split_once('\n').unwrap().1;
    assert_eq!(verify_export(rest.as_bytes()).unwrap().tree, None);
    assert!(verify_export_with(rest.as_bytes(), &last).unwrap_err().to_string().contains("begins in the middle"));
}

/// A ledger whose beginning went before there was a tree has no checkpoints, and says so.
#[test]
fn a_ledger_that_was_pruned_without_a_tree_has_no_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = ledger(dir.path());
    write(&mut own, 0..300, &Fact::Locked {});
    own.prune(Duration::from_hours(24 * 184), &on_day(600)).unwrap();
    drop(own);
    let store = Connection::open(dir.path().join("ledger.db")).unwrap();
    store.execute_batch("ALTER TABLE anchor DROP COLUMN tree").unwrap();
    drop(store);
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    let mut own = ledger(dir.path());
    assert!(!own.has_tree());
    assert!(own.sign_checkpoint().unwrap_err().contains("no Merkle tree"));
    own.verify().unwrap();
    verify_export(export(&own).as_bytes()).unwrap();
    assert!(own.prune(Duration::from_hours(24 * 184), &on_day(601)).unwrap() > 0);
    assert_eq!(own.pruned().unwrap(), None);
}
