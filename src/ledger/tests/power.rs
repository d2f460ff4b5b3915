//! The ledger on a disk whose power is cut at each write, sync and name: what was acknowledged stays, and it opens.

use std::path::Path;

use notes::SignerKey;
use tlog::{Checkpoint, SignedCheckpoint};

use super::{Ledger, on_day};
use crate::disk::simulated::power::{Run, Scenario};
use crate::disk::{self, File};
use crate::ipc::Fact;
use crate::ledger::checkpoint::{CheckpointSigner, SignedHead};
use crate::ledger::reserve::{RESERVE, Reserve};

const PATH: &str = "/data/ledger.db";
const NAME: &str = "tallybox/shop-1/0011223344556677";

/// What somebody was told.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Number and hash of the last entry.
    last: (u64, String),
    checkpoint: Option<String>,
}

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(|tree| {
        let signer = SignerKey::new(NAME, &[1; 32]).unwrap();
        let note = SignedCheckpoint::sign(Checkpoint::new(NAME, tree), &signer);
        note.map(|note| note.to_string()).map_err(|error| error.to_string())
    })
}

fn append(ledger: &mut Ledger, run: &mut Run<Told>, day: &mut i64, count: i64) {
    let entries: Vec<_> = (*day..*day + count).map(|day| (on_day(day), Fact::Locked {})).collect();
    *day += count;
    if ledger.append(&entries).is_ok() {
        tell(ledger, run);
    }
}

fn tell(ledger: &Ledger, run: &mut Run<Told>) {
    run.note(|told| told.last = (ledger.last(), ledger.position.hash.clone()));
}

fn sign(ledger: &mut Ledger, run: &mut Run<Told>) {
    if ledger.sign_checkpoint().is_ok() {
        run.note(|told| told.checkpoint = ledger.checkpoint().map(str::to_owned));
    }
}

/// It opens, has all that somebody was told, and goes on.
fn judge(told: &Told) {
    let mut ledger = Ledger::open(Path::new(PATH)).unwrap();
    let (last, hash) = &told.last;
    assert!(ledger.last() >= *last, "{} entries are left", ledger.last());
    let (end, ..) = ledger.verify().unwrap();
    assert_eq!(end, ledger.last());
    if let Some(known) = ledger.entries_after(last.saturating_sub(1), 1).unwrap().first().filter(|_| *last > 0) {
        assert_eq!((known.seq, &known.hash), (*last, hash));
    }
    if let Some(note) = &told.checkpoint {
        let told = SignedHead::parse(note.clone()).unwrap();
        let kept = SignedHead::parse(ledger.checkpoint().unwrap().to_owned()).unwrap();
        assert!(kept.size >= told.size, "the box knows what it is bound to");
        assert!(ledger.root_at(told.size).unwrap().is_none_or(|root| note.contains(&root.to_string())));
    }
    ledger.sign_with(signer());
    let day = i64::try_from(ledger.last()).unwrap() + 1_000;
    ledger.append(&[(on_day(day), Fact::Unlocked {})]).unwrap();
    ledger.sign_checkpoint().unwrap();
}

fn recover(_: &Told) {
    if let Ok(mut ledger) = Ledger::open(Path::new(PATH)) {
        ledger.sign_with(signer());
        // What comes of it is judged by whoever opens it next.
        drop(ledger.append(&[(on_day(5_000), Fact::GuardStopped {})]));
        drop(ledger.sign_checkpoint());
    }
}

fn scenario<'a>(name: &'a str, capacity: Option<u64>, work: &'a dyn Fn(&mut Run<Told>)) -> Scenario<'a, Told> {
    Scenario { name, capacity, prepare: &|| {}, work, recover: &recover, judge: &judge }
}

#[test]
fn entries_and_checkpoints_outlive_a_power_cut() {
    let work = |run: &mut Run<Told>| {
        let mut day = 0;
        for life in 0..4 {
            let Ok(mut ledger) = Ledger::open(Path::new(PATH)) else { return };
            ledger.sign_with(signer());
            for count in [1, 3, 1, 20] {
                append(&mut ledger, run, &mut day, count);
                if count != 3 {
                    sign(&mut ledger, run);
                }
            }
            if life > 0 && ledger.prune(super::days(8), &on_day(day)).is_ok() {
                tell(&ledger, run);
            }
            append(&mut ledger, run, &mut day, 2);
            drop(ledger.write_resume());
            // Closed: the write-ahead log goes back into the database, and is removed.
        }
    };
    let scenario = scenario("ledger", None, &work);
    assert!(scenario.try_all(19) > 10);
    scenario.fail_all(59);
}

/// Resume points come after some hundreds of entries.
#[test]
fn resume_points_outlive_a_power_cut() {
    let work = |run: &mut Run<Told>| {
        let mut day = 0;
        let Ok(mut ledger) = Ledger::open(Path::new(PATH)) else { return };
        for count in [250, 10, 240, 30] {
            append(&mut ledger, run, &mut day, count);
        }
    };
    assert!(scenario("ledger, resume points", None, &work).try_all(90) > 1);
}

/// SQLite moves its log into the database when that has a thousand pages, while the ledger is open.
#[test]
fn a_log_that_is_moved_into_the_database_outlives_a_power_cut() {
    let prepare = || {
        let mut ledger = Ledger::open(Path::new(PATH)).unwrap();
        let wal = || disk::metadata(Path::new("/data/ledger.db-wal")).unwrap().len / 4096;
        for day in 0.. {
            ledger.append(&[(on_day(day), Fact::Locked {})]).unwrap();
            if wal() > 996 {
                break;
            }
        }
        // Closed, it would take the log away.
        std::mem::forget(ledger);
    };
    let work = |run: &mut Run<Told>| {
        let Ok(mut ledger) = Ledger::open(Path::new(PATH)) else { return };
        let mut day = i64::try_from(ledger.last()).unwrap();
        for _ in 0..12 {
            append(&mut ledger, run, &mut day, 1);
        }
        run.note(|_| assert!(disk::metadata(Path::new(PATH)).unwrap().len > 10 * 4096, "it was moved"));
    };
    let scenario = Scenario { prepare: &prepare, ..scenario("ledger, long log", None, &work) };
    assert!(scenario.try_all(40) > 1);
}

/// A full disk: entries go on in the reserve, and the reserve is taken again when there is room.
#[test]
fn the_reserve_of_a_full_disk_outlives_a_power_cut() {
    let filler = Path::new("/data/filler");
    let work = |run: &mut Run<Told>| {
        let mut day = 0;
        let Ok(mut ledger) = Ledger::open(Path::new(PATH)) else { return };
        let mut reserve = Reserve::of(Path::new(PATH));
        append(&mut ledger, run, &mut day, 1);
        reserve.look();
        let free = disk::free_bytes(Path::new("/data")).unwrap_or(0);
        drop(File::create_new(filler, 0o600).and_then(|file| Ok(file.allocate(free)?)));
        reserve.look();
        for _ in 0..3 {
            let facts = [(on_day(day), Fact::Locked {})];
            day += 1;
            let mut written = ledger.append(&facts);
            if written.as_ref().is_err_and(crate::ledger::LedgerError::is_full) && reserve.release() {
                written = ledger.append(&facts);
            }
            if written.is_ok() {
                tell(&ledger, run);
            }
        }
        drop(disk::remove_file(filler));
        reserve.look();
        append(&mut ledger, run, &mut day, 1);
    };
    let judge = |told: &Told| {
        let mut reserve = Reserve::of(Path::new(PATH));
        reserve.look();
        drop(disk::remove_file(filler));
        reserve.look();
        assert!(!reserve.is_full());
        judge(told);
    };
    let capacity = Some(RESERVE + 5 * 1024 * 1024);
    let scenario = Scenario { judge: &judge, ..scenario("ledger, full disk", capacity, &work) };
    assert!(scenario.try_all(4) > 10);
}
